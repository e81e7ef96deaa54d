"""What a verification finds: that something holds, is broken, could not be looked at, or need not be there.

Belongs here: the value. Does not: the checks (`adapters/proof/verifying.py`, `adapters/proof/deep_checks.py`).
"""

from dataclasses import asdict, dataclass
from typing import Any, Literal


@dataclass(frozen=True)
class Finding:
    """One finding of one check; `count` is how many things it covers."""

    check: str
    state: Literal["holds", "broken", "unseen", "said"]
    detail: str
    count: int = 1

    def as_dict(self) -> dict[str, Any]:
        """The finding as plain JSON values."""
        return asdict(self)


def holds(check: str, detail: str, count: int = 1) -> Finding:
    """Something is as it was recorded."""
    return Finding(check, "holds", detail, count)


def broken(check: str, detail: str) -> Finding:
    """Something is not as it was recorded."""
    return Finding(check, "broken", detail)


def unseen(check: str, detail: str) -> Finding:
    """Something could not be looked at: neither valid nor broken, so nothing is verified by it."""
    return Finding(check, "unseen", f"not verified: {detail}", 0)


def said(check: str, detail: str) -> Finding:
    """Something was not there to be asked, which is not a fault."""
    return Finding(check, "said", detail, 0)
