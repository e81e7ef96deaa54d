"""Notices that the online store has lost the newest month's rows, so the loop writes them again
by itself.
"""

import asyncio
import datetime as dt
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from churn_platform.base.errors import StoreDown, StoreEmpty
from churn_platform.base.files import read_json, write_json
from churn_platform.features.feast_repository import APPLIED, COPIED
from churn_platform.features.online.reader import MARKER, FollowingReader, read_month
from churn_platform.features.online.rows import all_older

if TYPE_CHECKING:
    from churn_platform.services import Services

SAMPLE = 20
"""Customers of the newest month that are asked for."""


def notice_lost_rows(home: "Services") -> bool:
    """Take back the note of a month whose rows the store has lost, or holds of older months
    only; whether that was so.

    Without the note the month is due again and its rows are written. A store that does not
    answer may still hold them.
    """
    folder = home.folder / "feast"
    try:
        month = read_month(folder)
    except StoreDown:
        return False
    if month.store != home.online.said:
        return False
    if not month.store and not (folder / "online_store.db").exists():
        _forget_registration(folder / APPLIED)
        (folder / MARKER).unlink()
        return True
    if not _lost(home, month.as_of):
        return False
    (folder / MARKER).unlink(missing_ok=True)
    return True


def _forget_registration(applied: Path) -> None:
    """Make Feast register again, which makes its tables; the note of a Postgres copy of 0.1.0
    stays.
    """
    if applied.exists():
        copied = {name: value for name, value in read_json(applied).items() if name == COPIED}
    else:
        copied = {}
    if copied:
        write_json(applied, copied)
    else:
        applied.unlink(missing_ok=True)


def _lost(home: "Services", as_of: dt.date) -> bool:
    reader = FollowingReader(
        home.folder / "feast", home.contract, home.settings.online_password.get_secret_value()
    )
    keys = _sample(home, as_of)
    try:
        if not keys:
            asyncio.run(reader.newest())
            return False
        return all_older(asyncio.run(reader.read(keys)), home.contract)
    except StoreEmpty:
        return True
    except StoreDown:
        return False
    finally:
        if reader.reader is not None:
            reader.reader.close()


def _sample(home: "Services", as_of: dt.date) -> Sequence[Any]:
    """The keys of some customers whose rows of the month must be in the store; none where the
    lake lacks the month.
    """
    import pyarrow.parquet as pq

    table = next(iter(home.contract.feature_views.values())).table
    path = home.lake.view(home.now(), as_at_scoring=False)[table].get(as_of)
    if path is None:
        return []
    key = home.contract.entity.column
    batch = next(pq.ParquetFile(path).iter_batches(SAMPLE, columns=[key]), None)
    if batch is None:
        return []
    return list(batch[key].to_pylist())
