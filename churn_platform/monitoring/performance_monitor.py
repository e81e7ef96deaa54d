"""Measures versions and served predictions on labels that have matured, and keeps the record."""

import datetime as dt
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from churn_platform.base.digests import digest_of
from churn_platform.base.errors import IntegrityError, StoreDown, UsageError
from churn_platform.contacts.labels import CorrectedLabels
from churn_platform.contract.model import Contract
from churn_platform.ingestion.month_warnings import repetition_sentence
from churn_platform.lake.lake import Lake
from churn_platform.lake.records import Records
from churn_platform.lake.tables import feature_frame
from churn_platform.ledger.store import LedgerStore
from churn_platform.ledger.version_acts import PromotionProposed, Proposal, RollbackProposed
from churn_platform.monitoring.challengers import (
    ChallengerEvaluation,
    LabelledRows,
    evaluate_challengers,
    evaluated_versions,
)
from churn_platform.monitoring.drift import feature_rows
from churn_platform.monitoring.estimated_month import EstimatedMonth
from churn_platform.monitoring.estimating import Estimating
from churn_platform.monitoring.performance import (
    PerformanceRecord,
    ServedPerformance,
    VersionPerformance,
    VersionState,
    realised,
)
from churn_platform.monitoring.stand_down import StandDown
from churn_platform.monitoring.versions import Versions
from churn_platform.training.candidate import Candidate

BY_POLICY = "policy.verdict.automatic"
"""Who signs what the policy lets the loop do by itself."""
SERVED_MONTHS = 2
"""Matured months of which served predictions are measured: labels come with the next drop at
the earliest.
"""


class EvaluationRound:
    """The versions that one run measures: production and the newest others.

    `candidates` holds those that can be read, `faults` why another one cannot. Without a
    production model there are none.
    """

    def __init__(
        self, contract: Contract, versions: Versions, decided: set[int], promoted: set[int]
    ) -> None:
        self.production = versions.in_production
        self.promoted = promoted
        self.candidates: dict[int, Candidate] = {}
        self.faults: dict[int, str] = {}
        if self.production is None:
            return
        newest = contract.policy.verdict.followed_versions
        for number in evaluated_versions(versions.released | decided, self.production, newest):
            try:
                candidate = versions.load(number)
                why_not = versions.why_not_scored(number)
            except (IntegrityError, StoreDown, UsageError) as error:
                if number == self.production:
                    raise
                # A version that does not serve must not stop the month.
                self.faults[number] = str(error)
                continue
            if why_not:
                self.faults[number] = f"Version {number}: {why_not}"
            else:
                self.candidates[number] = candidate

    def state(self, version: int) -> VersionState:
        """What became of a version."""
        if version == self.production:
            return "production"
        return "retired" if version in self.promoted else "refused"


@dataclass(frozen=True)
class PerformanceMonitor:
    """Measures the versions of one home on matured labels."""

    labels: CorrectedLabels
    records: Records
    ledger: LedgerStore
    versions: Callable[[], Versions]
    stand_down: StandDown
    approve: Callable[..., str]
    """Promotes a version, as `approve` of `promotion`."""
    roll_back: Callable[..., str]
    """Puts an earlier version back into production, as `roll_back` of `promotion`."""
    predictions: Path
    shadows: Path
    now: Callable[[], dt.datetime]

    @property
    def lake(self) -> Lake:
        """Published snapshots."""
        return self.labels.lake

    def measure(self, as_of: dt.date) -> PerformanceRecord:
        """Measure every version of the round on the newest matured month up to `as_of`, compare
        it with production, and keep the record.
        """
        policy = self.lake.contract.policy
        months = self.labels.months()
        matured = months.matured(as_of)
        made_from = months.made_from(as_of)
        versions = self.versions()
        decided = {int(record["candidate_version"]) for record in self.records.decisions()}
        promoted = set(self.ledger.state().promotions)
        round_ = EvaluationRound(self.lake.contract, versions, decided, promoted)
        labelled = self._labelled(matured[-policy.verdict.months :])
        evaluated: list[VersionPerformance] = []
        if matured and matured[-1] in labelled:
            evaluated = self._evaluated(versions, round_, matured[-1], labelled[matured[-1]])
        challengers = ChallengerEvaluation(compared=(), proposal=None)
        if round_.production is not None and round_.production in round_.candidates:
            challengers = evaluate_challengers(
                self.lake.contract,
                round_.candidates,
                round_.production,
                labelled,
                served=promoted,
                barred=set(self.ledger.state().barred()),
                comparable=lambda number, month: not versions.why_not_comparable(number, month),
            )
        record = PerformanceRecord(
            **made_from,
            evaluated=tuple(evaluated),
            challengers=challengers,
            served=tuple(self._served(versions, matured[-SERVED_MONTHS:])),
        )
        estimated = self._estimated(as_of, versions, round_, matured, labelled)
        if estimated is not None:
            record = record.model_copy(update={"estimated": estimated})
        self.records.write("performance", as_of, record.as_json())
        if challengers.proposal is not None:
            evidence = {**made_from, "policy": self.lake.contract.policy_hash}
            self._record_proposal(challengers.proposal, evidence)
            if policy.verdict.automatic:
                self._carry_out(challengers.proposal)
        self.stand_down.record()
        return record

    @property
    def _estimating(self) -> Estimating:
        return Estimating(self.labels, self.records)

    def _estimated(
        self,
        as_of: dt.date,
        versions: Versions,
        round_: EvaluationRound,
        matured: Sequence[dt.date],
        labelled: Mapping[dt.date, LabelledRows],
    ) -> EstimatedMonth | None:
        """The estimate of a month without labels. Once they are there, the one that was made
        before stays, to be compared with them.
        """
        if as_of in matured:
            fields = self.records.read("performance", as_of)
            return PerformanceRecord.read(fields, f"The performance record of {as_of}").estimated
        if round_.production not in round_.candidates:
            return None
        production = round_.candidates[round_.production]
        return self._estimating.of_month(as_of, production, versions, labelled)

    def _labelled(self, months: Sequence[dt.date]) -> dict[dt.date, LabelledRows]:
        """The rows of each month that have a label; months without a label are left out."""
        found = {}
        key = self.lake.contract.entity.column
        for month in months:
            labels = self.labels.of(month, self.now())
            if labels is None:
                continue
            rows = feature_frame(self.lake.contract, self.lake.tables(month))
            rows = rows[rows[key].isin(labels.churned.index)].reset_index(drop=True)
            found[month] = (rows, labels.of_customers(rows[key]))
        return found

    def _evaluated(
        self,
        versions: Versions,
        round_: EvaluationRound,
        month: dt.date,
        labelled: LabelledRows,
    ) -> list[VersionPerformance]:
        """One entry per version of the round, production's last.

        Production is also measured on the month it was trained on.
        """
        rows, labels = labelled
        day = month.isoformat()
        repetition = repetition_sentence(self.lake.compared(month))
        warning = {}
        if repetition:
            warning = {"warning": f"The data of {day} is in doubt. {repetition}"}
        entries = []
        for number, version in round_.candidates.items():
            trained = version.card.as_of
            elsewhere = version.card.imported is not None
            why_not = versions.why_not_comparable(number, month)
            if why_not:
                found = VersionPerformance(version=number, as_of=day, metrics=None, note=why_not)
                entries.append(found.model_copy(update={"state": round_.state(number)}))
            elif trained < day or (number == round_.production and (trained == day or elsewhere)):
                found = realised(self.lake.contract, rows, labels, version, day)
                update: dict[str, object] = {"state": round_.state(number), **warning}
                if number == round_.production:
                    fall = self._estimating.explained(found, version, versions, labelled)
                    if fall is not None:
                        update["fall"] = fall
                entries.append(found.model_copy(update=update))
        for number, why in round_.faults.items():
            entries.append(
                VersionPerformance(
                    version=number, as_of=day, rows=0, metrics=None, note=why,
                    state=round_.state(number),
                )
            )  # fmt: skip
        return sorted(entries, key=lambda entry: (entry.state == "production", entry.version))

    def _served(self, versions: Versions, months: Sequence[dt.date]) -> list[ServedPerformance]:
        """The predictions served for these months, by month and version. Tidies the logs first."""
        from churn_platform.monitoring.prediction_log import last_served, tidy
        from churn_platform.monitoring.served_performance import (
            contacts_of_served,
            not_reviewed,
            review,
        )

        contract = self.lake.contract
        now = self.now()
        for log in (self.predictions, self.shadows):
            tidy(log, now.date(), contract.policy.serving.keep_answers_days)
        served = last_served(self.predictions, contract.entity.column, months)
        pairs = zip(served["version"].astype(int), served["features_as_of"], strict=True)
        found = []
        for number, month in sorted({*pairs}):
            labels = self.labels.of(month, now)
            if labels is None or number not in versions.released:
                continue
            rows = served[(served["version"] == number) & (served["features_as_of"] == month)]
            day = month.isoformat()
            try:
                version = versions.load(number)
            except IntegrityError as error:
                # A version that does not serve must not stop the month.
                found.append(not_reviewed(rows, number, day, str(error)))
                continue
            why_not = versions.why_not_scored(number) or versions.why_not_comparable(number, month)
            if why_not:
                found.append(not_reviewed(rows, number, day, why_not))
                continue
            trained = [dt.date.fromisoformat(one) for one in version.card.months]
            if not trained or not set(trained) <= set(self.lake.months()):
                why = f"The months that version {number} was trained on are not in the home."
                found.append(not_reviewed(rows, number, day, why))
                continue
            learnt, _ = feature_rows(self.labels, trained, now)
            reference = version.model.probability(learnt)
            truth = labels.churned
            one = review(contract, rows, truth, version, day, reference, labels.weights)
            contacts = contacts_of_served(contract, rows, labels, version, day)
            if contacts is not None:
                one = one.model_copy(update={"contacts": contacts})
            found.append(one)
        return found

    def _carry_out(self, proposal: Proposal) -> None:
        """Put the proposed version into production in the name of the policy.

        It is the same act as a person's, with the proposal as its reason. A version that was
        refused stays marked as promoted against its decision.
        """
        if proposal.act == "rollback proposed":
            self.roll_back(BY_POLICY, proposal.sentence, to=proposal.version)
        else:
            self.approve(proposal.version, BY_POLICY, proposal.sentence, override=True)

    def _record_proposal(self, proposal: Proposal, evidence: Mapping[str, Any]) -> None:
        """Record a proposal in the ledger, once for each piece of evidence."""
        key = digest_of(
            {**evidence, "version": proposal.version, "production": proposal.production}
        )
        known = {receipt.evidence.get("key") for receipt in self.ledger.receipts(proposal.act)}
        if key in known:
            return
        rollback = proposal.act == "rollback proposed"
        proposed = RollbackProposed if rollback else PromotionProposed
        self.ledger.append(
            proposed(
                version=proposal.version,
                before=proposal.production,
                after=proposal.production,
                reason=proposal.sentence,
                key=key,
                months=proposal.months,
                difference=proposal.difference,
                interval=proposal.interval,
                level=proposal.level,
            )
        )
