"""Every warning has its code, and is raised exactly when its record shows it."""

import json

import pytest

from churn_platform.contract.policy import IngestionPolicy
from churn_platform.ingestion.month_warnings import (
    newest_warnings,
    of_comparison,
    of_decision,
    of_drift,
    of_label_count,
    of_labels,
    of_performance,
    of_quarantine,
    of_scores,
    repetition_sentence,
)
from churn_platform.lake.month_comparison import MonthComparison
from churn_platform.lake.window import LabelCount
from churn_platform.ledger.receipts import append

POLICY = IngestionPolicy()


def compared(**changes):
    found = {
        "count": 1000, "customers": None, "lacking": {}, "repeated": {}, "repeated_month": None,
        "extra_columns": {}, "new_columns": {},
    }  # fmt: skip
    return MonthComparison.model_validate_json(json.dumps({**found, **changes}))


def change(**changes):
    counts = {
        "before": "2024-01-31",
        "customers": 1000,
        "still": 950,
        "new": 50,
        "gone": 50,
        "near": 0,
        "share": 0.05,
    }
    return {**counts, **changes}


def codes(warnings):
    return [(warning.code, warning.about) for warning in warnings]


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (compared(), []),
        (compared(customers=change()), []),
        (compared(customers=change(share=0.31, gone=400)), [("CUSTOMERS_CHANGED", "2024-01-31")]),
        (compared(customers=change(near=5)), [("KEYS_NEARLY_MATCH", "2024-01-31")]),
        (compared(repeated={"usage": "2024-01-31"}), [("TABLE_SAME_AS_BEFORE", "usage")]),
        (
            compared(repeated={"usage": "2024-01-31"}, repeated_month="2024-01-31"),
            [("MONTH_SAME_AS_BEFORE", "2024-01-31")],
        ),
        (compared(new_columns={"usage": ["clicks"]}), [("NEW_COLUMN", "usage")]),
        (compared(lacking={"usage": 11}), [("TABLE_LACKS_CUSTOMERS", "usage")]),
        (compared(lacking={"usage": 10}), []),
        (None, []),
    ],
)
def test_the_comparison_of_a_month_warns_by_the_policy(found, expected):
    assert codes(of_comparison(found, None, POLICY)) == expected
    same = [one for one in expected if one[0].endswith("_SAME_AS_BEFORE")]
    assert bool(repetition_sentence(found)) == bool(same)


def test_a_table_of_some_customers_only_does_not_warn_every_month():
    usual = compared(lacking={"tickets": 600})
    assert of_comparison(compared(lacking={"tickets": 610}), usual, POLICY) == []
    assert codes(of_comparison(compared(lacking={"usage": 610}), usual, POLICY)) == [
        ("TABLE_LACKS_CUSTOMERS", "usage")
    ]


def test_an_impossible_churn_rate_and_other_doubts_have_two_codes():
    both = ["The rate.", "They come back."]
    found = {"as_of": "2024-03-31", "churn_rate": 0.82, "warnings": both, "doubts": both[:1]}
    assert [w.code for w in of_labels(found)] == ["CHURN_RATE_IMPLAUSIBLE", "LABELS_UNLIKE_BEFORE"]
    assert [w.code for w in of_labels({**found, "doubts": []})] == ["LABELS_UNLIKE_BEFORE"] * 2
    older = {name: value for name, value in found.items() if name != "doubts"}
    assert [w.code for w in of_labels(older)] == ["LABELS_UNLIKE_BEFORE"] * 2
    assert of_labels({**found, "warnings": []}) == of_labels(None) == []


@pytest.mark.parametrize(
    ("labelled", "percent"),
    [(0, ""), (1, "0%"), (989, "98%"), (990, ""), (999, ""), (1000, ""), (1001, "")],
)
def test_labels_of_some_customers_are_counted_beyond_a_few_missing_ones(labelled, percent):
    found = of_label_count(LabelCount(labelled, 1000), IngestionPolicy())
    assert [w.code for w in found] == (["LABELS_PARTIAL"] if percent else [])
    assert all(f"({percent})" in w.sentence for w in found)


def drift(unknown=None, alarms=("drift share 40.0% is above 5.0%",)):
    column = (
        {"column": "plan"} if unknown is None else {"column": "plan", "unknown_categories": unknown}
    )
    return {"production_version": 3, "alarms": list(alarms), "result": {"columns": [column]}}


@pytest.mark.parametrize(
    ("labelled", "why_not", "warned"),
    [
        (True, "", False),
        (False, "", True),
        (True, "Cooling down.", True),
        (False, "No labels.", True),
    ],
)
def test_drift_is_a_warning_only_where_no_candidate_can_answer_it(labelled, why_not, warned):
    found = of_drift(drift(), labelled=labelled, why_not=why_not)
    assert codes(found) == ([("DRIFT_WITHOUT_LABELS", "drift")] if warned else [])
    assert all(why_not in warning.sentence for warning in found)
    for none in (drift(alarms=()), {"result": None}, None):
        assert of_drift(none, labelled=labelled, why_not=why_not) == []


def test_a_refused_training_is_named_once_as_the_reason_why_drift_has_no_answer():
    for why_not in ("Too few churners.", "No candidate can be trained: Too few churners."):
        (warning,) = of_drift(drift(), labelled=True, why_not=why_not)
        assert warning.sentence.count("No candidate can be trained") == 1
        assert warning.sentence.endswith(": Too few churners.")


@pytest.mark.parametrize(
    ("unknown", "code"),
    [({"Plus": 0.02}, "NEW_CATEGORY"), ({"M": 0.4, "N": 0.2}, "UNKNOWN_CATEGORY_SHARE")],
)
def test_a_category_that_the_model_never_saw_is_named_with_its_share(unknown, code):
    (warning,) = of_drift(drift(unknown, alarms=()), labelled=True)
    assert (warning.code, warning.about) == (code, "plan")
    assert all(repr(category) in warning.sentence for category in unknown)


def test_what_other_records_know_is_a_warning_too():
    assert [w.code for w in of_quarantine("3 rows quarantined: usage 3.")] == ["ROWS_QUARANTINED"]
    assert of_quarantine("") == []
    measured = {"as_of": "2024-03-31", "state": "production", "warning": "usage equals 2024-02-29."}
    assert codes(of_performance([measured, {**measured, "state": "retired"}])) == [
        ("PERFORMANCE_ON_REPEATED_DATA", "2024-03-31")
    ]
    assert [w.code for w in of_scores({"list_note": "All have left."})] == ["LIST_OF_THE_PAST"]
    assert of_scores({}) == of_scores(None) == []


def test_the_warnings_of_a_decision_lack_the_request_that_a_person_has_answered():
    finding = {"title": "Forward value", "outcome": "warn", "detail": "It may not last."}
    outcomes = {"GATE001": "pass", "GATE008": "warn", "GATE012": "warn"}
    decision = {
        "findings": [{**finding, "code": code, "outcome": is_} for code, is_ in outcomes.items()]
    }
    assert [w.about for w in of_decision(decision)] == ["GATE008", "GATE012"]
    assert [w.about for w in of_decision(decision, answered=True)] == ["GATE008"]
    assert of_decision(None) == []


def receipts(*acts):
    made = []
    for act, subject, evidence in acts:
        head = made[-1] if made else None
        said = {"time": "2024-04-01T00:00:00+00:00", "actor": "ada", "reason": "Because."}
        made.append(append(head, act=act, subject=subject, evidence=evidence, **said))
    return made


def test_the_server_finds_the_warnings_of_the_newest_month_in_the_ledger():
    one = {"code": "NEW_COLUMN", "about": "usage", "sentence": "a"}
    raised = ("warnings raised", "2024-02-29", {"warnings": [one]})
    february = ("drop accepted", "2024-02-29", {})
    assert newest_warnings(receipts(february, raised)) == [{"as_of": "2024-02-29", **one}]
    assert newest_warnings(receipts(february, raised, ("drop accepted", "2024-03-31", {}))) == []
    assert (
        newest_warnings(
            receipts(february, raised, ("warnings cleared", "2024-02-29", {"warnings": []}))
        )
        == []
    )
    older = ("warnings raised", "2024-01-31", {"warnings": [one]})
    assert newest_warnings(receipts(february, raised, older)) == [{"as_of": "2024-02-29", **one}]
    assert newest_warnings([]) == []
