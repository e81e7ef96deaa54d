"""The home: one folder, its layout, its clock, and one run at a time."""

import contextlib
import datetime as dt
import os
import shlex
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from churn_platform.base.errors import HomeBusy, UsageError, WrongLayout
from churn_platform.base.files import read_json, write_json
from churn_platform.base.settings import Settings

HOLDER = "home.holder"
"""The file that names who holds the home while it is held."""
LAYOUT = 1
"""Which files lie where in a home; another number is another layout. A home without `home.json`
has the first.
"""
LAYOUT_WITH_PLACE = 2
"""The lake keeps its files at the place that `home.json` names."""
VERSION_FILE = "home.json"
FOLDERS = ("drops", "lake", "feast", "artifacts", "releases", "ledger", "reports", "dagster")


def utc_now() -> dt.datetime:
    """The present in UTC."""
    return dt.datetime.now(dt.UTC)


class Home:
    """The folder of one `CHURN_HOME`. Building it reads nothing and writes nothing."""

    def __init__(self, settings: Settings, now: Callable[[], dt.datetime] = utc_now) -> None:
        self.settings = settings
        self.folder = settings.home_folder
        self.now = now

    @property
    def drops(self) -> Path:
        """Where drops arrive, one sub-folder an as_of."""
        return self.folder / "drops"

    @property
    def reports(self) -> Path:
        """Reports for people, one sub-folder an as_of."""
        return self.folder / "reports"

    @property
    def predictions(self) -> Path:
        """The prediction log of the API."""
        return self.settings.prediction_log or self.folder / "predictions"

    @property
    def shadows(self) -> Path:
        """The shadow log of the API."""
        if self.settings.prediction_log is None:
            return self.folder / "shadows"
        return self.settings.prediction_log / "shadows"

    @property
    def option(self) -> str:
        """` --home FOLDER` for a command that a person types; empty for the usual home."""
        if self.settings.home == type(self.settings).model_fields["home"].default:
            return ""
        return f" --home {shlex.quote(str(self.settings.home))}"

    def check_layout(self) -> None:
        """Refuse a home whose files lie where this version would not look for them.

        Raises:
            WrongLayout: its layout is not `LAYOUT`, or none that can be read.
        """
        note = self.note()
        layout = note.get("layout")
        has_place = layout == LAYOUT_WITH_PLACE and isinstance(note.get("lake"), str)
        if layout != LAYOUT and not has_place:
            raise WrongLayout(
                f"{self.folder} has layout {layout!r} and this version of the platform knows"
                f" layout {LAYOUT} and {LAYOUT_WITH_PLACE} only: use the version that wrote it, or"
                " name another home with --home; nothing was read or changed."
            )

    @property
    def lake_uri(self) -> str:
        """Where the lake keeps its files, as a URI; empty for the folder of the home.

        Raises:
            UsageError: `CHURN_LAKE` names another place than the home has.
        """
        asked = self.settings.lake.rstrip("/")
        is_new = not (self.folder / VERSION_FILE).exists() and not self._has_lake
        if is_new:
            return asked
        own = str(self.note().get("lake", ""))
        if asked not in ("", own):
            raise UsageError(
                f"The lake of {self.folder} is {f'at {own}' if own else 'in its folder'}, and"
                " CHURN_LAKE names another place. Unset CHURN_LAKE, or move the lake with"
                " churn lake --move URI.",
                code="LAKE_ELSEWHERE",
            )
        return own

    def name_lake(self, uri: str, move: str = "", moved_from: str = "") -> None:
        """Note where the lake keeps its files; empty for the folder of the home.

        Args:
            uri: the place.
            move: the id of the move that led there, for its receipt; empty for a new home.
            moved_from: where it was before.
        """
        note: dict[str, object] = {"layout": LAYOUT}
        if uri:
            note = {"layout": LAYOUT_WITH_PLACE, "lake": uri}
        if move:
            note |= {"move": move, "moved_from": moved_from}
        write_json(self.folder / VERSION_FILE, note)

    @property
    def _has_lake(self) -> bool:
        return any((self.folder / "lake" / "snapshots").glob("*.json"))

    def note(self) -> Mapping[str, Any]:
        """The content of `home.json`; that of an early home if there is none."""
        file = self.folder / VERSION_FILE
        found = read_json(file) if file.exists() else {"layout": LAYOUT}
        return found if isinstance(found, dict) else {}

    def is_free(self) -> bool:
        """Whether the home is free at this moment; does not wait."""
        from filelock import FileLock, Timeout

        try:
            with FileLock(self.folder / "home.lock", timeout=0):
                return True
        except Timeout:
            return False

    @contextlib.contextmanager
    def exclusive(self, doing: str = "a run", seconds: float | None = None) -> Iterator[None]:
        """Hold the home: one run at a time, also between processes; nests within one process.

        Args:
            doing: what the holder does, for those who find the home held.
            seconds: how long to wait for another process; `CHURN_LOCK_SECONDS` by default.

        Raises:
            HomeBusy: another process kept it for so long; shows which.
        """
        from filelock import FileLock, Timeout

        self.folder.mkdir(parents=True, exist_ok=True)
        patience = self.settings.lock_seconds if seconds is None else seconds
        lock = FileLock(
            self.folder / "home.lock", timeout=self.settings.lock_seconds, is_singleton=True
        )
        try:
            with (
                lock.acquire(timeout=patience),
                self._named(doing, outermost=lock.lock_counter == 1),
            ):
                yield
        except Timeout:
            raise HomeBusy(
                f"{self._holder()} has held {self.folder} for {patience:.0f} seconds: wait for"
                " it, or find it with `churn doctor`."
            ) from None

    @contextlib.contextmanager
    def _named(self, doing: str, *, outermost: bool) -> Iterator[None]:
        """Say who holds the home while it is held; also with a full disk."""
        holder = self.folder / HOLDER
        if outermost:
            since = self.now().isoformat(timespec="seconds")
            with contextlib.suppress(OSError):
                holder.write_text(
                    f"{doing} of {self.settings.who} (process {os.getpid()}, since {since})"
                )
        try:
            yield
        finally:
            if outermost:
                holder.unlink(missing_ok=True)

    def _holder(self) -> str:
        """Who holds the home; called only while it is held."""
        try:
            said = (self.folder / HOLDER).read_text(encoding="utf-8")
        except OSError:
            said = ""
        if not said:
            return "Another run"
        return f"{said[:1].upper()}{said[1:]}"
