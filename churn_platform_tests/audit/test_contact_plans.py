"""Contact plans: one changed row, probability, list or record is found by the check of the
plans; what a kill leaves is normal until the next run.
"""

import pandas as pd
import pytest
from openpyxl import load_workbook

from churn_platform.audit.contact_plans import PlanChecks
from churn_platform.base.files import sha256_file
from churn_platform.contacts.plan import ARM, CONTACT, PROBABILITY, UNTOUCHED, plan_digest
from churn_platform.contacts.plans import KIND
from churn_platform.scoring.contact_list import contact_list
from churn_platform_tests.contacts.contacted_gym import tables
from churn_platform_tests.loop_steps import run
from churn_platform_tests.small_business import (
    APRIL,
    FEBRUARY,
    MARCH,
    deliver,
    open_home,
    with_changes,
)
from churn_platform_tests.system.trusted_home import edit_json, flip, verification

CHECK = "contact plans"


@pytest.fixture
def home(contacted_copy):
    return contacted_copy


def found(home, *states, deep=False):
    """The results of the check of the plans, without the other checks, with one of these states."""
    opened = open_home(home.folder)
    checks = PlanChecks(opened.contact_planning, opened.ledger.receipts(), lambda: True)
    results = [*checks.registered()]
    if deep:
        results += checks.drawn_again()
    return [one for one in results if one.state in states]


def verified(home, *, deep=False):
    """What a complete verification finds in the plans: state and count of each result."""
    results = verification(home, deep=deep)["findings"]
    return [(one["state"], one["count"]) for one in results if one["check"] == CHECK]


def csv(home, as_of=MARCH):
    return contact_list(home.reports, as_of)


def rewrite(home, change, as_of=MARCH):
    """Change the rows of a plan, and forge the digests of its record that no receipt holds."""
    rows = home.records.frame(KIND, as_of)
    change(rows)
    record = home.records.read(KIND, as_of)
    record["digest"] = plan_digest(rows, "member")
    home.records.write(KIND, as_of, record, rows)


def forge(home, as_of=MARCH, **fields):
    """Change the record together with its digest."""
    home.records.complete(KIND, as_of, home.records.read(KIND, as_of) | fields)


def swap_arms(rows):
    first = rows.index[rows[ARM] == CONTACT][0]
    other = rows.index[rows[ARM] == UNTOUCHED][0]
    rows.loc[[first, other], ARM] = [UNTOUCHED, CONTACT]


def another_list(home, change):
    """A changed list, and a record that holds its digest."""
    rows = pd.read_csv(csv(home))
    change(rows).to_csv(csv(home), index=False)
    forge(home, list_digest=sha256_file(csv(home)))


def without_customer_of_the_served(path):
    pd.read_parquet(path).iloc[1:].to_parquet(path, index=False)


def without_row(excel):
    book = load_workbook(excel)
    book.worksheets[0].delete_rows(5)
    book.save(excel)


def test_plans_hold_and_are_drawn_again_from_the_same_inputs(contacted):
    assert verified(contacted, deep=True) == [("holds", 2), ("holds", 2)]
    assert verified(contacted) == [("holds", 2)]


def test_a_home_without_plans_has_no_finding_of_them(january):
    assert verified(january, deep=True) == []


FORGERIES = {
    "two members with exchanged arms": lambda h: rewrite(h, swap_arms),
    "one probability": lambda h: rewrite(h, lambda rows: rows.__setitem__(PROBABILITY, rows[PROBABILITY].where(rows.index != 3, 0.5))),
    "rows deleted": lambda h: h.records.path(KIND, MARCH, ".parquet").unlink(),
    "rows of another month": lambda h: h.records.path(KIND, MARCH, ".parquet").write_bytes(h.records.path(KIND, FEBRUARY, ".parquet").read_bytes()),
    "an unreadable record": lambda h: h.records.path(KIND, MARCH, ".json").write_text("{"),
    "a record without its digest": lambda h: forge(h, digest=None),
    "a count": lambda h: forge(h, untouched=17),
    "a share": lambda h: forge(h, untouched_share=0.3),
    "the excluded": lambda h: forge(h, excluded={}),
    "a list without its first row": lambda h: another_list(h, lambda rows: rows.iloc[1:]),
    "a list with one more": lambda h: another_list(h, lambda rows: pd.concat([rows, rows.iloc[:1].assign(member="m00001")])),
    "no list": lambda h: csv(h).unlink(),
    "no Excel list": lambda h: csv(h).with_suffix(".xlsx").unlink(),
    "a served list with one less": lambda h: without_customer_of_the_served(csv(h).with_suffix(".parquet")),
    "an Excel list without a row": lambda h: without_row(csv(h).with_suffix(".xlsx")),
}  # fmt: skip


@pytest.mark.parametrize("what", FORGERIES)
def test_whatever_is_changed_is_found_without_a_deep_look(home, what):
    if what == "a record without its digest":
        deliver_april(home)
    FORGERIES[what](home)
    faults = found(home, "broken")
    assert len(faults) >= 1
    assert all("2024-03-31" in one.detail for one in faults)


def test_the_team_may_sort_the_list_and_fill_it_in(home):
    rows = pd.read_csv(csv(home), dtype=str)
    filled = rows.iloc[::-1].assign(**{rows.columns[-1]: "reached"})
    filled.to_csv(csv(home), index=False)
    assert found(home, "broken") == []


def deliver_april(home):
    """A later run has received a drop, so March's plan must be complete."""
    deliver(home, APRIL, tables(APRIL))
    open_home(home.folder).ingestion.publish(APRIL)


def test_a_plan_without_a_receipt_is_found(home):
    rows = home.records.frame(KIND, MARCH)
    home.contact_plans.withdraw(MARCH, "It does not count.")
    home.records.write_rows(KIND, MARCH, rows)
    assert len(found(home, "broken")) == 1
    forge(home, digest=None)
    assert len(found(home, "broken")) == 1  # its list is still there


def cut_off(home):
    """As a kill between the receipt and the rows of March leaves it."""
    for suffix in (".json", ".parquet"):
        home.records.path(KIND, MARCH, suffix).unlink()
    csv(home).unlink()
    csv(home).with_suffix(".xlsx").unlink()
    csv(home).with_suffix(".parquet").unlink()


def test_a_complete_verification_names_a_changed_plan(home):
    rewrite(home, swap_arms)
    assert "broken" in [state for state, _ in verified(home)]


def test_a_receipt_without_a_plan_is_normal_until_a_later_run(home):
    cut_off(home)
    assert found(home, "broken") == []
    assert len(found(home, "said")) == 1
    deliver_april(home)
    assert len(found(home, "broken")) == 1


@pytest.mark.parametrize(
    ("column", "value"), [("stratum", 7), ("rank", 900), ("value", 40.0), ("probability", 0.0)]
)
def test_a_deep_look_finds_what_the_registered_digest_does_not_cover(home, column, value):
    def change(rows):
        rows.loc[rows[ARM] == UNTOUCHED, column] = value

    rewrite(home, change)
    assert found(home, "broken") == []
    assert len(found(home, "broken", deep=True)) == 1


def test_values_that_keep_the_order_are_compared_with_the_inputs(home):
    rewrite(home, lambda rows: rows.__setitem__("value", rows["value"] * 2))
    [fault] = found(home, "broken", deep=True)
    assert "inputs" in fault.detail


def test_a_plan_of_another_policy_is_drawn_again_by_the_policy_as_registered(home):
    home = with_changes(
        home, {"policy.contacts.untouched_share": 0.4, "policy.contacts.value": 7.0}
    )
    run(home)
    home = open_home(home.folder)
    assert found(home, "broken", "said", deep=True) == []


def test_a_plan_whose_scores_were_made_again_is_said_not_broken(home):
    scores = home.records.frame("scores", MARCH)
    scores["probability"] = scores["probability"] * 0.9
    home.records.write("scores", MARCH, home.records.read("scores", MARCH), scores)
    assert found(home, "broken", deep=True) == []
    [result] = found(home, "said", deep=True)
    assert "2024-03-31" in result.detail


def test_a_broken_chain_is_named_and_the_plans_are_not_compared(home):
    flip(home.ledger.file, 0.3)
    assert [state for state, _ in verified(home, deep=True)] == ["said"]


def test_a_forged_record_is_found_by_the_receipt_although_its_own_digests_fit(home):
    rewrite(home, swap_arms)
    assert home.records.broken(KIND, MARCH) is None
    assert len(found(home, "broken")) == 1
    edit_json(home.records.path(KIND, MARCH, ".json"), lambda one: one.update(contact=1))
    assert home.records.broken(KIND, MARCH) is not None
