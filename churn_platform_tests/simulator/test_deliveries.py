"""The deliveries: which files arrive when, and their truth."""

import datetime as dt
import json
from dataclasses import replace

import pandas as pd
import pytest

from churn_platform.contract.reading import default_contract_path, read_contract
from churn_platform.ingestion.rules import conform
from churn_platform.simulator.months import Truth, deliver, simulate
from churn_platform.simulator.scenarios import SCENARIOS

STREAMFLOW = read_contract(default_contract_path())
LABELS = STREAMFLOW.label.table
MONTHS = ["2024-01-31", "2024-02-29", "2024-03-31", "2024-04-30"]


def deliveries(scenario, months=4):
    if isinstance(scenario, str):
        scenario = SCENARIOS[scenario]
    return list(deliver(STREAMFLOW, 300, months, 1, scenario=scenario))


def drawn(name, months=4):
    return list(simulate(STREAMFLOW, 300, months, 1, scenario=SCENARIOS[name]))


def folders(found):
    return [delivery.folder for delivery in found]


def equal(delivery, month):
    return all(frame.equals(month.tables[table]) for table, frame in delivery.tables.items())


def test_where_nothing_is_late_or_wrong_a_month_is_one_complete_drop():
    found = deliveries("leak")
    assert folders(found) == MONTHS
    for delivery, month in zip(found, drawn("leak"), strict=True):
        assert (delivery.truth, delivery.note) == (month.truth, "")
        assert delivery.tables.keys() == month.tables.keys()
        assert equal(delivery, month)


@pytest.mark.parametrize("name", ["late-labels", "corrections", "leak"])
def test_every_delivery_keeps_the_contract(name):
    for delivery in deliveries(name, months=3):
        for table, frame in delivery.tables.items():
            assert conform(STREAMFLOW, table, pd.DataFrame(frame.astype("string")))[1] == []


def test_late_labels_arrive_alone_after_the_next_month_and_the_last_ones_never():
    found = deliveries("late-labels", months=3)
    assert folders(found) == [*MONTHS[:2], f"labels/{MONTHS[0]}", MONTHS[2], f"labels/{MONTHS[1]}"]
    months = {month.as_of: month for month in drawn("late-labels", months=3)}
    for delivery in found:
        late = delivery.folder.startswith("labels/")
        assert ([*delivery.tables] == [LABELS], delivery.truth is None) == (late, late)
        assert late or LABELS not in delivery.tables
        assert equal(delivery, months[delivery.as_of])


def test_labels_in_a_table_of_features_cannot_be_late():
    wide = STREAMFLOW.as_mapping() | {"slices": [], "costs": {}}
    wide["label"] = {"table": "subscriptions", "column": "paperless_billing"}
    wide["feature_views"]["subs_profile_fv"]["features"].remove("paperless_billing")
    contract = type(STREAMFLOW).model_validate(wide)
    found = deliver(contract, 60, 2, 1, scenario=SCENARIOS["late-labels"])
    assert folders(found) == MONTHS[:2]


def test_a_correction_arrives_after_the_next_month_with_the_right_values_of_one_table():
    found = deliveries("corrections")
    assert folders(found) == [*MONTHS, f"corrections/{MONTHS[2]}"]
    truth = drawn("corrections")[2]
    column = truth.truth.drivers[0]
    [(table, right)] = found[-1].tables.items()
    assert equal(found[-1], truth)
    wrong = found[2].tables[table]
    assert 0.2 < (wrong[column] != right[column]).fillna(value=False).mean() <= 1 / 3
    assert wrong.drop(columns=column).equals(right.drop(columns=column))
    assert sorted(wrong[column].dropna()) == sorted(right[column].dropna())
    assert wrong.dtypes.equals(right.dtypes)
    assert f"{table}.{column}" in found[2].note


def test_a_broken_file_lacks_a_column_and_its_repair_comes_last():
    found = deliveries("broken-file")
    assert folders(found)[2:] == [*MONTHS[2:], f"repairs/{MONTHS[2]}"]
    truth = drawn("broken-file")[2]
    [fault] = [
        fault
        for table, frame in found[2].tables.items()
        for fault in conform(STREAMFLOW, table, frame)[1]
    ]
    assert fault.column == truth.truth.drivers[0]
    assert found[-1].tables.keys() == truth.tables.keys()
    assert equal(found[-1], truth)


def test_deliveries_are_made_one_at_a_time():
    endless = deliver(STREAMFLOW, 60, 10**9, 1, scenario=SCENARIOS["late-labels"])
    assert [next(endless).folder for _ in range(3)] == [*MONTHS[:2], f"labels/{MONTHS[0]}"]


def test_the_parts_of_scenarios_combine():
    both = replace(SCENARIOS["corrections"], late_labels=True)
    late = [MONTHS[3], f"corrections/{MONTHS[2]}", f"labels/{MONTHS[2]}"]
    assert folders(deliveries(both))[-3:] == late


def test_the_truth_is_plain_json_with_every_month_and_every_delivery_in_order():
    scenario = SCENARIOS["late-labels"]
    truth = Truth.of(scenario, 300, 1, deliveries("late-labels", months=2))
    found = json.loads(json.dumps(truth.as_json()))
    assert (found["scenario"], found["users"], found["seed"]) == ("late-labels", 300, 1)
    assert [month["as_of"] for month in found["months"]] == MONTHS[:2]
    fields = {"as_of", "best_auc", "churn_rate", "drivers", "what_changed", "leak"}
    assert set(found["months"][0]) == fields
    assert found["deliveries"][2]["folder"] == f"labels/{MONTHS[0]}"
    assert truth.deliveries[2].as_of == dt.date(2024, 1, 31)
    assert Truth.read(found, "the truth") == truth
