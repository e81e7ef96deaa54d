"""Which column is the customer's key, and which says who churned."""

import pandas as pd
import pytest

from churn_platform.core.draft.columns import guess_column
from churn_platform.core.draft.keys import Key, Sheet, guess_key, guess_label, labels_of, truths
from churn_platform.errors import UsageError

N = 40
IDS = [f"c{n:02d}" for n in range(N)]
FLAG = ["yes", "no"] * (N // 2)


def sheet(name, **columns):
    frame = pd.DataFrame(columns)
    return Sheet(name, name, frame, {h: guess_column(h, frame[h]) for h in frame.columns})


def refused(call, *arguments):
    with pytest.raises(UsageError) as refusal:
        call(*arguments)
    assert str(refusal.value).count(". ") == 0
    return str(refusal.value)


def test_the_key_is_unique_in_every_file_and_has_a_keys_name():
    sheets = [sheet("a", email=[f"{i}@x" for i in IDS], customer_id=IDS), sheet("b", customer_id=IDS, fee=range(N))]
    assert guess_key(sheets, None) == Key("customer_id", integer=False)


def test_in_one_file_the_key_is_to_be_confirmed_and_a_key_beats_an_address():
    found = guess_key([sheet("a", email=[f"{i}@x" for i in IDS], client_id=range(N))], None)
    assert found == Key("client_id", integer=True, doubt="guessed from its name and being unique in the file")


def test_a_unique_column_without_a_keys_name_will_do_when_it_is_the_only_one():
    found = guess_key([sheet("a", who=IDS, fee=[1.5] * N)], None)
    assert (found.header, found.doubt) == ("who", "guessed from being unique in the file")


def test_a_table_with_many_rows_a_customer_does_not_hide_the_key():
    events = sheet("events", user_id=IDS[:20] * 2, event_id=range(N))
    found = guess_key([events, sheet("a", user_id=IDS), sheet("b", user_id=IDS)], None)
    assert (found.header, found.doubt) == ("user_id", "guessed from its name and being unique in 2 of 3 files")


def test_amounts_and_dates_are_no_keys_though_all_differ():
    frame = {"who": IDS, "fee": [n + 0.5 for n in range(N)], "day": pd.date_range("2024-01-01", periods=N)}
    assert guess_key([sheet("a", **frame)], None).header == "who"


def test_two_columns_that_could_be_the_key_are_named():
    said = refused(guess_key, [sheet("a", one=IDS, two=IDS[::-1])], None)
    assert "--entity" in said
    assert "one, two" in said


def test_no_unique_column_is_said_with_the_likely_ones():
    said = refused(guess_key, [sheet("a", user_id=IDS[:20] * 2, fee=FLAG)], None)
    assert "no column is unique in most files" in said
    assert said.endswith("--entity with one of user_id.")


def test_a_key_that_is_told_is_taken_by_its_header_or_its_name():
    sheets = [sheet("a", **{"Cust No": range(N), "other_id": IDS})]
    assert guess_key(sheets, "cust_no") == guess_key(sheets, "Cust No") == Key("Cust No", integer=True)


def test_a_key_that_is_told_but_cannot_be_is_refused():
    sheets = [sheet("a", who=IDS, plan=FLAG)]
    assert "no file has such a column; the columns are who, plan." in refused(guess_key, sheets, "whom")
    assert "repeated in every file" in refused(guess_key, sheets, "plan")


KEY = Key("who", integer=False)


def test_the_label_is_a_yes_or_no_whose_name_speaks_of_churn():
    sheets = [sheet("a", who=IDS, is_senior=FLAG, churned=["yes", "no", "no", "no"] * 10)]
    found = guess_label(sheets, KEY, None)
    assert (found.table, found.header, found.rate, found.doubt) == ("a", "churned", 0.25, "guessed from its name")


def test_the_label_may_be_told_by_its_tables_name_when_it_is_alone_there():
    sheets = [sheet("a", who=IDS, is_senior=FLAG), sheet("leavers", who=IDS, flag=FLAG)]
    assert (guess_label(sheets, KEY, None).table, guess_label(sheets, KEY, None).header) == ("leavers", "flag")


def test_the_surer_name_wins():
    sheets = [sheet("a", who=IDS, target=FLAG), sheet("b", who=IDS, churn=FLAG[::-1])]
    assert guess_label(sheets, KEY, None).header == "churn"


def test_two_labels_that_say_the_same_are_one_and_two_that_differ_are_named():
    same = [sheet("a", who=IDS, churned=FLAG), sheet("b", who=IDS[::-1], churned=[f == "yes" for f in FLAG[::-1]])]
    assert guess_label(same, KEY, None).table == "a"
    differ = [sheet("a", who=IDS, churned=FLAG), sheet("b", who=IDS, churned=FLAG[::-1])]
    assert "--label with one of a.churned, b.churned." in refused(guess_label, differ, KEY, None)


def test_without_a_label_the_columns_with_two_values_are_named():
    said = refused(guess_label, [sheet("a", who=IDS, is_senior=FLAG, fee=range(N))], KEY, None)
    assert said == "No label can be guessed: say --label TABLE.COLUMN; the columns with two values are a.is_senior."
    assert "no column holds yes and no" in refused(guess_label, [sheet("a", who=IDS, fee=range(N))], KEY, None)


def test_a_label_that_is_told_is_taken_without_a_doubt_but_an_odd_rate_is_said():
    sheets = [sheet("a", **{"who": IDS, "Is Active": ["yes"] * 30 + ["no"] * 10, "gone": [0] * N})]
    found = guess_label(sheets, KEY, "a.Is Active")
    assert (found.header, found.doubt) == ("Is Active", "75% churn: the right way round?")
    assert guess_label(sheets, KEY, "a.is_active") == found
    assert guess_label(sheets, KEY, "a.gone").doubt == "nobody churned"


def test_a_label_that_is_told_but_cannot_be_is_refused():
    sheets = [sheet("a", who=IDS, flag=FLAG, plan=["S", "M"] * (N // 2))]
    assert "there is no such column; those with two values are a.flag." in refused(guess_label, sheets, KEY, "a.x")
    assert "not S, M." in refused(guess_label, sheets, KEY, "a.plan")


def test_a_table_that_repeats_customers_holds_no_label():
    sheets = [sheet("events", who=IDS[:20] * 2, churned=FLAG), sheet("a", who=IDS, left=FLAG)]
    assert guess_label(sheets, KEY, None).table == "a"


def test_labels_are_by_customer_whatever_their_order():
    found = labels_of(sheet("a", who=["b", "a", "c"], churned=["yes", "no", ""]), "churned", KEY)
    assert found.index.tolist() == ["a", "b", "c"]
    assert [None if pd.isna(v) else v for v in found] == [False, True, None]


def test_truth_is_read_from_every_way_to_write_it():
    said = pd.Series(["Yes", " n ", "1.0", "0", True, 0.0, None, "", "maybe"], dtype=object)
    assert [None if pd.isna(v) else v for v in truths(said)] == [
        True,
        False,
        True,
        False,
        True,
        False,
        None,
        None,
        None,
    ]


def test_a_tables_name_alone_makes_no_label_of_one_of_several_columns():
    sheets = [sheet("churn_info", who=IDS, is_senior=FLAG, fee=range(N))]
    assert "the columns with two values are churn_info.is_senior." in refused(guess_label, sheets, KEY, None)
