"""What the home says of the version in production: its receipt, an override, who waits, what time proposes."""

import datetime as dt
from dataclasses import asdict
from pathlib import Path
from typing import Any

from churn_platform.base.errors import ChurnError
from churn_platform.ingestion.month_warnings import newest_warnings
from churn_platform.lake.records import Records
from churn_platform.ledger.state import ProductionState
from churn_platform.ledger.store import LedgerStore


class Told:
    """Reads ledger and records of one home."""

    def __init__(self, home: Path) -> None:
        self._ledger, self._records = LedgerStore(home / "ledger"), Records(home)

    def __call__(self, version: int) -> dict[str, Any]:
        """The receipt of the move that put the version into production, who overrode its decision, the candidate that
        waits for an approval, the proposal that stands, each None if absent or it cannot be read; and the
        warnings of the newest month.
        """
        told: dict[str, Any] = {
            "receipt": None,
            "overridden": None,
            "pending": None,
            "proposal": None,
            "warnings": [],
        }
        try:
            receipts = self._ledger.receipts()
            state = self._ledger.state()
        except (ChurnError, OSError):
            return told
        change = state.change_to(version)
        kept = ("sequence", "time", "act", "actor", "reason", "digest")
        forced = state.overridden.get(version)
        request = state.pending
        if change is not None:
            told["receipt"] = {name: getattr(change, name) for name in kept}
        if forced is not None:
            told["overridden"] = asdict(forced)
        if request is not None and dt.datetime.now(dt.UTC) <= dt.datetime.fromisoformat(
            request.until
        ):
            told["pending"] = {
                "version": request.version,
                "since": request.asked,
                "lapses": request.until,
            }
        told["proposal"] = self._proposal(version, state)
        told["warnings"] = newest_warnings(receipts)
        return told

    def _proposal(self, version: int, state: ProductionState) -> dict[str, Any] | None:
        try:
            record = self._records.newest("performance")
        except (ChurnError, OSError):
            return None
        found = state.standing_proposal(record, version)
        return (
            None
            if found is None
            else {name: found[name] for name in ("version", "sentence", "command")}
        )
