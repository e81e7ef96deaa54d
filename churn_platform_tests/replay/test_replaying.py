"""A home's past lived through again: the same decisions under the same policy, and nothing of the home touched."""

import datetime as dt

import pytest

from churn_platform.base.errors import ContractError, UsageError
from churn_platform.base.files import sha256_file
from churn_platform.lake.lake import instant
from churn_platform.replay.home_replay import THIS, history_of, replay_home
from churn_platform_tests.small_business import (
    FEBRUARY,
    JANUARY,
    make_home,
    month_tables,
    open_home,
)


def backtests(home, files):
    return replay_home(home.contract, home.labels, home.now(), files)


def past_of(home):
    return history_of(home.labels, home.now())


def content(home):
    return {path: sha256_file(path) for path in sorted(home.folder.rglob("*")) if path.is_file()}


@pytest.fixture(scope="module")
def replayed(february_decided):
    before = content(february_decided)
    found = backtests(open_home(february_decided.folder), [])
    return before, {one.name: one for one in found}, content(february_decided)


def test_under_its_own_policy_the_past_comes_out_as_it_was(february_decided, replayed):
    before, found, after = replayed
    assert before == after  # nothing of the home is changed
    assert {name: one.promotions for name, one in found.items()} == {
        THIS: 2, "never retrain": 1, "always retrain": 2,
    }  # fmt: skip
    home = february_decided
    this = found[THIS]
    for name in ("decision", "trigger", "reason"):
        kept = [decision[name] for decision in home.records.decisions()]
        assert [getattr(month, name) for month in this.months] == kept
    (entry,) = home.records.read("performance", FEBRUARY)["evaluated"]
    assert this.months[1].auc == entry["metrics"]["auc"]


def test_a_policy_of_a_file_is_named_after_it_and_changes_what_it_says(february_decided, tmp_path):
    (tmp_path / "strict.yaml").write_text("policy: {promotion: {delta: 0.9}}", encoding="utf-8")
    strict = backtests(open_home(february_decided.folder), [tmp_path / "strict.yaml"])[-1]
    assert strict.name == "strict"
    assert [month.decision for month in strict.months] == ["promoted", "refused"]
    assert "not more than the policy's 0.9" in strict.months[1].reason


def test_two_policies_of_one_name_are_refused(february_decided, tmp_path):
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "mine.yaml").write_text("policy: {}", encoding="utf-8")
    with pytest.raises(UsageError, match="Two policies are called 'mine'"):
        backtests(february_decided, [tmp_path / "a" / "mine.yaml", tmp_path / "b" / "mine.yaml"])


def test_without_a_month_it_says_so(tmp_path):
    with pytest.raises(UsageError, match="no month to replay"):
        backtests(make_home(tmp_path / "home"), [])


def test_a_lake_of_another_contract_is_refused(february_decided_copy):
    text = (february_decided_copy.folder / "contract.yaml").read_text(encoding="utf-8")
    changed = text.replace(
        "      hours:\n", "      minutes: {dtype: float, nullable: true}\n      hours:\n"
    )
    assert changed != text
    (february_decided_copy.folder / "contract.yaml").write_text(changed, encoding="utf-8")
    with pytest.raises(ContractError, match=r"lacks visits\.minutes"):
        backtests(open_home(february_decided_copy.folder), [])


def corrected(home, month, arrived, **tables):
    """Deliver a month again as it is with some tables changed."""
    later = open_home(home.folder, now=lambda: arrived)
    later.lake.publish(month, month_tables(month) | tables, arrived, f"corrected {arrived}")


def test_a_correction_is_known_from_the_month_on_in_which_it_came_and_to_the_judge_today(
    january_copy,
):
    home = january_copy
    leavers = month_tables(JANUARY)["leavers"]
    home.lake.publish(FEBRUARY, month_tables(FEBRUARY), instant(FEBRUARY), "february")
    flipped = leavers.assign(has_left=~leavers["has_left"])
    corrected(home, JANUARY, instant(FEBRUARY) + dt.timedelta(days=5), leavers=flipped)
    again = leavers.assign(has_left=True)
    corrected(home, JANUARY, instant(FEBRUARY) + dt.timedelta(days=6), leavers=again)
    history = past_of(open_home(home.folder))
    before, then, now = (history.labels(JANUARY, at).churned for at in (JANUARY, FEBRUARY, None))
    assert before.tolist() == leavers["has_left"].tolist()
    assert then.tolist() == flipped["has_left"].tolist()
    assert now.all()


def test_features_corrected_after_scoring_are_not_those_of_the_past(january_copy):
    visits = month_tables(JANUARY)["visits"]
    corrected(
        january_copy,
        JANUARY,
        instant(JANUARY) + dt.timedelta(days=6),
        visits=visits.assign(hours=0.0),
    )
    rows = past_of(open_home(january_copy.folder)).rows(JANUARY)
    assert rows["hours"].max() > 1
