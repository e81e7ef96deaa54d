"""Shadows on a home: months scored, lists and outcomes compared, served answers replayed."""

import datetime as dt
import hashlib

import numpy as np
import pandas as pd
import pytest
from pydantic_core import to_json

from churn_platform.experiments.month import experiments_record
from churn_platform.experiments.shadow_scorer import load_shadow, rows_of, score_frame
from churn_platform.experiments.shadow_scores import shadow_scores
from churn_platform.lake.tables import feature_frame
from churn_platform_tests.contacts_business import without_labels
from churn_platform_tests.shared_homes import made_once
from churn_platform_tests.small_business import (
    APRIL,
    FEBRUARY,
    MARCH,
    copied,
    deliver,
    month_tables,
    monthly,
    open_home,
)
from churn_platform_tests.system.trusted_home import verification

ANN = ("Ann", "To see it.")
RULE = "coalesce(hours, 0) - months"


@pytest.fixture(scope="module")
def shadowed(february, tmp_path_factory):
    """Version 2 in production; version 1 and a rule are shadows; March has no labels yet. Read only."""

    def make(folder):
        home = copied(february, folder)
        home.experiments.start_shadow(1, None, *ANN)
        home.experiments.start_shadow(None, RULE, *ANN)
        deliver(home, MARCH, without_labels(MARCH))
        monthly(home, MARCH)

    return open_home(made_once(tmp_path_factory, "shadowed", make))


@pytest.fixture(scope="module")
def judged(shadowed, tmp_path_factory):
    """`shadowed` when March's labels are known and April is scored. Read only."""

    def make(folder):
        home = copied(shadowed, folder)
        deliver(home, MARCH)
        deliver(home, APRIL, without_labels(APRIL))
        monthly(home, MARCH)
        monthly(open_home(folder), APRIL)

    return open_home(made_once(tmp_path_factory, "judged", make))


def test_a_month_has_a_column_for_each_shadow(shadowed):
    record = shadow_scores(shadowed.records, MARCH)
    assert [one.name for one in record.shadows] == ["version 1", RULE]
    assert record.version == 2
    rows = shadowed.records.frame("shadow_scores", MARCH)
    assert list(rows) == ["member", "version 1", RULE]
    for shadow in shadowed.experiments.state().running.shadows:
        scorer = load_shadow(shadow, shadowed.contract, shadowed.releases)
        frame = feature_frame(shadowed.contract, shadowed.lake.tables(MARCH))
        assert rows["member"].tolist() == frame["member"].tolist()
        assert rows[shadow.name].to_numpy().tobytes() == score_frame(scorer, frame).tobytes()
    assert shadowed.records.broken("shadow_scores", MARCH) is None


def test_both_lists_are_compared_before_labels(shadowed):
    version, rule = experiments_record(shadowed.records, MARCH).shadows
    assert (version.name, version.production, rule.name) == ("version 1", 2, RULE)
    both = shadowed.records.frame("scores", MARCH).merge(
        shadowed.records.frame("shadow_scores", MARCH), on="member"
    )
    for found in (version, rule):
        ours = set(
            both.sort_values(["probability", "member"], ascending=[False, True])["member"][:20]
        )
        theirs = set(
            both.sort_values([found.name, "member"], ascending=[False, True])["member"][:20]
        )
        listed = found.listed
        assert (listed.as_of, listed.budget, listed.overlap) == (
            "2024-03-31",
            20,
            len(ours & theirs),
        )
        assert listed.correlation == pytest.approx(
            both["probability"].corr(both[found.name], method="spearman")
        )
    assert rule.listed.reasons_changed is None
    assert version.listed.reasons_changed is None or 0 <= version.listed.reasons_changed <= 1
    changes = pd.read_csv(shadowed.reports / "2024-03-31" / "shadows.csv")
    assert set(changes["shadow"]) == {"version 1", RULE}
    assert (changes["change"] == "enters").sum() == version.listed.enter + rule.listed.enter
    assert version.monthly.note
    assert version.served.note


def test_labels_judge_the_monthly_lists_of_later_months(judged):
    version, rule = experiments_record(judged.records, APRIL).shadows
    for found in (version, rule):
        assert found.monthly.months == ("2024-03-31",)
        assert found.monthly.customers == 1500
        assert found.monthly.interval[0] < found.monthly.difference < found.monthly.interval[1]
    truth = month_tables(MARCH)["leavers"].set_index("member")["has_left"]
    scores = judged.records.frame("scores", MARCH).sort_values("probability", ascending=False)
    hits = truth.loc[scores["member"][:20]].sum()
    assert version.monthly.production_hits == hits
    # In March those who come often leave, as version 2 knows; the rule knows it in part.
    assert version.monthly.interval[1] < 0
    assert rule.listed.as_of == "2024-04-30"


def test_without_a_shadow_nothing_is_written(february):
    assert february.month.experiments(FEBRUARY) is None
    folder = february.folder / "lake" / "derived"
    assert not (folder / "shadow_scores").exists()
    assert not (folder / "experiments").exists()


@pytest.mark.slow
def test_a_month_whose_labels_were_known_before_the_shadow_judges_nothing(february_copy):
    """The rule of a person who has seen the labels; the next month counts, with its labels too."""
    home = february_copy
    home.experiments.start_shadow(None, RULE, *ANN)
    (rule,) = home.month.experiments(FEBRUARY).shadows
    assert rule.listed is not None or rule.note
    assert (rule.monthly.months, rule.monthly.auc) == ((), None)
    deliver(home, MARCH)
    monthly(home, MARCH)
    (rule,) = experiments_record(home.records, MARCH).shadows
    assert rule.monthly.months == ("2024-03-31",)
    monthly(home, MARCH)
    (rule,) = experiments_record(home.records, MARCH).shadows
    assert rule.monthly.months == ("2024-03-31",)


@pytest.fixture
def shadowed_copy(shadowed, tmp_path):
    return copied(shadowed, tmp_path / "home")


@pytest.mark.slow
def test_an_older_month_is_not_scored_again(shadowed_copy):
    home = shadowed_copy
    home.experiments.end_shadow(RULE, *ANN)
    home.experiments.start_shadow(None, "months", *ANN)
    assert home.month.experiments(FEBRUARY) is None
    assert not home.records.path("shadow_scores", FEBRUARY, ".json").exists()
    names = [one.name for one in home.month.experiments(MARCH).shadows]
    assert names == ["version 1", "months"]
    assert list(home.records.frame("shadow_scores", MARCH)) == ["member", "version 1", "months"]


@pytest.mark.slow
def test_a_shadow_that_cannot_score_stops_no_month(shadowed_copy, monkeypatch):
    home = shadowed_copy
    booster = home.releases.path(1, "model.skops")
    booster.chmod(0o644)
    booster.write_bytes(b"damaged")
    version, rule = home.month.experiments(MARCH).shadows
    assert version.note
    assert version.listed is None
    assert rule.listed is not None
    assert list(home.records.frame("shadow_scores", MARCH)) == ["member", RULE]

    def broken(*_):
        raise RuntimeError("boom")

    monkeypatch.setattr("churn_platform.experiments.shadow_scorer.RuleScorer.score", broken)
    _, rule = home.month.experiments(MARCH).shadows
    assert "boom" in rule.note


def test_the_last_shadow_that_ends_leaves_an_empty_record(shadowed_copy):
    home = shadowed_copy
    for name in ("version 1", RULE):
        home.experiments.end_shadow(name, *ANN)
    assert home.month.experiments(MARCH).shadows == ()


MOMENT = dt.datetime(2024, 4, 2, 9, tzinfo=dt.UTC).timestamp()


def answers_of(home, as_of, customers):
    """What the API would have logged: the answer of version 2 to each customer, and the shadows' scores."""
    from churn_platform.training.release_loading import load_scorer

    frame = feature_frame(home.contract, home.lake.tables(as_of)).head(customers)
    rows = rows_of(frame, list(home.contract.features))
    probabilities = load_scorer(home.releases, home.releases.verify(2)).probability(rows)
    served = {
        "time": pd.to_datetime(MOMENT + np.arange(customers) / 1e3, unit="s", utc=True),
        "member": frame["member"],
        "version": 2,
        "features_as_of": as_of,
        "probability": probabilities,
        "features": [hashlib.sha256(to_json(row)).hexdigest() for row in rows],
        "what_if": False,
        "stale": False,
        "arm": "production",
    }
    served = pd.DataFrame(served)
    scores = []
    for shadow in home.experiments.state().running.shadows:
        scorer = load_shadow(shadow, home.contract, home.releases)
        kept = served.drop(columns=["probability", "arm"]).rename(
            columns={"version": "served_version"}
        )
        scores.append(kept.assign(shadow=shadow.name, score=scorer.score(rows)))
    return served, pd.concat(scores)


def write(folder, rows, name="one"):
    day = folder / str(dt.datetime.now(dt.UTC).date())  # an older day is removed
    day.mkdir(parents=True, exist_ok=True)
    rows.to_parquet(day / f"{name}.parquet", index=False)


@pytest.fixture
def served_shadows(judged, tmp_path):
    """`judged` with a log of answers for March: 900 customers, with what-ifs, stale ones and a canary's."""
    home = copied(judged, tmp_path / "home")
    served, scores = answers_of(home, MARCH, 900)
    later = served["time"] + pd.Timedelta(hours=1)
    wrong = served.assign(time=later, probability=1.0 - served["probability"])
    write(home.predictions, served)
    write(home.predictions, wrong.assign(what_if=True), "what_if")
    write(home.predictions, wrong.assign(stale=True), "stale")
    write(home.predictions, wrong.assign(arm="canary", version=1), "canary")
    early = served["time"] - pd.Timedelta(hours=1)
    write(home.predictions, served.assign(time=early, probability=0.5, features="x"), "earlier")
    write(home.shadows, scores)
    return home


def test_served_answers_are_judged_as_the_monthly_list_is(served_shadows):
    home = served_shadows
    version, rule = home.month.experiments(APRIL).shadows
    scores = home.records.frame("shadow_scores", MARCH).set_index("member")
    production = home.records.frame("scores", MARCH).set_index("member")["probability"]
    truth = month_tables(MARCH)["leavers"].set_index("member")["has_left"][:900]
    from churn_platform.evaluation.statistics import auc

    for found in (version, rule):
        assert found.served.customers == 900
        own = scores[found.name].loc[truth.index].to_numpy(float)
        assert found.served.auc == pytest.approx(auc(truth.to_numpy(bool), own), abs=1e-12)
        served = production.loc[truth.index].to_numpy(float)
        expected = auc(truth.to_numpy(bool), served)
        assert found.served.production_auc == pytest.approx(expected, abs=1e-9)
    # 20 of 1,500 are listed, so 12 of 900.
    top = production.loc[truth.index].sort_values(ascending=False).index[:12]
    assert version.served.production_hits == truth.loc[top].sum()


def test_logged_scores_are_those_of_an_offline_replay(served_shadows):
    home = served_shadows
    replays = home.shadow_monitor.replays()
    assert [(one.shadow, one.as_of, one.answers) for one in replays] == [
        (RULE, MARCH, 900),
        ("version 1", MARCH, 900),
    ]
    assert [(one.differ, one.changed, one.why_not) for one in replays] == [(0, 0, None)] * 2
    verified = verification(home, deep=True)
    assert not any("logged scores" in one for one in verified["breaks"])
    found = [one for one in verified["findings"] if "logged scores" in one["detail"]]
    assert [one["count"] for one in found] == [900, 900]


def test_a_replay_finds_another_score_and_features_that_were_corrected(served_shadows):
    home = served_shadows
    _, scores = answers_of(home, MARCH, 900)
    first = scores["member"] == scores["member"].iloc[0]
    scores.loc[first, "score"] = np.nextafter(scores.loc[first, "score"], np.inf) + 1e-9
    write(home.shadows, scores)
    assert [one.differ for one in home.shadow_monitor.replays()] == [1, 1]
    breaks = verification(home, deep=True)["breaks"]
    assert len([one for one in breaks if "1 of 900 logged scores" in one]) == 2
    corrected = month_tables(MARCH)["members"]
    corrected.loc[:4, "months"] = 77
    home.lake.publish(MARCH, month_tables(MARCH) | {"members": corrected}, home.now(), "again")
    home = open_home(home.folder)
    assert [one.changed for one in home.shadow_monitor.replays()] == [5, 5]
