"""How the ranked list and one customer look in a terminal: what is shown only where it is known."""

import pytest
from rich.console import Console

from churn_platform.cli.scores import scores, show_explanation, show_scores
from churn_platform.cli.status import show_status
from churn_platform_tests.small_business import FEBRUARY

RECORD = {"version": 2, "customers": 1500, "stand_down": None}
ROW = {"rank": 1, "member": "m00007", "probability": 0.625, "reason_1": "3 visits raises the risk"}
FOUND = {
    "member": "m00007", "as_of": "2024-01-31", "probability": 0.06, "prediction": 1, "reasons": [], "features": {},
    "model": {"name": "gym_churn", "version": 2, "as_of": "2024-01-31", "stand_down": False},
}  # fmt: skip


def list_of(record=None, **row):
    console = Console(width=200, record=True)
    show_scores(console, "2024-01-31", RECORD | (record or {}), [ROW | row], "member")
    return console.export_text()


def explained(**found):
    console = Console(width=200, record=True)
    show_explanation(console, FOUND | found, "member")
    return console.export_text()


def test_a_list_of_an_earlier_version_of_the_platform_is_shown_as_before():
    said = list_of()
    assert "Most likely to leave, 2024-01-31, version 2, 1,500 customers scored" in said
    assert all(word not in said for word in ("already left", "expected loss", "*", "in production"))


def test_a_list_says_how_many_have_left_and_that_it_is_of_the_past():
    said = list_of({"already_left": 1234, "list_note": "The list is of the past."})
    assert "1,234 of them have already left" in said
    assert "The list is of the past." in said


def test_expected_losses_are_a_column_where_there_are_some():
    said = list_of(expected_loss=4154.87)
    assert "Highest expected loss" in said
    assert "0.625" in said
    assert "4,154.87" in said


def test_a_training_row_is_marked():
    assert "m00007 *" in list_of(trained_on=True)
    assert "*" not in list_of(trained_on=False)


def test_the_version_in_production_is_named_where_another_one_made_the_list():
    outdated = "The list is of version 2; version 3 is in production."
    assert f"{outdated} `churn run`" in list_of({"outdated": outdated})
    assert f"{outdated} It cannot." in list_of({"outdated": outdated, "not_scored": "It cannot."})
    assert "in production" not in list_of({"outdated": None})


@pytest.mark.parametrize(("given", "worded"), [(True, True), (False, False), (None, False)])
def test_a_prediction_is_put_into_words_only_where_the_costs_were_given(given, worded):
    said = explained(costs_given=given, rank=700, decile=6)
    assert ("predicted: leaves" in said) == worded
    assert "rank 700, decile 6" in said


def test_a_customer_who_has_left_and_a_training_row_are_marked():
    said = explained(costs_given=True, rank=None, decile=None, already_left=True, trained_on=True)
    assert "Has already left" in said
    assert "was trained on" in said
    assert "predicted" not in said
    assert "rank" not in said


def test_the_status_names_quarantined_rows_of_a_month_once(february_copy):
    found = february_copy.status.now().as_json()
    rows = {"code": "ROWS_QUARANTINED", "about": "rows", "sentence": "3 rows quarantined: usage 3."}
    found["warnings"] = [{"as_of": month, **rows} for month in ("2024-01-31", "2024-02-29")]
    found["quarantine"] = {
        "as_of": "2024-02-29",
        "sentence": rows["sentence"],
        "tables": {},
        "page": "drop.html",
    }
    console = Console(width=200, record=True)
    show_status(console, found)
    said = console.export_text()
    assert said.count("3 rows quarantined") == 2
    assert said.count("ROWS_QUARANTINED") == 1


def test_a_list_of_the_past_says_so_once(february_copy, capsys):
    record = february_copy.records.read("scores", FEBRUARY)
    february_copy.records.write(
        "scores", FEBRUARY, record | {"list_note": "All of it is of the past."}
    )
    scores(home=february_copy.folder)
    assert capsys.readouterr().out.count("All of it is of the past.") == 1
