"""Which contacts and plans may have changed the labels of a month."""

import datetime as dt
from types import SimpleNamespace

import pandas as pd
import pytest

from churn_platform.contacts.labels import CorrectedLabels
from churn_platform.contacts.log import ContactLog
from churn_platform.contacts.plan import ARM, CONTACT, PROBABILITY, UNTOUCHED
from churn_platform.contacts.plans import ContactPlans
from churn_platform.contract.model import Contract
from churn_platform_tests.contacts_business import declared

JANUARY, FEBRUARY, MARCH = (dt.date(2024, *day) for day in ((1, 31), (2, 29), (3, 31)))
KNOWN = dt.date(2024, 3, 29)
"""One month after 29 February."""
NOW = dt.datetime(2024, 6, 1, tzinfo=dt.UTC)
MEMBERS = ["a", "b", "c", "d", "e"]


class Log(ContactLog):
    """Contacts given by the test."""

    def known(self, known_at: dt.datetime) -> pd.DataFrame:
        return self.lake.contacts


class Plans(ContactPlans):
    """Plans given by the test."""

    def months(self) -> list[dt.date]:
        return sorted(self.records)

    def rows(self, as_of: dt.date) -> pd.DataFrame:
        return self.records[as_of]


def corrected(contacts: dict[str, dt.date], plans: dict[dt.date, dict[str, str]]):
    """The correction of February's labels, which are known on 29 March."""
    contract = Contract.model_validate(declared())
    rows = pd.DataFrame(
        {"member": list(contacts), "contacted_on": pd.to_datetime(list(contacts.values()))}
    )
    frames = {
        month: pd.DataFrame({"member": list(arms), ARM: list(arms.values()), PROBABILITY: 0.8})
        for month, arms in plans.items()
    }
    lake = SimpleNamespace(contract=contract, contacts=rows)
    labels = CorrectedLabels(lake, Plans(contract, frames, None), Log(lake), lambda: NOW)
    churned = pd.Series(False, index=pd.Index(MEMBERS, name="member"))
    return labels.correct(FEBRUARY, churned, NOW).correction


def test_contacts_count_from_the_day_after_the_month_to_the_day_the_label_is_known():
    days = {"a": FEBRUARY, "b": dt.date(2024, 3, 1), "c": KNOWN, "d": dt.date(2024, 3, 30)}
    assert corrected(days, {}).outside.tolist() == [False, True, True, False, False]


def test_only_plans_worked_before_the_label_is_known_count():
    plans = {
        JANUARY: {"a": CONTACT, "e": UNTOUCHED},
        FEBRUARY: {"b": CONTACT, "d": UNTOUCHED},
        MARCH: {"c": CONTACT, "e": UNTOUCHED},
    }
    found = corrected({}, plans)
    assert found.weights == pytest.approx([1, 0, 1, 5, 1])
    assert found.assigned.tolist() == [False, True, False, False, False]
    assert found.untouched.tolist() == [False, False, False, True, False]


def test_a_contact_of_an_assigned_customer_is_not_outside_the_plan():
    day = dt.date(2024, 3, 5)
    found = corrected({"b": day, "c": day}, {FEBRUARY: {"b": CONTACT, "d": UNTOUCHED}})
    assert found.outside.tolist() == [False, False, True, False, False]
    assert found.weights == pytest.approx([1, 0, 1, 5, 1])
