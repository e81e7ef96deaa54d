"""`churn demo` on a simulated business: two like months, then a shift that the loop sees, answers and survives."""

import contextlib
import io
import json
import os
import sys
from dataclasses import dataclass

import dagster as dg
import pytest

from churn_platform.cli.app import main
from churn_platform.cli.demo import read_truth
from churn_platform.services import Services
from churn_platform_tests.small_business import JANUARY, deliver, make_home, open_home

MONTHS = ["2024-01-31", "2024-02-29", "2024-03-31"]
ASKED = ("demo", "--users", "1500", "--months", "3")


@dataclass(frozen=True)
class Told:
    """What a command answered."""

    code: object
    out: str
    err: str


def churn(*arguments: object, home: object) -> Told:
    """Run `churn` on a home in this process, with an environment that is put back after it."""
    return churn_alone(*arguments, "--home", home)


def churn_alone(*arguments: object) -> Told:
    """The same for a command that needs no home."""
    kept, argv, out, err = dict(os.environ), sys.argv, io.StringIO(), io.StringIO()
    sys.argv = ["churn", *(str(argument) for argument in arguments)]
    try:
        with (
            contextlib.redirect_stdout(out),
            contextlib.redirect_stderr(err),
            pytest.raises(SystemExit) as end,
        ):
            main()
    finally:
        sys.argv = argv
        os.environ.clear()
        os.environ.update(kept)
    return Told(end.value.code, out.getvalue(), err.getvalue())


@pytest.fixture(scope="module")
def first(tmp_path_factory) -> tuple[Services, Told]:
    """The demo, run once."""
    folder = tmp_path_factory.mktemp("demo") / "home"
    told = churn(*ASKED, home=folder)
    assert told.code == 0, told.err
    return open_home(folder), told


@pytest.fixture(scope="module")
def again(first) -> tuple[dict[str, object], dict[str, object], dict[str, object]]:
    """The same demo once more: its answer as JSON, and what the home held before and after."""
    home, _ = first
    before = held(home)
    told = churn(*ASKED, "--json", home=home.folder)
    assert told.code == 0, told.err
    return json.loads(told.out), before, held(home)


def held(home: Services) -> dict[str, object]:
    """What a run would add to."""
    fresh = open_home(home.folder)
    with dg.DagsterInstance.from_config(str(home.folder / "dagster")) as instance:
        runs = [
            (run.job_name, run.tags["dagster/partition"], run.status.value)
            for run in instance.get_runs()
        ]
    return {
        "runs": runs[::-1],
        "receipts": [receipt.digest for receipt in fresh.ledger.receipts()],
        "decisions": fresh.records.decisions(),
        "versions": fresh.releases.versions(),
        "deliveries": {month: len(fresh.lake.deliveries(month)) for month in fresh.lake.months()},
    }


@pytest.mark.slow
def test_every_month_runs_and_the_first_and_the_shifted_one_are_retrained(first, again):
    home, _ = first
    assert [month.isoformat() for month in home.lake.months()] == MONTHS
    assert again[1]["runs"] == [
        ("monthly", "2024-01-31", "SUCCESS"),
        ("retraining", "2024-01-31", "SUCCESS"),
        ("monthly", "2024-02-29", "SUCCESS"),
        ("monthly", "2024-03-31", "SUCCESS"),
        ("retraining", "2024-03-31", "SUCCESS"),
    ]


@pytest.mark.slow
def test_the_shift_is_seen_and_a_better_model_replaces_the_old_one(again):
    found, _, _ = again
    january, march = found["decisions"]
    assert (january["as_of"], january["trigger"], january["decision"]) == (
        "2024-01-31",
        "first",
        "promoted",
    )
    assert (march["as_of"], march["trigger"], march["decision"]) == (
        "2024-03-31",
        "performance",
        "promoted",
    )
    assert march["difference_interval"][0] > 0
    assert march["candidate_auc"] > march["production_auc"] + 0.1
    assert (found["production"]["version"], found["production"]["as_of"]) == (2, "2024-03-31")
    assert found["production"]["stand_down"] is False


@pytest.mark.slow
def test_the_story_has_a_row_a_month_with_what_changed_and_the_best_auc_that_could_be(first, again):
    home, _ = first
    assert again[0]["scenario"] == "sudden-shift"
    january, february, march = again[0]["story"]
    assert [row["month"] for row in again[0]["story"]] == MONTHS
    assert [row["decision"] for row in again[0]["story"]] == ["promoted", "kept", "promoted"]
    truth = read_truth(home.folder / "simulated")
    for row, month in zip(again[0]["story"], truth.months, strict=True):
        assert (row["best_auc"], row["what_changed"]) == (month.best_auc, month.what_changed)
    assert (january["drift_share"], january["realised_auc"], january["first_auc"]) == (
        None,
        None,
        None,
    )
    assert february["asked"] is None
    assert abs(february["realised_auc"] - january["candidate_auc"]) < 0.08
    assert march["realised_auc"] == march["first_auc"] < 0.65 < march["candidate_auc"]
    assert march["asked"].startswith("Realised AUC 0.")
    assert march["drift_share"] > february["drift_share"]
    for row in (january, march):
        assert row["best_auc"] - 0.1 < row["candidate_auc"] < row["best_auc"] + 0.03


@pytest.mark.slow
def test_the_table_shows_the_story_and_what_to_type_next(first, again):
    home, told = first
    assert told.out.startswith(
        "sudden-shift: from the third month on other things drive churn, at once.\n"
    )
    lines = told.out.splitlines()
    for row in again[0]["story"]:
        line = next(line for line in lines if line.startswith(row["month"]))
        assert f"{row['best_auc']:.3f}" in line
        assert row["decision"] in line
    [heads] = [line for line in lines if line.startswith("month ")]
    for column in (
        "drift",
        "in production",
        "first model kept",
        "best possible",
        "candidate",
        "the loop",
    ):
        assert column in heads
    assert "In production: version 2, AUC 0." in told.out
    for command in ("decision", "scores", "ui"):
        assert f"churn {command} --home {home.folder}" in told.out
    assert str(home.reports / "2024-03-31") in told.out


@pytest.mark.slow
def test_progress_goes_to_stderr_asset_by_asset(first):
    _, told = first
    assert "Simulating 1,500 customers over 3 months: from the third month on" in told.err
    assert "2024-03-31: ingested" in told.err
    for name in ("snapshot", "drift_report", "candidate_model", "promotion_gate", "scores"):
        assert name in told.err
        assert f"{name}  " not in told.out
    assert "Traceback" not in told.err


@pytest.mark.slow
def test_the_same_demo_again_does_nothing_new(again):
    _, before, after = again
    assert after == before
    assert set(before["deliveries"].values()) == {1}


@pytest.mark.slow
def test_another_demo_in_the_same_home_is_refused(first):
    home, _ = first
    told = churn("demo", "--users", "1500", "--months", "2", home=home.folder)
    assert (told.code, told.out) == (2, "")
    assert str(home.folder) in told.err
    assert told.err.endswith("[HOME_NOT_EMPTY]\n")


def test_a_demo_never_touches_months_or_drops_of_another_origin(january, tmp_path):
    delivered = make_home(tmp_path / "home")
    deliver(delivered, JANUARY)
    for home in (january, delivered):
        told = churn("demo", home=home.folder)
        assert (told.code, told.out) == (2, "")
        assert str(home.folder) in told.err
        assert told.err.endswith("[HOME_NOT_EMPTY]\n")
        assert not (home.folder / "demo.json").exists()


@pytest.mark.parametrize("there", [True, False])
def test_real_data_without_drops_is_refused_and_leaves_no_home(tmp_path, there):
    data, home = tmp_path / "data", tmp_path / "home"
    if there:
        data.mkdir()
    told = churn("demo", "--data", data, home=home)
    assert (told.code, told.out) == (2, "")
    assert str(data) in told.err
    assert told.err.endswith("[DROP_MISSING]\n")
    assert not home.exists()
