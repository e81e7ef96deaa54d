"""`churn plan` and `churn contacts record`."""

import json

import pandas as pd
import pytest

from churn_platform.scoring.contact_list import contact_list
from churn_platform_tests.contacts_business import BUDGET
from churn_platform_tests.outside.life import churn, shell
from churn_platform_tests.small_business import FEBRUARY


@pytest.fixture
def home(planned_copy, tmp_path):
    with shell(tmp_path):
        yield planned_copy


def worked(home, path):
    rows = pd.read_csv(contact_list(home.reports, FEBRUARY), dtype=str).head(5)
    filled = {"Called on": "2024-03-05", "action": "call", "outcome": "stays"}
    rows.assign(**filled).to_csv(path, index=False)
    return path


def asked(home, *words):
    answer = churn(*words, "--json", "--home", home.folder)
    assert answer.code == 0, answer.err
    return json.loads(answer.out)


def test_the_plan_is_shown_with_its_list(home):
    found = asked(home, "plan")
    assert found == asked(home, "plan", FEBRUARY.isoformat())
    record = home.contact_plans.record(FEBRUARY)
    assert (found["assigned"], found["untouched"]) == (BUDGET, record.untouched)
    assert (found["contacted"], found["untouched_contacted"], found["note"]) == (0, 0, None)
    assert found["list_file"] == str(contact_list(home.reports, FEBRUARY))
    assert found["excel_file"].endswith(".xlsx")
    assert asked(home, "status")["contacts"] == found
    text = churn("plan", "--home", home.folder)
    assert text.code == 0
    assert found["list_file"] in text.out


def test_the_ranked_list_is_not_the_list_of_who_to_contact(home):
    answer = churn("scores", "--home", home.folder)
    assert answer.code == 0
    assert "churn plan" in answer.out


def test_a_lost_list_is_there_after_the_command(home):
    csv = contact_list(home.reports, FEBRUARY)
    before = csv.read_bytes()
    csv.unlink()
    assert churn("plan", "--home", home.folder).code == 0
    assert csv.read_bytes() == before


def test_contacts_are_recorded_only_when_asked_to(home, tmp_path):
    path = worked(home, tmp_path / "worked.csv")
    drop = home.drops / f"{FEBRUARY}/calls.csv"
    assert asked(home, "contacts", "record", path)["recorded"] is False
    assert churn("contacts", "record", path, "--home", home.folder).code == 0
    assert not drop.exists()
    found = asked(home, "contacts", "record", path, "--yes")
    assert (found["recorded"], found["added"]) == (True, 5)
    assert len(pd.read_csv(drop)) == 5
    home.ingestion.publish(FEBRUARY)
    assert asked(home, "plan")["contacted"] == 5
    again = asked(home, "contacts", "record", path, "--yes")
    assert (again["added"], again["repeated"]) == (0, 5)


def test_an_untouched_customer_who_was_contacted_is_counted(home, tmp_path):
    rows = home.contact_plans.rows(FEBRUARY)
    untouched = rows.loc[rows["arm"] == "untouched", "member"].head(2)
    empty = dict.fromkeys(["outcome", "cost", "on_list", "agent"], "")
    calls = pd.DataFrame(
        {"member": untouched, "Called on": "2024-03-05", "action": "call", **empty}
    )
    calls.to_csv(tmp_path / "calls.csv", index=False)
    asked(home, "contacts", "record", tmp_path / "calls.csv", "--yes")
    home.ingestion.publish(FEBRUARY)
    found = asked(home, "plan")
    assert (found["contacted"], found["untouched_contacted"]) == (0, 2)


def test_a_refused_list_has_the_code_and_writes_nothing(home, tmp_path):
    path = worked(home, tmp_path / "worked.csv")
    path.write_text(path.read_text().replace("stays", "moved"))
    answer = churn("contacts", "record", path, "--yes", "--home", home.folder)
    assert answer.code == 1
    assert "DROP_REFUSED" in answer.err
    assert not (home.drops / f"{FEBRUARY}/calls.csv").exists()


def test_a_what_if_names_what_it_assumes(home):
    found = asked(home, "plan", "--what-if", "--effect", "0.05", "--budget", "40")
    assert (found["budget"], found["untouched_share"], found["value"]) == (40, 0.2, 100)
    assert found["churn"]["source"] == "model"
    assert found["hopeless"] is True
    given = asked(home, "plan", "--what-if", "--effect", "0.3", "--churn", "0.5")
    assert given["churn"] == {"rate": 0.5, "source": "given", "months": []}
    assert given["hopeless"] is False
    assert churn("plan", "--what-if", "--effect", "0.05", "--home", home.folder).code == 0


@pytest.mark.parametrize(
    "words",
    [
        ("plan", "--what-if"),
        ("plan", "--budget", 3),
        ("plan", "2024-02-29", "--what-if", "--effect", 0.1),
        ("plan", "--what-if", "--effect", 0.1, "--untouched-share", 0),
        ("plan", "--what-if", "--effect", 2),
        ("plan", "2020-01-31"),
    ],
)
def test_what_cannot_be_answered_is_wrong_use(home, words):
    assert churn(*words, "--home", home.folder).code == 2
