"""A home that gets contacts later: older months are as they were, the newest gets a plan."""

import pytest

from churn_platform.contacts.plans import KIND
from churn_platform_tests.contacts.contacted_gym import CALLS, CONTACTS, POLICY, contract, tables
from churn_platform_tests.loop_steps import run
from churn_platform_tests.small_business import (
    FEBRUARY,
    JANUARY,
    MARCH,
    deliver,
    make_home,
    open_home,
    with_changes,
)
from churn_platform_tests.system.trusted_home import verification


@pytest.fixture(scope="module")
def uncontacted(tmp_path_factory):
    """The gym before it calls anybody: January and February."""
    parts = contract()
    del parts["contacts"], parts["tables"]["calls"], parts["policy"]["contacts"]
    home = make_home(tmp_path_factory.mktemp("uncontacted") / "home", parts)
    deliver(home, JANUARY, without_calls(JANUARY, labelled=True))
    deliver(home, FEBRUARY, without_calls(FEBRUARY))
    run(home)
    return open_home(home.folder)


def without_calls(as_of, **named):
    return {name: table for name, table in tables(as_of, **named).items() if name != "calls"}


def test_no_month_is_due_again_and_the_next_one_gets_a_plan(uncontacted):
    before = uncontacted.ledger.file.read_bytes()
    assert verification(uncontacted, deep=True)["verified"]
    home = with_changes(
        uncontacted,
        {
            "tables.calls": CALLS | {"since": MARCH.isoformat()},
            "contacts": CONTACTS,
            "policy.contacts": POLICY,
        },
    )
    assert run(home) == []
    home = open_home(home.folder)
    assert home.records.months(KIND) == []
    assert home.contact_plans.months() == []
    assert verification(home, deep=True)["verified"]
    deliver(home, MARCH, tables(MARCH))
    ran = run(home)
    home = open_home(home.folder)
    assert [step for step in ran if step.startswith("monthly")] == ["monthly 2024-03-31"]
    assert home.records.months(KIND) == home.contact_plans.months() == [MARCH]
    assert home.ledger.file.read_bytes().startswith(before)
    assert verification(home, deep=True)["breaks"] == []
    key = home.contact_plans.rows(MARCH)["member"].iloc[0]
    home.erasure.erase(key, "ann", "asked")
    home = open_home(home.folder)
    assert verification(home, deep=True)["breaks"] == []
    home.backup.write(home.folder.parent / "backup.zip")
