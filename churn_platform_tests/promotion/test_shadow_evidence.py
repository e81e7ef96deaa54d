"""What a version showed as a shadow is recorded with the decisions and approvals of people."""

from churn_platform.promotion.shadow_evidence import shadow_sentence
from churn_platform_tests.small_business import FEBRUARY, open_home

SENTENCE = "As a shadow since 2024-03-01: nothing is measured on labels yet."


def with_shadow(home, version):
    """The home after a month in which the version was a shadow."""
    shadows = [
        {"name": "hours < 3", "rule": "hours < 3", "sentence": "As a rule."},
        {"name": f"version {version}", "version": version, "sentence": SENTENCE},
    ]
    home.records.write("experiments", FEBRUARY, {"shadows": shadows})
    return open_home(home.folder)


def test_a_version_that_was_no_shadow_has_no_evidence(february_pending):
    assert shadow_sentence(february_pending.records, 2) is None
    assert "shadow" not in february_pending.status.now().as_json()["pending"]


def test_status_and_approval_show_it(february_pending_copy):
    home = with_shadow(february_pending_copy, 2)
    assert shadow_sentence(home.records, 1) is None
    assert home.status.now().as_json()["pending"]["shadow"] == SENTENCE
    said = home.approvals.approve(2, "Ann", "Right.")
    assert said.endswith(f"Right. {SENTENCE}")
    assert home.ledger.receipts("approval")[-1].evidence["shadow"] == SENTENCE


def test_a_decision_records_it_and_the_request_shows_it(february_decided_copy):
    from churn_platform_tests.small_business import with_policy

    home = with_policy(with_shadow(february_decided_copy, 2), mode="approval")
    decision = home.decision_maker.decide(FEBRUARY, "performance")
    assert decision.shadow == SENTENCE
    assert home.records.decisions()[-1]["shadow"] == SENTENCE
    assert SENTENCE in home.approvals.request(decision)
    assert "shadow" not in home.records.decisions()[0]
