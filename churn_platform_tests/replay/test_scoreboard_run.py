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
from churn_platform.replay.home_replay import IN_AUC, IN_COSTS
from churn_platform.replay.scoreboard import Totals
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


@pytest.fixture(scope="module")
def march(in_march):
    """Who left in March, and each version's probabilities of the same customers."""
    rows = feature_frame(in_march.contract, in_march.lake.tables(MARCH))
    leavers = month_tables(MARCH)["leavers"].set_index("member")["has_left"]
    models = [released(in_march.releases, version).model for version in (1, 2)]
    contacts = [model.probability(rows) >= model.threshold for model in models]
    return leavers[rows["member"]].to_numpy(), [m.probability(rows) for m in models], contacts


def test_the_figures_are_those_of_both_versions_on_the_same_rows_of_the_later_month(
    in_march, march
):
    truth, (theirs, ours), _ = march
    expected = paired_auc_difference(truth, ours, theirs)
    second = in_march.scoreboard().judge().decisions[1]
    assert second.candidate_auc == expected.candidate_auc
    assert second.incumbent_auc == expected.production_auc
    assert second.interval == pytest.approx(expected.interval.as_list())
    assert second.gained == pytest.approx(expected.difference)


def changed_contract(home, folder, change):
    """A copy of the home after a change of its contract file."""
    home = copied(home, folder)
    path = home.folder / "contract.yaml"
    declared = yaml.safe_load(path.read_text(encoding="utf-8"))
    change(declared)
    path.write_text(yaml.safe_dump(declared, sort_keys=False), encoding="utf-8")
    return open_home(home.folder)


def test_without_costs_of_its_own_the_contract_counts_in_auc_and_with_them_in_costs(
    in_march, march, tmp_path
):
    assert in_march.scoreboard().judge().gained == IN_AUC
    costs = {"missed_churner": 50.0, "needless_contact": 10.0}
    home = changed_contract(in_march, tmp_path / "home", lambda made: made.update(costs=costs))
    found = home.scoreboard().judge()
    assert found.gained == IN_COSTS
    truth, _, contacts = march
    old, new = (50 * (truth & ~them).sum() + 10 * (~truth & them).sum() for them in contacts)
    assert found.decisions[1].gained == old - new > 0


def test_a_decision_of_the_newest_month_is_open(february_decided):
    home = open_home(february_decided.folder)
    second = home.scoreboard().judge().decisions[1]
    assert (second.judgement, second.months, second.gained) == ("open", (), None)
    assert "No later month" in second.sentence


def test_versions_of_another_contract_are_judged_with_their_own_features(in_march, tmp_path):
    def fewer(declared):
        declared["feature_views"]["members_fv"]["features"].remove("has_app")

    home = changed_contract(in_march, tmp_path / "home", fewer)
    assert "has_app" not in home.contract.features
    assert home.scoreboard().judge() == in_march.scoreboard().judge()


def test_decisions_on_a_version_that_was_removed_are_open_with_the_reason_and_all_others_are_judged(
    in_march, tmp_path
):
    home = copied(in_march, tmp_path / "home")
    shutil.rmtree(home.releases.folder / "2")
    home.registry._client().delete_model_version(home.contract.model_name, "2")
    first, second = open_home(home.folder).scoreboard().judge().decisions
    assert (first.judgement, second.judgement) == ("wrong", "open")
    assert "version 2" in second.sentence
    assert second.sentence.startswith("Not judged")


def test_before_a_month_there_is_no_scoreboard_and_before_a_decision_an_empty_one(
    tmp_path, january_decided_copy
):
    with pytest.raises(UsageError):
        make_home(tmp_path / "empty").scoreboard().judge()
    for path in (january_decided_copy.folder / "ledger" / "decisions").glob("*.json"):
        path.unlink()
    assert january_decided_copy.scoreboard().judge().totals.decisions == 0
