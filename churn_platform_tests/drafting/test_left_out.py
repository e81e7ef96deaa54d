"""Which columns a draft leaves out, and why."""

import datetime as dt
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from churn_platform.drafting.keys import KeyColumn
from churn_platform.drafting.label import LabelColumn, labels_of
from churn_platform.drafting.tables import reasons_left_out
from churn_platform_tests.drafting.sheets import sheet_of

AS_OF = dt.date(2024, 1, 31)
N = 400
RANDOM = np.random.default_rng(5)
LEFT = RANDOM.random(N) < 0.25
KEY, LABEL = KeyColumn("who", integer=True), LabelColumn("a", "left", 0.25)
NOISE = RANDOM.integers(0, 50, N)
BEFORE = pd.Series(pd.Timestamp(AS_OF) - pd.to_timedelta(RANDOM.integers(1, 300, N), unit="D"))
FEW = LEFT & (RANDOM.random(N) < 0.2)
LATE = "its name suggests that it is known only after churning"
LATE_TABLE = "the table's name suggests that it is known only after churning"
WITH_LABEL = "delivered with the label"


def reasons(
    name="a", *, as_of=AS_OF, labels=LEFT, label=LABEL, only_table=True, later=False, **columns
):
    own = sheet_of(name, pd.DataFrame({"who": np.arange(N), "left": LEFT, **columns}))
    truth = labels_of(replace(own, frame=own.frame.assign(left=labels)), LABEL, KEY)
    found = reasons_left_out(
        own, KEY, label, truth, as_of, only_table=only_table, delivered_later=later
    )
    return {header: reason for header, reason in found.items() if header != "left"}


def test_each_rule_leaves_its_columns_out_with_the_reason_and_the_others_stay():
    found = reasons(
        fee=np.round(RANDOM.normal(50, 10, N) + 5 * LEFT, 2),
        plan=RANDOM.choice(["S", "M"], N),
        joined=BEFORE,
        metres=RANDOM.permutation(N),
        has_email=RANDOM.choice(["yes", "no"], N),
        four=pd.Series(RANDOM.uniform(1, 9, N)).where(pd.Series(LEFT).cumsum().le(4) & LEFT),
        since=pd.Timestamp("2023-01-01"),
        score=np.where(LEFT, 0.9, 0.1) + RANDOM.uniform(0, 0.05, N),
        code=np.where(LEFT, "X9", RANDOM.choice(["A1", "B2"], N)),
        offer=pd.Series(RANDOM.uniform(1, 9, N)).where(FEW),
        asked=np.where(FEW, "in May", "in June"),
        invoice_no=RANDOM.permutation(N),
        surname=RANDOM.choice(["Li", "Ek", "Roy"], N),
        last_login_days=NOISE,
        refunds=NOISE,
        **{"": RANDOM.choice(["a", "b"], N)},
    )
    assert found == {
        "since": "the same value everywhere",
        "score": "alone predicts churn, AUC 1.00",
        "code": "alone predicts churn, AUC 1.00",
        "offer": "filled for churners only",
        "invoice_no": "another key: every customer has a different value",
        "surname": "personal: it identifies a person",
        "last_login_days": LATE,
        "refunds": LATE,
        "": "it has no name; pandas and R write an index this way",
    }


def test_a_date_after_the_as_of_is_left_out_with_its_share():
    one = BEFORE.mask(BEFORE.index == 7, pd.Timestamp("2024-02-01"))
    found = reasons(some=BEFORE + pd.Timedelta(days=150), one=one)
    assert found["some"].endswith("% of its dates lie after 2024-01-31")
    assert found["one"] == "under 1% of its dates lie after 2024-01-31"
    assert reasons(due=BEFORE + pd.Timedelta(days=300), as_of=None) == {}


@pytest.mark.parametrize(
    ("name", "label_table", "later", "why"),
    [
        ("labels", "labels", False, WITH_LABEL),
        ("status", "status", False, None),
        ("status", "status", True, WITH_LABEL),
        ("outcome", "outcome", False, WITH_LABEL),
        ("cancellations", "a", False, LATE_TABLE),
        ("usage", "a", True, None),
    ],
)
def test_a_table_that_comes_with_the_label_or_after_churning_is_left_out(
    name, label_table, later, why
):
    label = replace(LABEL, table=label_table)
    found = reasons(name, label=label, only_table=False, later=later, fee=NOISE)
    assert found == ({"fee": why} if why else {})
    assert reasons(name, label=label, fee=NOISE) == {}


def test_customers_without_a_label_and_labels_of_one_class_say_nothing():
    known = np.arange(N) <= 200
    unknown = pd.Series(LEFT).astype("boolean").mask(LEFT & ~known)
    leak = np.where(LEFT & known, 1.5, 0.5) + RANDOM.uniform(0, 0.1, N)
    assert list(reasons(score=leak, labels=unknown)) == ["score"]
    assert reasons(score=leak, labels=np.zeros(N, dtype=bool)) == {}
