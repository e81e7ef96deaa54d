"""Forgets a customer: files put in place of those with the rows, rows deleted from stores, the
receipt.

All new files are made ready first (`maintenance/erasure_plan.py`), then a plan is written: from
there on a kill leaves what the next command completes, before it nothing has changed.
"""

import contextlib
import datetime as dt
import errno
import secrets
import shutil
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from churn_platform.base.digests import readable
from churn_platform.base.errors import IntegrityError, UsageError
from churn_platform.base.files import (
    fsync_folder,
    read_json,
    replacing,
    sha256_file,
    write_json,
)
from churn_platform.features.feast_repository import APPLIED, COPIED
from churn_platform.features.online.upkeep import (
    columns_of,
    count_rows,
    delete_rows,
    overwriting,
)
from churn_platform.ledger import receipts as ledger
from churn_platform.ledger.acts import CustomerForgotten
from churn_platform.ledger.erasures import names, salted, told
from churn_platform.maintenance.customer_rows import key_of, nobody, trained_versions
from churn_platform.maintenance.erasure_plan import check_writable, history, stage
from churn_platform.promotion.promotions import signed
from churn_platform.services import Services

FOLDER = "forgetting"
PLAN = "plan.json"
FILES = "files"


@dataclass(frozen=True)
class Forgotten:
    """What forgetting a customer came to.

    Attributes:
        subject: How the ledger names the customer: by a salted hash.
        rows: Where -> rows left out.
        versions: Versions that were trained on the customer.
        unknown: Versions whose training customers cannot be read.
        unread: Files of rows that cannot be read.
        changed: Files that someone else changed meanwhile and that were left as they are.
    """

    subject: str
    rows: dict[str, int]
    versions: list[int]
    unknown: list[int]
    unread: list[str]
    changed: list[str]


def forget(home: Services, user: str, by: str, reason: str) -> Forgotten:
    """Remove every row of a customer from the home and record that it happened.

    Raises:
        UsageError: no file and no store holds the customer, the key cannot be one, `by` or
            `reason` cannot stand in the ledger, or a folder cannot be written; nothing was
            forgotten.
        IntegrityError: a file of the lake or the ledger was changed; nothing was forgotten.
        HomeBusy: a run holds the home.
    """
    key = key_of(home, user)
    by, reason = signed(by, reason)
    for option, text in (("--by", by), ("--reason", reason)):
        if names(text, key):
            raise UsageError(
                f"{option} names the customer, and the ledger keeps it permanently: leave out"
                " the key.",
                code="TEXT_INVALID",
            )
    with home.exclusive("`churn forget`"):
        finish(home)
        with _nothing_left(home.folder / FOLDER):
            plan = _plan(home, key, by, reason)
            write_json(home.folder / FOLDER / PLAN, plan)
        return _carry_out(home, plan)


def _plan(home: Services, key: str | int, by: str, reason: str) -> dict[str, Any]:
    """What will be done, as whoever completes it reads it: once it is written, nothing may
    stand in its way.
    """
    staged = stage(home, key, home.folder / FOLDER / FILES)
    _refuse_a_copy(home)
    elsewhere = {"online store": count_rows(home.feature_store, key)}
    if not staged.files and not any(elsewhere.values()):
        raise UsageError(nobody(home, key), code="CUSTOMER_UNKNOWN")
    versions, unknown = trained_versions(home, key)
    rows = dict(staged.rows) | {where: count for where, count in elsewhere.items() if count}
    plan = {
        "key": key, "by": by, "reason": reason, "salt": secrets.token_hex(16), "files": staged.files,
        "digests": staged.digests, "rows": rows, "versions": versions, "unknown": unknown, "unread": staged.unread,
    }  # fmt: skip
    check_writable(home, staged.files)
    anchor = home.ledger.anchor()
    if broken := home.ledger.verify(None if anchor is None else anchor.digest):
        raise IntegrityError(
            f"{home.ledger.file}: {broken.detail}; nothing was forgotten, since no receipt can"
            " follow: put the ledger back from a backup.",
            code="LEDGER_DAMAGED",
        )
    made_at = home.now().astimezone(dt.UTC).isoformat()
    act = _act(plan, _found(plan, list(staged.files)))
    ledger.append(None, time=made_at, **act.receipt_fields())
    return plan


@contextlib.contextmanager
def _nothing_left(folder: Path) -> Iterator[None]:
    """Remove what was made ready when it comes to no plan."""
    try:
        yield
    except BaseException:
        _clear(folder)
        raise


def finish(home: Services) -> Forgotten | None:
    """Complete what a kill cut off; None when nothing was. The caller holds the home."""
    folder = home.folder / FOLDER
    if (folder / PLAN).exists():
        return _carry_out(home, read_json(folder / PLAN))
    _clear(folder)
    return None


def _carry_out(home: Services, plan: dict[str, Any]) -> Forgotten:
    changed = [
        name for name, digests in plan["files"].items() if not _replaced(home, name, digests)
    ]
    delete_rows(home.feature_store, plan["key"])
    for database in history(home):
        _untell(database, plan["key"])
    found = _found(plan, changed)
    act = _act(plan, found)
    recorded = home.ledger.receipts("customer forgotten")
    if act.customer not in {receipt.evidence["customer"] for receipt in recorded}:
        home.ledger.append(act)
    _clear(home.folder / FOLDER)
    return found


def _found(plan: dict[str, Any], changed: list[str]) -> Forgotten:
    known = salted(plan["salt"], plan["key"])
    return Forgotten(
        subject=f"customer {known[:12]}",
        **{name: plan[name] for name in ("rows", "versions", "unknown", "unread")},
        changed=[readable(name) for name in changed],
    )


def _act(plan: dict[str, Any], found: Forgotten) -> CustomerForgotten:
    """What the ledger records; it names the customer by the salted hash alone."""
    return CustomerForgotten(
        actor=plan["by"],
        reason=plan["reason"],
        customer=salted(plan["salt"], plan["key"]),
        salt=plan["salt"],
        digests=plan["digests"],
        **asdict(found),
    )


def _refuse_a_copy(home: Services) -> None:
    """Refuse while a database holds the copy of the feature tables that 0.1.0 made there.

    Raises:
        UsageError: such a copy was made, and no one said that it is gone.
    """
    applied = home.folder / "feast" / APPLIED
    place = read_json(applied).get(COPIED) if applied.exists() else None
    if place:
        schema = f"churn_{home.contract.name}"
        raise UsageError(
            f"Version 0.1.0 copied the feature tables to the schema {schema} in {place}, which"
            f" may hold the customer: drop the schema there, delete {applied}, then forget the"
            " customer again."
        )


def _replaced(home: Services, name: str, digests: dict[str, str]) -> bool:
    """Put one new file in place, unless that is done; False when someone changed the file, or
    delivered it again.

    Raises:
        IntegrityError: it cannot be put there.
    """
    target = (home.folder / name).resolve()
    source = home.folder / FOLDER / FILES / name  # the file behind a link
    standing = sha256_file(target) if target.exists() else None
    if standing != digests["before"] or not source.exists():
        return standing in (None, digests["after"])
    try:
        _move(source, target)
    except OSError as error:
        raise IntegrityError(
            f"{target} cannot be replaced ({error.strerror}): the customer is not forgotten"
            f" yet, `churn doctor --fix` completes it as soon as {target.parent} can be"
            " written.",
            code="FILE_DENIED",
        ) from None
    return True


def _move(source: Path, target: Path) -> None:
    try:
        source.replace(target)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        with replacing(target) as temporary:  # a folder of the home that is a disk of its own
            shutil.copy2(source, temporary)
    fsync_folder(target.parent)


def _clear(folder: Path) -> None:
    """The plan first: it names the customer, and without it the files mean nothing."""
    (folder / PLAN).unlink(missing_ok=True)
    if folder.exists():
        fsync_folder(folder)
        shutil.rmtree(folder)


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
