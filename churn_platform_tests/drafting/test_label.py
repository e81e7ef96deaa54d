"""Which column of a draft says who churned, or who stayed."""

import pandas as pd
import pytest

from churn_platform.base.errors import UsageError
from churn_platform.drafting.columns import guess_column
from churn_platform.drafting.keys import KeyColumn, Sheet
from churn_platform.drafting.label import LabelColumn, NoLabelError, guess_label, labels_of
from churn_platform.ingestion.conversion import Writing, convert

N = 40
IDS = [f"c{n:02d}" for n in range(N)]
FLAG = ["yes", "no"] * (N // 2)


def sheet(name, **columns):
    frame = pd.DataFrame(columns)
    return Sheet(name, name, frame, {h: guess_column(h, frame[h]) for h in frame.columns})


def refused(call, *arguments):
    with pytest.raises(UsageError) as refusal:
        call(*arguments)
    assert refusal.value.code == "LABEL_NOT_FOUND"
    return str(refusal.value)


KEY = KeyColumn("who", integer=False)


def test_the_label_is_a_yes_or_no_whose_name_speaks_of_churn():
    sheets = [sheet("a", who=IDS, is_senior=FLAG, churned=["yes", "no", "no", "no"] * 10)]
    found = guess_label(sheets, KEY, None)
    assert (found.table, found.header, found.rate, found.doubt) == (
        "a",
        "churned",
        0.25,
        "guessed from its name",
    )


def test_the_label_may_be_told_by_its_tables_name_when_it_is_alone_there():
    sheets = [sheet("a", who=IDS, is_senior=FLAG), sheet("leavers", who=IDS, flag=FLAG)]
    assert (guess_label(sheets, KEY, None).table, guess_label(sheets, KEY, None).header) == (
        "leavers",
        "flag",
    )


def test_the_surer_name_wins():
    sheets = [sheet("a", who=IDS, target=FLAG), sheet("b", who=IDS, churn=FLAG[::-1])]
    assert guess_label(sheets, KEY, None).header == "churn"


def test_two_labels_that_say_the_same_are_one_and_two_that_differ_are_named():
    same = [
        sheet("a", who=IDS, churned=FLAG),
        sheet("b", who=IDS[::-1], churned=[f == "yes" for f in FLAG[::-1]]),
    ]
    assert guess_label(same, KEY, None).table == "a"
    differ = [sheet("a", who=IDS, churned=FLAG), sheet("b", who=IDS, churned=FLAG[::-1])]
    assert "a.churned, b.churned" in refused(guess_label, differ, KEY, None)


def test_without_a_label_the_columns_with_two_values_are_named():
    said = refused(guess_label, [sheet("a", who=IDS, is_senior=FLAG, fee=range(N))], KEY, None)
    assert "a.is_senior" in said
    assert "a.fee" not in refused(guess_label, [sheet("a", who=IDS, fee=range(N))], KEY, None)


def test_a_label_that_is_told_is_taken_without_a_doubt_but_an_odd_rate_is_said():
    sheets = [sheet("a", **{"who": IDS, "Has Gone": ["yes"] * 30 + ["no"] * 10, "gone": [0] * N})]
    found = guess_label(sheets, KEY, "a.Has Gone")
    assert found.header == "Has Gone"
    assert "75%" in found.doubt
    assert "guessed" not in found.doubt
    assert guess_label(sheets, KEY, "a.has_gone") == found
    assert guess_label(sheets, KEY, "a.gone").doubt == "no customer churned"


def test_a_label_that_is_told_but_cannot_be_is_refused():
    sheets = [sheet("a", who=IDS, flag=FLAG, plan=["S", "M"] * (N // 2))]
    assert "there is no such column; the columns with two values are a.flag." in refused(
        guess_label, sheets, KEY, "a.x"
    )
    assert "not S, M." in refused(guess_label, sheets, KEY, "a.plan")


def test_a_table_that_repeats_customers_holds_no_label():
    sheets = [sheet("events", who=IDS[:20] * 2, churned=FLAG), sheet("a", who=IDS, left=FLAG)]
    assert guess_label(sheets, KEY, None).table == "a"


def test_labels_are_by_customer_whatever_their_order():
    found = labels_of(
        sheet("a", who=list("badcfe"), churned=["Yes", " n ", 1.0, "", "maybe", False]),
        LabelColumn("a", "churned", 0.5),
        KEY,
    )
    assert found.index.tolist() == list("abcdef")
    assert [None if pd.isna(v) else v for v in found] == [False, True, None, True, False, None]


def test_a_tables_name_alone_makes_no_label_of_one_of_several_columns():
    sheets = [sheet("churn_info", who=IDS, is_senior=FLAG, fee=range(N))]
    assert "churn_info.is_senior" in refused(guess_label, sheets, KEY, None)


@pytest.mark.parametrize(
    "header", ["is_active", "not_churned", "retained", "Renewed", "still active", "no_churn"]
)
def test_a_label_that_says_who_stayed_is_turned_over_and_confirmed(header):
    stayed = ["yes"] * 30 + ["no"] * 10
    for wanted in (None, f"a.{header}"):
        found = guess_label([sheet("a", **{"who": IDS, header: stayed})], KEY, wanted)
        assert (found.inverted, found.rate) == (True, 0.25)
        assert repr(header) in found.doubt
    assert (
        labels_of(sheet("a", **{"who": IDS, header: stayed}), found, KEY).tolist()
        == [False] * 30 + [True] * 10
    )


@pytest.mark.parametrize("header", ["churned", "not_renewed", "not active", "inactive", "left"])
def test_a_label_that_says_who_left_stays_as_it_is(header):
    assert not guess_label([sheet("a", **{"who": IDS, header: FLAG})], KEY, None).inverted


def test_who_left_is_a_surer_label_than_who_is_active():
    found = guess_label(
        [sheet("a", who=IDS, IsActiveMember=FLAG[::-1], Exited=[1, 0, 0, 0] * 10)], KEY, None
    )
    assert (found.header, found.inverted) == ("Exited", False)


@pytest.mark.parametrize(
    ("values", "unknown"),
    [
        (["0", "1", "9", "0"], "9"), ([0, 1, 9, 0], "9"), ([0.0, 1.0, 9.0, 0.0], "9"),
        (["yes", "no", "tbc", "no"], "tbc"),
    ],
)  # fmt: skip
def test_a_third_value_of_a_label_is_not_known_and_confirmed(values, unknown):
    found = guess_label([sheet("a", who=IDS, churned=values * 10)], KEY, None)
    assert found.missing == (unknown,)
    assert repr(unknown) in found.doubt
    typed, faults = convert(pd.Series(values), "boolean", Writing(missing=found.missing))
    assert (typed.isna().tolist(), faults) == ([False, False, True, False], {})
    assert found.rate == pytest.approx(1 / 3)


def test_a_column_that_is_named_like_a_label_but_holds_something_else_is_shown_with_its_values():
    for values in (["1", "2"], ["Attrited Customer", "Existing Customer"]):
        said = refused(guess_label, [sheet("a", who=IDS, attrition_flag=values * 20)], KEY, None)
        assert "a.attrition_flag" in said
        assert ", ".join(values) in said


def test_labels_of_churners_only_are_confirmed():
    found = guess_label([sheet("a", who=IDS, churned=["yes"] * N)], KEY, None)
    assert "every customer in it churned" in found.doubt


def test_a_log_whose_rows_have_a_key_of_their_own_is_named_with_the_query_to_write():
    said = refused(
        guess_label,
        [sheet("visits", who=IDS, user_id=IDS[:20] * 2, kind=["in", "out"] * 20)],
        KEY,
        None,
    )
    assert "visits" in said
    assert "`source:`" in said


def test_columns_with_two_words_that_are_not_yes_and_no_are_named():
    words = sheet("a", who=IDS, gekuendigt=["ja", "nein"] * 20)
    assert "a.gekuendigt" in refused(guess_label, [words], KEY, None)


@pytest.mark.parametrize("wanted", [None, "a.Churn"])
def test_a_label_column_that_is_empty_in_the_newest_drop_is_looked_for_in_an_older_one(wanted):
    newest = pd.DataFrame({"who": IDS, "Churn": [""] * N})
    older = pd.Series(FLAG)
    guesses = {
        "who": guess_column("who", newest["who"]),
        "Churn": guess_column("Churn", newest["Churn"], [older]),
    }
    with pytest.raises(NoLabelError, match=r"a\.Churn"):
        guess_label([Sheet("a", "a", newest, guesses)], KEY, wanted)
