"""Which column is the customer's key."""

import pandas as pd
import pytest

from churn_platform.base.errors import UsageError
from churn_platform.drafting.columns import guess_column
from churn_platform.drafting.keys import KeyColumn, Sheet, guess_key

N = 40
IDS = [f"c{n:02d}" for n in range(N)]
FLAG = ["yes", "no"] * (N // 2)


def sheet(name, **columns):
    frame = pd.DataFrame(columns)
    return Sheet(name, name, frame, {h: guess_column(h, frame[h]) for h in frame.columns})


def refused(call, *arguments):
    with pytest.raises(UsageError) as refusal:
        call(*arguments)
    assert refusal.value.code == "KEY_NOT_FOUND"
    return str(refusal.value)


def test_the_key_is_unique_in_every_file_and_has_a_keys_name():
    sheets = [
        sheet("a", email=[f"{i}@x" for i in IDS], customer_id=IDS),
        sheet("b", customer_id=IDS, fee=range(N)),
    ]
    assert guess_key(sheets, None) == KeyColumn("customer_id", integer=False)


def test_in_one_file_the_key_is_to_be_confirmed_and_a_key_beats_an_address():
    found = guess_key([sheet("a", email=[f"{i}@x" for i in IDS], client_id=range(N))], None)
    assert found == KeyColumn(
        "client_id", integer=True, doubt="guessed from its name and being unique in the file"
    )


def test_a_unique_column_without_a_keys_name_will_do_when_it_is_the_only_one():
    found = guess_key([sheet("a", who=IDS, fee=[1.5] * N)], None)
    assert (found.header, found.doubt) == ("who", "guessed from being unique in the file")


def test_a_table_with_many_rows_a_customer_does_not_hide_the_key():
    events = sheet("events", user_id=IDS[:20] * 2, event_id=range(N))
    found = guess_key([events, sheet("a", user_id=IDS), sheet("b", user_id=IDS)], None)
    assert (found.header, found.doubt) == (
        "user_id",
        "guessed from its name and being unique in 2 of 3 files",
    )


def test_amounts_and_dates_are_no_keys_though_all_differ():
    frame = {
        "who": IDS,
        "fee": [n + 0.5 for n in range(N)],
        "day": pd.date_range("2024-01-01", periods=N),
    }
    assert guess_key([sheet("a", **frame)], None).header == "who"


def test_two_columns_that_could_be_the_key_are_named():
    said = refused(guess_key, [sheet("a", one=IDS, two=IDS[::-1])], None)
    assert "--entity" in said
    assert "one, two" in said


def test_a_log_of_events_is_named_with_its_rows_per_customer_and_the_query_to_write():
    said = refused(guess_key, [sheet("visits", user_id=IDS[:20] * 2, fee=FLAG)], None)
    for fact in ("visits", "'user_id'", "20 of 40 rows", "2.0 rows per customer", "`source:`"):
        assert fact in said
    assert "--entity" not in said


def test_columns_that_repeat_are_not_offered_as_a_key():
    said = refused(
        guess_key, [sheet("a", who=IDS, plan=FLAG), sheet("b", x=FLAG), sheet("c", x=FLAG)], None
    )
    assert said.endswith(" who.")
    assert "plan" not in refused(guess_key, [sheet("a", plan=FLAG, city=FLAG)], None)


@pytest.mark.parametrize("header", ["", "Unnamed: 0", "index", "Row Number"])
def test_row_numbers_are_no_key_unless_it_is_said(header):
    numbered = sheet("a", **{header: [str(n) for n in range(N)], "who": IDS})
    assert guess_key([numbered], None).header == "who"
    alone = sheet("a", **{header: [str(n) for n in range(N)], "plan": FLAG})
    refused(guess_key, [alone], None)
    if header:
        assert guess_key([alone], header).header == header


def test_keys_of_19_digits_and_whole_keys_with_a_decimal_point_are_whole_numbers():
    long = [str(1582218195625938945 + n) for n in range(N)]
    pointed = [f"{1001 + n}.0" for n in range(N)]
    for keys in (long, pointed, pd.Series(pointed).astype(float)):
        assert guess_key([sheet("a", customer_id=keys, plan=FLAG)], None).integer
    twenty = [str(10**19 + n) for n in range(N)]
    assert not guess_key([sheet("a", customer_id=twenty, plan=FLAG)], None).integer


def test_a_few_repeated_keys_do_not_hide_the_key():
    many = [f"c{n}" for n in range(1000)]
    frame = {"customer_id": [*many, "c0", ""], "plan": FLAG * 25 + FLAG[:2]}
    assert guess_key([sheet("a", **frame)], None).header == "customer_id"


def test_a_key_that_is_told_is_taken_by_its_header_or_its_name():
    sheets = [sheet("a", **{"Cust No": range(N), "other_id": IDS})]
    assert (
        guess_key(sheets, "cust_no")
        == guess_key(sheets, "Cust No")
        == KeyColumn("Cust No", integer=True)
    )


def test_a_key_that_is_told_but_cannot_be_is_refused():
    sheets = [sheet("a", who=IDS, plan=FLAG)]
    assert "who, plan" in refused(guess_key, sheets, "whom")
    assert "'plan' is empty or repeats in 38 of 40 rows" in refused(guess_key, sheets, "plan")
