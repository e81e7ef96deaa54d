"""The deliveries: which files arrive when, and the whole truth beside them."""

import datetime as dt
import json
from dataclasses import replace

import pandas as pd
import pytest

from churn_platform.base.digests import canonical_json
from churn_platform.contract.reading import default_contract_path, read_contract
from churn_platform.ingestion.rules import conform, missing_tables
from churn_platform.simulator.months import deliver, simulate, truth_of
from churn_platform.simulator.scenarios import SCENARIOS

STREAMFLOW = read_contract(default_contract_path())
KEY, LABELS = STREAMFLOW.entity.column, STREAMFLOW.label.table
MARCH = dt.date(2024, 3, 31)


def deliveries(name, months=4, users=300):
    return list(deliver(STREAMFLOW, users, months, 1, scenario=SCENARIOS[name]))


def drawn(name, months=4, users=300):
    return list(simulate(STREAMFLOW, users, months, 1, scenario=SCENARIOS[name]))


@pytest.mark.parametrize(
    "name", ["quiet", "sudden-shift", "gradual-shift", "covariate-shift", "seasonal", "leak"]
)
def test_where_nothing_is_late_or_wrong_a_month_is_one_whole_drop(name):
    found = deliveries(name)
    assert [delivery.folder for delivery in found] == [
        "2024-01-31",
        "2024-02-29",
        "2024-03-31",
        "2024-04-30",
    ]
    for delivery, month in zip(found, drawn(name), strict=True):
        assert delivery.truth == month.truth
        assert delivery.note == ""
        assert all(delivery.tables[table].equals(frame) for table, frame in month.tables.items())


@pytest.mark.parametrize("name", [name for name in SCENARIOS if name != "broken-file"])
def test_every_delivery_keeps_the_contract(name):
    for delivery in deliveries(name, months=3):
        for table, frame in delivery.tables.items():
            text = pd.DataFrame(frame.astype("string"))
            assert conform(STREAMFLOW, table, text)[1] == []


def test_late_labels_arrive_on_their_own_after_the_next_month_and_the_last_ones_never():
    found = deliveries("late-labels", months=3)
    assert [delivery.folder for delivery in found] == [
        "2024-01-31", "2024-02-29", "labels/2024-01-31", "2024-03-31", "labels/2024-02-29",
    ]  # fmt: skip
    months = {month.as_of: month for month in drawn("late-labels", months=3)}
    for delivery in found:
        late = delivery.folder.startswith("labels/")
        assert (LABELS in delivery.tables) == late
        assert (delivery.truth is None) == late
        assert (len(delivery.tables) == 1) == late
        if late:
            assert delivery.tables[LABELS].equals(months[delivery.as_of].tables[LABELS])


def test_labels_in_a_table_of_features_cannot_be_late():
    wide = STREAMFLOW.as_mapping() | {"slices": []}
    wide["tables"]["users"]["columns"]["left_us"] = {"dtype": "boolean"}
    wide |= {"label": {"table": "subscriptions", "column": "paperless_billing"}, "costs": {}}
    wide["feature_views"]["subs_profile_fv"]["features"].remove("paperless_billing")
    contract = type(STREAMFLOW).model_validate(wide)
    found = deliver(contract, 60, 2, 1, scenario=SCENARIOS["late-labels"])
    assert [delivery.folder for delivery in found] == ["2024-01-31", "2024-02-29"]


def test_a_correction_arrives_after_the_next_month_with_the_right_values_of_one_table():
    found = deliveries("corrections")
    folders = [delivery.folder for delivery in found]
    assert folders == [
        "2024-01-31",
        "2024-02-29",
        "2024-03-31",
        "2024-04-30",
        "corrections/2024-03-31",
    ]
    wrong, right, truth = found[2], found[-1], drawn("corrections")[2]
    [(table, corrected)] = right.tables.items()
    assert corrected.equals(truth.tables[table])
    column = truth.truth.drivers[0]
    differing = (wrong.tables[table][column] != corrected[column]).fillna(value=False)
    assert 0.2 < differing.mean() <= 1 / 3
    assert wrong.tables[table].drop(columns=column).equals(corrected.drop(columns=column))
    assert sorted(wrong.tables[table][column].dropna()) == sorted(corrected[column].dropna())
    assert wrong.tables[table].dtypes.equals(corrected.dtypes)
    assert wrong.note == f"every third value of {table}.{column} is another customer's"


def test_a_broken_file_lacks_a_column_and_its_repair_comes_last_of_all():
    found = deliveries("broken-file")
    assert [delivery.folder for delivery in found][2:] == [
        "2024-03-31",
        "2024-04-30",
        "repairs/2024-03-31",
    ]
    broken, repair = found[2], found[-1]
    faults = [
        fault
        for table, frame in broken.tables.items()
        for fault in conform(STREAMFLOW, table, frame)[1]
    ]
    assert len(faults) == 1
    assert drawn("broken-file")[2].truth.drivers[0] in faults[0].sentence()
    assert missing_tables(STREAMFLOW, set(repair.tables)) == []
    assert all(
        repair.tables[table].equals(frame)
        for table, frame in drawn("broken-file")[2].tables.items()
    )


def test_deliveries_are_made_one_at_a_time():
    endless = deliver(STREAMFLOW, 60, 10**9, 1, scenario=SCENARIOS["late-labels"])
    assert [next(endless).folder for _ in range(3)] == [
        "2024-01-31",
        "2024-02-29",
        "labels/2024-01-31",
    ]


def test_the_pieces_combine():
    both = replace(SCENARIOS["corrections"], late_labels=True)
    found = [delivery.folder for delivery in deliver(STREAMFLOW, 60, 4, 1, scenario=both)]
    assert found[-3:] == ["2024-04-30", "corrections/2024-03-31", "labels/2024-03-31"]


def test_the_truth_is_plain_json_with_every_month_and_every_delivery_in_order():
    scenario = SCENARIOS["late-labels"]
    told = json.loads(
        canonical_json(truth_of(scenario, 300, 1, deliveries("late-labels", months=2)).as_json())
    )
    assert (told["scenario"], told["users"], told["seed"]) == ("late-labels", 300, 1)
    assert (told["summary"], told["loop_should"]) == (scenario.summary, scenario.loop_should)
    assert set(told["months"][0]) == {
        "as_of",
        "best_auc",
        "churn_rate",
        "drivers",
        "what_changed",
        "leak",
    }
    assert [month["as_of"] for month in told["months"]] == ["2024-01-31", "2024-02-29"]
    assert told["deliveries"][2] == {
        "folder": "labels/2024-01-31", "as_of": "2024-01-31", "note": "the labels of 2024-01-31",
    }  # fmt: skip
