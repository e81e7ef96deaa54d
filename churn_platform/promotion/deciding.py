"""Decides on the candidate, and carries the decision out."""

import datetime as dt
from dataclasses import dataclass

import numpy as np

from churn_platform.base.errors import DataError, IntegrityError
from churn_platform.contacts.campaign import Campaigns
from churn_platform.contacts.plan import contacts_of
from churn_platform.contacts.profit import SaveRate
from churn_platform.contacts.saved_value import saved_values
from churn_platform.contract.model import Contract
from churn_platform.drift.result import DriftFigures
from churn_platform.features.training_dataset import AS_OF, TrainingDataset
from churn_platform.features.training_datasets import TrainingDatasets
from churn_platform.lake.records import Records
from churn_platform.ledger.store import LedgerStore
from churn_platform.ledger.version_acts import DecisionMade
from churn_platform.promotion.approvals import Approvals
from churn_platform.promotion.contact_value import BudgetTerms
from churn_platform.promotion.decision import Decision, Trigger, decide
from churn_platform.promotion.gate import attempt_on, gather, holdout_name
from churn_platform.promotion.promotions import Decisions, Promotions, production_candidate
from churn_platform.promotion.shadow_evidence import shadow_sentence
from churn_platform.training.candidate import Candidate, recipe_of, shuffled_refit
from churn_platform.training.registry import CANDIDATE, ModelRegistry
from churn_platform.training.releases import Releases
from churn_platform.training.version_contracts import VersionContracts


@dataclass(frozen=True)
class Outcome:
    """What became of a decision, and what is in production after it."""

    sentence: str
    version: int | None
    auc: float | None
    release: str | None


@dataclass(frozen=True)
class DecisionMaker:
    """Judges the candidate against production, and promotes it, asks for an approval, or keeps
    production.
    """

    contract: Contract
    ledger: LedgerStore
    records: Records
    releases: Releases
    registry: ModelRegistry
    datasets: TrainingDatasets
    decisions: Decisions
    promotions: Promotions
    approvals: Approvals
    version_contracts: VersionContracts

    def decide(self, as_of: dt.date, trigger: Trigger) -> Decision:
        """Judge the version behind the alias `candidate` against production; keep the decision
        and its receipt.

        A decision that approved this candidate and was cut off, or that put it into production,
        remains valid: once production has changed, judging again would compare the version with
        itself and refuse it.
        """
        self._complete()
        dataset = self._dataset(as_of)
        version = self._candidate_version()
        candidate = self.registry.load(version)
        production = production_candidate(self.releases)
        standing = self._standing(candidate, None if production is None else production.version)
        if standing is not None:
            return standing
        if candidate.card.dataset_digest != dataset.digest:
            raise IntegrityError(
                f"Version {version} was not trained on the training dataset of {as_of} as it now"
                " is: materialize candidate_model again."
            )
        contract = self.version_contracts.of(candidate.card)
        holdout = holdout_name(contract.policy.training, dataset.window)
        attempt = attempt_on(holdout, candidate.digest, self.decisions.all())
        evidence = gather(
            contract,
            dataset,
            candidate,
            production,
            attempt,
            ended=self._ended(production, as_of),
            must_replace=contract.policy.scoring.ended_columns == "stand_down",
            not_comparable=self._not_comparable(candidate, production),
        )
        decision = decide(
            evidence,
            shuffled_refit(contract, dataset, recipe=recipe_of(contract, candidate.card.made_from)),
            candidate_version=version,
            candidate_digest=candidate.digest,
            trigger=trigger,
            policy_hash=contract.policy_hash,
            drift=drift_figures(self.records, as_of),
            digests={
                "dataset": dataset.digest,
                "holdout": holdout,
                "contract": contract.model_hash,
            },
            budget=self._budget(dataset, as_of),
            shadow=shadow_sentence(self.records, version),
            chosen_from=candidate.card.chosen_from,
            sample=dataset.sample,
        )
        if not self._is_made(decision):
            self.records.add_decision(decision.model_dump(mode="json"))
            self._complete()
        return decision

    def _budget(self, dataset: TrainingDataset, as_of: dt.date) -> BudgetTerms | None:
        """What a decision needs to value the contacts of the holdout; None where the contract
        names no contacts.
        """
        if self.contract.contacts is None:
            return None
        policy = self.contract.policy.contacts
        rows = dataset.holdout_rows()
        keys = rows[self.contract.entity.column]
        in_money = self.contract.contact_value_given
        value = np.ones(len(rows))
        for month in dataset.window.holdout if in_money else ():
            own = (rows[AS_OF] == month.isoformat()).to_numpy()
            tables = self.datasets.lake.tables(month)
            value[own] = saved_values(self.contract, tables, keys[own])
        customers = dataset.labelled(dataset.window.holdout) / len(dataset.window.holdout)
        newest = Campaigns(self.datasets.labels, self.records).newest(as_of)
        return BudgetTerms(
            contacts=contacts_of(policy, round(customers)),
            customers=customers,
            value=value,
            months=rows[AS_OF].to_numpy(dtype=object),
            contact_cost=policy.contact_cost if in_money else 0.0,
            incentive=policy.incentive if in_money else 0.0,
            unit="money" if in_money else "customers",
            save_rate=SaveRate() if newest is None else newest.save_rate,
        )

    def _ended(self, production: Candidate | None, as_of: dt.date) -> tuple[str, ...]:
        """The features of production that the month no longer has."""
        if production is None:
            return ()
        return self.version_contracts.ended(production.card, as_of)

    def _not_comparable(self, candidate: Candidate, production: Candidate | None) -> str:
        """Why the candidate's labels do not judge production; empty if they do."""
        if production is None:
            return ""
        version = f"Not comparable with version {production.version}, in production"
        approve = "A person decides."
        why_not = self.version_contracts.why_not(production.card)
        if why_not:
            return f"{version}. {why_not} {approve}"
        newest = dt.date.fromisoformat(candidate.card.as_of)
        if self.version_contracts.predicts(production.card, newest):
            return ""
        return f"{version}: the labels of {newest} define churn in another way. {approve}"

    def carry_out(self) -> Outcome:
        """Promote exactly the version that the newest decision approves, ask for an approval, or
        keep production.
        """
        self.promotions.recover()
        decision = self.decisions.newest()
        self.promotions.restore_alias()
        self.approvals.record_lapse(deep=True)
        done = self.ledger.state().carried_out.get(decision.digest)
        why_not = self._why_not(decision, None if done is None else done.time)
        kept = self._kept()
        if why_not is not None:
            self.promotions.keep(decision, why_not)
            return self._outcome(f"{kept}: {why_not}")
        if done is None and decision.decision == "pending":
            return self._outcome(f"{kept}: {self.approvals.request(decision)}")
        if done is None:
            self.promotions.promote(decision)
        return self._outcome(f"Promoted version {decision.candidate_version}: {decision.reason}")

    def _why_not(self, decision: Decision, carried_out_at: str | None) -> str | None:
        """Why the decision is not carried out: it does not hold for the present candidate, or a
        person has blocked it; None if it is.
        """
        version = self._candidate_version()
        if decision.passed:
            digest = self.registry.load(version).digest
            changed = decision.holds(version, digest, self.contract.policy_hash)
        else:
            changed = decision.reason
        pointer = self.releases.pointer()
        production = None if pointer is None else pointer.version
        why_not = changed or decision.lapsed(production, carried_out_at)
        if why_not is None and production != version:
            unreadable = self.version_contracts.why_not(self.registry.load(version).card)
            return unreadable or self.approvals.why_not_allowed(decision)
        return why_not

    def _kept(self) -> str:
        pointer = self.releases.pointer()
        if pointer is None:
            return "No model is in production"
        return f"Kept version {pointer.version}"

    def _is_made(self, decision: Decision) -> bool:
        """Whether the newest decision is the same and was not carried out since.

        After a rollback the same comparison is a new decision, or the version could never come
        back.
        """
        newest = self.records.decisions()[-1:]
        same = newest == [decision.model_dump(mode="json")]
        return same and decision.digest not in self.ledger.state().carried_out

    def _complete(self) -> None:
        """Write the newest decision's receipt if it has none: a kill may have come between the
        decision's file and the receipt.
        """
        if len(self.records.decisions()) <= len(self.ledger.state().decisions):
            return
        decision = self.decisions.newest()
        self.ledger.append(
            DecisionMade(
                version=decision.candidate_version,
                before=decision.production_version,
                outcome=decision.decision,
                reason=decision.reason,
                decision=decision.digest,
                trigger=decision.trigger,
                candidate=decision.candidate_digest,
                policy=decision.policy_hash,
                files=dict(self.registry.recorded(decision.candidate_version)),
                dataset=decision.evidence["dataset"],
                holdout=decision.evidence["holdout"],
                contract=decision.evidence["contract"],
            )
        )

    def _standing(self, candidate: Candidate, production: int | None) -> Decision | None:
        """The newest decision if it holds for this candidate, and was cut off or is what put it
        into production.
        """
        decisions = self.decisions.all()
        if not decisions or candidate.version is None:
            return None
        newest = decisions[-1]
        cut_off = newest.approved and self.decisions.unfinished() is not None
        if production != candidate.version and not cut_off:
            return None
        policy = self.contract.policy_hash
        changed = newest.holds(candidate.version, candidate.digest, policy)
        if changed is None and newest.passed and newest.lapsed(production) is None:
            return newest
        return None

    def _outcome(self, sentence: str) -> Outcome:
        production = self.releases.production()
        if production is None:
            return Outcome(sentence, None, None, None)
        folder = self.releases.folder / str(production.version)
        measured = production.metrics.get("auc")  # none of an imported version
        auc = None if measured is None else float(str(measured))
        return Outcome(sentence, production.version, auc, str(folder))

    def _dataset(self, as_of: dt.date) -> TrainingDataset:
        dataset = self.datasets.load(as_of)
        if dataset is None:
            raise DataError(
                f"No labels have matured up to {as_of}: there is nothing to decide on.",
                code="LABELS_NOT_MATURED",
            )
        return dataset

    def _candidate_version(self) -> int:
        version = self.registry.alias(CANDIDATE)
        if version is None:
            raise DataError(
                "No version carries the alias `candidate`: materialize candidate_model first."
            )
        return version


def drift_figures(records: Records, as_of: dt.date) -> DriftFigures:
    """The result of the month's drift report; empty before there is a production model."""
    result = (records.read("drift_report", as_of) or {}).get("result")
    if result is None:
        return DriftFigures()
    return DriftFigures(
        drift_share=result["share"],
        drifted_columns=tuple(result["drifted_columns"]),
        target_drift=result["target_drift"],
        prediction_drift=result["prediction_drift"],
    )
