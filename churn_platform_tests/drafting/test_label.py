"""Which column of a draft marks who churned, or who stayed."""

from functools import partial

import pandas as pd
import pytest

from churn_platform.drafting.columns import guess_column
from churn_platform.drafting.keys import KeyColumn, Sheet
from churn_platform.drafting.label import LabelColumn, NoLabelError, guess_label, labels_of
from churn_platform.ingestion.conversion import Writing, convert
from churn_platform_tests.drafting.sheets import FLAG, IDS, N, later, refused, sheet

KEY = KeyColumn("who", integer=False)
no_label = partial(refused, "LABEL_NOT_FOUND", guess_label)
RARE = ["yes", "no", "no", "no"] * 10
MOST = ["yes"] * 30 + ["no"] * 10


@pytest.mark.parametrize(
    ("sheets", "place"),
    [
        ([later("a", who=IDS, is_senior=FLAG, churned=RARE)], "a.churned"),
        ([later("a", who=IDS, is_senior=FLAG), later("leavers", who=IDS, flag=FLAG)], "leavers.flag"),
        ([later("a", who=IDS, target=FLAG), later("b", who=IDS, churn=FLAG[::-1])], "b.churn"),
        ([later("a", who=IDS, churned=FLAG), later("b", who=IDS[::-1], churned=FLAG[::-1])], "a.churned"),
        ([later("e", who=IDS[:20] * 2, churned=FLAG), later("a", who=IDS, left=FLAG)], "a.left"),
        ([later("a", who=IDS, IsActiveMember=FLAG[::-1], Exited=[1, 0, 0, 0] * 10)], "a.Exited"),
    ],
)  # fmt: skip
def test_the_label_is_the_yes_or_no_whose_name_speaks_most_of_churn(sheets, place):
    found = guess_label([make() for make in sheets], KEY, None)
    assert f"{found.table}.{found.header}" == place
    assert found.doubt == "guessed from its name"
    assert not found.inverted


@pytest.mark.parametrize(
    ("sheets", "facts"),
    [
        ([later("a", who=IDS, churned=FLAG), later("b", who=IDS, churned=FLAG[::-1])], ["a.churned, b.churned"]),
        ([later("a", who=IDS, is_senior=FLAG, fee=range(N))], ["a.is_senior"]),
        ([later("churn_info", who=IDS, is_senior=FLAG, fee=range(N))], ["churn_info.is_senior"]),
        ([later("a", who=IDS, attrition_flag=["2", "1"] * 20)], ["a.attrition_flag", "1, 2"]),
        ([later("a", who=IDS, gekuendigt=["ja", "nein"] * 20)], ["a.gekuendigt"]),
        ([later("visits", who=IDS, user_id=IDS[:20] * 2, kind=["in", "out"] * 20)], ["visits", "`source:`"]),
    ],
)  # fmt: skip
def test_without_a_label_the_columns_that_could_be_one_are_named(sheets, facts):
    found = no_label([make() for make in sheets], KEY, None)
    for fact in facts:
        assert fact in found
    assert ".fee" not in found


def test_a_given_label_has_no_doubt_but_an_odd_rate_is_reported():
    flags = {"Has Gone": MOST, "gone": [0] * N, "all": ["yes"] * N, "plan": ["S", "M"] * 20}
    sheets = [sheet("a", who=IDS, **flags)]
    found = guess_label(sheets, KEY, "a.Has Gone")
    assert found == guess_label(sheets, KEY, "a.has_gone")
    assert (found.header, "75%" in found.doubt, "guessed" in found.doubt) == (
        "Has Gone",
        True,
        False,
    )
    assert guess_label(sheets, KEY, "a.gone").doubt == "no customer churned"
    assert "every customer" in guess_label(sheets, KEY, "a.all").doubt
    assert "are a.Has Gone, a.gone, a.all." in no_label(sheets, KEY, "a.x")
    assert "not S, M." in no_label(sheets, KEY, "a.plan")


def test_labels_are_by_customer_however_they_are_written():
    values = ["Yes", " n ", 1.0, "", "maybe", False]
    own = sheet("a", who=list("badcfe"), churned=values)
    found = labels_of(own, LabelColumn("a", "churned", 0.5), KEY)
    assert found.index.tolist() == list("abcdef")
    assert [None if pd.isna(v) else v for v in found] == [False, True, None, True, False, None]


@pytest.mark.parametrize("header", ["is_active", "not_churned", "Renewed"])
@pytest.mark.parametrize("given", [False, True])
def test_a_label_of_who_stayed_is_inverted_and_confirmed(header, given):
    own = sheet("a", **{"who": IDS, header: MOST})
    found = guess_label([own], KEY, f"a.{header}" if given else None)
    assert (found.inverted, found.rate) == (True, 0.25)
    assert repr(header) in found.doubt
    assert labels_of(own, found, KEY).tolist() == [False] * 30 + [True] * 10


@pytest.mark.parametrize(
    ("values", "unknown"),
    [
        (["0", "1", "9", "0"], "9"), ([0, 1, 9, 0], "9"), ([0.0, 1.0, 9.0, 0.0], "9"),
        (["yes", "no", "tbc", "no"], "tbc"),
    ],
)  # fmt: skip
def test_a_third_value_of_a_label_is_not_known_and_confirmed(values, unknown):
    found = guess_label([sheet("a", who=IDS, churned=values * 10)], KEY, None)
    assert (found.missing, repr(unknown) in found.doubt) == ((unknown,), True)
    assert found.rate == pytest.approx(1 / 3)
    typed, faults = convert(pd.Series(values), "boolean", Writing(missing=found.missing))
    assert (typed.isna().tolist(), faults) == ([False, False, True, False], {})


@pytest.mark.parametrize("wanted", [None, "a.Churn"])
def test_a_label_that_is_empty_in_the_newest_drop_is_looked_for_in_an_older_one(wanted):
    newest = pd.DataFrame({"who": IDS, "Churn": [""] * N})
    guesses = {
        "who": guess_column("who", newest["who"]),
        "Churn": guess_column("Churn", newest["Churn"], [pd.Series(FLAG)]),
    }
    with pytest.raises(NoLabelError, match=r"a\.Churn"):
        guess_label([Sheet("a", "a", newest, guesses)], KEY, wanted)
