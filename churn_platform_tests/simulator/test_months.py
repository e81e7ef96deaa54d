"""The simulated business: its months fit any contract, and its truth is what a good model finds."""

import datetime as dt

import lightgbm
import numpy as np
import pandas as pd
import pytest
from scipy.stats import wasserstein_distance
from sklearn.metrics import roc_auc_score

from churn_platform.base.errors import ContractError, DataError, UsageError
from churn_platform.contract.model import Contract
from churn_platform.contract.reading import default_contract_path, read_contract
from churn_platform.ingestion.rules import conform
from churn_platform.simulator import as_of_at, best_auc, simulate
from churn_platform.simulator.scenarios import SCENARIOS, SUDDEN_SHIFT

STREAMFLOW = read_contract(default_contract_path())

WEEKLY = Contract.model_validate(
    {
        "name": "gym",
        "model_name": "gym_churn",
        "entity": {"column": "member", "dtype": "integer"},
        "cadence": "week",
        "tables": {
            "members": {
                "columns": {
                    "joined": {"dtype": "date", "nullable": True},
                    "nickname": {"dtype": "string", "nullable": True},
                    "visits": {"dtype": "integer", "nullable": True, "min": 0, "max": 7},
                    "balance": {"dtype": "float", "nullable": True, "min": -500, "max": 500},
                    "share": {"dtype": "float", "min": 0, "max": 1},
                    "town": {"dtype": "category", "nullable": True},
                    "plan": {"dtype": "category", "values": ["basic", "NA", "gold"]},
                    "coach": {"dtype": "boolean"},
                    "left": {"dtype": "float", "nullable": True},
                }
            }
        },
        "label": {"table": "members", "column": "left"},
        "feature_views": {
            "wide": {
                "table": "members",
                "features": ["visits", "balance", "share", "town", "plan", "coach"],
            }
        },
    }
)
CONTRACTS = pytest.mark.parametrize(
    "contract", [STREAMFLOW, WEEKLY], ids=lambda contract: contract.name
)


@pytest.fixture(scope="module")
def shifted():
    return list(simulate(STREAMFLOW, 5_000, 4, 1, scenario=SUDDEN_SHIFT))


def rows(contract, month):
    """One row an entity, features and label, joined by key."""
    tables = iter(month.tables.values())
    joined = next(tables)
    for table in tables:
        joined = joined.merge(table, on=contract.entity.column, validate="one_to_one")
    return joined


def matrix(contract, month):
    frame = rows(contract, month)
    encoded = {}
    for name, column in contract.features.items():
        levels = pd.Categorical(frame[name]).codes if column.dtype == "category" else frame[name]
        encoded[name] = pd.Series(levels).astype("float64").to_numpy(na_value=np.nan)
    return pd.DataFrame(encoded, index=frame[contract.entity.column]), labels(contract, month)


def labels(contract, month):
    table = month.tables[contract.label.table]
    return table.set_index(contract.entity.column)[contract.label.column].astype(int)


def fitted(features, target):
    recipe = {"objective": "binary", "num_leaves": 8, "learning_rate": 0.05, "min_data_in_leaf": 40}
    quiet = {"verbose": -1, "num_threads": 1, "seed": 1}
    return lightgbm.train(
        recipe | quiet, lightgbm.Dataset(features, target.to_numpy()), num_boost_round=120
    )


def reached(model, contract, month):
    """The AUC of a model on a month."""
    features, target = matrix(contract, month)
    return roc_auc_score(target, model.predict(features))


def drift(contract, reference, current):
    """Normed Wasserstein distance by feature, categories by the positions of their values."""
    old, new = matrix(contract, reference)[0], matrix(contract, current)[0]
    return {
        name: wasserstein_distance(old[name].dropna(), new[name].dropna()) / old[name].std()
        for name in old
    }


def same(left, right):
    return all(
        a.truth == b.truth and all(a.tables[name].equals(b.tables[name]) for name in a.tables)
        for a, b in zip(left, right, strict=True)
    )


def faults(contract, table, frame):
    """What in `frame` breaks the contract: as ingestion reports it, and what a simulation adds."""
    found = [fault.sentence() for fault in conform(contract, table, frame)[1]]
    for name, column in contract.tables[table].columns.items():
        is_label = (table, name) == (contract.label.table, contract.label.column)
        nulls = frame[name].isna().mean()
        if column.nullable and not is_label:
            nulls -= 0.03
        if abs(nulls) > 0.025:
            found.append(f"{name}: null share {nulls}")
        kind = {"integer": "i", "float": "f", "boolean": "b", "date": "M"}.get(column.dtype, "O")
        if frame[name].dtype.kind != kind:
            found.append(f"{name}: {frame[name].dtype} for {column.dtype}")
        if not is_label and frame[name].nunique() < 2:
            found.append(f"{name}: constant")
    return found


@CONTRACTS
def test_every_month_fits_the_contract_and_churners_are_replaced_by_new_customers(contract):
    key = contract.entity.column
    seen, stayed = set(), set()
    for month in simulate(contract, 1_500, 4, 5, scenario=SUDDEN_SHIFT):
        present = set(month.chances.index)
        assert list(month.tables) == list(contract.tables)
        for name, frame in month.tables.items():
            assert list(frame) == [key, *(c for c in contract.tables[name].columns if c != key)]
            assert faults(contract, name, frame) == []
            assert frame[key].is_unique
            assert set(frame[key]) == present
        assert {type(one) for one in present} == {str if contract.entity.dtype == "string" else int}
        assert stayed <= present
        assert not (present - stayed) & seen
        seen |= present
        churned = labels(contract, month)
        stayed = set(churned[churned == 0].index)
        assert 0 < len(stayed) < len(present) == 1_500


def test_a_seed_gives_the_same_months_whatever_comes_later():
    short = list(simulate(STREAMFLOW, 200, 2, 7))
    assert same(short, list(simulate(STREAMFLOW, 200, 5, 7, scenario=SUDDEN_SHIFT))[:2])
    assert not same(short, simulate(STREAMFLOW, 200, 2, 8))


def test_other_people_of_the_same_business_are_other_rows_with_the_same_truth():
    own, one, two = (
        next(simulate(STREAMFLOW, 4_000, 1, 7, people=people)) for people in (None, 1, 2)
    )
    assert not same([own], [one])
    assert not same([one], [two])
    assert same([one], simulate(STREAMFLOW, 4_000, 1, 7, people=1))
    assert own.truth.drivers == one.truth.drivers == two.truth.drivers
    assert max(drift(STREAMFLOW, one, two).values()) < 0.1
    assert two.truth.best_auc - reached(fitted(*matrix(STREAMFLOW, one)), STREAMFLOW, two) < 0.03


@pytest.mark.parametrize(
    ("cadence", "first", "later"),
    [
        ("month", "2024-01-31", ["2024-02-29", "2024-03-31", "2024-04-30"]),
        ("month", "2024-02-29", ["2024-03-31", "2024-04-30", "2024-05-31"]),
        ("month", "2024-01-30", ["2024-02-29", "2024-03-30", "2024-04-30"]),
        ("week", "2024-02-29", ["2024-03-07", "2024-03-14", "2024-03-21"]),
        ("day", "2023-12-31", ["2024-01-01", "2024-01-02", "2024-01-03"]),
    ],
)
def test_months_follow_the_cadence_and_a_months_end_stays_one(cadence, first, later):
    contract = Contract.model_validate(STREAMFLOW.as_mapping() | {"cadence": cadence})
    days = [as_of_at(contract, dt.date.fromisoformat(first), month) for month in (1, 2, 3, 4)]
    assert [day.isoformat() for day in days] == [first, *later]


def test_a_quiet_business_is_still_the_same_after_a_year():
    months = list(simulate(STREAMFLOW, 3_000, 12, 4))
    assert max(drift(STREAMFLOW, months[0], months[-1]).values()) < 0.07
    assert {month.truth.what_changed for month in months} == {"nothing"}
    assert np.ptp([month.truth.churn_rate for month in months]) < 0.05


def test_the_truth_is_told_by_the_chances_and_the_drawn_labels(shifted):
    for month in shifted:
        drawn = labels(STREAMFLOW, month)
        assert month.truth.best_auc == pytest.approx(
            roc_auc_score(drawn, month.chances[drawn.index]), abs=1e-12
        )
        assert month.truth.churn_rate == drawn.mean()
        assert month.chances.mean() == pytest.approx(drawn.mean(), abs=0.02)
        assert month.chances.between(0, 1, inclusive="neither").all()


@pytest.mark.parametrize("seed", range(1, 4))
def test_about_a_quarter_churn_and_the_best_auc_lies_above_078_in_every_business(seed):
    for month in simulate(STREAMFLOW, 2_000, 3, seed, scenario=SUDDEN_SHIFT):
        assert 0.18 < month.truth.churn_rate < 0.29
        assert 0.78 < month.truth.best_auc < 0.88


@CONTRACTS
def test_a_model_is_good_until_the_shift_falls_to_chance_and_recovers_when_fitted_again(contract):
    first, second, third = simulate(contract, 5_000, 3, 2, scenario=SUDDEN_SHIFT)
    old = fitted(*matrix(contract, first))
    assert second.truth.best_auc - reached(old, contract, second) < 0.03
    assert 0.45 < reached(old, contract, third) < 0.62
    features, target = matrix(contract, third)
    held = pd.util.hash_array(features.index.to_numpy()) % 4 == 0
    new = fitted(features[~held], target[~held])
    best = best_auc(target[held].to_numpy(dtype=bool), third.chances[target.index[held]].to_numpy())
    assert best > 0.78
    assert best - roc_auc_score(target[held], new.predict(features[held])) < 0.04


def test_the_truth_names_the_drivers_and_the_one_or_two_features_that_the_shift_moves(shifted):
    before, after = shifted[0].truth.drivers, shifted[2].truth.drivers
    assert [month.truth.drivers for month in shifted] == [before, before, after, after]
    assert before != after
    assert ", ".join(after) in shifted[2].truth.what_changed
    moved = moved_between(*shifted[1:3])
    assert 1 <= len(moved) <= 2
    assert moved == moves_of(shifted[2])
    assert max(drift(STREAMFLOW, *shifted[2:4]).values()) < 0.05
    assert [month.truth.what_changed == "nothing" for month in shifted] == [True, True, False, True]
    features, target = matrix(STREAMFLOW, shifted[0])
    encoded = features[list(before)].fillna(features[list(before)].median())
    assert roc_auc_score(target, fitted(encoded, target).predict(encoded)) > 0.8


def moved_between(reference, current):
    return {name for name, far in drift(STREAMFLOW, reference, current).items() if far > 0.1}


def moves_of(month):
    return set(month.truth.what_changed.split("distributed otherwise: ")[1].split(", "))


def scenario_months(name, users=4_000, months=4, seed=2):
    return list(simulate(STREAMFLOW, users, months, seed, scenario=SCENARIOS[name]))


def test_a_gradual_shift_goes_a_quarter_further_each_month():
    months = scenario_months("gradual-shift", months=6)
    assert [month.truth.what_changed for month in months[:2]] == ["nothing"] * 2
    for month, share in zip(months[2:], ("25%", "50%", "75%", "distributed"), strict=True):
        assert share in month.truth.what_changed
    old = fitted(*matrix(STREAMFLOW, months[0]))
    aucs = [reached(old, STREAMFLOW, month) for month in months[1:]]
    assert aucs == sorted(aucs, reverse=True)
    assert aucs[0] > 0.78
    assert aucs[-1] < 0.62


def test_a_covariate_shift_moves_two_features_and_leaves_the_old_model_as_good_as_any():
    months = scenario_months("covariate-shift")
    moved = moved_between(*months[1:3])
    assert len(moved) == 2
    assert moved == moves_of(months[2])
    assert moved & set(months[0].truth.drivers)
    old = fitted(*matrix(STREAMFLOW, months[0]))
    assert months[3].truth.best_auc - reached(old, STREAMFLOW, months[3]) < 0.03


def test_a_seasonal_business_swings_through_the_year_and_keeps_its_relation():
    months = scenario_months("seasonal", months=12)
    rates = [month.truth.churn_rate for month in months]
    assert max(rates) == max(rates[1:4])
    assert min(rates) == min(rates[7:10])
    assert max(rates) > 1.7 * min(rates)
    assert {month.truth.drivers for month in months} == {months[0].truth.drivers}
    assert max(drift(STREAMFLOW, months[0], months[8]).values()) < 0.07
    assert "times last month's" in months[1].truth.what_changed


def test_high_turnover_is_high_from_the_first_month_and_nothing_changes():
    months = scenario_months("leavers")
    assert all(0.33 < month.truth.churn_rate < 0.45 for month in months)
    assert {month.truth.what_changed for month in months} == {"nothing"}
    stayed = set(months[0].chances.index) & set(months[3].chances.index)
    assert len(stayed) < 0.5 * 4_000


def test_a_leak_reveals_the_label_from_its_month_on_and_the_best_auc_is_without_it():
    months = scenario_months("leak")
    name = months[2].truth.leak
    assert [month.truth.leak for month in months] == [None, None, name, name]
    assert name in months[2].truth.what_changed
    assert months[3].truth.what_changed == "nothing"
    alone = [
        roc_auc_score(labels, features[name].fillna(0))
        for features, labels in (matrix(STREAMFLOW, month) for month in months)
    ]
    assert max(alone[:2]) < 0.56
    assert min(alone[2:]) > 0.97
    assert all(month.truth.best_auc < 0.88 for month in months)
    assert faults(STREAMFLOW, *next((t, f) for t, f in months[2].tables.items() if name in f)) == []


@pytest.mark.parametrize("wrong", [{"users": 49}, {"months": 0}, {"seed": -1}])
def test_a_number_below_its_minimum_is_refused_before_the_first_month(wrong):
    with pytest.raises(UsageError, match=next(iter(wrong))):
        simulate(STREAMFLOW, **({"users": 50, "months": 1, "seed": 0} | wrong))


def test_a_contract_with_ages_is_simulated_by_its_dates():
    declared = WEEKLY.model_dump(mode="json", exclude_unset=True)
    declared["tables"]["members"]["ages"] = {"weeks_in": {"of": "joined", "unit": "weeks"}}
    declared["feature_views"]["wide"]["features"] += ["weeks_in"]
    contract = Contract.model_validate(declared)
    [month], [plain] = simulate(contract, 60, 1, 1), simulate(WEEKLY, 60, 1, 1)
    pd.testing.assert_frame_equal(month.tables["members"], plain.tables["members"])
    declared["feature_views"]["wide"]["features"] = ["weeks_in"]
    with pytest.raises(ContractError):
        simulate(Contract.model_validate(declared), 60, 1, 1)


def test_labels_of_one_class_have_no_auc():
    with pytest.raises(DataError, match="3 entities"):
        best_auc(np.zeros(3, dtype=bool), np.array([0.1, 0.2, 0.3]))
    assert best_auc(np.array([False, True, True, False]), np.array([0.1, 0.9, 0.2, 0.3])) == 0.75
