"""A log of events among the files of a drop: recognised, drafted with windows and a label, and kept."""

import datetime as dt
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from churn_platform.base.errors import UsageError
from churn_platform.contract.model import Contract, Span
from churn_platform.contract.parts import FileFormat
from churn_platform.drafting.contract_file import as_yaml
from churn_platform.drafting.draft import draft
from churn_platform.drafting.inactivity import population_window
from churn_platform.drafting.label import NoLabelError
from churn_platform.drafting.times import Times
from churn_platform.drafting.words import MONEY_NAME, NOT_REACHED, spoken
from churn_platform.ingestion.rules import conform

RANDOM = np.random.default_rng(7)
AS_OF = dt.date(2024, 6, 30)
END = pd.Timestamp(AS_OF)
IDS = np.array([f"c{n:03d}" for n in range(200)])
N = 3000
MEMBERS = pd.DataFrame({"customer_id": IDS, "plan": RANDOM.choice(["S", "M"], 200)})
PAYMENTS = pd.DataFrame(
    {
        "payment_id": np.arange(N) + 70_001,
        "customer_id": RANDOM.choice(IDS, N),
        "paid_at": (END - pd.to_timedelta(RANDOM.integers(0, 400 * 1440, N), unit="min")).strftime(
            "%Y-%m-%d %H:%M:%S"
        ),
        "amount": np.round(RANDOM.normal(25, 15, N), 2),
        "method": RANDOM.choice(["card", "debit", "cash"], N, p=[0.6, 0.3, 0.1]),
        "failed": RANDOM.choice(["yes", "no"], N),
    }
)


def drafted(tables, **options):
    return draft(tables, name="d", **{"as_of": AS_OF, "inactivity": True, **options})


def kept(found, files):
    """The contract of the draft's text is the draft's, and the files keep it."""
    assert Contract.model_validate(yaml.safe_load(as_yaml(found))) == found.contract
    for name in found.contract.tables:
        frame = files[found.contract.file_stem(name)]
        faults = conform(found.contract, name, frame)[1]
        assert [fault.sentence() for fault in faults if not fault.of_cells] == []
        assert sum(len(fault.positions) for fault in faults) <= 0.01 * len(frame)
    return found.contract


def windows(contract, table):
    return {
        name: (window.aggregate, window.of, window.where, window.window)
        for name, window in contract.tables[table].windows.items()
    }


def test_a_log_alone_becomes_an_event_table_with_windows_and_an_inactivity_label():
    found = drafted({"payments": PAYMENTS})
    contract = kept(found, {"payments": PAYMENTS})
    log = contract.tables["payments"]
    assert (contract.entity.column, log.kind, log.time, log.id, log.delivery) == (
        "customer_id", "events", "paid_at", "payment_id", "replace",
    )  # fmt: skip
    assert {name: column.dtype for name, column in log.columns.items()} == {
        "payment_id": "integer", "paid_at": "timestamp", "amount": "float", "method": "category",
        "failed": "boolean",
    }  # fmt: skip
    assert windows(contract, "payments") == {
        "days_since_payments": ("days_since_last", None, "", "all"),
        "payments_30d": ("count", None, "", "30d"),
        "payments_90d": ("count", None, "", "90d"),
        "amount_sum_90d": ("sum", "amount", "", "90d"),
        "amount_mean_90d": ("mean", "amount", "", "90d"),
        "payments_trend_60d": ("trend", None, "", "60d"),
        "different_method_90d": ("distinct", "method", "", "90d"),
        "method_card_share_90d": ("share", None, "method = 'card'", "90d"),
    }
    assert list(contract.features) == list(log.windows)
    made = contract.label.no_event
    assert (made.table, made.where, made.within) == ("payments", "amount > 0", "30d")
    assert (made.population.where, made.population.window) == ("amount > 0", "45d")
    text = as_yaml(found)
    lines = text.split("    windows:\n")[1].split("\n\n")[0].splitlines()
    assert len(lines) == 8
    assert all("   # confirm: " in line for line in lines)
    assert "30d: " in text.split("within: 30d   # confirm: ")[1].splitlines()[0]
    assert f"{found.customers:,} customers" in text.splitlines()[2]


def test_customers_who_come_every_few_months_get_longer_windows():
    rare = PAYMENTS.assign(customer_id=[f"r{n:05d}" for n in RANDOM.integers(0, 600, N)])
    found = windows(drafted({"payments": rare}).contract, "payments")
    assert found["payments_90d"] == ("count", None, "", "90d")
    assert found["payments_365d"] == ("count", None, "", "365d")
    assert found["payments_trend_180d"] == ("trend", None, "", "180d")
    assert len(found) == 8


def by_hand(days, population):
    """The rate computed with plain Python: share of customers without a positive payment."""
    day = pd.to_datetime(PAYMENTS["paid_at"]).dt.normalize()
    events = [
        (who, at)
        for who, at, amount in zip(PAYMENTS["customer_id"], day, PAYMENTS["amount"], strict=True)
        if amount > 0
    ]
    as_of = max(at for _, at in events) - pd.Timedelta(days=days)
    start = as_of - pd.Timedelta(days=population)
    then = {who for who, at in events if start < at <= as_of}
    after = {who for who, at in events if at > as_of}
    return len(then), len(then - after) / len(then)


def test_the_rates_are_those_of_an_earlier_as_of_whose_outcome_is_known():
    inactive = drafted({"payments": PAYMENTS}).inactivity
    for rate in inactive.rates:
        window = population_window(inactive.gap, rate.days)
        assert (rate.customers, rate.share) == pytest.approx(by_hand(rate.days, window))
    assert inactive.as_ofs(AS_OF)[-1] == inactive.as_ofs(None)[-1] == AS_OF
    assert len(inactive.as_ofs(AS_OF)) == 7
    many = replace(inactive, customers=10_000)
    assert many.as_ofs(AS_OF) == (dt.date(2024, 5, 31), AS_OF)


@pytest.mark.parametrize(
    ("gap", "within", "days"), [(1, 30, 30), (16, 30, 45), (31, 60, 75), (80, 90, 180)]
)
def test_the_population_is_two_to_three_times_the_usual_gap_or_what_counts_as_churn(
    gap, within, days
):
    assert population_window(gap, within) == days


def test_members_keep_their_table_and_the_log_adds_windows():
    files = {"members": MEMBERS, "payments": PAYMENTS}
    found = drafted(files)
    contract = kept(found, files)
    assert (contract.tables["members"].kind, contract.tables["payments"].kind) == (
        "snapshot",
        "events",
    )
    assert list(contract.feature_views) == ["members_fv", "payments_fv"]
    assert contract.label.no_event.population is None
    assert found.customers == 200
    assert found.inactivity.rates[0].customers == 200
    labelled = {**files, "members": MEMBERS.assign(churned=RANDOM.choice(["yes", "no"], 200))}
    contract = kept(
        drafted(labelled, times=Times(horizon=Span(months=1), period="after")), labelled
    )
    assert (contract.label.table, contract.label.no_event) == ("members", None)
    assert "payments_30d" in contract.features


def test_without_leave_a_log_makes_no_label_and_the_refusal_says_that_it_might():
    with pytest.raises(NoLabelError) as refused:
        drafted({"payments": PAYMENTS}, inactivity=False)
    assert refused.value.has_log


def test_german_words_and_signs():
    log = pd.DataFrame(
        {
            "Belegnummer": np.arange(N) + 5000,
            "Kundennummer": RANDOM.choice(IDS, N),
            "Buchungsdatum": (END - pd.to_timedelta(RANDOM.integers(0, 20, N), unit="D")).strftime(
                "%d.%m.%Y"
            ),
            "Kaufdatum": (END - pd.to_timedelta(RANDOM.integers(20, 400, N), unit="D")).strftime(
                "%d.%m.%Y"
            ),
            "Betrag": [f"{x:.2f}".replace(".", ",") for x in RANDOM.uniform(1, 90, N)],
            "Zahlart": RANDOM.choice(["Karte", "Lastschrift"], N),
            "Postleitzahl_plz": RANDOM.choice(["1010", "8010"], N),
        }
    )
    found = drafted({"Zahlungen": log}, files=FileFormat(delimiter=";"))
    contract = kept(found, {"Zahlungen": log})
    table = contract.tables["Zahlungen"]
    assert (contract.entity.column, table.time, table.known_at, table.id) == (
        "Kundennummer", "Kaufdatum", None, "Belegnummer",
    )  # fmt: skip
    assert ("sum", "Betrag", "", "90d") in windows(contract, "Zahlungen").values()
    assert contract.files.decimal == ","


def test_a_booking_date_soon_after_the_event_is_when_it_was_known():
    paid = pd.to_datetime(PAYMENTS["paid_at"])
    later = paid + pd.to_timedelta(RANDOM.integers(0, 5, N), unit="D")
    known = PAYMENTS.assign(booked_on=later.dt.strftime("%Y-%m-%d"))
    table = drafted({"payments": known}).contract.tables["payments"]
    assert (table.time, table.known_at) == ("paid_at", "booked_on")
    loaded = PAYMENTS.assign(imported_at="2024-07-01")
    assert drafted({"payments": loaded}).contract.tables["payments"].known_at is None


def months(complete):
    """Four months of payments as drops: each the events of the month, or all up to its end."""
    paid = pd.to_datetime(PAYMENTS["paid_at"])
    ends = pd.to_datetime(["2024-03-31", "2024-04-30", "2024-05-31", "2024-06-30"])
    return [
        PAYMENTS[(paid < end + pd.Timedelta(days=1)) & (complete | (paid.dt.month == end.month))]
        .reset_index(drop=True)
        .loc[lambda rows, end=end: complete | (pd.to_datetime(rows["paid_at"]).dt.year == end.year)]
        .reset_index(drop=True)
        for end in ends
    ]


@pytest.mark.parametrize(("complete", "delivery"), [(True, "replace"), (False, "append")])
def test_the_drops_show_whether_each_holds_the_complete_log(complete, delivery):
    *older, newest = months(complete)
    found = drafted({"payments": newest}, others=[{"payments": one} for one in older])
    assert found.contract.tables["payments"].delivery == delivery
    assert found.inactivity.rates[0].customers > 100


def test_numbers_that_begin_anew_each_month_name_no_event():
    *older, newest = [
        month.assign(payment_id=np.arange(len(month))) for month in months(complete=False)
    ]
    found = drafted({"payments": newest}, others=[{"payments": one} for one in older])
    assert found.contract.tables["payments"].id is None


def test_equal_rows_are_named_where_no_column_names_an_event():
    log = pd.concat([PAYMENTS.head(1), PAYMENTS]).drop(columns="payment_id")
    found = drafted({"payments": log.reset_index(drop=True)})
    assert "1 repeated row" in found.doubts["tables", "payments"]


def test_a_log_of_other_customers_or_of_churning_is_left_out():
    label = MEMBERS.assign(churned=RANDOM.choice(["yes", "no"], 200))
    strangers = PAYMENTS.assign(customer_id="x" + PAYMENTS["customer_id"].str[1:] + "9")
    found = drafted({"members": label, "payments": strangers, "cancellations": PAYMENTS})
    assert found.contract.logs == {}
    assert {out.table for out in found.left_out if not out.column} == {"payments", "cancellations"}


def test_the_key_of_several_likely_columns_is_asked_for():
    log = PAYMENTS.drop(columns="payment_id").rename(columns={"customer_id": "shop_id"})
    log = log.assign(till_id=RANDOM.choice(["a", "b", "c"], N))
    with pytest.raises(UsageError) as refused:
        drafted({"sales": log})
    assert refused.value.code == "KEY_NOT_FOUND"
    assert drafted({"sales": log}, entity="shop_id").contract.entity.column == "shop_id"


def test_a_rate_that_training_would_refuse_raises_the_limit():
    rare = PAYMENTS.assign(customer_id=[f"r{n:05d}" for n in RANDOM.integers(0, 1500, N)])
    found = drafted({"payments": rare})
    highest = found.contract.policy.training.churn_rate_max
    assert found.churn_rate > 0.5
    assert highest >= min(1, found.churn_rate + 0.15)
    assert ("policy", "training") in found.doubts


@pytest.mark.parametrize(
    "name", ["amount", "Betrag", "total_price", "Umsatz", "fee", "dollarValue"]
)
def test_names_of_money(name):
    assert MONEY_NAME.search(spoken(name))


CELLS = {
    "day": st.dates(dt.date(2024, 1, 1), dt.date(2024, 6, 30)).map(str),
    "word": st.sampled_from(["card", "Lastschrift", "it's", 'say "x"', " in "]),
    "money": st.sampled_from(["1,50", "2,00", "-3", "0", "12"]),
    "yes": st.sampled_from(["yes", "no"]),
    "number": st.integers(0, 10**6).map(str),
    # "ab" is German for voicemail.
    "text": st.text("abc äß'\"#:-", max_size=9).filter(
        lambda text: not NOT_REACHED.fullmatch(spoken(text))
    ),
}
TIMES = {
    "day": "%Y-%m-%d", "german": "%d.%m.%Y", "minute": "%d.%m.%Y %H:%M", "second": "%Y-%m-%d %H:%M:%S",
    "zone": "%Y-%m-%dT%H:%M:%S+02:00",
}  # fmt: skip
HEADERS = [
    "amount", "Betrag", "method", "in", "not", "as_of", "event day", "booked_at", "due date", "id",
    "order no", "status", "count", "payments_30d", "label", "Zahl art", "surname", "",
]  # fmt: skip


SPREAD = [dt.datetime(2024, 6, day, 10, 30) for day in (1, 7, 13, 19, 25, 30)]


@st.composite
def logs(draw):
    """A log with repeated keys, and any other columns that it might have. None of its values is an
    outcome of a contact: it would be a table of contacts.
    """
    rows = draw(st.integers(30, 60))
    many = {"min_size": rows, "max_size": rows}
    stamp = TIMES[draw(st.sampled_from(sorted(TIMES)))]
    moments = st.datetimes(dt.datetime(2024, 1, 1), dt.datetime(2024, 6, 30, 23))
    columns = {
        "customer_id": [*IDS[:5], *draw(st.lists(st.sampled_from(IDS[:20]), **many))][:rows],
        draw(st.sampled_from(["paid_at", "Datum", "date"])): [
            one.strftime(stamp) for one in [*SPREAD, *draw(st.lists(moments, **many))][:rows]
        ],
    }
    for header in draw(st.lists(st.sampled_from(HEADERS), max_size=6, unique=True)):
        kind = CELLS[draw(st.sampled_from(sorted(CELLS)))]
        if draw(st.booleans()):
            kind = st.just("") | kind
        columns[header] = draw(st.lists(kind, **many))
    return pd.DataFrame(columns, dtype=str)


@given(logs(), st.sampled_from(["payments", "Käufe 2024", "in"]), st.booleans())
@settings(max_examples=10, deadline=None)
def test_any_log_gives_a_contract_that_it_keeps(log, name, with_members):
    files = {"members": MEMBERS, name: log} if with_members else {name: log}
    found = drafted(files, entity="customer_id")
    contract = kept(found, files)
    assert len(contract.logs) == 1
    assert len(contract.features) <= 9
