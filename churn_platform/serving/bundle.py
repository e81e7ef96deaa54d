"""A bundle seen from inside: the home that a Bento carries, and the note of what it holds."""

import datetime as dt
from collections.abc import Sequence
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from churn_platform.base.errors import IntegrityError, StoreDown
from churn_platform.base.files import read_json
from churn_platform.base.settings import Settings, load_settings
from churn_platform.features.online.rows import Key, OnlineRow
from churn_platform.ledger.receipts import UtcTime

FOLDER = "baked_home"
NOTE = "baked.json"
SOURCES = Path(__file__).resolve().parents[2]
"""The folder of the packages: in a Bento its folder `src`."""
_INSTALLED = SOURCES / "churn_platform" / "_bento"
if (_INSTALLED / "service.py").exists():
    API = _INSTALLED
else:
    API = SOURCES / "bento"
"""The folder of the API's modules: inside the package in a wheel, next to it in a checkout or a
Bento.
"""


class Bundle(BaseModel):
    """What a Bento carries in place of a home.

    Attributes:
        version: The version that was in production.
        built_at: When it was built, in UTC.
        features_as_of: The newest month of the online store at the build; None without a store.
        store: "sqlite" when the store is inside, the address of another one, "" for none.
        customers: How many customers' features are inside.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    version: int
    built_at: UtcTime
    features_as_of: dt.date | None
    store: str
    customers: int


def settings_in_use(sources: Path = SOURCES) -> Settings:
    """The settings of a server: the environment's, on the bundle's home unless it names one.

    Raises:
        UsageError: a variable cannot be read as its field.
    """
    settings = load_settings()
    bundled = sources / FOLDER
    if "home" not in settings.model_fields_set and bundled.is_dir():
        return load_settings(bundled)
    return settings


def read_bundle(home: Path) -> Bundle | None:
    """The note of a bundle's home; None where the home is a real one.

    Raises:
        IntegrityError: the note cannot be read.
    """
    path = home / NOTE
    if not path.exists():
        return None
    try:
        return Bundle.model_validate(read_json(path))
    except ValueError as error:
        raise IntegrityError(f"{path} cannot be read ({error}): build the Bento again.") from None


class NoCustomers:
    """The store of a bundle that was built without customers."""

    async def newest(self) -> dt.date:
        """Fail: there is no month.

        Raises:
            StoreDown: always.
        """
        raise StoreDown(
            "This Bento was built without customers: give every feature in `features`, or start"
            " it with CHURN_HOME."
        )

    async def read(self, keys: Sequence[Key]) -> list[OnlineRow | None]:  # noqa: ARG002 - the interface's
        """Fail: there are no customers.

        Raises:
            StoreDown: always.
        """
        await self.newest()
        return []

    def close(self) -> None:
        """There is no connection."""
