"""`churn test`: what it could show, its start, its state, and its end."""

import json

import pytest

from churn_platform_tests.outside.life import churn, shell


@pytest.fixture(autouse=True)
def clean_shell(tmp_path):
    with shell(tmp_path):
        yield


def asked(home, *words):
    answer = churn("test", *words, "--json", "--home", home.folder)
    assert answer.code == 0, answer.err
    return json.loads(answer.out)


def as_text(home, *words):
    answer = churn("test", *words, "--home", home.folder)
    assert answer.code == 0, answer.err
    return answer.out


def refused(home, *words):
    answer = churn("test", *words, "--home", home.folder)
    assert answer.code == 2
    return answer.err


def test_what_a_test_could_show_starts_nothing(contacted):
    found = asked(contacted, "2", "1", "--what-if", "--months", "6")
    assert (found["started"], found["hopeless"], found["months"]) == (False, True, 6)
    assert len(found["outlook"]["smallest_differences"]) == 6
    text = as_text(contacted, "2", "1", "--what-if", "--months", "6")
    assert found["sentence"] in text
    assert f"{found['outlook']['smallest_differences'][-1]:.1f}" in text
    assert "hopeless" in text
    assert asked(contacted) == {"tests": []}
    assert "churn test A B" in as_text(contacted)


def test_a_test_is_started_shown_and_ended(contacted_copy):
    signed = ("--by", "Ann", "--reason", "Which saves?")
    assert "MODEL_TEST_HOPELESS" in refused(contacted_copy, "2", "1", *signed, "--months", "2")
    assert "TEXT_INVALID" in refused(contacted_copy, "2", "1")
    assert asked(contacted_copy, "2", "1", *signed, "--budget", "90")["started"]
    (shown,) = asked(contacted_copy)["tests"]
    assert (shown["name"], shown["by"], shown["outcome"]) == ("test 1", "Ann", None)
    assert (shown["registered"]["version_a"], shown["registered"]["budget"]) == (2, 90)
    text = as_text(contacted_copy)
    assert shown["sentence"] in text
    assert "90 contacts each" in text
    status = churn("status", "--home", contacted_copy.folder).out
    assert shown["sentence"] in status
    assert "says" in asked(contacted_copy, "--end", "--by", "Bob", "--reason", "Enough.")
    (shown,) = asked(contacted_copy)["tests"]
    assert shown["outcome"] == "cancelled"
    assert "Enough." in as_text(contacted_copy)
    assert "test" not in json.loads(churn("status", "--json", "--home", contacted_copy.folder).out)


@pytest.mark.parametrize("words", [("2",), ("2", "1", "--end")])
def test_options_that_exclude_each_other_are_refused(contacted, words):
    assert "OPTIONS_CONFLICT" in refused(contacted, *words)
