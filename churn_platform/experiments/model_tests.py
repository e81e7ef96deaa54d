"""Tests of two versions on the customers that their lists save: registers, judges and ends them.

A test is registered in the ledger before its first month, with everything that decides it. Its
result is a proposal that a person carries out.
"""

import datetime as dt
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Final

from pydantic import JsonValue

from churn_platform.base.digests import digest_of
from churn_platform.base.errors import ChurnError, UsageError
from churn_platform.base.text import ended
from churn_platform.contacts.campaign import Campaigns
from churn_platform.contract.model import Contract
from churn_platform.experiments.model_test import (
    ListDifference,
    Look,
    ModelTestPlan,
    Outcome,
    list_difference,
    take_look,
)
from churn_platform.experiments.model_test_forecast import ModelTestForecast, ModelTestForecasts
from churn_platform.experiments.model_test_status import ModelTestStatus
from churn_platform.experiments.state import ExperimentState, ModelTest
from churn_platform.ledger.acts import PlannedTest
from churn_platform.ledger.experiment_acts import (
    ModelTestEnded,
    ModelTestLooked,
    ModelTestRegistered,
    TestOutcome,
)
from churn_platform.ledger.store import LedgerStore
from churn_platform.ledger.version_acts import PromotionProposed, RollbackProposed, command_for
from churn_platform.promotion.promotions import Promotions, signed
from churn_platform.promotion.publishing import ReleasePublisher
from churn_platform.training.release import manifest_digest
from churn_platform.training.releases import Releases, is_pinned
from churn_platform.training.version_contracts import VersionContracts

MUST_STAY: Final = (
    "budget",
    "untouched_share",
    "explore_share",
    "salt",
    "value",
    "cooldown_cadences",
)
"""What of the contact policy decides who is on a list and who is contacted."""


@dataclass(frozen=True)
class ModelTests:
    """The tests of one home."""

    contract: Contract
    ledger: LedgerStore
    campaigns: Campaigns
    releases: Releases
    publisher: ReleasePublisher
    promotions: Promotions
    version_contracts: VersionContracts
    forecasts: ModelTestForecasts

    def state(self) -> ExperimentState:
        """What the receipts say."""
        return ExperimentState.from_receipts(self.ledger.receipts())

    def statuses(self) -> list[ModelTestStatus]:
        """Every test, oldest first."""
        return [self._status(test) for test in self.state().tests.values()]

    def running(self) -> ModelTestStatus | None:
        """The test that runs; None without one."""
        test = self.state().test
        return None if test is None else self._status(test)

    def _status(self, test: ModelTest) -> ModelTestStatus:
        planned = self.campaigns.labels.plans.tested_months(test.name)
        return ModelTestStatus(test, tuple(planned), self._command(test))

    def of_record(self, as_of: dt.date) -> ModelTestStatus | None:
        """The newest test as it was known in a month, after the looks that are due; None where
        it was not planned yet, or was over.
        """
        self.look(as_of)
        statuses = self.statuses()
        if not statuses:
            return None
        newest = statuses[-1]
        test = newest.test
        planned = tuple(month for month in newest.planned if month <= as_of)
        known = tuple(look for look in test.looks if self._known_on(look) <= as_of)
        over = test.ended if len(known) == len(test.looks) else None
        last = max([*newest.planned, *(self._known_on(look) for look in test.looks)], default=as_of)
        if not planned or (over is not None and as_of > last):
            return None
        return replace(newest, test=replace(test, looks=known, ended=over), planned=planned)

    def _known_on(self, look: ModelTestLooked) -> dt.date:
        """When the labels of a look were known."""
        return self.contract.matures(dt.date.fromisoformat(look.months[-1]))

    def _command(self, test: ModelTest) -> str | None:
        better = None if test.ended is None else test.ended.better
        pointer = self.releases.read_pointer()
        if better is None or pointer is None or pointer.version != test.registered.production:
            return None
        if better == pointer.version:
            return None
        return command_for(better, rollback=better in self.ledger.state().promotions)

    def start(
        self,
        version_a: int,
        version_b: int,
        by: str,
        reason: str,
        *,
        budget: int | None = None,
        months: int = 12,
        difference: float | None = None,
        anyway: bool = False,
    ) -> ModelTestForecast:
        """Register a test; the contacts of the next planned months are drawn by it.

        Raises:
            UsageError: there can be no such test, one runs already, or it is hopeless.
            IntegrityError: a version is not what was judged.
        """
        by, reason = signed(by, reason)
        act = f"the test of version {version_a} and version {version_b} by {by}"
        with self.promotions.acting(act):
            self.settle()
            state = self.state()
            if state.test is not None:
                raise UsageError(
                    f"{state.test.name.capitalize()} runs already: end it with"
                    " `churn test --end` first.",
                    code="EXPERIMENT_RUNNING",
                )
            found = self.forecasts.forecast(version_a, version_b, budget, months, difference)
            if found.why_hopeless and not anyway:
                raise UsageError(found.why_hopeless, code="MODEL_TEST_HOPELESS")
            manifests = [
                manifest_digest(self.publisher.publish_version(version, "test"))
                for version in (version_a, version_b)
            ]
            self.ledger.append(
                self._registered(found, by, reason, len(state.tests) + 1, manifests, anyway=anyway)
            )
        return found

    def _registered(
        self,
        found: ModelTestForecast,
        by: str,
        reason: str,
        number: int,
        manifests: Sequence[str],
        *,
        anyway: bool,
    ) -> ModelTestRegistered:
        outlook = found.outlook
        head = self.ledger.receipts()[-1].digest
        return ModelTestRegistered(
            subject=f"test {number}",
            actor=by,
            reason=reason,
            version_a=found.version_a,
            version_b=found.version_b,
            production=found.production,
            manifest_a=manifests[0],
            manifest_b=manifests[1],
            budget=found.budget,
            months=found.months,
            salt=digest_of({"after": head, "test": number})[:16],  # nobody can choose it
            level=self.contract.policy.promotion.level,
            difference=outlook.planned,
            customers=2 * found.only * found.months,
            boundaries=outlook.boundaries,
            listed=found.listed,
            only=found.only,
            churn=(found.churn_a, found.churn_b),
            save_rate=found.save_rate.mean,
            smallest_differences=outlook.smallest_differences,
            policy=self._policy(),
            anyway=anyway,
        )

    def end(self, by: str, reason: str) -> str:
        """End the test that runs, without a verdict; describes what was done.

        Raises:
            UsageError: no test runs.
        """
        by, reason = signed(by, reason)
        with self.promotions.acting(f"the end of a test by {by}"):
            test = self.state().test
            if test is None:
                raise UsageError("No test runs.", code="EXPERIMENT_UNKNOWN")
            self._end(test, Outcome.CANCELLED, reason, by)
        return f"{test.name.capitalize()} is over, without a verdict: {ended(reason)}"

    def cancel(self, why: str) -> None:
        """End the test that runs because it cannot continue. The caller holds the home."""
        test = self.state().test
        if test is not None:
            self._end(test, Outcome.CANCELLED, why)

    def settle(self) -> None:
        """Complete what was cut off, and end a test whose versions or policy have changed. The
        caller holds the home.
        """
        test = self.state().test
        if test is None:
            return
        if test.looks and test.looks[-1].outcome is not None:
            self._conclude(test, test.looks[-1])
            return
        why = self._why_over(test)
        if why:
            self.cancel(why)

    def of_month(self, as_of: dt.date) -> PlannedTest | None:
        """The test that the contact plan of a month belongs to; None without one."""
        self.look(as_of)
        self.settle()
        test = self.state().test
        if test is None:
            return None
        planned = self.campaigns.labels.plans.tested_months(test.name)
        if as_of not in planned and len(planned) >= test.registered.months:
            return None
        return test.planned

    def look(self, as_of: dt.date) -> None:
        """Take a look for each month of the test whose labels are known up to `as_of`, once."""
        test = self.state().test
        if test is None:
            return
        tested = set(self.campaigns.labels.plans.tested_months(test.name))
        matured = [month for month in self.campaigns.matured(as_of) if month in tested]
        while len(matured) > len(test.looks):
            if test.looks and test.looks[-1].outcome is not None:
                break
            self._look(test, matured[: len(test.looks) + 1])
            test = self.state().tests[test.name]
        if test.looks and test.looks[-1].outcome is not None and test.ended is None:
            self._conclude(test, test.looks[-1])

    def _look(self, test: ModelTest, months: Sequence[dt.date]) -> None:
        found = {month: self.campaigns.assigned(month) for month in months}
        difference = list_difference(
            [one for one in found.values() if one is not None],
            [month.isoformat() for month, one in found.items() if one is None],
        )
        registered = test.registered
        plan = ModelTestPlan(
            looks=registered.months,
            level=registered.level,
            customers=registered.customers,
            difference=registered.difference,
            last_boundary=registered.boundaries[-1],
        )
        look = take_look(plan, [one.information for one in test.looks], difference)
        outcome: TestOutcome | None = None if look.outcome is None else look.outcome.value
        self.ledger.append(
            ModelTestLooked(
                subject=test.name,
                reason=look_sentence(registered, look, difference),
                look=look.number,
                months=difference.months,
                information=look.information,
                boundary=look.boundary,
                z=look.z,
                difference=difference.value,
                interval=look.interval,
                conditional_power=look.conditional_power,
                sample_ratio=difference.sample_ratio,
                withheld=look.withheld,
                outcome=outcome,
                lists={"A": asdict(difference.a), "B": asdict(difference.b)},
            )
        )

    def _conclude(self, test: ModelTest, look: ModelTestLooked) -> None:
        """Propose the better version, and end the test; again, it completes what is missing."""
        outcome = Outcome(look.outcome or Outcome.CANCELLED)
        better = _better(test, outcome)
        if better is not None and better != test.registered.production:
            self._propose(test, look, better)
        self._end(test, outcome, look.reason, better=better)

    def _propose(self, test: ModelTest, look: ModelTestLooked, better: int) -> None:
        """Record a proposal, once."""
        if look.difference is None or look.interval is None:
            return
        production = test.registered.production
        rollback = better in self.ledger.state().promotions
        act = RollbackProposed if rollback else PromotionProposed
        key = digest_of({"test": test.name, "look": look.look, "version": better})
        known = {receipt.evidence.get("key") for receipt in self.ledger.receipts(act.name)}
        if key in known:
            return
        low, high = sorted(abs(end) for end in look.interval)
        self.ledger.append(
            act(
                version=better,
                before=production,
                after=production,
                reason=(
                    f"{test.name.capitalize()} has shown that the list of version {better} saves"
                    f" {abs(look.difference):.1f} [{low:.1f}, {high:.1f}] more customers a month"
                    f" than that of version {production}, in production."
                    f" `{command_for(better, rollback=rollback)}` carries it out."
                ),
                test=test.name,
                key=key,
                months=look.months,
                difference=abs(look.difference),
                interval=(low, high),
                level=test.registered.level,
            )
        )

    def _end(
        self,
        test: ModelTest,
        outcome: Outcome,
        reason: str,
        by: str = "",
        better: int | None = None,
    ) -> None:
        pointer = self.releases.read_pointer()
        stays = None if pointer is None else f"version {pointer.version}"
        self.ledger.append(
            ModelTestEnded(
                subject=test.name,
                before=stays,
                after=stays,
                actor=by,
                reason=reason,
                outcome=outcome.value,
                looks=len(test.looks),
                better=better,
            )
        )

    def _why_over(self, test: ModelTest) -> str:
        """Why a test cannot continue; empty if it can."""
        registered = test.registered
        pointer = self.releases.read_pointer()
        if pointer is None or pointer.version != registered.production:
            return f"Version {registered.production} is no longer in production."
        barred = self.ledger.state().barred()
        for version, manifest in (
            (registered.version_a, registered.manifest_a),
            (registered.version_b, registered.manifest_b),
        ):
            if version in barred:
                return barred[version]
            changed = f"The release of version {version} is not the one that was registered."
            if not is_pinned(self.releases, version, manifest):
                return changed
            try:
                why_not = self.version_contracts.why_not(self.releases.card(version))
            except (ChurnError, OSError):
                return changed
            if why_not:
                return f"Version {version} cannot score any more: {why_not}"
        policy = self._policy()
        moved = [name for name in MUST_STAY if policy[name] != registered.policy.get(name)]
        if self.contract.contacts is None:
            return "The contract names no table of contacts any more."
        if moved:
            named = ", ".join(f"policy.contacts.{name}" for name in moved)
            return f"{named} changed: what was registered before the first month must stay."
        return ""

    def _policy(self) -> dict[str, JsonValue]:
        policy = self.contract.policy.contacts.model_dump(mode="json")
        return {name: policy[name] for name in MUST_STAY}


def look_sentence(registered: ModelTestRegistered, look: Look, found: ListDifference) -> str:
    """What a look shows, for people."""
    where = f"Look {look.number} of {registered.months}:"
    if look.withheld:
        return (
            f"{where} no verdict. The customers with a label are not half contacted and half"
            f" untouched, as they were drawn (p {found.sample_ratio:.2g})."
        )
    if look.outcome is Outcome.FUTILE:
        return (
            f"{where} the test is futile. If the planned difference of"
            f" {registered.difference:.1f} were true, it would still be shown with probability"
            f" {look.conditional_power or 0.0:.0%} only."
        )
    if found.value is None or look.interval is None:
        return f"{where} too few customers can be compared."
    figures = (
        f"list A saves {found.value:+.1f} [{look.interval[0]:+.1f}, {look.interval[1]:+.1f}]"
        " customers a month compared with list B"
    )
    versions = {
        Outcome.A_BETTER: registered.version_a,
        Outcome.B_BETTER: registered.version_b,
    }
    if look.outcome in versions:
        return f"{where} version {versions[look.outcome]} is better: {figures}."
    if look.outcome is Outcome.NO_DIFFERENCE:
        return f"{where} no difference is shown: {figures}. It was the last look."
    return f"{where} a difference is not yet shown: {figures}."


def _better(test: ModelTest, outcome: Outcome) -> int | None:
    """The version whose list saves more; None without a verdict."""
    if outcome is Outcome.A_BETTER:
        return test.registered.version_a
    if outcome is Outcome.B_BETTER:
        return test.registered.version_b
    return None
