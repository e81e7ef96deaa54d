"""Production changes: read back from receipts as planned; an unfinished one is always found."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from churn_platform.ledger import receipts as ledger
from churn_platform.ledger.acts import PromotionIntent, RollbackIntent, named, version_of
from churn_platform.ledger.production_changes import (
    carried_out,
    done_of,
    intent_of,
    open_intent,
    promotions,
)

TIME = "2024-03-01T00:00:00+00:00"
PLAN = {
    "actor": "ann",
    "reason": "why",
    "decision": "d",
    "candidate": "c",
    "as_of": "2024-02-29",
}


def chain(*acts):
    """A chain of (act, version) receipts."""
    receipts = []
    for act, version in acts:
        planned = PromotionIntent(
            **PLAN | {"decision": f"d{version}"},
            version=version,
            before=version - 1 or None,
            after=version,
        )
        fields = planned.receipt_fields() | {"act": act}
        receipts.append(ledger.append(receipts[-1] if receipts else None, time=TIME, **fields))
    return receipts


@given(
    st.sampled_from([PromotionIntent, RollbackIntent]),
    st.integers(1, 99),
    st.none() | st.integers(1, 99),
)
def test_a_change_is_read_back_as_planned_and_its_end_adds_two_fields(kind, version, before):
    planned = kind(**PLAN, version=version, before=before, after=version)
    receipt = ledger.append(None, time=TIME, **planned.receipt_fields())
    assert intent_of(receipt) == planned
    end = ledger.append(receipt, time=TIME, **planned.done("i", TIME).receipt_fields())
    assert end.evidence == receipt.evidence | {"intent": "i", "activate_at": TIME}
    assert (end.subject, end.before, end.after) == (receipt.subject, receipt.before, receipt.after)
    assert done_of(end).version == version


@pytest.mark.parametrize("kind", [PromotionIntent, RollbackIntent])
def test_a_cancelled_change_leaves_production_as_it_is(kind):
    planned = kind(**PLAN, version=3, before=2, after=3)
    void = planned.void("i", 2, "The policy changed.").receipt_fields()
    assert void["act"] == f"{planned.kind} void"
    assert (void["subject"], void["before"], void["after"]) == (
        "version 3",
        "version 2",
        "version 2",
    )
    assert void["evidence"] == planned.receipt_fields()["evidence"] | {"intent": "i"}


def test_versions_are_named_and_read_back():
    assert [named(version) for version in (None, 3)] == [None, "version 3"]
    names = (None, "no model", "version 12", "version x")
    assert [version_of(name) for name in names] == [None, None, 12, None]


def test_only_an_intent_without_an_end_is_open():
    begun = chain(("promotion intent", 1))
    assert open_intent(begun) == begun[-1]
    for end in ("promotion done", "promotion void"):
        assert open_intent(chain(("promotion intent", 1), (end, 1))) is None
    again = chain(
        ("promotion intent", 1), ("promotion done", 1), ("rollback intent", 1), ("drop accepted", 2)
    )
    assert open_intent(again).act == "rollback intent"
    assert open_intent([]) is None


def test_a_voided_move_was_not_carried_out_and_the_last_promotion_of_a_version_counts():
    receipts = chain(
        ("promotion done", 1), ("promotion void", 2), ("promotion done", 3), ("rollback done", 1), ("promotion done", 3)
    )  # fmt: skip
    carried = {digest: done.sequence for digest, done in carried_out(receipts).items()}
    assert carried == {"d1": 1, "d3": 5}
    again = [*receipts, *chain(("decision", 3))]
    assert set(carried_out(again)) == {"d1"}
    last = {version: done.sequence for version, done in promotions(receipts).items()}
    assert last == {1: 1, 3: 5}
