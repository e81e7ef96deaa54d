"""What a Bento carries in place of a home: a folder of the same layout, and a note of what is
in it.
"""

import datetime as dt
from collections.abc import Sequence
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from churn_platform.base.errors import IntegrityError, StoreDown
from churn_platform.base.files import read_json
from churn_platform.base.settings import Settings, load_settings
from churn_platform.features.online.rows import OnlineRow
from churn_platform.features.online.values import Key
from churn_platform.ledger.receipts import UtcTime

FOLDER = "baked_home"
NOTE = "baked.json"
SOURCES = Path(__file__).resolve().parents[2]
"""Where the packages lie: in a Bento its folder `src`."""
_INSTALLED = SOURCES / "churn_platform" / "_bento"
if (_INSTALLED / "service.py").exists():
    API = _INSTALLED
else:
    API = SOURCES / "bento"
"""The folder of the API's modules: inside the package in a wheel, next to it in a checkout or a
Bento.
"""


class Baked(BaseModel):
    """What was baked.

    Attributes:
        version: The version that was in production.
        built_at: When, in UTC.
        features_as_of: The newest month of the online store at the build; None where there is
            no store.
        store: "sqlite" where it is inside, the address of one that is not, "" for none.
        customers: How many customers' features are inside.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    version: int
    built_at: UtcTime
    features_as_of: dt.date | None
    store: str
    customers: int


def settings_in_use(sources: Path = SOURCES) -> Settings:
    """The settings of a server: those of the environment, on the baked home where it names no
    home of its own.

    Raises:
        UsageError: a variable cannot be read as its field.
    """
    settings = load_settings()
    baked = sources / FOLDER
    if "home" not in settings.model_fields_set and baked.is_dir():
        return load_settings(baked)
    return settings


def read_note(home: Path) -> Baked | None:
    """What was baked into a home; None where it is a real one.

    Raises:
        IntegrityError: the note cannot be read.
    """
    path = home / NOTE
    if not path.exists():
        return None
    try:
        return Baked.model_validate(read_json(path))
    except ValueError as error:
        raise IntegrityError(
            f"{path} is not the note of a Bento's home ({error}): build the Bento again."
        ) from None


class NoCustomers:
    """The store of a Bento that was built without customers."""

    async def newest(self) -> dt.date:
        """There is no month.

        Raises:
            StoreDown: always.
        """
        raise StoreDown(
            "This Bento was built without customers: give every feature in `features`, or start"
            " it with CHURN_HOME."
        )

    async def read(self, keys: Sequence[Key]) -> list[OnlineRow | None]:  # noqa: ARG002 - the interface's
        """There is no customer.

        Raises:
            StoreDown: always.
        """
        await self.newest()
        return []
