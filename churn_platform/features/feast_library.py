"""Feast itself: its import made bearable, a repository opened with its secrets, its output kept
quiet.
"""

import atexit
import contextlib
import io
import os
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from churn_platform.base.errors import UsageError
from churn_platform.features.online.address import OnlineAddress

if TYPE_CHECKING:
    import feast


def import_feast() -> Any:  # noqa: ANN401 - the module
    """Import Feast without typeguard's decorator, which parses Feast's sources again: 2.4 s
    instead of 7.4 s.
    """
    if "feast" not in sys.modules:
        import typeguard

        atexit.register(_mute_interpreter_exit)

        checked = typeguard.typechecked
        typeguard.typechecked = _unchecked
        try:
            with (
                warnings.catch_warnings()
            ):  # Feast turns deprecation warnings on for the whole process.
                import feast  # noqa: F401
        finally:
            typeguard.typechecked = checked
    return sys.modules["feast"]


def _mute_interpreter_exit() -> None:
    """DuckDB 2.0's binding prints 40 lines of "leaked" objects when the interpreter is torn
    down; nothing is lost.
    """
    sys.stderr.flush()
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)


def _unchecked(target: Any = None, **_: object) -> Any:  # noqa: ANN401 - stands in for a decorator of anything
    if target is not None:
        return target
    return lambda decorated: decorated


def open_feast(folder: Path, address: OnlineAddress, **sections: Any) -> "feast.FeatureStore":  # noqa: ANN401
    """Feast on a repository; the password of a network store is added here, no file has it.

    `sections` stand in place of other parts of feature_store.yaml, with their passwords.

    Raises:
        UsageError: what the store needs is not installed.
    """
    feast = import_feast()
    if address.kind != "sqlite":
        sections["online_store"] = address.with_secret()
    if not sections:
        return feast.FeatureStore(repo_path=str(folder))
    import yaml
    from feast.repo_config import RepoConfig

    named = yaml.safe_load((folder / "feature_store.yaml").read_text(encoding="utf-8"))
    try:
        configuration = RepoConfig(**{**named, **sections}, repo_path=folder)
        _ = configuration.online_store, configuration.offline_store, configuration.registry
    except ImportError:  # also Feast's own kind
        kind = address.kind if address.kind != "sqlite" else "postgres"
        if address.said:
            what = f"The online store {address.said}"
        else:
            what = "Feast on Postgres"
        raise UsageError(
            f"{what} needs more packages: install churn-platform[{kind}].", code="PACKAGE_MISSING"
        ) from None
    store = feast.FeatureStore(config=configuration)
    store.repo_path = folder
    return store


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Feast prints a progress bar and coloured lines to stdout and stderr; ours is the only
    progress shown.
    """
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        yield
