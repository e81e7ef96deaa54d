"""The chain: change, delete, cut, reorder or duplicate anything, and the first break is named."""

import hashlib
import json
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from churn_platform.base.digests import digest_of
from churn_platform.base.errors import DataError, IntegrityError
from churn_platform.ledger import receipts as ledger
from churn_platform.ledger.receipts import GENESIS, Receipt

TIME = "2024-02-29T06:00:00.000000+00:00"
ACT = {
    "time": TIME,
    "actor": "monthly",
    "act": "decision",
    "subject": "version 3",
    "reason": "It beats version 2.",
}

plain = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text()
)
values = st.recursive(
    plain,
    lambda one: st.lists(one, max_size=3) | st.dictionaries(st.text(), one, max_size=3),
    max_leaves=6,
)
words = st.text(min_size=1)
acts = st.fixed_dictionaries(
    {
        "time": st.datetimes().map(lambda at: at.isoformat() + "+00:00"),
        "actor": words,
        "act": st.sampled_from(ledger.Act.__args__),
        "subject": words,
        "before": st.none() | words,
        "after": st.none() | words,
        "reason": words,
        "evidence": st.dictionaries(st.text(), values, max_size=3),
    }
)


def chained(recorded):
    receipts, head = [], None
    for fields in recorded:
        head = ledger.append(head, **fields)
        receipts.append(head)
    return receipts


def chains(min_size=1):
    return st.lists(acts, min_size=min_size, max_size=5).map(chained)


def numbered(count):
    return chained([ACT | {"subject": f"version {number}"} for number in range(1, count + 1)])


def broken(receipts, anchor=None):
    """The first break of the file of these receipts."""
    return ledger.verify_lines([ledger.to_line(receipt) for receipt in receipts], anchor)


def place(verdict):
    return None if verdict is None else (verdict.sequence, verdict.what)


def with_own_digest(receipt):
    """What a forger writes who knows how digests are made."""
    fields = receipt.model_dump(exclude={"digest"})
    return receipt.model_copy(update={"digest": digest_of(fields)})


def signed_line(body):
    """A line with a good digest, whatever its body is."""
    text = (
        body if isinstance(body, str) else json.dumps(body, sort_keys=True, separators=(",", ":"))
    )
    return f'{text[:-1]},"digest":"{hashlib.sha256(text.encode()).hexdigest()}"}}'.encode()


def other_value(receipt, field):
    others = {"sequence": receipt.sequence + 1, "evidence": {"forged": receipt.evidence}}
    others |= {"previous": "f" * 64, "digest": "f" * 64}
    return others.get(field, f"{getattr(receipt, field)} (forged)")


@settings(max_examples=25)
@given(chains())
def test_a_sound_chain_holds_with_each_of_its_heads_as_anchor(receipts):
    assert [receipt.sequence for receipt in receipts] == list(range(1, len(receipts) + 1))
    assert receipts[0].previous == GENESIS
    for anchor in [None, GENESIS, *(receipt.digest for receipt in receipts)]:
        assert broken(receipts, anchor) is None


@pytest.mark.parametrize("field", sorted(Receipt.model_fields))
@settings(max_examples=10)
@given(receipts=chains(), data=st.data())
def test_a_change_of_any_field_is_found_where_it_was_made(field, receipts, data):
    at = data.draw(st.integers(0, len(receipts) - 1))
    receipts[at] = receipts[at].model_copy(update={field: other_value(receipts[at], field)})
    assert place(broken(receipts)) == (at + 1, "changed")


@settings(max_examples=25)
@given(chains(min_size=2), st.data())
def test_a_rewritten_receipt_with_a_digest_made_anew_breaks_the_link_to_the_next(receipts, data):
    head = receipts[-1].digest
    at = data.draw(st.integers(0, len(receipts) - 1))
    receipts[at] = with_own_digest(
        receipts[at].model_copy(update={"reason": receipts[at].reason + "!"})
    )
    if at + 1 < len(receipts):
        assert place(broken(receipts)) == (at + 2, "changed")
    else:
        assert place(broken(receipts, anchor=head)) == (len(receipts) + 1, "cut")


@settings(max_examples=25)
@given(chains(min_size=2), st.data())
def test_a_deleted_receipt_is_missing(receipts, data):
    head = receipts[-1].digest
    at = data.draw(st.integers(0, len(receipts) - 1))
    del receipts[at]
    expected = (at + 1, "missing") if at < len(receipts) else (at + 1, "cut")
    assert place(broken(receipts, anchor=head)) == expected


@settings(max_examples=25)
@given(chains(), st.data())
def test_a_cut_tail_is_found_by_the_anchor_and_by_nothing_else(receipts, data):
    keep = data.draw(st.integers(0, len(receipts) - 1))
    anchor = data.draw(st.sampled_from(receipts[keep:])).digest
    assert broken(receipts[:keep]) is None
    assert place(broken(receipts[:keep], anchor)) == (keep + 1, "cut")


@settings(max_examples=25)
@given(chains(min_size=2), st.data())
def test_reordered_receipts_are_found_at_the_first_wrong_place(receipts, data):
    order = data.draw(
        st.permutations(range(len(receipts))).filter(lambda order: order != sorted(order))
    )
    first = next(place for place, index in enumerate(order) if place != index)
    assert place(broken([receipts[index] for index in order])) == (first + 1, "reordered")


@settings(max_examples=25)
@given(chains(), st.data())
def test_a_duplicated_receipt_is_found_where_it_stands_again(receipts, data):
    at = data.draw(st.integers(0, len(receipts) - 1))
    again = data.draw(st.integers(at + 1, len(receipts)))
    receipts.insert(again, receipts[at])
    assert place(broken(receipts)) == (again + 1, "duplicated")


def test_a_receipt_of_another_ledger_does_not_fit_in():
    receipts, other = numbered(4), chained([ACT | {"actor": "elsewhere"}] * 4)
    receipts[2] = other[2]
    assert place(broken(receipts)) == (3, "changed")
    assert place(broken(other, anchor=numbered(4)[-1].digest)) == (5, "cut")


def test_an_empty_ledger_holds_unless_something_was_anchored():
    assert broken([]) is None
    assert broken([], anchor=GENESIS) is None
    assert broken([], anchor="a" * 64).what == "cut"


@settings(max_examples=40)
@given(chains())
def test_a_receipt_is_read_back_from_its_line_as_it_was(receipts):
    for receipt in receipts:
        line = ledger.to_line(receipt)
        assert b"\n" not in line
        assert ledger.parse(line) == receipt
        assert list(json.loads(line))[-1] == "digest"
        assert json.loads(line) == receipt.model_dump()


def test_any_changed_byte_of_a_line_is_found():
    line = ledger.to_line(ledger.append(None, **ACT, evidence={"auc": 0.65, "digest": "a" * 64}))
    for at in range(len(line)):
        for bit in (1, 32):
            garbled = line[:at] + bytes([line[at] ^ bit]) + line[at + 1 :]
            assert place(ledger.verify_lines([garbled])) == (1, "changed")
            with pytest.raises(IntegrityError, match="does not match its digest"):
                ledger.parse(garbled)


@pytest.mark.parametrize(
    "line", [b"", b"{}", b"null", b"\0\0\0", b"[" * 5000, b'{"digest":"0"}', b'{"sequence":1}\r']
)
def test_what_is_no_receipt_at_all_is_a_changed_line(line):
    assert place(ledger.verify_lines([line])) == (1, "changed")


@pytest.mark.parametrize(
    "forged", [{"sequence": "1"}, {"sequence": True}, {"sequence": 1.0}, {"previous": None}]
)
def test_a_forged_line_with_a_good_digest_and_a_wrong_type_is_a_changed_line(forged):
    fields = ledger.append(None, **ACT).model_dump(exclude={"digest"})
    assert ledger.verify_lines([signed_line(fields)]) is None
    assert place(ledger.verify_lines([signed_line(fields | forged)])) == (1, "changed")


@pytest.mark.parametrize(
    "body", ["no json}", '{"rows":1}', '{"sequence":1}', f'{{"previous":"{GENESIS}"}}']
)
def test_a_line_with_a_good_digest_that_is_no_receipt_is_a_changed_line(body):
    assert place(ledger.verify_lines([signed_line(body)])) == (1, "changed")


def test_a_forged_number_is_found_though_digest_and_link_are_good():
    receipts = numbered(2)
    receipts[1] = with_own_digest(receipts[1].model_copy(update={"sequence": 3}))
    assert place(broken(receipts)) == (2, "missing")


@pytest.mark.parametrize(
    ("forged", "sentence"),
    [
        ({"act": "coup"}, r"wrong act: Input should be 'drop accepted'.*got 'coup'"),
        ({"by": "x"}, "wrong by: Extra"),
    ],
)
def test_a_forged_line_with_an_unknown_act_or_field_is_not_read(forged, sentence):
    fields = ledger.append(None, **ACT).model_dump(exclude={"digest"})
    with pytest.raises(IntegrityError, match=sentence):
        ledger.parse(signed_line(fields | forged))


def test_the_format_on_disk_stays_what_it_is():
    receipt = ledger.append(
        None, **ACT, before="version 2", after="version 3", evidence={"auc": 0.65, "rows": 7}
    )
    body = (
        '{"act":"decision","actor":"monthly","after":"version 3","before":"version 2",'
        '"evidence":{"auc":0.65,"rows":7},"previous":"'
        + "0"
        * 64
        + '","reason":"It beats version 2.",'
        '"sequence":1,"subject":"version 3","time":"2024-02-29T06:00:00.000000+00:00"}'
    )
    assert receipt.digest == hashlib.sha256(body.encode()).hexdigest()
    assert ledger.to_line(receipt).decode() == f'{body[:-1]},"digest":"{receipt.digest}"}}'


def test_the_caller_cannot_change_the_evidence_afterwards():
    figures = {"interval": [0.01, 0.07]}
    receipt = ledger.append(None, **ACT, evidence=figures)
    figures["interval"].append(1.0)
    assert receipt.evidence == {"interval": [0.01, 0.07]}
    with pytest.raises(ValidationError, match="frozen"):
        receipt.reason = "another"


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        (
            {"act": "promoted"},
            r"'promoted' on 'version 3' has a wrong act: Input should be 'drop accepted'",
        ),
        ({"time": "2024-02-29T06:00:00"}, r"wrong time: .* is not in UTC; end it with \+00:00"),
        ({"time": "2024-02-29T06:00:00+01:00"}, "is not in UTC"),
        ({"time": "today"}, "wrong time: .*Invalid isoformat"),
        ({"actor": ""}, "wrong actor: String should have at least 1 character"),
        ({"subject": 3}, "wrong subject: Input should be a valid string"),
        ({"reason": ""}, "wrong reason"),
        ({"evidence": {"auc": math.nan}}, "Out of range float values"),
        ({"evidence": {"auc": math.inf}}, "Out of range float values"),
        ({"evidence": {"bytes": b"x"}}, "bytes is not JSON serializable"),
        ({"evidence": {"name": "\ud800"}}, "surrogates not allowed"),
    ],
)
def test_a_wrong_field_is_refused_with_its_name_and_value(wrong, sentence):
    with pytest.raises(DataError, match=sentence):
        ledger.append(None, **ACT | wrong)


def nested(depth):
    value = 1
    for _ in range(depth):
        value = [value]
    return value


@pytest.mark.parametrize("depth", [150, 198, 199, 250, 5000])
def test_what_is_too_deep_to_be_read_back_is_refused_before_it_is_written(depth):
    try:
        receipt = ledger.append(None, **ACT, evidence={"deep": nested(depth)})
    except DataError:
        assert depth > 150
    else:
        assert ledger.parse(ledger.to_line(receipt)) == receipt
