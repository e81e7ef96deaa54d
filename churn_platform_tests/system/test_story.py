"""The story of a demo: whose figures stand in which row, and the words of every kind of month."""

import io

import pandas as pd
import pytest
from rich.console import Console

from churn_platform.cli.story import CampaignMonth, StoryMonth, show_story, story
from churn_platform.simulator import Truth
from churn_platform_tests.gym import record_act
from churn_platform_tests.small_business import make_home

JANUARY, FEBRUARY, MARCH = "2024-01-31", "2024-02-29", "2024-03-31"
PLAIN = {
    "what_changed": "nothing", "deliveries": [], "refused": None, "drift_share": 0.0, "in_production": 1,
    "realised_auc": 0.8, "first_auc": 0.8, "best_auc": 0.82, "decision": "kept", "version": None,
    "candidate_auc": None, "production_auc": None, "forward_auc": None, "why": "no retraining asked for", "asked": None,
}  # fmt: skip


def row(month, **changes):
    return StoryMonth(month=month, **PLAIN | changes)


def shown(*rows, truth=None):
    out = io.StringIO()
    show_story(Console(file=out, width=200, highlight=False), list(rows), truth)
    return out.getvalue()


def truth_about(months=(), deliveries=()):
    about = {"scenario": "quiet", "summary": "nothing", "loop_should": "keep calm"}
    parts = {"months": months, "deliveries": deliveries, "users": 9, "seed": 1}
    return Truth.model_validate(about | parts)


def decision(month, version, outcome="promoted"):
    return {
        "as_of": month, "candidate_version": version, "decision": outcome, "candidate_auc": 0.81,
        "production_auc": 0.7, "forward_auc": None, "reason": f"about version {version}",
    }  # fmt: skip


def measured(month, version, auc):
    return {"as_of": month, "version": version, "metrics": {"auc": auc}}


@pytest.fixture
def home(tmp_path):
    return make_home(tmp_path / "home")


def test_each_month_shows_the_model_that_was_in_production_when_it_came_and_the_first_one(home):
    found = {
        "months": [JANUARY, FEBRUARY, MARCH],
        "decisions": [decision(JANUARY, 1), decision(FEBRUARY, 3), decision(MARCH, 4, "refused")],
        "performance": [
            measured(JANUARY, 1, 0.9), measured(FEBRUARY, 1, 0.6), measured(FEBRUARY, 3, 0.9),
            measured(MARCH, 1, 0.5), measured(MARCH, 3, 0.79), {"as_of": MARCH, "version": 3, "metrics": None},
        ],
    }  # fmt: skip
    january, february, march = story(home, found, None, {})
    assert [one.in_production for one in (january, february, march)] == [None, 1, 3]
    assert (january.realised_auc, january.first_auc) == (None, None)
    assert (february.realised_auc, february.first_auc) == (0.6, 0.6)
    assert (march.realised_auc, march.first_auc) == (0.79, 0.5)
    assert (march.decision, march.version, march.why) == ("refused", 4, "about version 4")
    assert [one.best_auc for one in (january, february, march)] == [None] * 3


def test_a_month_that_was_refused_has_a_row_although_nothing_of_it_was_published(home):
    truth = truth_about(
        months=[
            {"as_of": JANUARY, "best_auc": 0.8, "what_changed": "nothing"}
            | {"churn_rate": 0.2, "drivers": []}
        ],
        deliveries=[{"folder": JANUARY, "as_of": JANUARY, "note": "people lacks the column town"}],
    )
    found = {"months": [], "decisions": [], "performance": []}
    [january] = story(home, found, truth, {JANUARY: "people: the column town is missing."})
    assert (january.decision, january.refused) == (
        "no month",
        "people: the column town is missing.",
    )
    assert january.deliveries == ["people lacks the column town"]
    said = shown(january)
    assert f"{JANUARY}  The files: people lacks the column town." in said
    assert "Refused: people: the column town is missing." in said
    [line] = [
        line for line in said.splitlines() if line.startswith(f"{JANUARY}  ") and "0.800" in line
    ]
    assert line.rstrip().endswith("refused the drop")


def test_corrections_and_requests_come_from_the_ledger(home):
    for act, subject, reason in (
        ("drop corrected", JANUARY, "Correction of people."),
        ("retraining requested", JANUARY, "It fell."),
        ("retraining requested", MARCH, "Not this month."),
    ):
        record_act(home.ledger, actor="a", act=act, subject=subject, reason=reason, evidence={})
    [january] = story(home, {"months": [JANUARY], "decisions": [], "performance": []}, None, {})
    assert (january.deliveries, january.asked) == (["Correction of people."], "It fell.")


def test_the_words_of_what_the_loop_did():
    said = shown(
        row(JANUARY, in_production=None, realised_auc=None, first_auc=None),
        row(FEBRUARY),
        row(MARCH, decision="refused", version=2, why="It may be noise.", asked="Drift share 14%."),
    )
    table = said.partition("Why")[0]
    assert "no model yet" in table
    assert "kept version 1" in table
    assert "refused version 2, kept version 1" in table
    assert f"{MARCH}  The loop saw: Drift share 14%." in said
    assert "            Refused: It may be noise." in said


def test_the_repair_of_a_refused_drop_is_told():
    assert "refused the drop, ingested its repair" in shown(row(MARCH, refused="No column."))


def test_the_end_compares_the_last_measured_month_with_and_without_the_loop():
    rows = [row(FEBRUARY), row(MARCH, realised_auc=0.81, first_auc=0.53)]
    end = shown(*rows).splitlines()[-1]
    assert [number in end for number in (MARCH, "0.810", "0.820", "0.530")] == [True] * 4
    assert "still the first" in shown(row(FEBRUARY)).splitlines()[-1]
    replaced = row(
        MARCH,
        realised_auc=0.49,
        decision="promoted",
        version=2,
        candidate_auc=0.65,
        why="It is better.",
    )
    end = shown(row(FEBRUARY), replaced).splitlines()[-1]
    facts = (MARCH, "0.490", "0.820", "ersion 2", "0.650")
    assert [fact in end for fact in facts] == [True] * 5
    late = row(MARCH, realised_auc=None, first_auc=None)
    assert f"In {FEBRUARY} the model" in shown(row(FEBRUARY), late)
    assert "no month yet" in shown(late)
    assert ", where" not in shown(row(FEBRUARY, best_auc=None)).splitlines()[-1]


def test_a_simulation_is_introduced_by_what_happens_and_what_the_loop_should_do():
    said = shown(row(FEBRUARY), truth=truth_about())
    assert said.startswith("quiet: nothing.\nThe loop should keep calm.\n")


WORKED = {
    "naive_auc": 0.725, "true_auc": 0.815, "assigned": 1_234, "untouched": 137, "saved": 210,
    "driven_away": 41, "reported_state": "not yet shown", "reported_saved": 190.4,
    "reported_interval": [-12.2, 393.0], "saved_among_compared": 205,
}  # fmt: skip


def campaign_truth(as_of, **changes):
    keys = [str(number) for number in range(1, 9)]
    found = {
        "as_of": as_of, "best_auc": 0.8, "what_changed": "nothing", "churn_rate": 0.2, "drivers": ["months"],
        "no_contact_churn_rate": 0.3, "no_contact_best_auc": 0.85, "contact": keys[:3], "untouched": keys[3:4],
        "explore": keys[4:5], "reached": keys[:2], "effect_of_contact": 0.2, "effect_of_assignment": 0.1,
        "saved": 2, "left_because_contacted": 1, "leaves_if_not_contacted": keys[:4], "leaves_if_contacted": keys[2:4],
    }  # fmt: skip
    return found | changes


def test_a_worked_month_has_the_models_figure_on_both_kinds_of_labels(home):
    scores = pd.DataFrame(
        {
            "member": [str(number) for number in range(1, 9)],
            "probability": [0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2],
        }
    )
    months = [campaign_truth(JANUARY), campaign_truth(FEBRUARY), campaign_truth(MARCH)]
    for month, version in ((FEBRUARY, 1), (MARCH, 2)):
        home.records.write("scores", pd.Timestamp(month).date(), {"version": version}, scores)
    found = {"months": [JANUARY, FEBRUARY], "decisions": [decision(JANUARY, 1)], "performance": []}
    january, february, march = story(home, found, truth_about(months), {})
    assert (january.naive_auc, january.true_auc) == (None, None)
    assert (march.naive_auc, march.true_auc) == (None, None)
    assert february.true_auc == 1.0
    assert february.naive_auc == pytest.approx(8 / 12)
    counts = (february.assigned, february.untouched, february.saved, february.driven_away)
    assert counts == (4, 1, 2, 1)
    assert (january.reported_state, january.reported_saved) == (None, None)


def test_what_the_platform_reports_is_compared_with_the_truth_about_the_same_customers(home):
    saved = {"value": 3.2, "interval": {"low": 1.0, "high": 5.4}}
    effect = {"months": [JANUARY, FEBRUARY], "state": "shown", "saved": saved}
    march = pd.Timestamp(MARCH).date()
    home.records.write("campaign_effect", march, {"effect": effect})
    february = pd.Timestamp(FEBRUARY).date()
    withheld = {"months": [JANUARY], "state": "withheld", "saved": None}
    home.records.write("campaign_effect", february, {"effect": withheld})
    months = [campaign_truth(JANUARY), campaign_truth(FEBRUARY), campaign_truth(MARCH)]
    found = {"months": [], "decisions": [], "performance": []}
    _, second, third = story(home, found, truth_about(months), {})
    assert (third.reported_saved, third.reported_interval) == (3.2, [1.0, 5.4])
    # Of customers 1 to 3 all leave without contact; of them 3 leaves, who was not reached.
    assert third.saved_among_compared == 2 * 2
    assert (second.reported_state, second.reported_saved) == ("withheld", None)
    assert "3 (1 to 5)" in shown(third)
    assert "withheld" in shown(second)


def test_a_campaign_shows_the_naive_figure_next_to_the_truth_and_who_was_saved():
    quiet = dict.fromkeys(WORKED) | {"assigned": 0, "untouched": 0, "saved": 0, "driven_away": 0}
    first = CampaignMonth(month=JANUARY, **PLAIN | quiet)
    said = shown(first, CampaignMonth(month=FEBRUARY, **PLAIN | WORKED))
    [line] = [line for line in said.splitlines() if line.startswith(f"{FEBRUARY}  ")]
    assert line.split()[1:5] == ["0.725", "0.800", "0.815", "1,234"]
    assert "190 (-12 to 393), not yet shown" in line
    assert " 210 " in line
    end = said.splitlines()[-1]
    facts = ("1,234", "210", "41", "0.725", "0.815", "190 (-12 to 393), not yet shown", "205")
    assert [fact in end for fact in facts] == [True] * len(facts)
    assert "0.725" not in shown(first)
