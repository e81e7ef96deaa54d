"""Moves: read back from receipts as they were planned; the one that was cut off is found wherever the chain ends."""

from hypothesis import given
from hypothesis import strategies as st

from churn_platform.ledger import receipts as ledger
from churn_platform.ledger.production_changes import (
    Move,
    carried_out,
    named,
    open_intent,
    promotions,
    version_of,
)

TIME = "2024-03-01T00:00:00+00:00"
EVIDENCE = {"decision": "d", "candidate": "c", "as_of": "2024-02-29"}


def chain(*acts):
    """A chain of (act, version) receipts."""
    receipts = []
    for act, version in acts:
        fields = Move(
            "promotion",
            version,
            version - 1 or None,
            "ann",
            "why",
            {**EVIDENCE, "decision": f"d{version}"},
        )
        receipts.append(
            ledger.append(
                receipts[-1] if receipts else None, time=TIME, act=act, **fields.receipt()
            )
        )
    return receipts


@given(
    st.sampled_from(["promotion", "rollback"]),
    st.integers(1, 99),
    st.none() | st.integers(1, 99),
    st.sampled_from(["intent", "done"]),
)
def test_a_move_is_read_back_from_its_receipt_as_it_was_planned(kind, version, before, state):
    planned = Move(kind, version, before, "ann", "A reason.", EVIDENCE)
    receipt = ledger.append(None, time=TIME, act=f"{kind} {state}", **planned.receipt())
    assert Move.of(receipt) == planned
    assert planned.as_of == "2024-02-29"


def test_a_receipt_adds_evidence_to_the_moves_own():
    receipt = Move("rollback", 1, 2, "ann", "why", EVIDENCE).receipt(intent="i")
    assert receipt["evidence"] == {**EVIDENCE, "intent": "i"}
    assert (receipt["subject"], receipt["before"], receipt["after"]) == (
        "version 1",
        "version 2",
        "version 1",
    )


def test_versions_are_named_and_read_back():
    assert [named(version) for version in (None, 3)] == [None, "version 3"]
    assert [version_of(name) for name in (None, "no model", "version 12", "version x")] == [
        None,
        None,
        12,
        None,
    ]


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
    assert {digest: done.sequence for digest, done in carried_out(receipts).items()} == {
        "d1": 1,
        "d3": 5,
    }
    again = [*receipts, *chain(("decision", 3))]
    assert set(carried_out(again)) == {"d1"}
    assert {version: done.sequence for version, done in promotions(receipts).items()} == {
        1: 1,
        3: 5,
    }
