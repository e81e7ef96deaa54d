"""What ledger and records hold about the version in production, for `GET /model`."""

import datetime as dt
from dataclasses import asdict
from pathlib import Path
from typing import Any, cast

from churn_platform.base.errors import ChurnError
from churn_platform.ingestion.month_warnings import newest_warnings
from churn_platform.lake.records import Records
from churn_platform.ledger.state import ProductionState
from churn_platform.ledger.store import LedgerStore

from .schemas import ProductionRecord, ProposalPart

RECEIPT_FIELDS = ("sequence", "time", "act", "actor", "reason", "digest")


class ProductionRecords:
    """Reads the ledger and the records of one home."""

    def __init__(self, home: Path) -> None:
        self._ledger = LedgerStore(home / "ledger")
        self._records = Records(home)

    def of(self, version: int) -> ProductionRecord:
        """The record of a version; what is absent or cannot be read is None."""
        record: ProductionRecord = {
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
            return record
        change = state.change_to(version)
        if change is not None:
            record["receipt"] = {name: getattr(change, name) for name in RECEIPT_FIELDS}
        override = state.overridden.get(version)
        if override is not None:
            record["overridden"] = cast("Any", asdict(override))
        request = state.pending
        if request is not None and _is_open(request.until):
            record["pending"] = {
                "version": request.version,
                "since": request.asked,
                "lapses": request.until,
            }
        record["proposal"] = self._proposal(version, state)
        record["warnings"] = cast("Any", newest_warnings(receipts))
        return record

    def _proposal(self, version: int, state: ProductionState) -> ProposalPart | None:
        try:
            performance = self._records.newest("performance")
        except (ChurnError, OSError):
            return None
        found = state.standing_proposal(performance, version)
        if found is None:
            return None
        return {
            "version": found.version,
            "sentence": found.sentence,
            "command": found.command,
        }


def _is_open(until: str) -> bool:
    return dt.datetime.now(dt.UTC) <= dt.datetime.fromisoformat(until)
