"""A draft as a whole: a contract that its own tables keep, for any business."""

import datetime as dt
import string

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from churn_platform.base.errors import UsageError
from churn_platform.contract.model import Age, Contract, Span
from churn_platform.contract.outcome import ColumnCost
from churn_platform.contract.parts import FileFormat
from churn_platform.drafting.draft import draft
from churn_platform.drafting.file_format import written_in
from churn_platform.drafting.keys import KeyColumn, Sheet
from churn_platform.drafting.tables import Parts
from churn_platform.drafting.times import DAYS, guess_times
from churn_platform.ingestion.rules import conform
from churn_platform.lake.tables import lake_tables
from churn_platform_tests.drafted_businesses import (
    LABELLED,
    MONTH,
    SUNDAYS,
    laundry_tables,
    phone_table,
)
from churn_platform_tests.drafting.sheets import refused
from churn_platform_tests.real_months import JANUARY


def as_read(table):
    """A table as a CSV file would give it: strings, empty for null."""
    return table.astype(object).map(lambda value: "" if pd.isna(value) else str(value))


def conforms(found, frames):
    """The tables as the contract types them; every one must keep it."""
    typed = {}
    for name in found.contract.tables:
        typed[name], faults = conform(found.contract, name, frames[found.contract.file_stem(name)])
        assert [fault.sentence() for fault in faults] == []
    return typed


VALUES = {
    "integer": st.integers(-(10**6), 10**6),
    "wide": st.integers(0, 10**17),
    "float": st.floats(-1e6, 1e6).map(lambda x: round(x, 3)),
    "yes": st.sampled_from(["yes", "no"]),
    "bit": st.sampled_from([0, 1]),
    "truth": st.booleans(),
    "word": st.sampled_from(["red", "Green", "No", "None", "1a", "x,y", "007", 'say "x"']),
    "code": st.sampled_from(["007", "010", "099"]),
    "text": st.text(string.printable, max_size=12),
    "date": st.dates(dt.date(1990, 1, 1), JANUARY).map(str),
    "later": st.dates(dt.date(2020, 1, 1), dt.date(2030, 1, 1)).map(str),
}
LETTERS = string.ascii_letters + string.digits + " _-.€é"
HEADERS = st.text(LETTERS, min_size=1, max_size=12).filter(str.strip)


@st.composite
def tables(draw):
    """Two tables with any headers and kinds of columns, some values null; key and label are known."""
    rows = draw(st.integers(8, 30))
    write = draw(st.sampled_from(["k{}", "{:05d}", int]))
    key = [write.format(n) if isinstance(write, str) else n for n in range(rows)]
    made = {}
    for stem in ("First file", "second"):
        columns = {"The Key": key, "always": [n % 7 for n in range(rows)]}
        for header in draw(st.lists(HEADERS, max_size=4, unique=True)):
            kind = VALUES[draw(st.sampled_from(sorted(VALUES)))]
            if draw(st.booleans()):
                kind = st.none() | kind
            columns[header] = draw(st.lists(kind, min_size=rows, max_size=rows))
        made[stem] = pd.DataFrame({h: pd.Series(v, dtype=object) for h, v in columns.items()})
    made["second"]["Outcome!"] = draw(st.lists(VALUES["yes"], min_size=rows, max_size=rows))
    return made


@settings(max_examples=15, deadline=None)
@given(tables(), st.booleans())
def test_any_tables_give_a_contract_that_they_keep(frames, typed):
    for stem, table in frames.items():
        if typed:
            frames[stem] = table.infer_objects().convert_dtypes(convert_string=False)
        else:
            frames[stem] = as_read(table)
    try:
        found = draft(frames, name="any", as_of=JANUARY, entity="The Key", label="second.Outcome!")
    except UsageError as refusal:  # by chance every column may predict these few labels
        if refusal.code == "DRAFT_IMPOSSIBLE":
            return
        raise
    published = lake_tables(found.contract, conforms(found, frames), JANUARY)
    ages = {age for table in found.contract.tables.values() for age in table.ages}
    for table in published.values():
        for age in ages & set(table.columns):
            assert (table[age].dropna() >= 0).all()
    assert Contract.model_validate(found.contract.as_mapping()) == found.contract


def dtypes(contract):
    return {name: column.dtype for name, column in contract.features.items()}


def test_the_laundry_is_understood():
    frames = {name: as_read(table) for name, table in laundry_tables(LABELLED).items()}
    times = guess_times(SUNDAYS, LABELLED)
    found = draft(frames, name="laundry", as_of=LABELLED, times=times)
    contract = found.contract
    conforms(found, frames)
    assert (contract.entity.column, contract.entity.dtype) == ("client_no", "integer")
    assert (contract.label.table, contract.label.column) == ("gone", "has_left")
    assert (contract.cadence, contract.label.horizon) == ("week", Span(months=1))
    assert dtypes(contract) == {
        "days_since_joined": "integer", "town": "category", "service": "category",
        "orders_28d": "integer", "spend_28d": "float",
    }  # fmt: skip
    assert contract.tables["clients"].ages["days_since_joined"].of == "joined_on"
    assert contract.features["town"].values is None
    assert contract.features["service"].values == ("wash", "wash and iron")
    assert (contract.slices, ("slices",) in found.doubts) == ((), False)
    assert {out.column: out.reason for out in found.left_out} == {
        "note": "nearly every text differs",
        "moved_on": "the same value wherever it is not empty",
    }
    assert (list(contract.tables)[-1], contract.wide) == ("gone", False)
    assert found.rows == {"clients": 1200, "orders": 1200, "gone": 1200}
    assert found.churn_rate == frames["gone"]["has_left"].eq("yes").mean()


def phone(table=None, **options):
    frames = {"Customer Base": phone_table() if table is None else table}
    return draft(frames, name="phone", as_of=MONTH, **options), frames


def test_the_phone_company_is_understood():
    found, frames = phone()
    contract = found.contract
    typed = conforms(found, frames)
    assert (contract.entity.column, contract.entity.source) == ("customer_id", "Customer ID")
    assert (contract.label.table, contract.label.column) == ("customer_base", "Churned")
    assert contract.file_stem("customer_base") == "Customer Base"
    assert dtypes(contract) == {
        "months_since_contract_start": "integer", "Tariff": "category", "e_mail_bills": "boolean",
        "calls_to_support_30d": "integer", "customer_value": "float",
    }  # fmt: skip
    assert contract.tables["customer_base"].ages["months_since_contract_start"] == Age(
        of="contract_start",
        unit="months",
        description="Months since contract start",
        phrase="{value} month{s} since contract start",
    )
    assert set(lake_tables(contract, typed, MONTH)) == {"customer_base", "customer_base_label"}
    assert {out.column: out.reason for out in found.left_out} == {
        "Country": "the same value everywhere",
        "cancel_date": "the same value wherever it is not empty",
        "win_back_offer": "filled for churners only",
        "status_code": "alone predicts churn, AUC 1.00",
        "next_bill": "100% of its dates lie after 2024-03-31",
    }


def test_costs_of_each_customer_are_suggested_and_fit_the_contract():
    [costs] = phone()[0].costs
    assert costs.missed_churner == ColumnCost(column="customer_value")
    assert costs.needless_contact == 1.0
    mapping = phone()[0].contract.as_mapping() | {"costs": costs.model_dump()}
    assert Contract.model_validate(mapping).costs.columns == ("customer_value",)
    table = phone_table().rename(columns={"Customer Value": "C_FN"})
    [both] = phone(table.assign(C_FP=np.arange(1500) % 90 + 1.5))[0].costs
    assert both.missed_churner == ColumnCost(column="C_FN")
    assert both.needless_contact == ColumnCost(column="C_FP")


def test_a_guess_is_a_doubt_and_what_is_given_is_not():
    guessed, _ = phone()
    given, _ = phone(entity="Customer ID", label="Customer Base.Churned")
    assert {("entity",), ("label",), ("cadence",)} <= guessed.doubts.keys()
    assert ("entity",) not in given.doubts
    assert "guessed" in guessed.doubts["label",]
    assert "guessed" not in given.doubts["label",]
    assert given.contract == guessed.contract


FLAGS = {f"has_{n}_things": np.random.default_rng(n).random(1500) < 0.5 for n in range(4)}
RARE = np.where(np.arange(1500) % 50 > 0, "S", "XL")


@pytest.mark.parametrize(
    ("table", "slices"),
    [
        (phone_table(), ("Tariff", "e_mail_bills")),
        (phone_table().assign(Tariff=RARE), ("e_mail_bills",)),
        (phone_table().rename(columns={"Tariff": "x1", "E-mail Bills": "x2"}), ()),
        (phone_table().assign(**FLAGS), ("Tariff", "e_mail_bills", "has_0_things")),
    ],
)
def test_slices_are_few_categories_and_booleans_each_of_a_fair_size(table, slices):
    assert phone(table)[0].contract.slices == slices


def test_when_nothing_is_left_to_learn_from_the_draft_is_refused():
    refused("DRAFT_IMPOSSIBLE", phone, phone_table()[["Customer ID", "Country", "Churned"]])
    refused("DRAFT_IMPOSSIBLE", phone, phone_table().iloc[:0])


@pytest.mark.parametrize("header", ["label", "model", "version", "reasons"])
def test_a_key_with_a_reserved_name_is_renamed(header):
    table = phone_table().rename(columns={"Customer ID": header})
    found, frames = phone(table, entity=header)
    entity = found.contract.entity
    assert (entity.column, entity.source) == (f"customer_{header}", header)
    conforms(found, frames)


MONTH_ENDS = [dt.date(2024, month, day) for month, day in ((1, 31), (2, 29), (3, 31), (4, 30))]
DAILY = [dt.date(2024, 1, 1) + dt.timedelta(days=n) for n in range(40)]


@pytest.mark.parametrize(
    ("as_ofs", "cadence", "doubt"),
    [
        (MONTH_ENDS, "month", ""),
        (SUNDAYS, "week", ""),
        (DAILY, "day", ""),
        (DAILY[:11:10], "week", "10 days lie between the drops"),
        ([DAILY[0], dt.date(2024, 3, 1)], "month", "60 days lie between the drops"),
        (MONTH_ENDS[:1], "month", "only one drop was seen"),
    ],
)
def test_the_cadence_is_the_usual_gap_between_drops(as_ofs, cadence, doubt):
    found = guess_times(as_ofs, as_ofs[-1])
    assert (found.cadence, found.cadence_doubt, found.horizon) == (cadence, doubt, Span())
    assert found.delivery_days == DAYS[cadence]
    assert found.period == "before", "who leaves later cannot be known at once"


@pytest.mark.parametrize(
    ("as_ofs", "labelled", "horizon"),
    [
        (MONTH_ENDS, MONTH_ENDS[2], Span(months=1)),
        (MONTH_ENDS, MONTH_ENDS[0], Span(months=3)),
        (SUNDAYS, LABELLED, Span(months=1)),
        (SUNDAYS, SUNDAYS[2], Span(months=1)),
        (SUNDAYS, SUNDAYS[4], Span(weeks=2)),
        (DAILY, DAILY[-37], Span(days=36)),
        (DAILY, DAILY[-31], Span(months=1)),
        (DAILY, DAILY[-15], Span(weeks=2)),
        (DAILY, DAILY[-4], Span(days=3)),
    ],
)
def test_the_horizon_is_how_long_the_newest_drops_wait_for_their_labels(as_ofs, labelled, horizon):
    found = guess_times(as_ofs, labelled)
    assert (found.horizon, found.period) == (horizon, "after")
    assert "`period`" in found.horizon_doubt


def encoding_doubt(encoding, *words):
    parts = Parts()
    sheet = Sheet("a", "a", pd.DataFrame({"town": words}), {})
    written_in(FileFormat(encoding=encoding), [sheet], KeyColumn("id", integer=False), parts)
    return parts.doubts.get(("files",), "")


@pytest.mark.parametrize(
    ("encoding", "words", "facts"),
    [
        ("cp1250", ["Köln", "Łódź"], ["cp1250", "cp1252", "'Łódź'", "'£ódŸ'", "'town'"]),
        ("cp1252", ["Köln", "Señor"], ["cp1252", "cp1250", "'Señor'", "'Seńor'", "'town'"]),
        ("cp1252", ["Köln", "Ulm"], ["cp1252", "'Köln'"]),
        ("cp1252", ["Ulm"], ["cp1252 is a guess"]),
    ],
)
def test_a_guessed_encoding_shows_a_word_that_another_one_reads_differently(encoding, words, facts):
    doubt = encoding_doubt(encoding, *words)
    assert [fact for fact in facts if fact not in doubt] == []
    assert encoding_doubt("utf-8", *words) == ""


def test_the_format_of_the_files_is_in_the_contract():
    written = FileFormat(delimiter=";", decimal=",", encoding="cp1252")
    assert phone(files=written)[0].contract.files == written
