"""A plan that a kill cuts off: completed as it is once its rows exist, planned again before
that, and never two plans that both count.
"""

import pytest

from churn_platform.base.errors import IntegrityError
from churn_platform.contacts.plan import ARM, ASSIGNED
from churn_platform.contacts.plans import KIND, ContactPlans
from churn_platform.scoring.contact_list import ContactList, contact_list
from churn_platform.scoring.contact_planning import list_files
from churn_platform_tests.contacts.contacted_gym import deliver_april, tables
from churn_platform_tests.loop_steps import run
from churn_platform_tests.small_business import (
    APRIL,
    MARCH,
    deliver,
    month_tables,
    open_home,
    with_changes,
)
from churn_platform_tests.system.trusted_home import verification

pytestmark = pytest.mark.slow


class Killed(BaseException):
    """The process ends here."""


@pytest.fixture
def home(contacted_copy):
    """April is delivered and has no plan yet."""
    deliver_april(contacted_copy)
    return open_home(contacted_copy.folder)


def kill(owner, name):
    """What dies in place of a method, where it is about a contact plan."""
    real = getattr(owner, name)

    def dying(self, *arguments, **named):
        if name == "write_rows" and arguments[0] != KIND:
            return real(self, *arguments, **named)
        raise Killed

    return dying


def killed(home, monkeypatch, where):
    """Run April up to a point of its plan, and die there."""
    owner, name = {
        "before the rows": (type(home.records), "write_rows"),
        "before the list": (ContactList, "excel"),
        "before the record": (ContactPlans, "complete"),
    }[where]
    with monkeypatch.context() as patched:
        patched.setattr(owner, name, kill(owner, name))
        with pytest.raises(Killed):
            run(home)
    return open_home(home.folder)


def registered(home):
    return [r for r in home.ledger.receipts("contact plan registered") if r.subject == str(APRIL)]


PLACES = ("before the rows", "before the list", "before the record")


@pytest.fixture(scope="module")
def undisturbed(contacted, tmp_path_factory):
    """What April's plan is if nobody dies."""
    from churn_platform_tests.small_business import copied

    home = copied(contacted, tmp_path_factory.mktemp("undisturbed") / "home")
    deliver_april(home)
    run(open_home(home.folder))
    return open_home(home.folder)


@pytest.mark.parametrize("where", PLACES)
def test_the_next_run_completes_the_same_plan(home, undisturbed, monkeypatch, where):
    home = killed(home, monkeypatch, where)
    assert verification(home, deep=True)["breaks"] == []
    run(home)
    home = open_home(home.folder)
    assert len(registered(home)) == 1
    assert home.contact_plans.rows(APRIL).equals(undisturbed.contact_plans.rows(APRIL))
    csv = contact_list(home.reports, APRIL)
    assert csv.read_bytes() == contact_list(undisturbed.reports, APRIL).read_bytes()
    record, wanted = (one.records.read(KIND, APRIL) for one in (home, undisturbed))
    assert record["list_digest"] == wanted["list_digest"]
    assert record["digest"] == wanted["digest"]
    assert home.progress().next_step() is None
    assert verification(home, deep=True)["breaks"] == []


def corrected(home):
    """April arrives once more, with other hours."""
    again = month_tables(APRIL)
    again["visits"]["hours"] = again["visits"]["hours"].to_numpy()[::-1]
    deliver(home, APRIL, {"visits": again["visits"]})
    return open_home(home.folder)


@pytest.mark.parametrize("where", PLACES)
def test_other_inputs_change_only_a_plan_that_nobody_can_have_seen(
    home, undisturbed, monkeypatch, where
):
    home = killed(home, monkeypatch, where)
    run(corrected(home))
    home = open_home(home.folder)
    receipts = registered(home)
    same = home.contact_plans.rows(APRIL).equals(undisturbed.contact_plans.rows(APRIL))
    if where == "before the rows":
        assert (len(receipts), same) == (2, False)
        assert home.contact_plans.registration(APRIL) == receipts[-1]
    else:
        assert (len(receipts), same) == (1, True)
    assert home.contact_plans.record(APRIL).digest == receipts[-1].evidence["digest"]
    assert verification(home, deep=True)["breaks"] == []


def test_a_plan_that_is_not_made_after_all_is_withdrawn(home, monkeypatch):
    home = killed(home, monkeypatch, "before the rows")
    deliver(
        home, APRIL, {"leavers": month_tables(APRIL)["leavers"]}
    )  # nobody can be contacted any more
    run(open_home(home.folder))
    home = open_home(home.folder)
    assert home.contact_plans.registration(APRIL) is None
    assert home.contact_plans.record(APRIL).digest is None
    assert APRIL not in home.contact_plans.months()
    assert verification(home, deep=True)["breaks"] == []


def test_a_list_without_its_rows_is_never_planned_again(home, monkeypatch):
    home = killed(home, monkeypatch, "before the record")
    home.records.path(KIND, APRIL, ".parquet").unlink()
    with pytest.raises(IntegrityError) as refused:
        run(open_home(home.folder))
    assert refused.value.code == "CONTACT_PLAN_CHANGED"
    assert len(registered(open_home(home.folder))) == 1


def test_the_lists_of_a_completed_plan_name_the_registered_customers(home, monkeypatch):
    home = killed(home, monkeypatch, "before the list")
    assert not all(file.exists() for file in list_files(home.reports, APRIL))
    run(home)
    home = open_home(home.folder)
    rows = home.contact_plans.rows(APRIL)
    assigned = rows.loc[rows[ARM].isin(ASSIGNED), "member"].tolist()
    lines = contact_list(home.reports, APRIL).read_text().splitlines()[1:]
    assert [line.split(",")[1] for line in lines] == assigned


def test_a_policy_that_changes_later_changes_no_weight_of_the_past(contacted_copy):
    home = contacted_copy
    months = home.lake.months()[1:3]
    before = [home.labels.of(month, home.now()) for month in months]
    plans = [home.contact_plans.rows(month) for month in months]
    home = with_changes(
        home,
        {
            "policy.contacts.untouched_share": 0.45,
            "policy.contacts.salt": "another",
            "policy.contacts.budget": 10,
        },
    )
    run(home)
    home = open_home(home.folder)
    for month, labels, rows in zip(months, before, plans, strict=True):
        assert home.contact_plans.rows(month).equals(rows)
        if labels is not None:
            assert home.labels.of(month, home.now()).weights.equals(labels.weights)
    assert set(before[0].weights) == {0, 1 / (1 - 0.8), 1 / (1 - 10 / 1388)}
    assert verification(home, deep=True)["breaks"] == []
    assert tables(MARCH)["calls"].empty
