"""What ledger and records hold about the version in production, for `GET /model`."""

import contextlib
import datetime as dt
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from churn_platform.base.errors import ChurnError
from churn_platform.ingestion.month_warnings import newest_warnings
from churn_platform.lake.records import Records
from churn_platform.ledger.state import ProductionState
from churn_platform.ledger.store import LedgerStore
from churn_platform.training.release_loading import Loaded

from .predictions import Predictor
from .schemas import (
    CampaignPart,
    CanaryPart,
    ContactsRecord,
    ContactValuePart,
    EstimatedPart,
    ExperimentsRecord,
    ProductionRecord,
    ProposalPart,
    RealisedPart,
    ShadowPart,
)

if TYPE_CHECKING:
    from churn_platform.monitoring.performance import ContactsInLabels, VersionPerformance

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

    def estimated(self, version: int) -> EstimatedPart | None:
        """The estimate of the newest month by a version; None without one."""
        with contextlib.suppress(ChurnError, OSError):
            newest = (self._records.newest("performance") or {}).get("estimated")
            if newest is None or newest["version"] != version:
                return None
            # pandas is loaded only where there is an estimate.
            from churn_platform.monitoring.estimate_history import EstimateHistory

            shown = EstimateHistory(self._records).newest()
            if shown is not None:
                fields = shown.model_dump(mode="json")
                wanted = EstimatedPart.__required_keys__
                return cast("EstimatedPart", {name: fields[name] for name in sorted(wanted)})
        return None

    def shown_by_shadows(self) -> dict[str, str]:
        """How each shadow compares with production, by its name, as the newest run measured."""
        with contextlib.suppress(ChurnError, OSError):
            shadows = (self._records.newest("experiments") or {}).get("shadows", ())
            return {one["name"]: one["sentence"] for one in shadows if one.get("sentence")}
        return {}

    def of_contacts(self, version: int) -> ContactsRecord:
        """What contacts did to the labels of a version, and what they are worth; what is absent
        or cannot be read is None.
        """
        record: ContactsRecord = {"realised": None, "contact_value": None, "campaign": None}
        with contextlib.suppress(ChurnError, OSError):
            record["realised"] = self._realised(version)
        with contextlib.suppress(ChurnError, OSError):
            record["contact_value"] = self._contact_value(version)
        with contextlib.suppress(ChurnError, OSError):
            record["campaign"] = self._campaign()
        return record

    def _realised(self, version: int) -> RealisedPart | None:
        # Here and below: pandas is loaded only where the contract names contacts.
        from churn_platform.monitoring.performance import PerformanceRecord

        for month in reversed(self._records.months("performance")):
            fields = self._records.read("performance", month)
            record = PerformanceRecord.read(fields, f"The performance record of {month}")
            for entry in reversed(record.evaluated):
                if entry.version == version and entry.contacts is not None:
                    return _realised_part(entry, entry.contacts)
        return None

    def _contact_value(self, version: int) -> ContactValuePart | None:
        from churn_platform.promotion.contact_value import ContactValue

        for fields in reversed(self._records.decisions()):
            if not fields.get("contact_value"):
                continue
            found = ContactValue.model_validate(fields["contact_value"])
            own = found.of_version(version)
            if own is not None:
                return {
                    "decided_on": str(fields["as_of"]),
                    "budget": found.budget,
                    "value": own.value,
                    "interval": list(own.interval),
                    "empc": own.empc,
                    "save_rate": found.save_rate,
                    "save_rate_measured": found.save_rate_measured,
                }
        return None

    def _campaign(self) -> CampaignPart | None:
        from churn_platform.contacts.campaign import CampaignRecord

        months = self._records.months("campaign_effect")
        if not months:
            return None
        fields = self._records.read("campaign_effect", months[-1])
        record = CampaignRecord.read(fields, f"The campaign record of {months[-1]}")
        saved = None if record.shown is None else record.shown.saved
        return {
            "as_of": months[-1].isoformat(),
            "state": record.state.value,
            "sentence": record.sentence,
            "saved": None if saved is None else saved.value,
            "interval": None if saved is None else saved.interval.as_list(),
        }

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


def experiments_of(
    predictor: Predictor, loaded: Loaded, shown: Mapping[str, str]
) -> ExperimentsRecord:
    """The canary that answers while `loaded` is in production, and the shadows.

    Args:
        predictor: answers requests.
        loaded: the release in production.
        shown: how each shadow compares with production, by its name.
    """
    arm = predictor.canary(loaded)
    canary: CanaryPart | None = None
    if arm is not None:
        canary = {
            "version": arm.canary.version,
            "share": arm.canary.share,
            "step": arm.canary.step,
            "steps": list(arm.canary.steps),
            "since": arm.canary.since,
            "raised": arm.canary.raised,
        }
    followed = predictor.followed()
    shadows: list[ShadowPart] = [
        {
            "name": one.name,
            "since": one.since,
            "off": followed.why_off(one.name),
            "shows": shown.get(one.name),
        }
        for one in followed.running.shadows
    ]
    return {"canary": canary, "shadows": shadows}


def _realised_part(entry: "VersionPerformance", contacts: "ContactsInLabels") -> RealisedPart:
    metrics = entry.metrics
    return {
        "as_of": entry.as_of,
        "auc": None if metrics is None else metrics.auc,
        "auc_interval": None if metrics is None else list(metrics.auc_interval),
        "naive_auc": contacts.naive_auc,
        "assigned": contacts.assigned,
        "untouched": contacts.untouched,
        "outside": contacts.outside,
        "bounds": None if contacts.bounds is None else list(contacts.bounds),
        "note": entry.note,
    }


def _is_open(until: str) -> bool:
    return dt.datetime.now(dt.UTC) <= dt.datetime.fromisoformat(until)
