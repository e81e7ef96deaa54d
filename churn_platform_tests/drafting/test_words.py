"""What a name tells: valid names, plain words, keys, labels, and what is known too late."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from churn_platform.contract.consistency import RESERVED
from churn_platform.drafting.words import (
    age_name,
    counted,
    description,
    free_name,
    is_count,
    is_needless,
    is_number,
    is_personal,
    is_row_number,
    is_value,
    key_likeness,
    known_late,
    label_likeness,
    may_be_date,
    names_who_stayed,
    plain_words,
    tokens,
    valid_name,
)

NAMES = st.sampled_from(["fee", "Fee", "t_fee", "label", "as_of", "Holdout", "x"])


@given(st.text(max_size=30))
def test_any_header_has_a_valid_name(header):
    assert re.fullmatch(r"[A-Za-z][A-Za-z0-9_]*", valid_name(header))


@given(st.lists(NAMES, max_size=30))
def test_names_are_never_reserved_and_never_twice_in_large_or_small_letters(wanted):
    taken = set()
    names = [free_name(name, "t", taken).lower() for name in wanted]
    assert len({*names, *RESERVED}) == len(names) + len(RESERVED)


def test_a_taken_name_is_prefixed_by_its_table_and_then_numbered():
    taken = {"region"}
    found = [free_name(name, "shops", taken) for name in ("fee", "region", "Region")]
    assert found == ["fee", "shops_region", "shops_Region_2"]


@pytest.mark.parametrize(
    ("made", "names"),
    [
        (valid_name, {
            "monthly_fee": "monthly_fee", "MonthlyCharges": "MonthlyCharges", "Monthly Fee (€)": "monthly_fee",
            "Größe": "grosse", "Prénom": "prenom", "30d calls": "column_30d_calls", "_hidden": "hidden", "名前": "column",
            "": "column",
        }),
        (lambda name: " ".join(tokens(name)), {
            "customerID": "customer id", "HTTPCalls per-day": "http calls per day", "failed_payments_90d": "failed payments 90d",
        }),
        (plain_words, {
            "failed_payments_90d": "failed payments in 90 days", "avg_session_mins_1w": "average session minutes in 1 week",
            "MonthlyCharges": "monthly charges", "30d": "30d", "NumOfProducts": "number of products",
            "spend_12m": "spend in 12 months",
        }),
        (description, {"x12": "", "C_FN": "", "paid_late_7d": "Paid late in 7 days"}),
        (counted, {
            "failed_payments_90d": "{value} failed payment{s} in 90 days", "num_visits": "{value} visit{s}",
            "NumOfVisits": "{value} visit{s}", "tenure": "", "business": "", "status": "", "countries": "", "x1": "",
            "count": "", "gas": "", "analysis": "",
        }),
        (lambda name: age_name(name, "days"), {
            "signup_date": "days_since_signup", "joinedAt": "days_since_joined", "date": "days_since_date",
        }),
        (key_likeness, {
            "customerID": 3, "userid": 3, "id": 2, "row_key": 2, "account_no": 1, "email": 1, "fee": 0, "paid": 0,
        }),
        (label_likeness, {
            "churn_label": 6, "Churn Value": 4, "Exited": 2, "is_active": 1, "outcome": 1, "is_senior": 0,
        }),
    ],
)  # fmt: skip
def test_what_is_made_of_a_name(made, names):
    assert {name: made(name) for name in names} == names


@pytest.mark.parametrize(
    ("rule", "fits", "does_not"),
    [
        (is_count, ["failed_90d", "num_calls", "visit_count"], ["is_senior", "left"]),
        (is_row_number, ["", "#", "Unnamed: 0", "index", "RowNumber"], ["id", "account_no"]),
        (is_personal, ["Surname", "last_name", "customer_name", "email", "street"], ["e_mail", "plan_name", "name"]),
        (is_value, ["clv", "customer_value", "Revenue 12m", "C_FN"], ["fee", "valued"]),
        (is_needless, ["C_FP", "contact_cost"], ["C_FN"]),
        (may_be_date, ["joined", "birth_date", "expires"], ["salary", "who"]),
        (is_number, ["salary", "customer_id", "visit_count"], ["joined", "date_number", "who"]),
        (
            known_late,
            ["cancel_date", "CancellationReason", "churn_score", "end_date", "contract_end_at", "termination_fee",
             "reason", "last_login", "refund_total", "account_closed_on", "left"],
            ["signup_date", "avg_last_30_days", "weekend_hours", "tickets_closed", "season", "leftovers", "trend"],
        ),
        (
            names_who_stayed,
            ["not_churned", "no_churn", "never_cancelled", "non_churner", "not_inactive", "not_churned_current_month",
             "NoChurn", "active", "IsActiveMember", "retained", "still_active", "current_customer",
             "label_active", "target_retained", "y_stayed"],
            ["churned", "churn_current_month", "left_current_month", "cancelled_active", "active_churned",
             "ChurnedCurrentQuarter", "lost_loyal_customer", "left_kept_card", "inactive", "not_renewed",
             "never_renewed", "non_retained", "no_renewed", "is_not_current", "label", "outcome", "y",
             "target_churn", "gone", "attrition_flag", "IsInactive"],
        ),
    ],
)  # fmt: skip
def test_what_a_name_suggests(rule, fits, does_not):
    assert [name for name in [*fits, *does_not] if rule(name)] == fits
