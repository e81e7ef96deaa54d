"""The command shadow: start, show and end versions and rules, and each way to use it wrongly."""

from churn_platform_tests.cli.conftest import wrong
from churn_platform_tests.contacts_business import without_labels
from churn_platform_tests.small_business import MARCH, deliver, monthly

RULE = "hours - 2 * has_app"


def test_a_version_and_a_rule_are_started_shown_and_ended(churn, answer, february_copy):
    home = february_copy
    deliver(home, MARCH, without_labels(MARCH))
    monthly(home, MARCH)
    code, out, _ = churn("shadow", home=home)
    assert (code, out.startswith("There is no shadow.")) == (0, True)
    assert answer("shadow", home=home) == {"as_of": None, "shadows": []}
    code, out, _ = churn("shadow", 1, "--reason", "To be sure.", home=home)
    assert (code, "Version 1 is a shadow now" in out) == (0, True)
    assert "of 20 customers on the list of 2024-03-31 stay on it" in out  # compared at once
    assert answer("shadow", "hours-2*has_app", "--by", "Ann", home=home)["says"].startswith(
        "The rule hours"
    )
    found = answer("shadow", home=home)
    assert found["as_of"] == "2024-03-31"
    version, rule = found["shadows"]
    assert (version["version"], version["production"], version["listed"]["budget"]) == (1, 2, 20)
    assert (rule["rule"], rule["without_score"] > 0) == (RULE, True)
    assert version["monthly"]["note"]
    assert "As a shadow since" in version["sentence"]
    _, out, _ = churn("shadow", home=home)
    assert f"Rule {RULE}, since" in out
    assert "Monthly lists: Not measurable yet" in out
    assert churn("shadow", "version 1", "--end", home=home)[0] == 0
    assert churn("shadow", "(hours - 2*has_app)", "--end", home=home)[0] == 0
    assert answer("shadow", home=home)["shadows"] == []
    signed = [(r.act, r.actor, r.reason) for r in home.ledger.receipts() if "shadow" in r.act]
    assert signed[0] == ("shadow started", signed[0][1], "To be sure.")
    assert signed[1][:2] == ("shadow started", "Ann")
    assert all(actor and reason for _, actor, reason in signed)


def test_each_wrong_use_has_its_code(churn, february_copy):
    home = february_copy
    assert wrong(churn("shadow", "--end", home=home)) == "OPTIONS_CONFLICT"
    assert wrong(churn("shadow", 2, home=home), "Version 2") == "VERSION_IN_PRODUCTION"
    assert wrong(churn("shadow", 9, home=home), "9") == "VERSION_UNKNOWN"
    assert wrong(churn("shadow", "visits > 1", home=home), "visits", "hours") == "RULE_INVALID"
    assert wrong(churn("shadow", 1, "--end", home=home), "Version 1") == "EXPERIMENT_UNKNOWN"
    for number in range(3):
        assert churn("shadow", f"hours > {number}", home=home)[0] == 0
    assert wrong(churn("shadow", "hours>1.0", home=home), "rule hours > 1") == "EXPERIMENT_RUNNING"
    assert wrong(churn("shadow", 1, home=home), "3", "hours > 0") == "SHADOWS_FULL"
