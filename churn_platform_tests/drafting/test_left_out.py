"""Which columns a draft leaves out, and why."""

import datetime as dt
from dataclasses import replace

import numpy as np
import pandas as pd

from churn_platform.drafting.columns import guess_column
from churn_platform.drafting.keys import KeyColumn, Sheet
from churn_platform.drafting.label import LabelColumn, labels_of
from churn_platform.drafting.tables import reasons_left_out

AS_OF = dt.date(2024, 1, 31)
N = 400
RANDOM = np.random.default_rng(5)
LEFT = RANDOM.random(N) < 0.25
KEY, LABEL = KeyColumn("who", integer=True), LabelColumn("a", "left", 0.25)


def reasons(name="a", *, as_of=AS_OF, only_table=True, labels=LEFT, **columns):
    frame = pd.DataFrame({"who": np.arange(N), "left": LEFT, **columns})
    sheet = Sheet(name, name, frame, {h: guess_column(h, frame[h]) for h in frame.columns})
    truth = labels_of(replace(sheet, frame=frame.assign(left=labels)), LABEL, KEY)
    return reasons_left_out(sheet, KEY, LABEL, truth, as_of, only_table=only_table)


def test_what_was_known_then_and_tells_little_stays():
    fee = np.round(RANDOM.normal(50, 10, N) + 5 * LEFT, 2)
    assert reasons(
        fee=fee, plan=RANDOM.choice(["S", "M"], N), since=pd.Timestamp("2023-01-01")
    ) == {"since": "the same value everywhere"}


def test_a_column_that_alone_tells_who_churns_is_left_out_with_its_auc():
    score = np.where(LEFT, 0.9, 0.1) + RANDOM.uniform(0, 0.05, N)
    code = np.where(LEFT, "X9", RANDOM.choice(["A1", "B2"], N))
    assert reasons(score=score, code=code) == {
        "score": "alone predicts churn, AUC 1.00",
        "code": "alone predicts churn, AUC 1.00",
    }


def test_a_column_that_only_some_churners_have_filled_is_left_out_though_its_auc_is_low():
    filled = LEFT & (RANDOM.random(N) < 0.2)
    found = reasons(
        offer=pd.Series(RANDOM.uniform(1, 9, N)).where(filled),
        asked=np.where(filled, "in May", "in June"),
    )
    assert found == {"offer": "filled for churners only"}


def test_a_column_that_four_churners_and_nobody_else_have_filled_may_be_chance():
    few = pd.Series(RANDOM.uniform(1, 9, N)).where(pd.Series(LEFT).cumsum().le(4) & LEFT)
    assert reasons(offer=few) == {}


def test_a_date_after_the_as_of_is_left_out_and_one_before_stays():
    days = pd.to_timedelta(RANDOM.integers(1, 300, N), unit="D")
    found = reasons(
        joined=pd.Timestamp(AS_OF) - days, due=pd.Timestamp(AS_OF) - days + pd.Timedelta(days=150)
    )
    assert list(found) == ["due"]
    assert found["due"].endswith("% of its dates lie after 2024-01-31")
    assert reasons(due=pd.Timestamp(AS_OF) + days, as_of=None) == {}


def test_one_date_of_many_after_the_as_of_is_under_one_percent():
    joined = pd.Series(pd.Timestamp(AS_OF) - pd.to_timedelta(RANDOM.integers(1, 300, N), unit="D"))
    joined[7] = pd.Timestamp("2024-02-01")
    assert reasons(joined=joined) == {"joined": "under 1% of its dates lie after 2024-01-31"}


def test_names_that_are_known_late_are_left_out_whatever_they_hold():
    noise = RANDOM.integers(0, 50, N)
    assert reasons(last_login_days=noise, refunds=noise) == dict.fromkeys(
        ["last_login_days", "refunds"], "its name suggests that it is known only after churning"
    )


def test_another_key_is_left_out_but_not_a_whole_amount_that_happens_to_differ():
    assert reasons(invoice_no=RANDOM.permutation(N), metres=RANDOM.permutation(N)) == {
        "invoice_no": "another key: every customer has a different value"
    }


def test_texts_that_say_who_somebody_is_are_left_out_but_a_yes_or_no_about_them_is_not():
    found = reasons(
        surname=RANDOM.choice(["Li", "Ek", "Roy"], N), has_email=RANDOM.choice(["yes", "no"], N)
    )
    assert found == {"surname": "personal: it identifies a person"}


def test_what_comes_in_the_labels_own_table_is_delivered_with_it():
    noise = RANDOM.integers(0, 50, N)
    frame = pd.DataFrame({"who": range(N), "left": LEFT})
    own = Sheet("x", "x", frame, {h: guess_column(h, frame[h]) for h in frame.columns})
    truth = labels_of(own, LABEL, KEY)
    for name, label, why in [
        ("labels", LabelColumn("labels", "left", 0.2), "delivered with the label"),
        ("cancellations", LABEL, "the table's name suggests that it is known only after churning"),
    ]:
        frame = pd.DataFrame({"who": range(N), "fee": noise, "left": LEFT}).drop(
            columns=["left"] * (label is LABEL)
        )
        sheet = Sheet(name, name, frame, {h: guess_column(h, frame[h]) for h in frame.columns})
        assert reasons_left_out(sheet, KEY, label, truth, AS_OF, only_table=False) == {"fee": why}
        assert reasons_left_out(sheet, KEY, label, truth, AS_OF, only_table=True) == {}


def test_with_labels_of_one_class_nothing_is_judged_by_them():
    assert reasons(score=np.where(LEFT, 0.9, 0.1), labels=np.zeros(N, dtype=bool)) == {}


def test_customers_without_a_label_are_not_judged():
    unknown = pd.Series(LEFT).astype("boolean").mask(LEFT & (np.arange(N) > 200))
    leak = np.where(LEFT & (np.arange(N) <= 200), 1.5, 0.5) + RANDOM.uniform(0, 0.1, N)
    assert list(reasons(score=leak, labels=unknown)) == ["score"]


def test_a_labels_table_that_comes_after_the_others_is_delivered_with_the_label_whatever_its_name():
    frame = pd.DataFrame(
        {"who": range(N), "left": LEFT, "closed_via": RANDOM.choice(["web", "phone"], N)}
    )
    sheet = Sheet("status", "status", frame, {h: guess_column(h, frame[h]) for h in frame.columns})
    label = LabelColumn("status", "left", 0.25)
    truth = labels_of(sheet, label, KEY)
    said = {"only_table": False}
    assert reasons_left_out(sheet, KEY, label, truth, AS_OF, **said) == {}
    assert reasons_left_out(sheet, KEY, label, truth, AS_OF, delivered_later=True, **said) == {
        "closed_via": "delivered with the label"
    }
    named = replace(sheet, name="outcome")
    assert reasons_left_out(named, KEY, replace(label, table="outcome"), truth, AS_OF, **said) == {
        "closed_via": "delivered with the label"
    }


def test_a_column_without_a_name_is_left_out():
    assert list(reasons(**{"": RANDOM.choice(["a", "b"], N)})) == [""]
