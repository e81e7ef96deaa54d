"""Contact plans are kept: an erased customer leaves them, a damaged one is restored and never
drawn from other scores, a backup holds them.
"""

import pandas as pd
import pytest
from openpyxl import load_workbook

from churn_platform.base.cells import safe
from churn_platform.base.files import sha256_file
from churn_platform.contacts.plan import ARM, CONTACT, PROBABILITY, UNTOUCHED
from churn_platform.contacts.plans import KIND
from churn_platform.ledger.acts import CustomerForgotten
from churn_platform.ledger.store import LedgerStore
from churn_platform.maintenance.customer_rows import Key, without_customer
from churn_platform.scoring.contact_list import contact_list
from churn_platform_tests.contacts.contacted_gym import TWICE
from churn_platform_tests.loop_steps import run
from churn_platform_tests.maintenance.test_erasure import places
from churn_platform_tests.small_business import FEBRUARY, MARCH, open_home
from churn_platform_tests.system.trusted_home import verification


@pytest.fixture
def home(contacted_copy):
    return contacted_copy


def first(home, as_of, arm, place=0):
    """A member in an arm of a plan."""
    rows = home.contact_plans.rows(as_of)
    return rows.loc[rows[ARM] == arm, "member"].iloc[place]


def weights(home):
    """What each label of February stands for."""
    found = home.labels.of(FEBRUARY, home.now())
    return found.weights


def erase(home, key):
    found = home.erasure.erase(key, "ann", "asked by letter")
    assert (found.unread, found.changed) == ([], [])
    return found


def listed(home, as_of):
    """The members on the list as CSV and as Excel."""
    csv = contact_list(home.reports, as_of)
    rows = load_workbook(csv.with_suffix(".xlsx")).worksheets[0].iter_rows(values_only=True)
    place = next(rows).index("member")
    excel = [row[place] for row in rows]
    return pd.read_csv(csv)["member"].tolist(), excel


@pytest.mark.parametrize("arm", [CONTACT, UNTOUCHED, "explore", "below"])
def test_an_erased_member_is_in_no_plan_and_nobody_else_changes(home, arm):
    key = first(home, FEBRUARY, arm, TWICE)
    before = weights(home)
    plans = {month: home.contact_plans.rows(month) for month in (FEBRUARY, MARCH)}
    lists = {month: listed(home, month) for month in (FEBRUARY, MARCH)}
    record = home.contact_plans.record(FEBRUARY)
    erase(home, key)
    home = open_home(home.folder)
    assert places(home, key) == []
    after = weights(home)
    pd.testing.assert_series_equal(after, before.drop(key))
    for month, rows in plans.items():
        left = rows[rows["member"] != key].reset_index(drop=True)
        pd.testing.assert_frame_equal(home.contact_plans.rows(month), left)
        expected = [name for name in lists[month][0] if name != key]
        assert listed(home, month) == (expected, expected)
    counted = home.contact_plans.record(FEBRUARY)
    assert getattr(counted, arm) == getattr(record, arm) - 1
    assert home.progress().next_step() is None
    assert verification(home, deep=True)["breaks"] == []


def test_a_member_who_was_called_three_times_leaves_every_call(home):
    key = first(home, FEBRUARY, CONTACT, TWICE)
    assert (home.contact_log.known(home.now())["member"] == key).sum() == 3
    found = erase(home, key)
    assert found.rows["drops"] >= 3 + 3
    home = open_home(home.folder)
    assert (home.contact_log.known(home.now())["member"] == key).sum() == 0
    assert run(home) == []
    assert verification(open_home(home.folder), deep=True)["breaks"] == []


def test_the_loop_reads_a_plan_whose_erasure_was_cut_off_before_its_receipt(home, monkeypatch):
    key = first(home, FEBRUARY, CONTACT)
    append = LedgerStore.append

    def dying(self, act):
        if isinstance(act, CustomerForgotten):
            raise KeyboardInterrupt
        return append(self, act)

    with monkeypatch.context() as patched:
        patched.setattr(LedgerStore, "append", dying)
        with pytest.raises(KeyboardInterrupt):
            erase(home, key)
    home = open_home(home.folder)
    assert key not in set(home.contact_plans.rows(FEBRUARY)["member"])
    assert home.progress().next_step() is None
    assert [(one.what, one.done) for one in home.repairs.run()] == [("forgetting", True)]
    assert verification(open_home(home.folder), deep=True)["breaks"] == []


def test_a_swapped_row_is_still_found_after_an_erasure(home):
    erase(home, first(home, FEBRUARY, CONTACT))
    home = open_home(home.folder)
    rows = home.records.frame(KIND, FEBRUARY)
    rows.loc[[0, 1], "member"] = rows.loc[[1, 0], "member"].to_numpy()
    home.records.write(KIND, FEBRUARY, home.records.read(KIND, FEBRUARY), rows)
    assert not verification(home)["verified"]


def test_a_key_that_a_spreadsheet_would_execute_is_erased_too(tmp_path):
    path = tmp_path / "contact_list.csv"
    path.write_text(f"\ufeffposition;member\n1;{safe('=1+2')}\n2;m1\n", encoding="utf-8")
    content, rows = without_customer(
        path, Key("=1+2", {"member"}, marked=True), delimiter=";", encoding="utf-8"
    )
    assert (content.decode("utf-8-sig"), rows) == ("position;member\n2;m1\n", 1)


def damage_record(home):
    home.records.path(KIND, MARCH, ".json").write_text("{")


def remove_record(home):
    home.records.path(KIND, MARCH, ".json").unlink()


def edit_record(home):
    record = home.records.read(KIND, MARCH)
    home.records.write(KIND, MARCH, record | {"digest": None, "note": "There was never a plan."})


def remove_rows(home):
    home.records.path(KIND, MARCH, ".parquet").unlink()


def damage_rows(home):
    rows = home.records.frame(KIND, MARCH)
    rows[PROBABILITY] = 0.5
    home.records.write(KIND, MARCH, home.records.read(KIND, MARCH), rows)


def remove_both(home):
    remove_rows(home)
    remove_record(home)


DAMAGE = (damage_record, remove_record, edit_record, remove_rows, damage_rows, remove_both)


@pytest.mark.parametrize("damage", DAMAGE, ids=[one.__name__ for one in DAMAGE])
def test_a_damaged_plan_is_restored_as_it_was_registered(home, damage):
    rows = home.contact_plans.rows(MARCH)
    record = home.records.read(KIND, MARCH)
    damage(home)
    if damage not in (edit_record, remove_record):  # these look as a kill leaves them
        checks = open_home(home.folder).checkup.run()
        assert "error" in {one["state"] for one in checks if one["check"] == "contact plans"}
    found = open_home(home.folder).repairs.run()
    assert [(one.what, one.done) for one in found] == [("contact plan", True)]
    home = open_home(home.folder)
    assert home.records.read(KIND, MARCH) == record
    pd.testing.assert_frame_equal(home.contact_plans.rows(MARCH), rows)
    assert len(home.ledger.receipts("contact plan registered")) == 2
    assert open_home(home.folder).repairs.run() == []
    assert verification(home, deep=True)["breaks"] == []
    assert run(open_home(home.folder)) == []


@pytest.mark.parametrize("damage", [remove_rows, damage_rows, remove_both])
def test_a_plan_is_never_drawn_from_other_scores(home, damage):
    scores = home.records.frame("scores", MARCH)
    scores["probability"] = scores["probability"].to_numpy()[::-1]
    home.records.write("scores", MARCH, home.records.read("scores", MARCH), scores)
    damage(home)
    found = open_home(home.folder).repairs.run()
    assert [(one.what, one.done) for one in found] == [("contact plan", False)]
    assert "backup" in found[0].says
    assert len(open_home(home.folder).ledger.receipts("contact plan registered")) == 2


def test_a_healthy_home_reports_its_plans_and_repairs_nothing(contacted):
    [check] = [one for one in contacted.checkup.run() if one["check"] == "contact plans"]
    assert check["state"] == "ok"
    assert contacted.repairs.run() == []


def test_a_home_without_contacts_has_no_such_check(january):
    assert "contact plans" not in {one["check"] for one in january.checkup.run()}


def test_a_backup_holds_the_plans_and_their_lists(contacted, tmp_path):
    contacted.backup.write(tmp_path / "backup.zip")
    target = open_home(tmp_path / "restored")
    target.backup.restore(tmp_path / "backup.zip")
    home = open_home(target.folder)
    for month in (FEBRUARY, MARCH):
        pd.testing.assert_frame_equal(
            home.contact_plans.rows(month), contacted.contact_plans.rows(month)
        )
        lists = [sha256_file(contact_list(one.reports, month)) for one in (home, contacted)]
        assert lists[0] == lists[1]
    assert verification(home, deep=True)["breaks"] == []
