"""Which column is the customer's key."""

from functools import partial

import pandas as pd
import pytest

from churn_platform.drafting.keys import KeyColumn, guess_key
from churn_platform_tests.drafting.sheets import FLAG, IDS, N, later, refused, sheet

no_key = partial(refused, "KEY_NOT_FOUND", guess_key)
EMAILS = [f"{name}@x" for name in IDS]


@pytest.mark.parametrize(
    ("sheets", "header", "doubt"),
    [
        ([later("a", email=EMAILS, customer_id=IDS), later("b", customer_id=IDS, fee=range(N))], "customer_id", ""),
        ([later("a", email=EMAILS, client_id=IDS)], "client_id", "its name and being unique in the file"),
        ([later("a", who=IDS, fee=[1.5] * N)], "who", "from being unique in the file"),
        (
            [later("e", user_id=IDS[:20] * 2, event_id=range(N)), later("a", user_id=IDS), later("b", user_id=IDS)],
            "user_id", "its name and being unique in 2 of 3 files",
        ),
        (
            [later("a", who=IDS, fee=[n + 0.5 for n in range(N)], day=pd.date_range("2024-01-01", periods=N))],
            "who", "unique in the file",
        ),
    ],
)  # fmt: skip
def test_the_key_is_unique_in_most_files_and_has_the_name_of_a_key(sheets, header, doubt):
    found = guess_key([make() for make in sheets], None)
    assert (found.header, found.integer) == (header, False)
    assert doubt in found.doubt
    assert bool(doubt) == bool(found.doubt)


def test_without_a_key_the_message_has_what_helps():
    assert "one, two" in no_key([sheet("a", one=IDS, two=IDS[::-1])], None)
    log = no_key([sheet("visits", user_id=IDS[:20] * 2, fee=FLAG)], None)
    for fact in ("visits", "'user_id'", "20 of 40 rows", "2.0 rows per customer", "`source:`"):
        assert fact in log
    assert "--entity" not in log
    rare = [sheet("a", who=IDS, plan=FLAG), sheet("b", x=FLAG), sheet("c", x=FLAG)]
    assert no_key(rare, None).endswith("--entity with one of who.")
    assert "plan" not in no_key([sheet("a", plan=FLAG, city=FLAG)], None)


@pytest.mark.parametrize("header", ["", "Unnamed: 0", "index", "Row Number"])
def test_row_numbers_are_a_key_only_if_they_are_named(header):
    rows = [str(n) for n in range(N)]
    assert guess_key([sheet("a", **{header: rows, "who": IDS})], None).header == "who"
    alone = [sheet("a", **{header: rows, "plan": FLAG})]
    no_key(alone, None)
    if header:
        assert guess_key(alone, header).header == header


@pytest.mark.parametrize(
    ("keys", "integer"),
    [
        ([str(1582218195625938945 + n) for n in range(N)], True),
        ([f"{1001 + n}.0" for n in range(N)], True),
        ([1001.0 + n for n in range(N)], True),
        ([str(10**19 + n) for n in range(N)], False),
    ],
)
def test_keys_of_19_digits_and_keys_with_a_decimal_point_are_integers(keys, integer):
    assert guess_key([sheet("a", customer_id=keys, plan=FLAG)], None).integer == integer


def test_a_few_repeated_keys_do_not_hide_the_key():
    keys = [*(f"c{n}" for n in range(1000)), "c0", ""]
    found = guess_key([sheet("a", customer_id=keys, plan=[*FLAG * 25, "yes", "no"])], None)
    assert found.header == "customer_id"


def test_a_given_key_is_found_by_its_header_or_name_and_refused_if_it_repeats():
    sheets = [sheet("a", **{"Cust No": range(N), "other_id": IDS, "plan": FLAG})]
    for wanted in ("cust_no", "Cust No"):
        assert guess_key(sheets, wanted) == KeyColumn("Cust No", integer=True)
    assert "Cust No, other_id, plan" in no_key(sheets, "whom")
    assert "'plan' is empty or repeats in 38 of 40 rows" in no_key(sheets, "plan")
