"""Forgets a customer: files put in place of those with the rows, rows deleted from stores, the receipt.

All new files are made ready first (`adapters/upkeep/forgetting_plan.py`), then a plan is written: from there on a kill
leaves what the next command completes, before it nothing has changed. Belongs here: that order. Does not: what a
changed file holds.
"""

import secrets
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from churn_platform.adapters.features.feast_files import APPLIED
from churn_platform.adapters.files import fsync_folder, read_json, sha256_file, write_json
from churn_platform.adapters.home import Home
from churn_platform.adapters.online.forgetting import columns_of, count_rows, delete_rows, overwriting
from churn_platform.adapters.upkeep.forgetting_plan import stage
from churn_platform.core.candidate import ENTITIES
from churn_platform.core.forgetting import salted, told
from churn_platform.errors import IntegrityError, UsageError

FOLDER, PLAN, FILES = "forgetting", "plan.json", "files"


@dataclass(frozen=True)
class Forgotten:
    """What forgetting a customer came to.

    Attributes:
        subject: How the ledger names the customer: by a salted hash.
        rows: Where -> rows left out.
        versions: Versions that were trained on the customer.
        unknown: Versions whose training customers cannot be read.
        unread: Files of rows that cannot be read.
        changed: Files that somebody else changed meanwhile and that were left as they are.
    """

    subject: str
    rows: dict[str, int]
    versions: list[int]
    unknown: list[int]
    unread: list[str]
    changed: list[str]


def forget(home: Home, user: str, by: str, reason: str) -> Forgotten:
    """Remove every row of a customer from the home and record that it happened.

    Raises:
        UsageError: no file and no store holds the customer, or the key cannot be one.
        IntegrityError: a file of the lake was changed; nothing was forgotten.
        HomeBusy: a run holds the home.
    """
    key = _key(home, user)
    with home.exclusive("`churn forget`"):
        finish(home)
        folder = home.folder / FOLDER
        staged = stage(home, key, folder / FILES)
        elsewhere = {"online store": count_rows(home, key), "offline copy": _copied(home, key)}
        if not staged.files and not any(elsewhere.values()):
            _clear(folder)
            raise UsageError(_nobody(home, key))
        versions, unknown = _trained_on(home, key)
        salt = secrets.token_hex(16)
        rows = dict(staged.rows) | {where: count for where, count in elsewhere.items() if count}
        plan = {
            "key": key, "by": by, "reason": reason, "salt": salt, "files": staged.files, "digests": staged.digests,
            "rows": rows, "versions": versions, "unknown": unknown, "unread": staged.unread,
        }  # fmt: skip
        write_json(folder / PLAN, plan)
        return _carry_out(home, plan)


def finish(home: Home) -> Forgotten | None:
    """Complete what a kill cut off; None when nothing was. The caller holds the home."""
    folder = home.folder / FOLDER
    if (folder / PLAN).exists():
        return _carry_out(home, read_json(folder / PLAN))
    _clear(folder)
    return None


def _carry_out(home: Home, plan: dict[str, Any]) -> Forgotten:
    changed = [name for name, digests in plan["files"].items() if not _replaced(home, name, digests)]
    delete_rows(home, plan["key"])
    if home.offline is not None:  # the lake's new files have other names there
        home.offline.prune()
    for database in sorted((home.folder / "dagster").rglob("*.db")):
        _untell(database, plan["key"])
    known = salted(plan["salt"], plan["key"])
    found = Forgotten(
        f"customer {known[:12]}", plan["rows"], plan["versions"], plan["unknown"], plan["unread"], changed
    )
    if known not in {receipt.evidence["customer"] for receipt in home.ledger.receipts("customer forgotten")}:
        evidence = {"customer": known, "salt": plan["salt"], "digests": plan["digests"], **asdict(found)}
        home.ledger.append(
            actor=plan["by"],
            act="customer forgotten",
            subject=evidence.pop("subject"),
            reason=plan["reason"],
            evidence=evidence,
        )
    _clear(home.folder / FOLDER)
    return found


def _copied(home: Home, key: str | int) -> int:
    """How many rows of the customer are in the database that training rows are joined in."""
    if home.offline is not None:
        return home.offline.count(key)
    applied = home.folder / "feast" / APPLIED
    if applied.exists() and (place := read_json(applied).get("offline")):
        raise UsageError(f"The home's rows are in {place}, too, and CHURN_OFFLINE_STORE is not set: set it.")
    return 0


def _replaced(home: Home, name: str, digests: dict[str, str]) -> bool:
    """Put one new file in place, unless that is done; False when somebody changed the file, or delivered it again."""
    target, source = home.folder / name, home.folder / FOLDER / FILES / name
    standing = sha256_file(target) if target.exists() else None
    if standing == digests["before"] and source.exists():
        source.replace(target)
        fsync_folder(target.parent)
        return True
    return standing in (None, digests["after"])


def _clear(folder: Path) -> None:
    """The plan first: it names the customer, and without it the files mean nothing."""
    (folder / PLAN).unlink(missing_ok=True)
    if folder.exists():
        fsync_folder(folder)
        shutil.rmtree(folder)


def _key(home: Home, user: str) -> str | int:
    if home.contract.entity.dtype != "integer":
        return user.strip()
    try:
        return int(user)
    except ValueError:
        raise UsageError(f"{user!r} is no {home.contract.entity.column}: it is a whole number.") from None


def _nobody(home: Home, key: str | int) -> str:
    for receipt in home.ledger.receipts("customer forgotten"):
        if receipt.evidence["customer"] == salted(str(receipt.evidence["salt"]), key):
            return (
                f"That {home.contract.entity.column} was forgotten on {receipt.time[:10]}, and nothing holds it since."
            )
    return f"Nothing in {home.folder} holds a customer {key!r}: check the {home.contract.entity.column}."


def _trained_on(home: Home, key: str | int) -> tuple[list[int], list[int]]:
    """The versions whose training customers include this one, and those that cannot say."""
    import io

    import numpy as np
    import pandas as pd

    from churn_platform.core.training_dataset import trained_on

    found: list[int] = []
    unknown: list[int] = []
    released = home.releases.versions()
    for version in sorted({*released, *home.registry.versions()}):
        try:
            if version in released:
                content = home.releases.path(version, ENTITIES).read_bytes()
            else:
                content = home.registry.files(version)[ENTITIES]
            hashes = np.load(io.BytesIO(content), allow_pickle=False)
        except (IntegrityError, UsageError, OSError, ValueError):
            unknown.append(version)
            continue
        if trained_on(pd.Series([key]), hashes)[0]:
            found.append(version)
    return found, unknown


def _untell(database: Path, key: str | int) -> None:
    """Dagster's history shows the head of the list and examples of faults with each run."""
    with overwriting(database) as store:
        for table, column in columns_of(store):
            for form, instead in told(key):
                store.execute(
                    f'UPDATE "{table}" SET "{column}" = replace("{column}", ?, ?) '  # noqa: S608 - Dagster's names
                    f'WHERE typeof("{column}") = \'text\' AND instr("{column}", ?) > 0',
                    (form, instead, form),
                )
