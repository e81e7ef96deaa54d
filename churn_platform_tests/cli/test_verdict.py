"""The commands that look back, through the command line's own runner."""

import json

import pytest
from typer.testing import CliRunner

from churn_platform.base.errors import ContractError, UsageError
from churn_platform.cli.app import app
from churn_platform_tests.small_business import open_home


def run(*arguments):
    """The command's output; its error is raised, as `main` shows it."""
    done = CliRunner().invoke(app, [str(argument) for argument in arguments], catch_exceptions=True)
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    return done.stdout


@pytest.fixture
def home(february_decided, monkeypatch):
    monkeypatch.setenv("CHURN_HOME", str(february_decided.folder))
    return open_home(february_decided.folder)


def test_replay_shows_a_row_a_policy_and_a_row_a_month_and_draws(home, tmp_path):
    (tmp_path / "strict.yaml").write_text("policy:\n  promotion: {delta: 0.9}\n", encoding="utf-8")
    picture = tmp_path / "replay.png"
    said = run("replay", "--policy", tmp_path / "strict.yaml", "--plot", picture)
    for words in (
        "this policy",
        "never retrain",
        "always retrain",
        "strict",
        "2024-01-31",
        "2024-02-29",
        "false promotions",
    ):
        assert words in said
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert str(picture) in said


def test_replay_as_json_is_nothing_but_json(home):
    found = json.loads(run("replay", "--json"))
    assert [one["policy"] for one in found] == ["this policy", "never retrain", "always retrain"]
    assert [month["decision"] for month in found[0]["months"]] == ["promoted", "promoted"]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (
            "policy:\n  promotion: {detla: 0.9}\n",
            r"strict.yaml:2: policy\.promotion\.detla: .*not permitted",
        ),
        (
            "policy:\n  promotion: {delta: 2}\n",
            r"strict.yaml:2: policy\.promotion\.delta: .*\(found 2\)",
        ),
        ("policy:\n  promotions: {}\n", r"strict.yaml:2: policy\.promotions: .*not permitted"),
        ("promotion: {delta: 0.1}\n", "there is no `policy:` section"),
        ("policy: {}\ncosts: {}\n", "costs: only a `policy:` section is read here"),
        ("policy: [\n", "not YAML"),
        ("", "there is no `policy:` section"),
    ],
)
def test_a_policy_file_with_a_fault_is_named_with_its_line(home, tmp_path, text, says):
    (tmp_path / "strict.yaml").write_text(text, encoding="utf-8")
    with pytest.raises(ContractError, match=says):
        run("replay", "--policy", tmp_path / "strict.yaml")


def test_a_policy_file_that_is_not_there_and_a_picture_that_cannot_be_are_said_at_once(
    home, tmp_path
):
    with pytest.raises(ContractError, match="there is no such policy"):
        run("replay", "--policy", tmp_path / "none.yaml")
    with pytest.raises(UsageError, match="names no picture"):
        run("replay", "--plot", tmp_path / "a.pdf")


def test_the_scoreboard_shows_every_decision_and_totals(home):
    said = run("scoreboard")
    assert "promoted version 1" in said
    assert "2 decisions:" in said
    found = json.loads(run("scoreboard", "--json"))
    assert found["totals"]["decisions"] == 2
    assert found["decisions"][0]["judgement"] == "wrong"
