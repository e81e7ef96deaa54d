"""A contract drafted from a folder: from which drop, how it reads, and that its own drop passes unchanged."""

import datetime as dt
import re

import pandas as pd
import pytest
import yaml

from churn_platform.base.errors import UsageError
from churn_platform.contract.model import Span
from churn_platform.contract.parts import FileFormat
from churn_platform.contract.policy import Policy
from churn_platform.contract.reading import default_contract_path, read_contract
from churn_platform.drafting.contract_file import as_yaml, draft_from
from churn_platform_tests.drafted_businesses import (
    LABELLED,
    MONTH,
    SUNDAYS,
    deliver_laundry,
    deliver_phone,
    laundry_tables,
)
from churn_platform_tests.small_business import candidate, monthly, open_home


@pytest.fixture(scope="module")
def laundry(tmp_path_factory):
    return deliver_laundry(tmp_path_factory.mktemp("laundry"))


@pytest.fixture(scope="module")
def phone(tmp_path_factory):
    return deliver_phone(tmp_path_factory.mktemp("phone"))


def home_with(folder, text, **replaced):
    """A home whose contract is the draft, with parts of its text replaced as a user would edit them."""
    for old, new in replaced.items():
        assert old in text
        text = text.replace(old, new)
    home = open_home(folder, lambda: dt.datetime(2024, 4, 1, tzinfo=dt.UTC))
    home.create()
    (folder / "contract.yaml").write_text(text, encoding="utf-8")
    return home


def test_the_draft_is_from_the_newest_drop_with_labels_and_the_others_tell_the_time(laundry):
    drop, found = draft_from(laundry, name="laundry")
    assert drop == laundry / "2024-01-14"
    assert found.as_of == LABELLED
    assert (found.contract.cadence, found.contract.label.horizon) == ("week", Span(months=1))


def test_one_drop_alone_has_the_cadence_to_confirm(laundry):
    drop, found = draft_from(laundry / "2024-01-07", name="laundry")
    assert drop == laundry / "2024-01-07"
    assert (found.contract.cadence, ("cadence",) in found.doubts) == ("month", True)


def test_without_labels_in_any_drop_the_newest_drops_refusal_is_told(laundry, tmp_path):
    for as_of in ("2024-02-11", "2024-02-18"):
        (tmp_path / as_of).symlink_to(laundry / as_of)
    with pytest.raises(UsageError) as refused:
        draft_from(tmp_path, name="laundry")
    assert refused.value.code == "LABEL_NOT_FOUND"


def test_an_as_of_that_is_told_dates_a_folder_without_a_date(phone, tmp_path):
    (tmp_path / "delivery").symlink_to(phone / MONTH.isoformat())
    assert draft_from(tmp_path / "delivery", name="p")[1].as_of is None
    _, found = draft_from(tmp_path / "delivery", name="p", as_of=MONTH)
    assert "next_bill" in {out.column for out in found.left_out}


@pytest.mark.parametrize("business", ["laundry", "phone"])
def test_what_is_written_is_what_was_drafted(business, request, tmp_path):
    _, found = draft_from(request.getfixturevalue(business), name=business)
    (tmp_path / "contract.yaml").write_text(as_yaml(found), encoding="utf-8")
    assert read_contract(tmp_path / "contract.yaml") == found.contract


def test_a_table_that_only_some_customers_are_in_may_stay_so(tmp_path):
    files = deliver_laundry(tmp_path / "laundry")
    for path in files.glob("*/orders.csv"):
        few = pd.read_csv(path)
        few[few["orders_28d"] > 3].to_csv(path, index=False)  # only those who ordered much
    _, found = draft_from(files, name="laundry")
    text = as_yaml(found)
    allowed = found.contract.policy.ingestion.unmatched_share
    assert 0.7 < allowed <= 1
    assert f"  ingestion: {{unmatched_share: {allowed:g}}}   # confirm: one table lacks" in text
    home = home_with(tmp_path / "home", text)
    home.ingestion.accept(files / LABELLED.isoformat(), LABELLED)
    assert home.ingestion.publish(LABELLED).kind == "first"
    assert read_contract(home.contract_path) == found.contract


def test_names_and_values_that_yaml_would_take_for_something_else_stay_texts(tmp_path):
    table = pd.DataFrame(
        {
            "id": range(40),
            "no": ["yes, sir", "[a]", "{b}: c", "# d"] * 10,
            "On": ["No", "null", "~", "1.5x"] * 10,
            "say: it": ["'", '"', "\\", "é"] * 10,
            "churn": [1, 0, 0, 0, 0, 1, 0, 0] * 5,
        }
    )
    (tmp_path / "drop").mkdir()
    table.to_parquet(tmp_path / "drop" / "true.parquet", index=False)
    _, found = draft_from(tmp_path / "drop", name="null")
    (tmp_path / "contract.yaml").write_text(as_yaml(found), encoding="utf-8")
    contract = read_contract(tmp_path / "contract.yaml")
    assert contract == found.contract
    assert contract.features["no"].values == ("# d", "[a]", "yes, sir", "{b}: c")


def test_the_draft_reads_as_one_line_a_column_with_doubts_and_reasons_at_their_ends(phone):
    text = as_yaml(draft_from(phone, name="phone")[1])
    lines = text.splitlines()
    assert "      contract_start: {dtype: date, source: Contract Start}" in lines
    assert "      Tariff: {dtype: category, values: [L, M, S], description: Tariff}" in lines
    assert any(
        re.match(r"entity: \{column: customer_id,.*\}   # confirm: guessed from its name", line)
        for line in lines
    )
    assert any(
        re.match(r"      # status_code: \{.*\}   # left out: alone predicts churn, AUC 1.00", line)
        for line in lines
    )
    assert max(len(line.split("   #")[0]) for line in lines) <= 140
    assert len([line for line in lines if "# confirm:" in line]) == 6


def test_a_column_that_was_left_out_comes_back_by_its_number_sign(phone, tmp_path):
    text = as_yaml(draft_from(phone, name="phone")[1])
    text = re.sub(r"# (status_code: \{.*?\})   # left out.*", r"\1", text).replace(
        "[months_since", "[status_code, months_since"
    )
    (tmp_path / "contract.yaml").write_text(text, encoding="utf-8")
    assert read_contract(tmp_path / "contract.yaml").features["status_code"].dtype == "integer"


def test_the_policy_in_comments_is_the_default_one(phone):
    text = as_yaml(draft_from(phone, name="phone")[1])
    commented = text[text.index("# policy:") :]
    policy = yaml.safe_load("\n".join(line[2:] for line in commented.splitlines()))["policy"]
    assert Policy.model_validate(policy) == Policy()


def test_how_the_files_are_written_is_in_the_draft_where_it_is_not_usual(tmp_path, laundry):
    folder = tmp_path / "2024-01-14"
    folder.mkdir()
    for name, table in laundry_tables(LABELLED).items():
        table.to_csv(folder / f"{name}.csv", index=False, sep=";", decimal=",")
    text = as_yaml(draft_from(folder, name="laundry")[1])
    assert "files: {delimiter: ;, decimal: ',', encoding: utf-8}" in text
    assert "files:" not in as_yaml(draft_from(laundry, name="laundry")[1])
    (tmp_path / "contract.yaml").write_text(text, encoding="utf-8")
    contract = read_contract(tmp_path / "contract.yaml")
    assert contract.files == FileFormat(delimiter=";", decimal=",")
    assert contract.features["spend_28d"].dtype == "float"


def test_the_laundrys_own_drops_pass_and_a_model_comes_of_them(laundry, tmp_path):
    home = home_with(tmp_path / "home", as_yaml(draft_from(laundry, name="laundry")[1]))
    for week in (LABELLED, SUNDAYS[-1]):  # a calendar month later the labels of the first are known
        home.ingestion.accept(laundry / week.isoformat(), week)
        monthly(home, week)
    assert home.lake.months() == [LABELLED, SUNDAYS[-1]]
    assert candidate(home, SUNDAYS[-1]) == 1


def test_the_phone_companys_own_drop_passes_with_each_customers_own_costs(phone, tmp_path):
    text = as_yaml(draft_from(phone, name="phone")[1])
    text = re.sub(r"\n# costs: .*\n# costs: (.*?)   #", r"\ncosts: \1   #", text)
    home = home_with(tmp_path / "home", text)
    assert home.contract.costs.columns == ("customer_value",)
    home.ingestion.accept(phone / MONTH.isoformat(), MONTH)
    monthly(home, MONTH)
    assert candidate(home, MONTH) == 1


def test_a_drop_written_with_semicolons_and_decimal_commas_passes_unchanged(tmp_path):
    files = deliver_laundry(tmp_path / "laundry", sep=";", decimal=",", encoding="cp1252")
    home = home_with(tmp_path / "home", as_yaml(draft_from(files, name="laundry")[1]))
    home.ingestion.accept(files / LABELLED.isoformat(), LABELLED)
    assert home.ingestion.publish(LABELLED).kind == "first"


def test_the_shipped_business_is_understood_from_its_files(real_data, tmp_path):
    drop, found = draft_from(real_data, name="real")
    shipped, contract = read_contract(default_contract_path()), found.contract
    assert drop.name == "2024-02-29"
    assert contract.entity == shipped.entity
    assert contract.label == shipped.label
    assert (contract.cadence, contract.delivery_days) == (shipped.cadence, shipped.delivery_days)
    assert set(contract.tables) == set(shipped.tables)
    differ = {
        f"{table}.{name}": (
            column.dtype,
            contract.tables[table].columns.get(name) and contract.tables[table].columns[name].dtype,
        )
        for table, spec in shipped.tables.items()
        for name, column in spec.columns.items()
        if name not in contract.tables[table].columns
        or contract.tables[table].columns[name].dtype != column.dtype
    }
    constant = [f"{out.table}.{out.column}" for out in found.left_out]
    assert differ == {constant[0]: ("float", None)}
    assert [out.reason for out in found.left_out] == ["the same value everywhere"]
    assert set(shipped.features) - set(contract.features) == {found.left_out[0].column}
    listed = {
        n: c.values for t in shipped.tables.values() for n, c in t.columns.items() if c.values
    }
    assert {
        n: c.values for t in contract.tables.values() for n, c in t.columns.items() if c.values
    } == listed
    home = home_with(tmp_path / "home", as_yaml(found))
    for month in (dt.date(2024, 1, 31), dt.date(2024, 2, 29)):
        home.ingestion.accept(real_data / month.isoformat(), month)
        assert home.ingestion.publish(month).kind == "first"
