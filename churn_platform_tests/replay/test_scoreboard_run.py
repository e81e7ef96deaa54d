"""The scoreboard of a real home: what matured labels say of each decision, in costs where the contract has them."""

import datetime as dt
import shutil

import pytest
import yaml

from churn_platform.base.errors import UsageError
from churn_platform.evaluation.comparison import paired_auc_difference
from churn_platform.lake.lake import instant
from churn_platform.lake.tables import feature_frame
from churn_platform.promotion.promotions import released
from churn_platform.replay.scoreboard import Totals
from churn_platform.replay.scoreboard_run import IN_AUC, IN_COSTS
from churn_platform_tests.small_business import (
    FEBRUARY,
    copied,
    make_home,
    month_tables,
    open_home,
    up_to_scores,
)

MARCH = dt.date(2024, 3, 31)


@pytest.fixture(scope="module")
def in_march(february_decided, tmp_path_factory):
    """Version 2 in production; March published, in which the old members leave as in February. Read only."""
    home = up_to_scores(
        copied(february_decided, tmp_path_factory.mktemp("in_march") / "home"), FEBRUARY
    )
    home.lake.publish(MARCH, month_tables(MARCH), instant(MARCH), "march")
    return open_home(home.folder)


def test_the_first_model_was_a_mistake_and_its_replacement_right(in_march):
    found = in_march.scoreboard().judge()
    first, second = found.decisions
    assert (first.judgement, first.incumbent, first.final) == ("wrong", None, True)
    assert first.months == ("2024-02-29",)
    assert first.interval[1] < 0, "worse than chance"
    assert (second.judgement, second.incumbent, second.final) == ("right", 1, False)
    assert second.months == ("2024-03-31",)
    assert found.totals == Totals(
        2, right=1, wrong=1, open=0, needless=1, missed=0, gained=first.gained + second.gained
    )


def test_the_figures_are_those_of_both_versions_on_the_same_rows_of_the_later_month(in_march):
    rows = feature_frame(in_march.contract, in_march.lake.tables(MARCH))
    truth = (
        month_tables(MARCH)["leavers"]
        .set_index("member")["has_left"]
        .reindex(rows["member"])
        .to_numpy()
    )
    ours, theirs = (
        released(in_march.releases, version).model.probability(rows) for version in (2, 1)
    )
    expected = paired_auc_difference(truth, ours, theirs)
    second = in_march.scoreboard().judge().decisions[1]
    assert (second.candidate_auc, second.incumbent_auc) == (
        expected.candidate_auc,
        expected.production_auc,
    )
    assert second.interval == pytest.approx(expected.interval.as_list())
    assert second.gained == pytest.approx(expected.difference)


def test_without_costs_of_its_own_the_contract_counts_in_auc_and_with_them_in_costs(
    in_march, tmp_path
):
    assert in_march.scoreboard().judge().gained == IN_AUC
    home = copied(in_march, tmp_path / "home")
    path = home.folder / "contract.yaml"
    declared = yaml.safe_load(path.read_text(encoding="utf-8"))
    costs = {"missed_churner": 50.0, "needless_contact": 10.0}
    path.write_text(yaml.safe_dump(declared | {"costs": costs}, sort_keys=False), encoding="utf-8")
    home = open_home(home.folder)
    found = home.scoreboard().judge()
    assert found.gained == IN_COSTS
    rows = feature_frame(home.contract, home.lake.tables(MARCH))
    truth = (
        month_tables(MARCH)["leavers"]
        .set_index("member")["has_left"]
        .reindex(rows["member"])
        .to_numpy()
    )
    spent = []
    for version in (released(home.releases, 1), released(home.releases, 2)):
        contacted = version.model.probability(rows) >= version.model.threshold
        spent.append(50 * (truth & ~contacted).sum() + 10 * (~truth & contacted).sum())
    assert found.decisions[1].gained == spent[0] - spent[1] > 0


def test_a_decision_of_the_newest_month_is_open(february_decided):
    home = open_home(february_decided.folder)
    second = home.scoreboard().judge().decisions[1]
    assert (second.judgement, second.months, second.gained) == ("open", (), None)
    assert "No later month" in second.sentence


def test_a_version_of_another_contract_is_left_open(in_march, tmp_path):
    home = copied(in_march, tmp_path / "home")
    path = home.folder / "contract.yaml"
    declared = yaml.safe_load(path.read_text(encoding="utf-8"))
    declared["feature_views"]["members_fv"]["features"].remove("has_app")
    path.write_text(yaml.safe_dump(declared, sort_keys=False), encoding="utf-8")
    found = open_home(home.folder).scoreboard().judge().decisions
    assert [one.judgement for one in found] == ["open", "open"]
    assert [one.sentence for one in found] == [
        f"Not judged: version {version} was trained under another contract." for version in (1, 2)
    ]


def test_decisions_on_a_version_that_was_removed_are_open_with_the_reason_and_all_others_are_judged(
    in_march, tmp_path
):
    home = copied(in_march, tmp_path / "home")
    shutil.rmtree(home.releases.folder / "2")
    home.registry._client().delete_model_version(home.contract.model_name, "2")
    first, second = open_home(home.folder).scoreboard().judge().decisions
    assert (first.judgement, second.judgement) == ("wrong", "open")
    assert second.sentence == "Not judged: gym_churn has no version 2."


def test_before_a_month_there_is_no_scoreboard_and_before_a_decision_an_empty_one(
    tmp_path, january_decided_copy
):
    with pytest.raises(UsageError):
        make_home(tmp_path / "empty").scoreboard().judge()
    for path in (january_decided_copy.folder / "ledger" / "decisions").glob("*.json"):
        path.unlink()
    assert january_decided_copy.scoreboard().judge().totals.decisions == 0
