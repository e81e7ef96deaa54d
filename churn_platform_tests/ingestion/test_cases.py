"""Tables as real tools wrote them: with a right contract every value is the one that is meant, or a fault."""

import copy
import datetime as dt
import runpy

import pandas as pd
import pytest

from churn_platform.contract.model import Contract
from churn_platform.ingestion.drop import open_drop
from churn_platform.ingestion.validation import validate
from churn_platform_tests.cases import BUSINESS, case
from churn_platform_tests.gym import plain

JANUARY, FEBRUARY = dt.date(2024, 1, 31), dt.date(2024, 2, 29)


def contract(*, entity=None, files=None, label=None, **columns):
    """The contract of the cases' business; `columns` are changes of a column or new ones, as table__column."""
    declared = copy.deepcopy(BUSINESS) | {"files": files or {}}
    declared["entity"] |= entity or {}
    if label:
        declared["tables"]["outcome"]["columns"]["churned"] = label
    for place, spec in columns.items():
        table, column = place.split("__")
        own = declared["tables"][table]["columns"]
        own[column] = own.get(column, {}) | spec
    return Contract.model_validate(declared)


def judged(folder, found, as_of=JANUARY):
    return validate(
        found, open_drop(folder / as_of.isoformat(), as_of, found), today=as_of, known=None
    )


def read(folder, found, as_of=JANUARY):
    """The valid rows of every table by key, as plain values; the drop has no fault at all."""
    result = judged(folder, found, as_of)
    assert result.faults == ()
    return {
        name: {str(row[0]): plain(row[1:]) for row in table.valid.itertuples(index=False)}
        for name, table in result.tables.items()
    }


@pytest.fixture
def business(tmp_path):
    """The business as it was meant: table -> key -> values, in the order of the contract's columns."""

    def make(**options):
        made = runpy.run_path(str(tmp_path / "cases" / "biz.py"))["business"](
            months=("2024-01-31",), **options
        )
        tables = made["2024-01-31"]
        return {
            "customers": {
                k: [pd.Timestamp(j), c, p, float(f)] for k, j, c, p, f in tables["customers"][1]
            },
            "usage": {k: [int(a), float(b), int(c)] for k, a, b, c in tables["usage"][1]},
            "outcome": {k: [churned == "yes"] for k, churned in tables["outcome"][1]},
        }  # fmt: skip

    return make


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("44-utf16", {"files": {"delimiter": "\t"}}),
        ("44-utf16", {"files": {"delimiter": "\t", "encoding": "utf-16"}}),
        ("46-sep-line", {"files": {"delimiter": ";"}}),
        ("46-sep-line", {}),
        ("54-dates-excel", {"customers__joined": {"date_format": "excel"}}),
        ("40-german-mixed", {"files": {"delimiter": ";", "decimal": ","}}),
    ],
)
def test_the_form_of_a_file_changes_no_value(tmp_path, business, name, options):
    assert read(case(name, tmp_path), contract(**options)) == business()


def test_a_column_has_a_decimal_sign_of_its_own_and_versions_stay_text(tmp_path, business):
    folder = case("40-german-mixed", tmp_path)
    files = {"delimiter": ";", "decimal": ","}
    wanted = business()["customers"]
    for spec, version in (
        ({"dtype": "category"}, "4.1"),
        ({"dtype": "float", "decimal": "."}, 4.1),
    ):
        found = read(folder, contract(files=files, customers__app_version=spec))["customers"]
        assert next(iter(found.values()))[4] == version
        assert {key: row[:4] for key, row in found.items()} == wanted
    own = {"delimiter": ";"}
    comma = {"decimal": ","}
    assert (
        read(folder, contract(files=own, customers__monthly_fee=comma, usage__hours_30d=comma))
        == business()
    )


@pytest.mark.parametrize(
    ("name", "decimal", "gap"),
    [
        ("41-german-gaps", ",", lambda i: i % 7 == 3),
        ("41c-point-gaps-hours", ".", lambda i: i % 300 == 3),
    ],
)
def test_gaps_among_numbers_are_missing_and_the_numbers_exact(
    tmp_path, business, name, decimal, gap
):
    found = read(
        case(name, tmp_path),
        contract(
            files={"delimiter": ";", "decimal": decimal},
            customers__monthly_fee={"nullable": True},
            usage__hours_30d={"nullable": True},
        ),
    )
    wanted = business()
    hours = [None if gap(i) else row[1] for i, row in enumerate(wanted["usage"].values())]
    assert [row[1] for row in found["usage"].values()] == hours
    fees = [
        None if decimal == "," and i % 10 == 3 else row[3]
        for i, row in enumerate(wanted["customers"].values())
    ]
    assert [row[3] for row in found["customers"].values()] == fees


def test_a_float_key_in_parquet_is_the_text_key_of_the_month_before(tmp_path, business):
    folder = case("02-float-keys-next-month", tmp_path)
    keys = [str(i) for i in range(100001, 101501)]
    assert read(folder, contract()) == business(keys=keys)
    assert [*read(folder, contract(), FEBRUARY)["customers"]] == keys


@pytest.mark.parametrize("dtype", ["string", "integer"])
def test_keys_of_19_digits_stay_what_they_are(tmp_path, business, dtype):
    folder = case("71-big-int-key", tmp_path)
    keys = [str(1582218195625938945 + i) for i in range(1500)]
    assert read(folder, contract(entity={"dtype": dtype})) == business(keys=keys)


def test_a_text_key_with_a_point_stays_text_and_is_a_number_where_the_key_is_one(
    tmp_path, business
):
    folder = case("60-float-key-everywhere", tmp_path)
    assert read(folder, contract()) == business(keys=[f"{i}.0" for i in range(100001, 101501)])
    whole = contract(entity={"dtype": "integer"})
    assert read(folder, whole) == business(keys=[str(i) for i in range(100001, 101501)])


def test_one_table_with_keys_in_another_form_is_refused_or_read_as_numbers(tmp_path, business):
    folder = case("59-float-key-one-table", tmp_path)
    assert judged(folder, contract()).refusals
    whole = contract(entity={"dtype": "integer"})
    assert read(folder, whole) == business(keys=[str(i) for i in range(100001, 101501)])


def test_declared_gap_words_are_missing_and_undeclared_ones_faults(tmp_path):
    folder = case("65-null-words", tmp_path)
    words = ["-", "?", "\\N", "#N/A", "<NA>"]
    spec = {"dtype": "integer", "nullable": True}
    columns = {f"usage__m{j}_30d": spec for j in range(len(words))}
    found = read(folder, contract(files={"missing": words}, **columns))["usage"]
    for i, row in enumerate(found.values()):
        assert row[3:] == [
            None if (i + j) % 6 == 0 else (i * (j + 3)) % 40 for j in range(len(words))
        ]
    codes = {fault.code for fault in judged(folder, contract(**columns)).refusals}
    assert codes == {"too_many_faulty_rows"}


def test_amounts_are_read_without_their_declared_signs(tmp_path, business):
    folder = case("57-percent-currency", tmp_path)
    signs = {
        "customers__monthly_fee": {"unit": "€"},
        "customers__discount": {"dtype": "float", "unit": "%"},
        "customers__paid_total": {"dtype": "float", "thousands": ","},
    }
    wanted = business()["customers"]
    for i, (key, row) in enumerate(read(folder, contract(**signs))["customers"].items()):
        fee = wanted[key][3]
        assert row[3:] == [fee, i % 7 * 2.5, pytest.approx(fee * (i % 90), abs=0.0051)]
    brackets = contract(**signs, customers__balance={"dtype": "float"})
    assert [fault.code for fault in judged(folder, brackets).refusals] == ["too_many_faulty_rows"]
    assert len(judged(folder, contract()).tables["customers"].report.faulty) == len(wanted)


def test_numbers_and_dates_that_mean_missing_are_missing(tmp_path, business):
    date = {"dtype": "date", "nullable": True}
    found = read(
        case("56-sentinels", tmp_path),
        contract(
            customers__contract_end=date | {"missing": ["9999-12-31"]},
            customers__last_visit_day=date | {"missing": ["1900-01-01"]},
            customers__upgraded_on=date | {"missing": ["0000-00-00"]},
            usage__logins_30d={"nullable": True, "missing": ["-1"]},
            usage__tickets_90d={"nullable": True, "missing": ["999"]},
        ),
    )
    wanted = business()
    ended, visited, upgraded = (
        pd.Timestamp(day) for day in ("2023-05-01", "2023-11-02", "2023-02-02")
    )
    for i, row in enumerate(found["customers"].values()):
        dates = [
            None if i % 3 else ended,
            None if i % 5 == 0 else visited,
            None if i % 4 == 0 else upgraded,
        ]
        assert row[4:] == dates
    for i, (row, meant) in enumerate(
        zip(found["usage"].values(), wanted["usage"].values(), strict=True)
    ):
        assert [row[0], row[2]] == [
            None if i % 8 == 0 else meant[0],
            None if i % 9 == 0 else meant[2],
        ]


def test_odd_headers_and_categories_are_read_as_they_are_written(tmp_path, business):
    found = read(
        case("88-special-names-and-gaps", tmp_path),
        contract(
            customers__opted_in={"dtype": "boolean", "nullable": True, "source": "opt in?"},
            usage__logins_30d={"source": 'logins "30d" [n]'},
            usage__tickets_90d={"nullable": True},
        ),
    )
    plans = {"Basic": 'Ba"sic', "Plus": "Plus, {x}", "Max": "Max:[1]"}
    countries = {"DE": "日本", "FR": "Łódź", "NA": "NA", "PL": "null"}
    for i, (key, row) in enumerate(business()["customers"].items()):
        assert found["customers"][key][1:3] == [countries[row[1]], plans[row[2]]]
        assert found["customers"][key][4] == [True, None, False][i % 3]
    for i, (key, row) in enumerate(business()["usage"].items()):
        assert found["usage"][key] == [row[0], row[1], None if i % 4 == 0 else row[2]]


def test_a_label_that_is_not_known_is_missing_only_where_the_contract_says_so(tmp_path, business):
    folder = case("95-label-9-unknown", tmp_path)
    wrong = judged(folder, contract(label={"dtype": "integer", "nullable": True}))
    [fault] = wrong.tables["outcome"].report.worst_first
    assert (fault.code, len(fault.positions)) == ("label_not_binary", 150)
    assert wrong.refusals
    found = read(folder, contract(label={"dtype": "integer", "nullable": True, "missing": ["9"]}))[
        "outcome"
    ]
    wanted = [
        None if i % 10 == 0 else int(row[0]) for i, row in enumerate(business()["outcome"].values())
    ]
    assert [row[0] for row in found.values()] == wanted
