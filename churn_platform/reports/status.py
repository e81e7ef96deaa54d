"""Status, decisions, scores and explanations of a home, as JSON values."""

import datetime as dt
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from churn_platform.alerting.alerts import Alerts, ChannelStatus
from churn_platform.base.digests import digest_of
from churn_platform.base.errors import ChurnError, ContractError, UsageError
from churn_platform.base.home import Home
from churn_platform.base.text import parse_as_of
from churn_platform.contract.model import Contract
from churn_platform.lake.deliveries import quarantined_in
from churn_platform.lake.lake import Lake
from churn_platform.lake.records import Records
from churn_platform.lake.tables import feature_frame
from churn_platform.ledger.state import ProductionState, Request
from churn_platform.ledger.store import LedgerStore
from churn_platform.loop.progress import Progress
from churn_platform.monitoring.stand_down import PerformanceHistory, StandDown
from churn_platform.promotion.approvals import how_to_answer
from churn_platform.reports.month_warnings import MonthWarnings
from churn_platform.training.candidate import Candidate
from churn_platform.training.release import why_not_scored
from churn_platform.training.releases import Releases


class Status:
    """Answers questions about one home with JSON values, as the CLI prints them."""

    def __init__(
        self,
        home: Home,
        contract: Contract,
        contract_path: Path,
        lake: Lake,
        records: Records,
        releases: Releases,
        ledger: LedgerStore,
        alerts: Alerts,
        warnings: MonthWarnings,
        history: PerformanceHistory,
        stand_down: StandDown,
        *,
        progress: Callable[[], Progress],
        waiting: Callable[[], tuple[Request, str | None] | None],
        released: Callable[[int], Candidate],
    ) -> None:
        self.home = home
        self.contract = contract
        self.contract_path = contract_path
        self.lake = lake
        self.records = records
        self.releases = releases
        self.ledger = ledger
        self.alert_channels = alerts
        self.warnings = warnings
        self.history = history
        self.stand_down = stand_down
        self.progress = progress
        self.waiting = waiting
        self.released = released

    def now(self) -> dict[str, Any]:
        """Months, production, decisions, and what is due or why nothing is."""
        progress = self.progress()
        step = progress.next_step()
        processed = [month.as_of for month in progress.months() if month.processed]
        if step:
            reason = step.reason
        elif processed:
            reason = progress.retraining(processed[-1]).reason
        else:
            reason = "No drop has arrived yet."
        state = self.ledger.state()
        return {
            "home": str(self.home.folder),
            "contract": self.contract.name,
            "months": [month.isoformat() for month in progress.published],
            "production": self.production(),
            "pending": self.pending(),
            "blocked": {version: asdict(who) for version, who in state.blocked.items()},
            "decisions": [
                with_answers(decision.model_dump(mode="json"), state)
                for decision in progress.decisions
            ],
            "quarantine": self.quarantine(progress.published[-1]) if progress.published else None,
            "warnings": self.warnings.of_months(),
            "performance": [entry.as_json() for entry in self.history.all()],
            "answered": [entry.as_json() for entry in self.history.served()],
            "proposal": self.proposal(),
            "next": (
                None
                if step is None
                else {"job": step.kind, "as_of": step.as_of.isoformat(), "reason": step.reason}
            ),
            "reason": reason,
            "alerts": self.alerts(),
        }

    def pending(self) -> dict[str, Any] | None:
        """The candidate that waits for approval; `lapsed` is why it no longer waits."""
        found = self.waiting()
        if found is None:
            return None
        request, lapsed = found
        return {**asdict(request.record()), "lapsed": lapsed, "how": how_to_answer(request.version)}

    def proposal(self) -> dict[str, Any] | None:
        """The proposal from later labels while it is valid, with the command for it."""
        pointer = self.releases.pointer()
        version = None if pointer is None else pointer.version
        performance = self.records.newest("performance")
        found = self.ledger.state().standing_proposal(performance, version)
        return None if found is None else {**found.as_json(), "command": found.command}

    def alerts(self) -> list[dict[str, Any]]:
        """Every alert channel; one without a name explains why the channels are unknown."""
        try:
            channels = self.alert_channels.waiting()
        except ChurnError as error:
            channels = [ChannelStatus("", error=str(error))]
        return [asdict(channel) for channel in channels]

    def quarantine(self, as_of: dt.date) -> dict[str, Any] | None:
        """The quarantined rows of a month by table, and the page with the reasons."""
        tables = {
            name: found for name, found in self.lake.quarantines(as_of).items() if found.quarantined
        }
        sentence = quarantined_in(tables)
        if not sentence:
            return None
        return {
            "as_of": as_of.isoformat(),
            "sentence": sentence,
            "tables": {name: found.as_json() for name, found in tables.items()},
            "page": str(self.home.reports / as_of.isoformat() / "drop.html"),
        }

    def production(self) -> dict[str, Any] | None:
        """The version in production; its AUC is the one on the holdout at its decision."""
        pointer = self.releases.pointer()
        manifest = self.releases.production()
        if pointer is None or manifest is None:
            return None
        reason = self.stand_down.reason()
        forced = self.ledger.state().overridden.get(manifest.version)
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

    def decision(self, as_of: str | None) -> dict[str, Any]:
        """The newest decision, or the newest one of a month.

        Raises:
            UsageError: no decision was made.
        """
        decisions = [
            decision for decision in self.records.decisions() if as_of in (None, decision["as_of"])
        ]
        if not decisions:
            known = ", ".join(d["as_of"] for d in self.records.decisions()) or "none yet"
            raise UsageError(
                f"There is no decision{f' of {as_of}' if as_of else ''};"
                f" decisions so far: {known}.",
                code="DECISION_MISSING",
            )
        return with_answers(decisions[-1], self.ledger.state())

    def explain(self, entity: str, as_of: str | None) -> dict[str, Any]:
        """One customer's probability, reasons and features, by the version that scored the month.

        `rank`, `decile`, `already_left` and `trained_on` come from the month's list; null if it
        does not contain them.

        Raises:
            UsageError: an unknown month or customer, or a month that was not scored.
            ContractError: the contract's entity, features or label are no longer those of the
                version.
        """
        from churn_platform.scoring.ranking import reasons

        month = self._scored_month(as_of)
        record = self.records.read("scores", month) or {}
        self._same_contract(int(record["version"]), month)
        rows = feature_frame(self.contract, self.lake.tables(month))
        key = self.contract.entity.column
        row = rows[rows[key].astype(str) == entity].reset_index(drop=True)
        if row.empty:
            raise UsageError(
                f"There is no customer {entity!r} in the snapshot of {month}: check the {key}.",
                code="CUSTOMER_UNKNOWN",
            )
        version = self.released(int(record["version"]))
        sentences = reasons(self.contract, row, version.model, self.contract.policy.scoring.reasons)
        features = (
            row[list(self.contract.features)]
            .astype(object)
            .where(row.notna(), None)
            .iloc[0]
            .to_dict()
        )
        probability = float(version.model.probability(row)[0])
        return {
            key: entity,
            "as_of": month.isoformat(),
            "probability": probability,
            "prediction": int(probability >= version.model.threshold),
            **self._listed_as(month, entity),
            "costs_given": self.contract.threshold_given(version.card.as_json()),
            "reasons": sentences.iloc[0].tolist(),
            "features": features,
            "model": {
                "name": self.contract.model_name,
                "version": version.version,
                "as_of": version.card.as_of,
                "algorithm": version.card.algorithm,
                "stand_down": record["stand_down"] is not None,
            },
        }

    def scores(self, top: int) -> tuple[dt.date, dict[str, Any], list[dict[str, Any]]]:
        """The newest scored month, its record, and its `top` rows with reasons.

        The list is by the version that scored the month. `production_version` in the record is
        the version in production now, `not_scored` why that version cannot score, else null.

        Raises:
            UsageError: nothing was scored yet.
            ContractError: the list was made under another key.
        """
        import pandas as pd

        month = self._scored_month(None)
        key = self.contract.entity.column
        record = self.records.read("scores", month) or {}
        production = self.releases.production()
        path = self.home.reports / month.isoformat() / "at_risk.parquet"
        rows = pd.read_parquet(path).head(top)
        if key not in rows.columns:
            raise ContractError(
                f"{path} has no column {key!r}: {self.contract_path} names another key than when"
                " the month was scored. Put the old key back, or make a new home for the new"
                " contract.",
                code="CONTRACT_CHANGED",
            )
        record["production_version"] = None if production is None else production.version
        record["not_scored"] = (
            None
            if production is None
            else why_not_scored(production, self.contract.model_hash) or None
        )
        return month, record, rows.to_dict("records")  # type: ignore[return-value]

    def _listed_as(self, month: dt.date, entity: str) -> dict[str, Any]:
        """One customer in the month's list; values that an earlier version lacks are null."""
        frame = self.records.frame("scores", month)
        row = frame[frame[self.contract.entity.column].astype(str) == entity].iloc[:1]
        names = ("rank", "decile", "expected_loss", "already_left", "trained_on")
        found = {
            name: _plain(row[name].iloc[0]) if name in row and len(row) else None for name in names
        }
        if found["expected_loss"] is None:
            del found["expected_loss"]
        return found

    def _same_contract(self, version: int, month: dt.date) -> None:
        """Check that the version was trained under the contract in use."""
        if self.releases.manifest(version).contract_hash == self.contract.model_hash:
            return
        said = f"Version {version}, which scored {month}, was trained under another contract: "
        production = self.releases.production()
        if production is not None and production.contract_hash == self.contract.model_hash:
            raise ContractError(
                f"{said}version {production.version} is in production now. Type `churn run`: it"
                f" scores {month} with it.",
                code="CONTRACT_CHANGED",
            )
        raise ContractError(
            f"{said}the entity, features or label of {self.contract_path} have changed since. Put"
            " them back, or train a version under this contract with `churn retrain --reason TEXT`"
            " and `churn run`.",
            code="CONTRACT_CHANGED",
        )

    def _scored_month(self, as_of: str | None) -> dt.date:
        """The newest scored month, or the asked one.

        Raises:
            UsageError: nothing was scored, or not that month.
        """
        records = {
            month: self.records.read("scores", month) or {}
            for month in self.records.months("scores")
        }
        scored = [month for month, record in records.items() if record.get("version") is not None]
        production = self.releases.production()
        if not scored and production is not None:
            why_not = why_not_scored(production, self.contract.model_hash)
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


def with_answers(decision: dict[str, Any], state: ProductionState) -> dict[str, Any]:
    """A decision's record with what people answered: `approval` and `overridden`."""
    return {**decision, **asdict(state.answers(digest_of(decision)))}


def _plain(value: Any) -> Any:  # noqa: ANN401 - a value of a table
    """A value as JSON has it; null for a missing one."""
    import pandas as pd

    if pd.isna(value):
        return None
    if hasattr(value, "item"):
        return value.item()
    return value
