"""A draft as a whole: a contract that its own tables keep, right for businesses that nobody thought of."""

import string

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from churn_platform.base.errors import UsageError
from churn_platform.contract.model import Age, Contract, Span
from churn_platform.contract.parts import ColumnCost, FileFormat
from churn_platform.drafting.draft import draft, guess_times
from churn_platform.ingestion.rules import conform
from churn_platform.lake.tables import lake_tables
from churn_platform_tests.drafted_businesses import (
    LABELLED,
    MONTH,
    SUNDAYS,
    laundry_tables,
    phone_table,
)
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
    "date": st.dates(pd.Timestamp("1990-01-01").date(), JANUARY).map(str),
    "later": st.dates(pd.Timestamp("2020-01-01").date(), pd.Timestamp("2030-01-01").date()).map(
        str
    ),
}
HEADERS = st.text(string.ascii_letters + string.digits + " _-.€é", min_size=1, max_size=12).filter(
    lambda h: h.strip()
)


@st.composite
def tables(draw):
    """Two tables of some rows: any headers, any kinds of columns, some values null; the key and the label are known."""
    rows = draw(st.integers(8, 30))
    key = draw(
        st.sampled_from(
            [[f"k{n}" for n in range(rows)], list(range(rows)), [f"{n:05d}" for n in range(rows)]]
        )
    )
    made = {}
    for stem in ("First file", "second"):
        headers = draw(st.lists(HEADERS, max_size=4, unique=True))
        columns = {"The Key": key, "always": [n % 7 for n in range(rows)]}
        for header in headers:
            kind = VALUES[draw(st.sampled_from(sorted(VALUES)))]
            if draw(st.booleans()):
                kind = st.none() | kind
            columns[header] = draw(st.lists(kind, min_size=rows, max_size=rows))
        made[stem] = pd.DataFrame({h: pd.Series(v, dtype=object) for h, v in columns.items()})
    made["second"]["Outcome!"] = draw(
        st.lists(st.sampled_from(["yes", "no"]), min_size=rows, max_size=rows)
    )
    return made


@settings(max_examples=60, deadline=None)
@given(tables(), st.booleans())
def test_any_tables_give_a_contract_that_they_keep(frames, typed):
    if typed:
        frames = {
            stem: table.infer_objects().convert_dtypes(convert_string=False)
            for stem, table in frames.items()
        }
    else:
        frames = {stem: as_read(table) for stem, table in frames.items()}
    try:
        found = draft(frames, name="any", as_of=JANUARY, entity="The Key", label="second.Outcome!")
    except UsageError as refusal:  # by chance every column may tell these few labels
        if refusal.code == "DRAFT_IMPOSSIBLE":
            return
        raise
    published = lake_tables(found.contract, conforms(found, frames), JANUARY)
    ages = {age for table in found.contract.tables.values() for age in table.ages}
    for table in published.values():
        for age in ages & set(table.columns):
            assert (table[age].dropna() >= 0).all()
    assert Contract.model_validate(found.contract.as_mapping()) == found.contract


def laundry(**options):
    times = guess_times(SUNDAYS, LABELLED)
    frames = {name: as_read(table) for name, table in laundry_tables(LABELLED).items()}
    return draft(frames, name="laundry", as_of=LABELLED, times=times, **options), frames


def test_the_laundry_is_understood():
    found, frames = laundry()
    contract = found.contract
    conforms(found, frames)
    assert (contract.entity.column, contract.entity.dtype) == ("client_no", "integer")
    assert (contract.label.table, contract.label.column, contract.label.horizon) == (
        "gone",
        "has_left",
        Span(months=1),
    )
    assert (contract.cadence, contract.wide) == ("week", False)
    assert {name: column.dtype for name, column in contract.features.items()} == {
        "days_since_joined": "integer", "town": "category", "service": "category",
        "orders_28d": "integer", "spend_28d": "float",
    }  # fmt: skip
    assert contract.tables["clients"].ages["days_since_joined"].of == "joined_on"
    assert contract.features["town"].values is None
    assert (contract.slices, ("slices",) in found.doubts) == ((), False)
    assert contract.features["service"].values == ("wash", "wash and iron")
    assert contract.features["spend_28d"].nullable
    assert {(out.column, out.reason) for out in found.left_out} == {
        ("note", "nearly every text differs"),
        ("moved_on", "the same value wherever it is not empty"),
    }
    assert list(contract.tables)[-1] == "gone"
    assert found.rows == {"clients": 1200, "orders": 1200, "gone": 1200}
    assert found.churn_rate == pytest.approx(
        laundry_tables(LABELLED)["gone"]["has_left"].eq("yes").mean()
    )


def phone(**options):
    frames = {"Customer Base": phone_table()}
    return draft(frames, name="phone", as_of=MONTH, **options), frames


def test_the_phone_company_is_understood():
    found, frames = phone()
    contract = found.contract
    typed = conforms(found, frames)
    assert (contract.entity.column, contract.entity.source, contract.entity.dtype) == (
        "customer_id",
        "Customer ID",
        "string",
    )
    assert (contract.label.table, contract.label.column, contract.wide) == (
        "customer_base",
        "Churned",
        True,
    )
    assert contract.file_stem("customer_base") == "Customer Base"
    assert {name: column.dtype for name, column in contract.features.items()} == {
        "months_since_contract_start": "integer", "Tariff": "category", "e_mail_bills": "boolean",
        "calls_to_support_30d": "integer", "customer_value": "float",
    }  # fmt: skip
    assert contract.tables["customer_base"].ages == {
        "months_since_contract_start": Age(
            of="contract_start",
            unit="months",
            description="Months since contract start",
            phrase="{value} month{s} since contract start",
        )
    }
    assert set(lake_tables(contract, typed, MONTH)) == {"customer_base", "customer_base_label"}
    assert {out.column: out.reason for out in found.left_out} == {
        "Country": "the same value everywhere",
        "cancel_date": "the same value wherever it is not empty",
        "win_back_offer": "filled for churners only",
        "status_code": "alone predicts churn, AUC 1.00",
        "next_bill": "100% of its dates lie after 2024-03-31",
    }


def test_each_customers_own_value_is_suggested_as_a_cost_that_the_contract_takes():
    found, _ = phone()
    (costs,) = found.costs
    assert costs.missed_churner == ColumnCost(column="customer_value")
    assert costs.needless_contact == 1.0
    mapping = found.contract.as_mapping() | {"costs": costs.model_dump()}
    assert Contract.model_validate(mapping).costs.columns == ("customer_value",)


def test_a_cost_of_either_mistake_is_suggested_for_that_mistake():
    table = (
        phone_table()
        .rename(columns={"Customer Value": "C_FN"})
        .assign(C_FP=np.arange(1500) % 90 + 1.5)
    )
    (costs,) = draft({"t": table}, name="tv", as_of=MONTH).costs
    assert (costs.missed_churner, costs.needless_contact) == (
        ColumnCost(column="C_FN"),
        ColumnCost(column="C_FP"),
    )


def test_what_is_uncertain_is_a_doubt_and_what_is_told_is_none():
    guessed, _ = phone()
    told, _ = phone(entity="Customer ID", label="Customer Base.Churned")
    assert guessed.doubts[("entity",)] == "guessed from its name and being unique in the file"
    assert guessed.doubts[("label",)].startswith("guessed from its name")
    assert ("entity",) not in told.doubts
    assert told.doubts[("label",)].startswith("the label came with its drop")
    assert guessed.doubts[("cadence",)] == "only one drop was seen"
    assert told.contract == guessed.contract


def test_slices_are_few_categories_and_booleans_each_of_a_fair_size():
    found, _ = phone()
    assert found.contract.slices == ("Tariff", "e_mail_bills")
    rare = phone_table().assign(Tariff=lambda t: t["Tariff"].where(np.arange(1500) % 50 > 0, "XL"))
    assert draft({"t": rare}, name="p", as_of=MONTH).contract.slices == ("e_mail_bills",)
    opaque = phone_table().rename(columns={"Tariff": "x1", "E-mail Bills": "x2"})
    assert draft({"t": opaque}, name="p", as_of=MONTH).contract.slices == ()
    many = phone_table().assign(
        **{f"has_thing_{n}": np.random.default_rng(n).random(1500) < 0.5 for n in range(4)}
    )
    assert draft({"t": many}, name="p", as_of=MONTH).contract.slices == (
        "Tariff",
        "e_mail_bills",
        "has_thing_0",
    )


def test_how_the_files_are_written_is_said_in_the_contract():
    written = FileFormat(delimiter=";", decimal=",", encoding="cp1252")
    assert phone(files=written)[0].contract.files == written


def test_when_nothing_is_left_to_learn_from_the_draft_is_refused():
    table = phone_table()[["Customer ID", "Country", "Churned"]]
    with pytest.raises(UsageError) as refused:
        draft({"t": table}, name="p")
    assert refused.value.code == "DRAFT_IMPOSSIBLE"


def test_a_key_named_like_a_name_of_ours_is_renamed():
    table = phone_table().rename(columns={"Customer ID": "label"})
    found = draft({"t": table}, name="p", entity="label", as_of=MONTH)
    assert (found.contract.entity.column, found.contract.entity.source) == (
        "customer_label",
        "label",
    )
    conforms(found, {"t": table})


@pytest.mark.parametrize("header", ["model", "version", "reasons"])
def test_a_key_that_is_called_like_a_field_of_the_answers_gets_another_name(header):
    table = pd.DataFrame(
        {
            header: [f"k{n}" for n in range(40)],
            "visits": [n % 7 for n in range(40)],
            "churned": [n % 3 == 0 for n in range(40)],
        }
    )
    found = draft(
        {"people": as_read(table)},
        name="shop",
        as_of=JANUARY,
        entity=header,
        label="people.churned",
    )
    assert (found.contract.entity.column, found.contract.entity.source) == (
        f"customer_{header}",
        header,
    )
