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
    ],
)
def test_an_older_month_is_refused_and_the_same_month_is_allowed(ours, theirs, outcome):
    evidence = build(as_of=ours, production_as_of=theirs)
    found = finding(evidence, "newer_than_production")
    assert (found.outcome, found.refuses) == (outcome, outcome == "fail")
    assert found.detail.startswith(f"The candidate was trained on {ours}, production on {theirs}")
    assert decided(evidence).decision == ("refused" if outcome == "fail" else "promoted")


def test_the_months_are_compared_as_dates_not_as_text():
    assert (
        finding(
            build(as_of="20240131", production_as_of="2024-01-30"), "newer_than_production"
        ).outcome
        == "pass"
    )
    assert (
        finding(
            build(as_of="20240131", production_as_of="2024-02-29"), "newer_than_production"
        ).outcome
        == "fail"
    )


def test_without_production_it_does_not_apply():
    found = finding(build(production=None), "newer_than_production")
    assert (found.outcome, found.refuses) == ("not_applicable", False)


def test_a_production_model_of_unknown_month_is_refused_rather_than_taken_for_none():
    found = finding(build(production_as_of=None), "newer_than_production")
    assert (found.outcome, found.refuses) == ("fail", True)


def test_it_is_asked_even_where_nothing_is_comparable():
    evidence = build(production_saw=None, as_of="2023-12-31")
    assert finding(evidence, "newer_than_production").outcome == "fail"
