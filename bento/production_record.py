"""What ledger and records hold about the version in production, for `GET /model`."""

import datetime as dt
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, cast

from churn_platform.adapters.ledger.store import LedgerStore
from churn_platform.adapters.records import Records
from churn_platform.core.approval import pending
from churn_platform.core.ledger import Receipt
from churn_platform.core.month_warnings import newest_warnings
from churn_platform.core.moves import DONE
from churn_platform.core.standing import overrides, standing_proposal
from churn_platform.errors import ChurnError

from .schemas import ProductionRecord, Proposal

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
        except (ChurnError, OSError):
            return record
        for receipt in receipts:
            if receipt.act in DONE and receipt.subject == f"version {version}":
                record["receipt"] = {
                    name: getattr(receipt, name) for name in RECEIPT_FIELDS
                }
        override = overrides(receipts).get(version)
        if override is not None:
            record["overridden"] = cast("Any", asdict(override))
        request = pending(receipts)
        if request is not None and _is_open(request.until):
            record["pending"] = {
                "version": request.version,
                "since": request.asked,
                "lapses": request.until,
            }
        record["proposal"] = self._proposal(version, receipts)
        record["warnings"] = cast("Any", newest_warnings(receipts))
        return record

    def _proposal(self, version: int, receipts: Sequence[Receipt]) -> Proposal | None:
        try:
            performance = self._records.newest("performance")
        except (ChurnError, OSError):
            return None
        found = standing_proposal(performance, version, receipts)
        if found is None:
            return None
        return {
            "version": found["version"],
            "sentence": found["sentence"],
            "command": found["command"],
        }


def _is_open(until: str) -> bool:
    return dt.datetime.now(dt.UTC) <= dt.datetime.fromisoformat(until)
