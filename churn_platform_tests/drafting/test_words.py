"""What a name gives away: valid names, plain words, keys, labels, and what is known too late."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from churn_platform.contract.consistency import RESERVED
from churn_platform.contract.parts import Column
from churn_platform.drafting.words import (
    age_name,
    counted,
    description,
    free_name,
    is_count,
    is_needless,
    is_personal,
    is_value,
    key_likeness,
    known_late,
    label_likeness,
    names_who_stayed,
    plain_words,
    tokens,
    valid_name,
)


@pytest.mark.parametrize(
    ("header", "name"),
    [
        ("monthly_fee", "monthly_fee"),
        ("MonthlyCharges", "MonthlyCharges"),
        ("Monthly Fee (€)", "monthly_fee"),
        ("Größe", "grosse"),
        ("Prénom", "prenom"),
        ("30d calls", "column_30d_calls"),
        ("_hidden", "hidden"),
        ("名前", "column"),
        ("", "column"),
    ],
)
def test_a_header_that_is_no_name_becomes_one_and_a_name_stays(header, name):
    assert valid_name(header) == name


@given(st.text(max_size=30))
def test_any_header_has_a_valid_name(header):
    assert re.fullmatch(r"[A-Za-z][A-Za-z0-9_]*", valid_name(header))


@given(
    st.lists(
        st.sampled_from(["fee", "Fee", "t_fee", "label", "as_of", "Holdout", "x"]), max_size=30
    )
)
def test_names_are_never_reserved_and_never_twice_in_large_or_small_letters(wanted):
    taken = set()
    names = [free_name(name, "t", taken) for name in wanted]
    assert len({name.lower() for name in names}) == len(names)
    assert not {name.lower() for name in names} & set(RESERVED)


def test_a_name_that_is_free_is_kept_and_one_that_is_taken_has_its_table_before_it():
    taken = {"region"}
    assert [free_name(name, "shops", taken) for name in ("fee", "region", "Region")] == [
        "fee",
        "shops_region",
        "shops_Region_2",
    ]


def test_words_end_at_underscores_blanks_and_changes_of_case():
    assert tokens("customerID") == ["customer", "id"]
    assert tokens("HTTPCalls per-day") == ["http", "calls", "per", "day"]
    assert tokens("failed_payments_90d") == ["failed", "payments", "90d"]


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("failed_payments_90d", "failed payments in 90 days"),
        ("avg_session_mins_1w", "average session minutes in 1 week"),
        ("MonthlyCharges", "monthly charges"),
        ("30d", "30d"),
        ("NumOfProducts", "number of products"),
        ("spend_12m", "spend in 12 months"),
    ],
)
def test_a_name_is_said_in_plain_words(name, words):
    assert plain_words(name) == words


def test_a_name_that_says_nothing_has_no_description():
    assert [description(name) for name in ("x12", "C_FN", "paid_late_7d")] == [
        "",
        "",
        "Paid late in 7 days",
    ]


def test_what_is_counted_is_said_with_its_plural():
    phrase = counted("failed_payments_90d")
    assert phrase == "{value} failed payment{s} in 90 days"
    assert (
        Column(dtype="integer", phrase=phrase).phrase.format(value=1, s="")
        == "1 failed payment in 90 days"
    )
    assert counted("num_visits") == counted("NumOfVisits") == "{value} visit{s}"


@pytest.mark.parametrize(
    "name", ["tenure", "business", "status", "countries", "x1", "count", "gas", "analysis"]
)
def test_what_has_no_plain_plural_is_not_said_with_one(name):
    assert counted(name) == ""


def test_a_count_is_told_by_its_window_or_its_words():
    assert [
        name
        for name in ("failed_90d", "num_calls", "visit_count", "is_senior", "left")
        if is_count(name)
    ] == [
        "failed_90d",
        "num_calls",
        "visit_count",
    ]


def test_an_age_is_named_after_its_date():
    assert age_name("signup_date", "days") == "days_since_signup"
    assert age_name("joinedAt", "months") == "months_since_joined"
    assert age_name("date", "days") == "days_since_date"


def test_a_key_of_a_person_is_likelier_than_any_key_and_that_than_a_number():
    likeness = {
        h: key_likeness(h)
        for h in ("customerID", "userid", "id", "row_key", "account_no", "email", "fee", "paid")
    }
    assert likeness == {
        "customerID": 3, "userid": 3, "id": 2, "row_key": 2, "account_no": 1, "email": 1, "fee": 0, "paid": 0,
    }  # fmt: skip


def test_the_label_is_told_by_words_of_leaving():
    order = ["churn_label", "Churn Value", "Exited", "outcome", "is_senior"]
    scores = [label_likeness(name) for name in order]
    assert scores == sorted(scores, reverse=True)
    assert scores[-1] == 0 < scores[-2]


@pytest.mark.parametrize(
    "name",
    ["cancel_date", "CancellationReason", "churn_score", "end_date", "contract_end_at", "termination_fee", "reason",
     "last_login", "refund_total", "account_closed_on", "left"],
)  # fmt: skip
def test_what_is_known_only_after_churning_is_told_by_its_name(name):
    assert known_late(name)


@pytest.mark.parametrize(
    "name",
    [
        "signup_date",
        "avg_last_30_days",
        "weekend_hours",
        "tickets_closed",
        "season",
        "leftovers",
        "trend",
    ],
)
def test_a_name_that_only_resembles_one_is_not(name):
    assert not known_late(name)


def test_a_persons_name_or_address_is_told_from_a_things():
    names = [
        "Surname",
        "last_name",
        "customer_name",
        "e_mail",
        "email",
        "plan_name",
        "street",
        "name",
    ]
    assert [name for name in names if is_personal(name)] == [
        "Surname",
        "last_name",
        "customer_name",
        "email",
        "street",
    ]


def test_a_customers_worth_and_the_costs_are_told_by_their_names():
    assert [
        n for n in ("clv", "customer_value", "Revenue 12m", "C_FN", "fee", "valued") if is_value(n)
    ] == [
        "clv",
        "customer_value",
        "Revenue 12m",
        "C_FN",
    ]
    assert [n for n in ("C_FP", "contact_cost", "C_FN") if is_needless(n)] == [
        "C_FP",
        "contact_cost",
    ]


@pytest.mark.parametrize(
    "name",
    ["churned", "churn_current_month", "left_current_month", "cancelled_active", "churned_active", "active_churned",
     "ChurnedCurrentQuarter", "lost_loyal_customer", "left_kept_card", "inactive", "not_renewed", "not_active",
     "never_renewed", "non_retained", "no_renewed", "is_not_current", "label", "target", "outcome", "y", "churn_label",
     "target_churn", "gone", "attrition_flag", "IsInactive"],
)  # fmt: skip
def test_a_label_that_names_who_left_is_not_inverted_whatever_else_its_name_says(name):
    assert not names_who_stayed(name)


@pytest.mark.parametrize(
    "name",
    ["not_churned", "no_churn", "never_cancelled", "non_churner", "not_inactive", "not_churned_current_month",
     "NoChurn", "active", "IsActiveMember", "retained", "renewed", "still_active", "current_customer", "label_active",
     "target_retained", "y_stayed", "outcome_renewed"],
)  # fmt: skip
def test_a_label_that_names_who_stayed_is_inverted(name):
    assert names_who_stayed(name)
