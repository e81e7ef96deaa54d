"""A contract drafted from a folder: from which drop, its text, and that its own drops pass unchanged."""

import datetime as dt
import re

import pandas as pd
import pytest
import yaml

from churn_platform.base.errors import UsageError
from churn_platform.contract.parts import FileFormat
from churn_platform.contract.policy import Policy
from churn_platform.contract.reading import default_contract_path, read_contract
from churn_platform.drafting.contract_file import as_yaml, draft_from
from churn_platform_tests.drafted_businesses import LABELLED, MONTH, SUNDAYS, deliver_laundry
from churn_platform_tests.drafting.sheets import refused
from churn_platform_tests.small_business import candidate, monthly, open_home


def written(folder, path, **options):
    """The draft from a folder, read again from its text, and the text."""
    _, found = draft_from(folder, name="drafted", **options)
    text = as_yaml(found)
    path.mkdir(exist_ok=True)
    (path / "contract.yaml").write_text(text, encoding="utf-8")
    contract = read_contract(path / "contract.yaml")
    assert contract == found.contract
    return contract, text


def home_of(folder, text):
    """A home whose contract is the draft, as a user may have edited it."""
    home = open_home(folder, lambda: dt.datetime(2024, 4, 1, tzinfo=dt.UTC))
    home.create()
    (folder / "contract.yaml").write_text(text, encoding="utf-8")
    return home


def test_the_draft_is_from_the_newest_drop_with_labels(laundry, tmp_path):
    drop, found = draft_from(laundry, name="laundry")
    assert (drop, found.as_of) == (laundry / LABELLED.isoformat(), LABELLED)
    assert (found.contract.cadence, ("cadence",) in found.doubts) == ("week", False)
    _, alone = draft_from(laundry / SUNDAYS[0].isoformat(), name="laundry")
    assert (alone.contract.cadence, ("cadence",) in alone.doubts) == ("month", True)
    for as_of in SUNDAYS[-2:]:
        (tmp_path / as_of.isoformat()).symlink_to(laundry / as_of.isoformat())
    refused("LABEL_NOT_FOUND", lambda: draft_from(tmp_path, name="laundry"))


def test_a_given_as_of_dates_a_folder_without_a_date(phone, tmp_path):
    (tmp_path / "delivery").symlink_to(phone / MONTH.isoformat())
    for as_of in (None, MONTH):
        _, found = draft_from(tmp_path / "delivery", name="p", as_of=as_of)
        assert found.as_of == as_of
        assert ("next_bill" in {out.column for out in found.left_out}) == bool(as_of)


def test_a_table_that_only_some_customers_are_in_may_stay_so(tmp_path):
    files = deliver_laundry(tmp_path / "laundry", sep=";", decimal=",", encoding="cp1252")
    for path in files.glob("*/orders.csv"):
        few = pd.read_csv(path, sep=";")
        few[few["orders_28d"] > 3].to_csv(path, index=False, sep=";")
    contract, text = written(files, tmp_path / "draft")
    allowed = contract.policy.ingestion.unmatched_share
    assert 0.7 < allowed <= 1
    assert f"  ingestion: {{unmatched_share: {allowed:g}}}   # confirm: " in text
    assert contract.files == FileFormat(delimiter=";", decimal=",")
    assert contract.features["spend_28d"].dtype == "float"
    home = home_of(tmp_path / "home", text)
    home.ingestion.accept(files / LABELLED.isoformat(), LABELLED)
    assert home.ingestion.publish(LABELLED).kind == "first"


def test_names_and_values_that_yaml_would_take_for_something_else_stay_texts(tmp_path):
    table = {
        "id": range(40),
        "no": ["yes, sir", "[a]", "{b}: c", "# d"] * 10,
        "On": ["No", "null", "~", "1.5x"] * 10,
        "say: it": ["'", '"', "\\", "é"] * 10,
        "churn": [1, 0, 0, 0, 0, 1, 0, 0] * 5,
    }
    (tmp_path / "drop").mkdir()
    pd.DataFrame(table).to_parquet(tmp_path / "drop" / "true.parquet", index=False)
    contract, _ = written(tmp_path / "drop", tmp_path / "draft")
    assert contract.features["no"].values == ("# d", "[a]", "yes, sir", "{b}: c")


def test_the_draft_has_a_line_per_column_with_doubts_and_reasons_at_their_ends(phone, tmp_path):
    _, text = written(phone, tmp_path)
    lines = text.splitlines()
    for line in (
        "      contract_start: {dtype: date, source: Contract Start}",
        "      Tariff: {dtype: category, values: [L, M, S], description: Tariff}",
    ):
        assert line in lines
    for pattern in (
        r"entity: \{column: customer_id,.*\}   # confirm: guessed from its name",
        r"      # status_code: \{.*\}   # left out: alone predicts churn, AUC 1.00",
    ):
        assert any(re.match(pattern, line) for line in lines)
    assert max(len(line.split("   #")[0]) for line in lines) <= 140
    assert len([line for line in lines if "# confirm:" in line]) == 6
    assert "files:" not in text
    commented = "\n".join(line[2:] for line in text[text.index("# policy:") :].splitlines())
    assert Policy.model_validate(yaml.safe_load(commented)["policy"]) == Policy()
    used = re.sub(r"# (status_code: \{.*?\})   # left out.*", r"\1", text)
    used = used.replace("[months_since", "[status_code, months_since")
    (tmp_path / "used.yaml").write_text(used, encoding="utf-8")
    assert read_contract(tmp_path / "used.yaml").features["status_code"].dtype == "integer"


def test_the_laundrys_own_drops_pass_and_a_model_comes_of_them(laundry, tmp_path):
    _, text = written(laundry, tmp_path / "draft")
    home = home_of(tmp_path / "home", text)
    for week in (LABELLED, SUNDAYS[-1]):  # a month later the labels of the first are known
        home.ingestion.accept(laundry / week.isoformat(), week)
        monthly(home, week)
    assert home.lake.months() == [LABELLED, SUNDAYS[-1]]
    assert candidate(home, SUNDAYS[-1]) == 1


def test_the_phone_companys_own_drop_passes_with_the_costs_of_each_customer(phone, tmp_path):
    _, text = written(phone, tmp_path / "draft")
    text = re.sub(r"\n# costs: .*\n# costs: (.*?)   #", r"\ncosts: \1   #", text)
    home = home_of(tmp_path / "home", text)
    assert home.contract.costs.columns == ("customer_value",)
    home.ingestion.accept(phone / MONTH.isoformat(), MONTH)
    monthly(home, MONTH)
    assert candidate(home, MONTH) == 1


def test_a_draft_that_would_refuse_its_own_files_is_not_written(phone, monkeypatch):
    from churn_platform.drafting import contract_file
    from churn_platform.drafting.check import CheckLine

    faults = [CheckLine("fail", "d", "t.x", f"fault {n}") for n in (1, 2, 3)]
    monkeypatch.setattr(contract_file, "check_drops", lambda *_, **__: faults)
    with pytest.raises(UsageError, match=r"fault 1 \(2 more\)") as refusal:
        draft_from(phone, name="phone")
    assert refusal.value.code == "DRAFT_IMPOSSIBLE"


def test_the_shipped_business_is_understood_from_its_files(real_data, tmp_path):
    drop, found = draft_from(real_data, name="real")
    shipped = read_contract(default_contract_path())
    contract = found.contract
    assert drop.name == "2024-02-29"
    for part in ("entity", "label", "cadence", "delivery_days"):
        assert getattr(contract, part) == getattr(shipped, part)
    [constant] = found.left_out
    assert constant.reason == "the same value everywhere"

    def columns(of):
        return {
            (table, name): (column.dtype, column.values)
            for table, spec in of.tables.items()
            for name, column in spec.columns.items()
            if (table, name) != (constant.table, constant.column)
        }

    assert columns(contract) == columns(shipped)
    assert set(shipped.features) - set(contract.features) == {constant.column}
    home = home_of(tmp_path / "home", as_yaml(found))
    for month in (dt.date(2024, 1, 31), dt.date(2024, 2, 29)):
        home.ingestion.accept(real_data / month.isoformat(), month)
        assert home.ingestion.publish(month).kind == "first"
