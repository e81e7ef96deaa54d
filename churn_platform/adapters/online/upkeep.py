"""Notices that the online store has lost its rows, so that the loop writes them again by itself.

Belongs here: that. Does not: writing them (`feature_store.py`), what is due (`progress.py`).
"""

import asyncio
from typing import TYPE_CHECKING

from churn_platform.adapters.online.reader import MARKER, FollowingReader
from churn_platform.errors import StoreDown, StoreEmpty

if TYPE_CHECKING:
    from churn_platform.adapters.home import Home


def notice_lost_rows(home: "Home") -> bool:
    """Take back the note of a month whose rows a store on a server has lost; whether that was so.

    Without the note the month is due again and its rows are written. A store that does not answer may still hold them.
    """
    if not home.online.said:
        return False
    folder = home.folder / "feast"
    reader = FollowingReader(folder, home.contract, home.settings.online_password.get_secret_value())
    try:
        asyncio.run(reader.newest())
    except StoreEmpty:
        (folder / MARKER).unlink(missing_ok=True)
        return True
    except StoreDown:
        return False
    finally:
        if reader.reader is not None:
            reader.reader.close()
    return False
