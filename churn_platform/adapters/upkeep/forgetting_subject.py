"""Who is asked to be forgotten: the key, whether it was forgotten before, the versions that were trained on it.

Belongs here: reading that. Does not: the rows (`adapters/upkeep/forgetting_plan.py`).
"""

import io

from churn_platform.adapters.home import Home
from churn_platform.core.candidate import ENTITIES
from churn_platform.core.digest import readable
from churn_platform.core.forgetting import salted
from churn_platform.errors import IntegrityError, UsageError


def key_of(home: Home, user: str) -> str | int:
    """The key as files hold it.

    Raises:
        UsageError: it cannot be one.
    """
    if not user.strip() or readable(user) != user:
        raise UsageError(f"{readable(user)!r} is not a valid {home.contract.entity.column}: give non-empty UTF-8 text.")
    if home.contract.entity.dtype != "integer":
        return user.strip()
    try:
        return int(user)
    except ValueError:
        raise UsageError(f"{user!r} is not a valid {home.contract.entity.column}: it must be a whole number.") from None


def nobody(home: Home, key: str | int) -> str:
    """Why nothing is to be done for a key that nothing holds."""
    for receipt in home.ledger.receipts("customer forgotten"):
        if receipt.evidence["customer"] == salted(str(receipt.evidence["salt"]), key):
            return (
                f"That {home.contract.entity.column} was forgotten on {receipt.time[:10]}, and nothing holds it since."
            )
    return f"Nothing in {home.folder} holds a customer {key!r}: check the {home.contract.entity.column}."


def trained_versions(home: Home, key: str | int) -> tuple[list[int], list[int]]:
    """The versions whose training customers include this one, and those that cannot say."""
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
