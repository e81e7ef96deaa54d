"""Stand-down: receipts when it begins and ends, once each."""

from churn_platform_tests.small_business import JANUARY, open_home


def measured(home, low):
    """A realised performance of version 1 whose interval begins at `low`."""
    metrics = {"auc": low + 0.05, "auc_interval": [low, low + 0.1], "churners": 200}
    entry = {"version": 1, "as_of": JANUARY.isoformat(), "rows": 1000, "metrics": metrics}
    record = home.records.read("performance", JANUARY)
    home.records.write("performance", JANUARY, record | {"evaluated": [entry]})
    return home


def test_standing_down_begins_and_ends_once_each(january_copy):
    home, before = january_copy, january_copy.ledger.head()
    home.stand_down.record()
    assert home.ledger.head() == before
    for _ in range(2):
        measured(home, 0.45).stand_down.record()
    began = home.ledger.head()
    assert (began.act, began.subject) == ("stand-down began", "version 1")
    assert began.sequence == before.sequence + 1
    figures = {"as_of": "2024-01-31", "auc": 0.5, "interval": [0.45, 0.55]}
    assert began.evidence["performance"] == figures
    for _ in range(2):
        measured(home, 0.6).stand_down.record()
    ended = home.ledger.head()
    assert (ended.act, ended.subject) == ("stand-down ended", "version 1")
    assert ended.sequence == began.sequence + 1
    assert "better than chance again" in ended.reason


def test_labels_that_may_be_turned_over_end_it_without_a_claim_that_the_version_became_better(
    january_copy,
):
    measured(january_copy, 0.45).stand_down.record()
    measured(january_copy, 0.2).stand_down.record()
    ended = january_copy.ledger.head()
    assert (ended.act, ended.subject) == ("stand-down ended", "version 1")
    assert "2024-01-31 may be inverted" in ended.reason


def test_another_version_in_production_ends_it_and_the_reason_says_so(february_decided_copy):

    measured(february_decided_copy, 0.45).stand_down.record()
    february_decided_copy.decision_maker.carry_out()
    open_home(february_decided_copy.folder).stand_down.record()
    ended = february_decided_copy.ledger.head()
    assert (ended.act, ended.subject) == ("stand-down ended", "version 1")
    assert "version 2" in ended.reason
