"""GATE010: a promotion never goes back in time."""

import pytest

from churn_platform_tests.promotion.evidence_builder import build, decided, finding


@pytest.mark.parametrize(
    ("ours", "theirs", "outcome"),
    [
        ("2024-02-29", "2024-01-31", "pass"),
        ("2024-02-29", "2024-02-29", "pass"),
        ("2024-02-29", "2024-03-31", "fail"),
        ("2023-12-31", "2024-01-31", "fail"),
        ("2024-01-07", "2024-01-08", "fail"),
        # as dates, not as text
        ("20240131", "2024-01-30", "pass"),
        ("20240131", "2024-02-29", "fail"),
    ],
)
def test_an_older_month_is_refused_and_the_same_month_is_allowed(ours, theirs, outcome):
    evidence = build(as_of=ours, production_as_of=theirs)
    found = finding(evidence, "newer_than_production")
    assert (found.outcome, found.refuses) == (outcome, outcome == "fail")
    assert ours in found.detail
    assert theirs in found.detail
    assert decided(evidence).decision == ("refused" if outcome == "fail" else "promoted")


@pytest.mark.parametrize(
    ("changes", "outcome"),
    [
        ({"production": None}, "not_applicable"),
        ({"production_as_of": None}, "fail"),
        # asked even where nothing is comparable
        ({"production_saw": None, "as_of": "2023-12-31"}, "fail"),
    ],
)
def test_an_unknown_month_is_refused_and_no_production_is_not(changes, outcome):
    found = finding(build(**changes), "newer_than_production")
    assert (found.outcome, found.refuses) == (outcome, outcome == "fail")
