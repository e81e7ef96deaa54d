"""The scores asset: the ranked list as the UI shows it."""

import pandas as pd

from churn_platform.base.files import read_json, write_json
from churn_platform.defs.scoring import scores
from churn_platform_tests.small_business import FEBRUARY, JANUARY


def test_before_there_is_a_model_nobody_is_scored(january_decided_copy, shown):
    assert shown(january_decided_copy, JANUARY, scores) == {
        "note": "There is no production model yet, so no customer was scored.",
        "warnings": "none",
    }


def test_the_list_shows_its_top_ten_with_their_strongest_reason(january_copy, shown):
    values = shown(january_copy, JANUARY, scores)
    listed = pd.read_csv(january_copy.reports / "2024-01-31" / "at_risk.csv")
    assert (values["customers"], values["dagster/row_count"], values["model version"]) == (
        1500,
        1500,
        "1",
    )
    assert values["stand down"] == "no"
    first = listed.iloc[0]
    lines = values["top 10"].splitlines()
    assert len(lines) == 2 + 10
    assert (
        lines[2] == f"| 1 | {first['member']} | {first['probability']:.3f} | {first['reason_1']} |"
    )
    assert values["list"] == "http://127.0.0.1:3001/2024-01-31/at_risk.csv"
    assert values["list file"] == str(january_copy.reports / "2024-01-31" / "at_risk.csv")


def test_a_model_that_stands_down_says_so_over_its_list(february_decided_copy, shown):
    home = february_decided_copy
    newest = max((home.folder / "ledger" / "decisions").glob("*.json"))
    write_json(
        newest,
        read_json(newest)
        | {"decision": "refused", "stand_down": True, "reason": "Nothing was better."},
    )
    values = shown(home, FEBRUARY, scores)
    assert values["stand down"].startswith("Version 1 is no better than chance")
    assert home.records.frame("scores", FEBRUARY)["stand_down"].all()


def test_the_warnings_of_the_month_are_shown_and_recorded(february_copy, shown):
    assert "LABELS_UNLIKE_BEFORE" in shown(february_copy, FEBRUARY, scores)["warnings"]
    assert [receipt.subject for receipt in february_copy.ledger.receipts("warnings raised")] == [
        "2024-02-29"
    ]
