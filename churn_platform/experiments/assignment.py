"""Which arm answers a customer: drawn by a hash of the key, so every process draws the same.

A larger share contains a smaller one: raising it moves only new customers.
"""

import hashlib
from typing import TYPE_CHECKING, Final, Literal

from churn_platform.base.digests import distinct_key_hashes

if TYPE_CHECKING:
    import pandas as pd

    from churn_platform.evaluation.statistics import BoolArray

Arm = Literal["production", "canary"]
PRODUCTION: Final = "production"
CANARY: Final = "canary"
HASHES: Final = 2.0**64


def arm_of(key: str | int, salt: str, experiment: str, share: float) -> Arm:
    """The arm of one customer."""
    digest = hashlib.sha256(f"{salt}|{experiment}|{key}".encode()).digest()
    drawn = int.from_bytes(digest[:8], "big") / HASHES
    return CANARY if drawn < share else PRODUCTION


def canary_keys(keys: "pd.Series", salt: str, experiment: str, share: float) -> "BoolArray":
    """Which of the distinct keys (rows,) are in the canary's arm; as `arm_of`, bit for bit."""
    drawn = distinct_key_hashes(keys, f"{salt}|{experiment}|") / HASHES
    return drawn < share
