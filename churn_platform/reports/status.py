"""What a home knows, as plain JSON values: status, decisions, one customer explained."""

import datetime as dt
from dataclasses import asdict
from typing import Any

from churn_platform.base.digests import digest_of
from churn_platform.base.errors import ChurnError, ContractError, UsageError
from churn_platform.lake.deliveries import quarantined_in
from churn_platform.lake.tables import feature_frame
from churn_platform.ledger.state import ProductionState
from churn_platform.promotion.approving import how_to_answer, waiting
from churn_platform.reports.month_warnings import warnings_of_months
from churn_platform.services import Services
from churn_platform.training.release import why_not_scored


def status(home: Services) -> dict[str, Any]:
    """Months, production, decisions, and what is due or why nothing is."""
    progress = home.progress()
    step = progress.next_step()
    processed = [month.as_of for month in progress.months() if month.processed]
    if step:
        reason = step.reason
    elif processed:
        reason = progress.retraining(processed[-1]).reason
    else:
        reason = "No drop has arrived yet."
    state = home.ledger.state()
    return {
        "home": str(home.folder),
        "contract": home.contract.name,
        "months": [month.isoformat() for month in progress.published],
        "production": production(home),
        "pending": pending(home),
        "blocked": {version: asdict(who) for version, who in state.blocked.items()},
        "decisions": [
            with_answers(decision.model_dump(mode="json"), state) for decision in progress.decisions
        ],
        "quarantine": quarantine(home, progress.published[-1]) if progress.published else None,
        "warnings": warnings_of_months(home),
        "performance": [entry.as_json() for entry in home.performance_history.all()],
        "answered": [entry.as_json() for entry in home.performance_history.served()],
        "proposal": proposal(home),
        "next": (
            None
            if step is None
            else {"job": step.kind, "as_of": step.as_of.isoformat(), "reason": step.reason}
        ),
        "reason": reason,
        "alerts": alerts(home),
    }


def pending(home: Services) -> dict[str, Any] | None:
    """The candidate that waits for approval; `lapsed` is why it no longer waits, before that is
    recorded.
    """
    found = waiting(home)
    if found is None:
        return None
    request, lapsed = found
    return {**request.as_dict(), "lapsed": lapsed, "how": how_to_answer(request.version)}


def proposal(home: Services) -> dict[str, Any] | None:
    """The proposal from later labels while it is valid, with the command that carries it out."""
    pointer = home.releases.pointer()
    version = None if pointer is None else pointer.version
    return home.ledger.state().standing_proposal(home.records.newest("performance"), version)


def with_answers(decision: dict[str, Any], state: ProductionState) -> dict[str, Any]:
    """A decision's record with what people answered: `approval` and `overridden`."""
    return {**decision, **state.answers(digest_of(decision))}


def alerts(home: Services) -> list[dict[str, Any]]:
    """Every receiver of alerts with what it was sent and what waits for it; one without a name
    explains why none is.
    """
    try:
        return home.alerts.waiting()
    except ChurnError as error:
        return [
            {
                "receiver": "",
                "sent": 0,
                "unsent": 0,
                "lost": 0,
                "error": str(error),
                "failures": 0,
                "next_try": None,
            }
        ]


def quarantine(home: Services, as_of: dt.date) -> dict[str, Any] | None:
    """The quarantined rows of a month, one entry per table, and the page with the reasons; None
    without any.
    """
    tables = {
        name: found for name, found in home.lake.quarantines(as_of).items() if found.quarantined
    }
    said = quarantined_in(tables)
    page = str(home.reports / as_of.isoformat() / "drop.html")
    if said:
        listed = {name: found.as_json() for name, found in tables.items()}
        return {"as_of": as_of.isoformat(), "sentence": said, "tables": listed, "page": page}
    return None


def production(home: Services) -> dict[str, Any] | None:
    """The version in production; its AUC is the one on the holdout at its decision."""
    pointer = home.releases.pointer()
    manifest = home.releases.production()
    if pointer is None or manifest is None:
        return None
    reason = home.stand_down.reason()
    forced = home.ledger.state().overridden.get(manifest.version)
    return {
        "version": manifest.version,
        "as_of": manifest.training_as_of,
        "auc": manifest.metrics["auc"],
        "stand_down": reason is not None,
        "stand_down_reason": reason,
        "algorithm": manifest.algorithm,
        "threshold": manifest.threshold,
        "since": pointer.activate_at,
        "previous_version": pointer.previous_version,
        "overridden": None if forced is None else asdict(forced),
    }


def find_decision(home: Services, as_of: str | None) -> dict[str, Any]:
    """The newest decision, or the newest one of a month.

    Raises:
        UsageError: there is none.
    """
    decisions = [
        decision for decision in home.records.decisions() if as_of in (None, decision["as_of"])
    ]
    if not decisions:
        known = ", ".join(d["as_of"] for d in home.records.decisions()) or "none yet"
        raise UsageError(
            f"There is no decision{f' of {as_of}' if as_of else ''}; decisions so far: {known}.",
            code="DECISION_MISSING",
        )
    return with_answers(decisions[-1], home.ledger.state())


def explain(home: Services, entity: str, as_of: str | None) -> dict[str, Any]:
    """One customer's probability, reasons and features as known then, by the version that
    scored the month.

    `rank`, `decile`, `already_left` and `trained_on` are those of the month's list; null where
    it does not have them.

    Raises:
        UsageError: an unknown month or customer, or a month that was not scored.
        ContractError: the contract's entity, features or label are no longer those of the
            version.
    """
    from churn_platform.promotion.promoting import released
    from churn_platform.scoring.ranking import reasons

    month = _scored_month(home, as_of)
    record = home.records.read("scores", month) or {}
    _same_contract(home, int(record["version"]), month)
    rows = feature_frame(home.contract, home.lake.tables(month))
    key = home.contract.entity.column
    row = rows[rows[key].astype(str) == entity].reset_index(drop=True)
    if row.empty:
        raise UsageError(
            f"There is no customer {entity!r} in the snapshot of {month}: check the {key}.",
            code="CUSTOMER_UNKNOWN",
        )
    version = released(home, int(record["version"]))
    sentences = reasons(home.contract, row, version.model, home.contract.policy.scoring.reasons)
    features = (
        row[list(home.contract.features)].astype(object).where(row.notna(), None).iloc[0].to_dict()
    )
    probability = float(version.model.probability(row)[0])
    return {
        key: entity,
        "as_of": month.isoformat(),
        "probability": probability,
        "prediction": int(probability >= version.model.threshold),
        **_listed_as(home, month, entity),
        "costs_given": home.contract.threshold_given(version.card.as_json()),
        "reasons": sentences.iloc[0].tolist(),
        "features": features,
        "model": {
            "name": home.contract.model_name,
            "version": version.version,
            "as_of": version.card.as_of,
            "algorithm": version.card.algorithm,
            "stand_down": record["stand_down"] is not None,
        },
    }


def listed_scores(home: Services, top: int) -> tuple[dt.date, dict[str, Any], list[dict[str, Any]]]:
    """The newest scored month, its record, and its `top` rows with reasons, as they were made.

    `production_version` in the record is the version in production now: after an approval or a
    rollback, or under another contract, the list is still that of the version which scored the
    month. `not_scored` says why that version cannot score, null where it can.

    Raises:
        UsageError: nothing was scored yet.
        ContractError: the list was made under another key.
    """
    import pandas as pd

    month = _scored_month(home, None)
    key = home.contract.entity.column
    record = home.records.read("scores", month) or {}
    production = home.releases.production()
    path = home.reports / month.isoformat() / "at_risk.parquet"
    rows = pd.read_parquet(path).head(top)
    if key not in rows.columns:
        raise ContractError(
            f"{path} has no column {key!r}: {home.contract_path} names another key than when"
            " the month was scored. Put the old key back, or make a new home for the new"
            " contract.",
            code="CONTRACT_CHANGED",
        )
    record["production_version"] = None if production is None else production.version
    record["not_scored"] = (
        None if production is None else why_not_scored(production, home.contract.model_hash) or None
    )
    return month, record, rows.to_dict("records")  # type: ignore[return-value]


def _listed_as(home: Services, month: dt.date, entity: str) -> dict[str, Any]:
    """What the month's list says of one customer; values that an earlier version did not write
    are null.
    """
    frame = home.records.frame("scores", month)
    row = frame[frame[home.contract.entity.column].astype(str) == entity].iloc[:1]
    names = ("rank", "decile", "expected_loss", "already_left", "trained_on")
    found = {
        name: _plain(row[name].iloc[0]) if name in row and len(row) else None for name in names
    }
    if found["expected_loss"] is None:
        del found["expected_loss"]
    return found


def _plain(value: Any) -> Any:  # noqa: ANN401 - a value of a table
    """A value as JSON has it; null for a missing one."""
    import pandas as pd

    if pd.isna(value):
        return None
    if hasattr(value, "item"):
        return value.item()
    return value


def _same_contract(home: Services, version: int, month: dt.date) -> None:
    """The features of a month can only be explained by a version that reads them under the
    contract's names.
    """
    if home.releases.manifest(version).contract_hash == home.contract.model_hash:
        return
    said = f"Version {version}, which scored {month}, was trained under another contract: "
    production = home.releases.production()
    if production is not None and production.contract_hash == home.contract.model_hash:
        raise ContractError(
            f"{said}version {production.version} is in production now. Type `churn run`: it"
            f" scores {month} with it.",
            code="CONTRACT_CHANGED",
        )
    raise ContractError(
        f"{said}the entity, features or label of {home.contract_path} have changed since. Put"
        " them back, or train a version under this contract with `churn retrain --reason TEXT`"
        " and `churn run`.",
        code="CONTRACT_CHANGED",
    )


def _scored_month(home: Services, as_of: str | None) -> dt.date:
    """The newest scored month, or the asked one.

    Raises:
        UsageError: nothing was scored, or not that month.
    """
    records = {
        month: home.records.read("scores", month) or {} for month in home.records.months("scores")
    }
    scored = [month for month, record in records.items() if record.get("version") is not None]
    production = home.releases.production()
    if not scored and production is not None:
        why_not = why_not_scored(production, home.contract.model_hash)
        remedy = f"Version {production.version} is in production: type `churn run` to score."
        raise UsageError(
            f"No month has been scored yet. {why_not or remedy}", code="MONTH_NOT_SCORED"
        )
    if not scored:
        raise UsageError(
            "No month has been scored yet: `churn run` scores once a model is in production.",
            code="MONTH_NOT_SCORED",
        )
    if as_of is None:
        return scored[-1]
    wanted = parse_as_of(as_of)
    if wanted not in scored:
        raise UsageError(
            f"The month {as_of} was not scored; scored months:"
            f" {', '.join(m.isoformat() for m in scored)}.",
            code="MONTH_NOT_SCORED",
        )
    return wanted


def parse_as_of(text: str) -> dt.date:
    """An as_of as people type it.

    Raises:
        UsageError: it is not an ISO date.
    """
    try:
        return dt.date.fromisoformat(text)
    except ValueError:
        raise UsageError(
            f"{text!r} is not a date: write it as 2024-01-31.", code="DATE_INVALID"
        ) from None
