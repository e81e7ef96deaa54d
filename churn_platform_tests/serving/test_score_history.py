"""What batch scoring left, as serving shows it."""

import datetime as dt
import json

import pandas as pd
import pytest

from churn_platform.serving import score_history
from churn_platform.serving.score_history import ScoreHistory, ScoresSummary
from churn_platform_tests.small_business import CUSTOMERS, FEBRUARY, JANUARY


@pytest.fixture
def history(served_copy, monkeypatch):
    """The history of a home that may change; every question is looked up."""
    monkeypatch.setattr(score_history, "LOOK_SECONDS", 0.0)
    return ScoreHistory(served_copy.folder, served_copy.contract)


def record(home, month, **changes):
    path = home.folder / "lake" / "derived" / "scores" / f"{month}.json"
    standing = json.loads((path.parent / f"{JANUARY}.json").read_text())
    path.write_text(json.dumps({**standing, **changes}))


def test_the_standing_is_the_newest_scored_month(history):
    standing = history.standing()
    assert (standing.as_of, standing.version, standing.stand_down) == (JANUARY, 2, None)
    assert standing.customers == CUSTOMERS
    assert len(standing.floors) == 9
    assert "already known" in standing.list_note


def test_those_who_have_left_are_known_while_their_features_are_of_the_scored_month(
    served, history
):
    scores = served.records.frame("scores", JANUARY)
    standing = history.standing()
    left = scores.loc[scores["already_left"], "member"]
    assert standing.already_left == frozenset(left)
    assert len(left) == 500
    assert standing.has_left(left.iloc[0], JANUARY)
    assert standing.has_left(left.iloc[0], None)
    assert not standing.has_left(left.iloc[0], dt.date(2024, 2, 29))
    assert not standing.has_left(scores.loc[~scores["already_left"], "member"].iloc[0], JANUARY)


def test_a_month_of_an_earlier_version_of_the_platform_is_read_as_before(served_copy):
    scores = served_copy.records.frame("scores", JANUARY).drop(
        columns=["already_left", "trained_on"]
    )
    known = served_copy.records.read("scores", JANUARY)
    old = {n: v for n, v in known.items() if n not in ("already_left", "list_note", "list_hash")}
    served_copy.records.write("scores", JANUARY, old, scores.assign(rank=1, decile=1))
    path = served_copy.reports / JANUARY.isoformat() / "at_risk.parquet"
    pd.read_parquet(path).drop(columns="trained_on").to_parquet(path, index=False)
    history = ScoreHistory(served_copy.folder, served_copy.contract)
    standing = history.standing()
    assert (standing.as_of, standing.already_left) == (JANUARY, frozenset())
    assert standing.list_note is None
    shown = set(history.at_risk()[0].as_json("member"))
    assert shown == {"member", "rank", "probability", "decile", "reasons"}
    [month] = history.customer("m00001")
    assert (month.rank, month.already_left, month.trained_on) == (1, None, None)


def test_every_customer_has_the_decile_of_the_list(served, history):
    scores = served.records.frame("scores", JANUARY)
    scores = scores[~scores["already_left"]]
    standing = history.standing()
    wrong = []
    for probability, decile in zip(scores["probability"], scores["decile"], strict=True):
        found = standing.decile(2, probability)
        # customers of one probability may lie on both sides of a border; serving says the riskier decile
        tied = probability in standing.floors and found == decile - 1
        wrong += [] if found == decile or tied else [(probability, decile, found)]
    assert wrong == []
    assert {standing.decile(2, p) for p in scores["probability"]} == set(range(1, 11))
    assert (standing.decile(2, 1.0), standing.decile(2, 0.0)) == (1, 10)


def test_a_new_month_is_seen_once_a_model_scored_it_and_it_can_be_read(served_copy, history):
    assert history.standing().stand_down is None
    assert history.standing().decile(3, 0.5) is None  # a version that scored nothing yet
    record(served_copy, "2024-02-29", version=None)
    assert history.standing().as_of == JANUARY
    record(served_copy, "2024-02-29", stand_down="why")
    (served_copy.folder / "lake" / "derived" / "scores" / "2024-03-31.json").write_text("{")
    standing = history.standing()
    assert standing.as_of == JANUARY  # the newest record cannot be read
    (served_copy.folder / "lake" / "derived" / "scores" / "2024-03-31.json").unlink()
    standing = history.standing()
    assert (standing.as_of, standing.stand_down) == (dt.date(2024, 2, 29), "why")


def test_a_home_that_was_never_scored_has_an_empty_standing(served_copy, tmp_path):
    history = ScoreHistory(tmp_path, served_copy.contract)
    assert (history.standing(), history.standing().decile(2, 0.5)) == (ScoresSummary(), None)
    assert history.at_risk() == history.customer("m00001") == []


def test_the_at_risk_list_is_the_one_of_the_report_with_reasons(served_copy, history):
    listed = pd.read_parquet(served_copy.reports / JANUARY.isoformat() / "at_risk.parquet")
    found = history.at_risk()
    assert [item.key for item in found] == listed["member"].tolist()
    assert [item.probability for item in found] == listed["probability"].tolist()
    assert found[0].reasons == listed.loc[0, ["reason_1", "reason_2", "reason_3"]].tolist()
    assert set(found[0].as_json("member")) == {
        "member",
        "rank",
        "probability",
        "decile",
        "trained_on",
        "reasons",
    }


def test_a_list_that_was_written_anew_is_read_again_and_else_kept(served_copy, history):
    path = served_copy.reports / JANUARY.isoformat() / "at_risk.parquet"
    assert history.at_risk() is history.at_risk()
    pd.read_parquet(path).head(3).to_parquet(path, index=False)
    assert len(history.at_risk()) == 3
    path.unlink()
    assert history.at_risk() == []


def test_a_customer_s_history_is_every_month_it_was_scored_in(served_copy, history):
    scores = served_copy.records.frame("scores", JANUARY).set_index("member")
    later = served_copy.records.path("scores", dt.date(2024, 2, 29), ".parquet")
    scores.reset_index().query("member != 'm00002'").assign(rank=1).to_parquet(later, index=False)
    member = scores.index[0]
    first, second = history.customer(member)
    assert first.model_dump() == {
        "as_of": "2024-01-31", "probability": scores.loc[member, "probability"], "version": 2,
        "rank": 1, "decile": 1, "already_left": False, "trained_on": scores.loc[member, "trained_on"],
    }  # fmt: skip
    left = scores.index[-1]
    gone = history.customer(left)[0]
    assert (gone.rank, gone.decile, gone.already_left) == (None, None, True)
    assert (second.as_of, second.rank) == ("2024-02-29", 1)
    assert [month.as_of for month in history.customer("m00002")] == ["2024-01-31"]
    assert history.customer("nobody") == []


def test_the_standing_is_looked_up_at_most_once_a_second(served_copy, monkeypatch):
    history = ScoreHistory(served_copy.folder, served_copy.contract)
    assert history.standing().as_of == JANUARY
    monkeypatch.setattr(history, "_refresh", lambda: pytest.fail("looked up again"))
    assert history.standing().as_of == JANUARY


def test_without_the_rows_as_in_a_bento_nobody_knows_who_has_left(served_copy, history):
    served_copy.records.path("scores", JANUARY, ".parquet").unlink()
    standing = history.standing()
    assert (standing.left, standing.already_left) == (500, None)
    assert standing.has_left("m00001", JANUARY) is None
    assert standing.has_left("m00001", dt.date(2024, 2, 29)) is False
    assert standing.decile_of("m00001", JANUARY, 2, 1.0) is None
    assert standing.decile_of("m00001", None, 2, 1.0) == 1  # a what-if of every feature
    record(served_copy, JANUARY, already_left=0)
    standing = history.standing()
    assert (standing.left, standing.has_left("m00001", JANUARY)) == (0, False)
    assert standing.decile_of("m00001", JANUARY, 2, 1.0) == 1


@pytest.mark.parametrize("customers", [True, False])
def test_a_bundle_answers_who_to_contact_only_with_customers(planned, tmp_path, customers):
    pointer = planned.releases.pointer()
    planned.bundles.fill(pointer, tmp_path / "bundle", customers=customers)
    found = ScoreHistory(tmp_path / "bundle", planned.contract)
    rows = planned.contact_plans.rows(FEBRUARY)
    listed = rows.loc[rows["arm"].isin(["contact", "explore"]), "member"]
    untouched = rows.loc[rows["arm"] == "untouched", "member"]
    if customers:
        assert [one.key for one in found.at_risk()] == listed.tolist()
        assert found.to_contact(listed.iloc[0]) is True
        assert found.to_contact(untouched.iloc[0]) is False
    else:
        assert (found.at_risk(), found.to_contact(listed.iloc[0])) == ([], None)
    text = str([path.read_bytes() for path in (tmp_path / "bundle").rglob("*.parquet")])
    assert "untouched" not in text
