"""What a test of two versions could show, by the lists of the newest month."""

import datetime as dt
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, Final

from churn_platform.base.errors import UsageError
from churn_platform.base.text import counted
from churn_platform.contacts.campaign import Campaigns
from churn_platform.contacts.plan import LIST, contacts_of
from churn_platform.contacts.plans import experiment_of
from churn_platform.contacts.profit import SaveRate
from churn_platform.contacts.tested_plan import A_ONLY, B_ONLY, BOTH, PROBABILITIES, DrawnFrom
from churn_platform.contract.model import Contract
from churn_platform.experiments.model_test import DisagreementDesign, ModelTestOutlook, outlook_of
from churn_platform.lake.records import Records
from churn_platform.ledger.acts import PlannedTest
from churn_platform.ledger.store import LedgerStore
from churn_platform.monitoring.versions import Versions

MOST_MONTHS: Final = 24


@dataclass(frozen=True)
class ModelTestForecast:
    """What a test can show, by the lists of the newest month.

    Attributes:
        version_a: its list is A.
        version_b: its list is B.
        production: the one of the two that is in production.
        budget: customers to contact in a month.
        months: planned months.
        month: the month of the lists.
        both: customers on both lists.
        only: customers on each list alone.
        churn_a: churn that is expected of those on list A alone without a contact.
        churn_b: the same of list B.
        save_rate: share of its leavers that a list saves.
        outlook: what the test can show.
    """

    version_a: int
    version_b: int
    production: int
    budget: int
    months: int
    month: dt.date
    both: int
    only: int
    churn_a: float
    churn_b: float
    save_rate: SaveRate
    outlook: ModelTestOutlook

    @property
    def listed(self) -> int:
        """Customers on each list."""
        return self.both + self.only

    @property
    def sentence(self) -> str:
        """How far the lists agree, and what the test can show."""
        known = "measured" if self.save_rate.measured else "assumed"
        months = self.outlook.months
        answer = f"no test of up to {MOST_MONTHS} months could show it"
        if months is not None:
            answer = f"a test of {counted(months, 'month')} or more could show it"
        return (
            f"On {self.month}, {self.both:,} of the {self.listed:,} customers on each list are on"
            f" both; {self.only:,} are on each list alone. If one list saved"
            f" {self.save_rate.mean:.0%} of its leavers ({known}) and the other nobody, the"
            f" difference would be {self.outlook.possible:.1f} customers a month, and {answer}."
        )

    @property
    def why_hopeless(self) -> str:
        """Why the planned months cannot answer; empty if they can."""
        if not self.outlook.hopeless:
            return ""
        smallest = self.outlook.smallest_differences[-1]
        shown = "too few customers to compare"
        if smallest is not None:
            shown = f"a difference of {smallest:.1f} saved customers a month or more"
        wanted = min(self.outlook.planned, self.outlook.possible)
        return (
            f"The test is hopeless: {self.months} months show {shown}, and at most {wanted:.1f}"
            " are to be expected. Plan more months or a larger budget, or use --anyway."
        )

    def as_json(self) -> dict[str, Any]:
        """The figures."""
        found = asdict(self)
        found["month"] = self.month.isoformat()
        found["listed"] = self.listed
        found["hopeless"] = self.outlook.hopeless
        found["sentence"] = self.sentence
        return found


@dataclass(frozen=True)
class ModelTestForecasts:
    """Forecasts tests of one home. Writes nothing."""

    contract: Contract
    ledger: LedgerStore
    records: Records
    campaigns: Campaigns
    versions: Callable[[], Versions]
    drawn_from: Callable[[dt.date, dt.datetime, PlannedTest | None], DrawnFrom]
    """What the plan of a month is drawn from."""
    now: Callable[[], dt.datetime]

    def forecast(
        self,
        version_a: int,
        version_b: int,
        budget: int | None = None,
        months: int = 12,
        difference: float | None = None,
    ) -> ModelTestForecast:
        """What a test could show, by the lists of the newest scored month.

        Args:
            version_a: its list is A.
            version_b: its list is B.
            budget: customers to contact in a month; that of the contract by default.
            months: planned months.
            difference: the difference to show, in saved customers a month; by default the
                smallest that the planned months show.

        Raises:
            UsageError: there can be no such test.
        """
        production = self._production_of(version_a, version_b)
        month, customers = self._newest_scored()
        contacts = self._budget(budget, customers)
        self._require(months, difference)
        planned = PlannedTest(
            name="forecast", version_a=version_a, version_b=version_b, salt="", budget=contacts
        )
        drawn = self.drawn_from(month, self.now(), planned)
        key = self.contract.entity.column
        policy = self.contract.policy.contacts
        rows = drawn.plan(policy, experiment_of(month), key, planned).rows
        counts = rows[LIST].value_counts()
        only = int(counts.get(A_ONLY, 0))
        both = int(counts.get(BOTH, 0))
        if not only:
            raise UsageError(
                f"The lists of version {version_a} and version {version_b} on {month} have the"
                f" same {both:,} customers: there is nothing to test.",
                code="MODEL_TEST_LISTS_AGREE",
            )
        expected = rows[list(PROBABILITIES)].mean(axis=1)
        churn_a, churn_b = (float(expected[rows[LIST] == name].mean()) for name in (A_ONLY, B_ONLY))
        level = self.contract.policy.promotion.level
        save_rate = self._save_rate()
        design = DisagreementDesign(only, churn_a, churn_b, level)
        return ModelTestForecast(
            version_a=version_a,
            version_b=version_b,
            production=production,
            budget=contacts,
            months=months,
            month=month,
            both=both,
            only=only,
            churn_a=churn_a,
            churn_b=churn_b,
            save_rate=save_rate,
            outlook=outlook_of(design, months, save_rate.mean, difference),
        )

    def _production_of(self, version_a: int, version_b: int) -> int:
        """The one of the versions that is in production, after both are checked."""
        if self.contract.contacts is None:
            raise UsageError(
                "The contract names no table of contacts, so nobody is contacted by a list: add"
                " `contacts`.",
                code="CONTACTS_NOT_DECLARED",
            )
        if version_a == version_b:
            raise UsageError(
                f"A and B are both version {version_a}: name two versions.",
                code="MODEL_TEST_SAME_VERSION",
            )
        versions = self.versions()
        production = versions.in_production
        if production is None:
            raise UsageError(
                "No model is in production: type `churn run` first.", code="NO_PRODUCTION"
            )
        barred = self.ledger.state().barred()
        for version in (version_a, version_b):
            why_not = versions.why_not_scored(version)
            if why_not:
                raise UsageError(why_not, code="CONTRACT_CHANGED")
            if version in barred:
                raise UsageError(barred[version], code="VERSION_BLOCKED")
        if production not in (version_a, version_b):
            raise UsageError(
                f"Version {production} is in production and must be A or B: a test ends in"
                " a proposal to keep or replace it.",
                code="MODEL_TEST_WITHOUT_PRODUCTION",
            )
        return production

    def _newest_scored(self) -> tuple[dt.date, int]:
        """The newest scored month, and its customers."""
        months = self.records.months("scores")
        record = self.records.read("scores", months[-1]) if months else None
        if not record or not record.get("version"):
            raise UsageError(
                "The newest month was not scored yet, so there are no lists to compare: type"
                " `churn run` first.",
                code="MONTH_NOT_SCORED",
            )
        return months[-1], int(record["customers"])

    def _budget(self, budget: int | None, customers: int) -> int:
        """The budget of the test in customers."""
        most = contacts_of(self.contract.policy.contacts, customers)
        if budget is None:
            return most
        if not 0 < budget <= most:
            raise UsageError(
                f"A budget of {budget:,} is not between 1 and {most:,}, the budget of"
                " policy.contacts.",
                code="MODEL_TEST_BUDGET",
            )
        return budget

    def _require(self, months: int, difference: float | None) -> None:
        if not 1 <= months <= MOST_MONTHS:
            raise UsageError(
                f"A test of {months} months is not possible: plan 1 to {MOST_MONTHS}.",
                code="MODEL_TEST_MONTHS",
            )
        if difference is not None and not difference > 0:
            raise UsageError(
                f"A difference of {difference:g} saved customers a month cannot be shown: pass a"
                " number above 0.",
                code="MODEL_TEST_MONTHS",
            )

    def _save_rate(self) -> SaveRate:
        """The measured or the assumed save rate."""
        newest = self.campaigns.newest()
        return SaveRate() if newest is None else newest.save_rate
