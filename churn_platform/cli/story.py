"""The story of a demo: month by month what happened in the business, what the loop saw, and
what it did.
"""

import datetime as dt
from collections.abc import Mapping
from typing import Any

from churn_platform.services import Services

Row = dict[str, Any]


def story(
    home: Services,
    found: Mapping[str, Any],
    truth: Mapping[str, Any] | None,
    refused: Mapping[str, str],
) -> list[Row]:
    """One row per month, oldest first; a missing figure is None.

    `realised_auc` is that of the model which was in production when the month came, `first_auc`
    that of the first model, if it had never been replaced; `best_auc` and `what_changed` only a
    simulation knows.

    Args:
        home: the home.
        found: from `status`.
        truth: from `read_truth`; None for real months.
        refused: delivery -> the sentences with which it was refused.
    """
    told = {month["as_of"]: month for month in (truth or {}).get("months", ())}
    decisions = {decision["as_of"]: decision for decision in found["decisions"]}
    promoted = {
        d["candidate_version"]: d["as_of"]
        for d in found["decisions"]
        if d["decision"] == "promoted"
    }
    months = sorted({*found["months"], *told})
    return [
        {
            "month": month,
            "what_changed": told.get(month, {}).get("what_changed"),
            "deliveries": _deliveries(home, truth, month),
            "refused": refused.get(month),
            "drift_share": _drift_share(home, month),
            **_worth(found, promoted, month),
            "best_auc": told.get(month, {}).get("best_auc"),
            **_decided(decisions.get(month), month in found["months"]),
            "asked": _asked(home, month),
        }
        for month in months
    ]


def _decided(decision: Mapping[str, Any] | None, published: bool) -> Row:
    """The decision on the candidate that was trained on the month."""
    if decision is None:
        if published:
            why = "no retraining asked for"
        else:
            why = "nothing of it was published"
        return {
            "decision": "kept" if published else "no month",
            "version": None, "candidate_auc": None, "production_auc": None, "forward_auc": None, "why": why,
        }  # fmt: skip
    return {
        "decision": decision["decision"],
        "version": decision["candidate_version"],
        "candidate_auc": decision["candidate_auc"],
        "production_auc": decision["production_auc"],
        "forward_auc": decision["forward_auc"],
        "why": decision["reason"],
    }


def _worth(found: Mapping[str, Any], promoted: Mapping[int, str], month: str) -> Row:
    """Realised AUC on the month of the version then in production and of the first one, both
    from earlier months.
    """
    older = sorted(version for version, as_of in promoted.items() if as_of < month)
    measured = {
        entry["version"]: entry["metrics"]["auc"]
        for entry in found["performance"]
        if entry["as_of"] == month and entry["metrics"] is not None
    }
    if not older:
        return {"in_production": None, "realised_auc": None, "first_auc": None}
    return {
        "in_production": older[-1],
        "realised_auc": measured.get(older[-1]),
        "first_auc": measured.get(older[0]),
    }


def _drift_share(home: Services, month: str) -> float | None:
    record = home.records.read("drift_report", dt.date.fromisoformat(month)) or {}
    share: float | None = (record.get("result") or {}).get("share")
    return share


def _deliveries(home: Services, truth: Mapping[str, Any] | None, month: str) -> list[str]:
    """What was peculiar about the month's files, and which deliveries the ledger calls
    corrections.
    """
    noted = [
        one["note"]
        for one in (truth or {}).get("deliveries", ())
        if one["as_of"] == month and one["note"]
    ]
    corrected = [r.reason for r in home.ledger.receipts("drop corrected") if r.subject == month]
    return [*noted, *corrected]


def _asked(home: Services, month: str) -> str | None:
    """Why the policy asked for a candidate in that month."""
    reasons = [r.reason for r in home.ledger.receipts("retraining requested") if r.subject == month]
    if reasons:
        return reasons[-1]
    return None
