"""The simulated business: its months fit any contract, and its truth is what a good model finds."""

import datetime as dt
import io

import lightgbm
import numpy as np
import pandas as pd
import pytest
from scipy.stats import wasserstein_distance
from sklearn.metrics import roc_auc_score

from churn_platform.base.errors import ContractError, DataError, UsageError
from churn_platform.contract.model import Contract
from churn_platform.contract.reading import default_contract_path, read_contract
from churn_platform.simulator.months import as_of_at, best_auc, simulate
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
    """What in `frame` breaks the contract, told without the simulator's own rules."""
    found = []
    for name, column in contract.tables[table].columns.items():
        values = frame[name]
        present = values.dropna()
        nulls = values.isna().mean()
        is_label = (table, name) == (contract.label.table, contract.label.column)
        if not (0.005 < nulls < 0.08 if column.nullable and not is_label else nulls == 0):
            found.append(f"{name}: null share {nulls}")
        kind = {"integer": "i", "float": "f", "boolean": "b", "date": "M"}.get(column.dtype, "O")
        if values.dtype.kind != kind:
            found.append(f"{name}: {values.dtype} for {column.dtype}")
        low, high = (
            (-np.inf if column.min is None else column.min),
            (np.inf if column.max is None else column.max),
        )
        if column.dtype in ("integer", "float") and not present.between(low, high).all():
            found.append(f"{name}: out of range")
        if column.dtype == "category" and not set(present) <= set(column.values or present):
            found.append(f"{name}: unknown category")
        if kind == "O" and not present.map(type).eq(str).all():
            found.append(f"{name}: not all text")
        if not is_label and present.nunique() < 2:
            found.append(f"{name}: constant")
    return found


@CONTRACTS
def test_every_table_of_every_month_fits_the_contract(contract):
    for month in simulate(contract, 1_500, 4, 5, scenario=SUDDEN_SHIFT):
        assert list(month.tables) == list(contract.tables)
        for name, frame in month.tables.items():
            expected = [c for c in contract.tables[name].columns if c != contract.entity.column]
            assert list(frame) == [contract.entity.column, *expected]
            assert faults(contract, name, frame) == []


@CONTRACTS
def test_every_table_holds_the_same_entities_once_each_in_the_contracts_key_type(contract):
    for month in simulate(contract, 200, 3, 5):
        keys = [frame[contract.entity.column] for frame in month.tables.values()]
        assert all(key.is_unique and key.size == 200 and set(key) == set(keys[0]) for key in keys)
        assert set(keys[0]) == set(month.chances.index)
        assert {type(key) for key in keys[0].tolist()} == {
            str if contract.entity.dtype == "string" else int
        }


@CONTRACTS
def test_the_same_seed_gives_the_same_months_and_another_seed_another_business(contract):
    assert same(simulate(contract, 200, 3, 7), simulate(contract, 200, 3, 7))
    assert not same(simulate(contract, 200, 3, 7), simulate(contract, 200, 3, 8))


def test_other_people_of_the_same_business_are_other_rows_with_the_same_truth():
    own, one, two = (
        next(simulate(STREAMFLOW, 4_000, 1, 7, people=people)) for people in (None, 1, 2)
    )
    assert not same([own], [one])
    assert not same([one], [two])
    assert same([one], simulate(STREAMFLOW, 4_000, 1, 7, people=1))
    assert own.truth.drivers == one.truth.drivers == two.truth.drivers
    assert max(drift(STREAMFLOW, one, two).values()) < 0.1
    old = fitted(*matrix(STREAMFLOW, one))
    features, target = matrix(STREAMFLOW, two)
    assert two.truth.best_auc - roc_auc_score(target, old.predict(features)) < 0.03


def test_neither_more_months_nor_a_later_shift_change_an_earlier_month():
    short = list(simulate(STREAMFLOW, 200, 2, 7))
    assert same(short, list(simulate(STREAMFLOW, 200, 5, 7))[:2])
    assert same(short, list(simulate(STREAMFLOW, 200, 5, 7, scenario=SUDDEN_SHIFT))[:2])


def test_months_are_made_one_at_a_time():
    months = simulate(STREAMFLOW, 50, 10**9, 1)
    assert [next(months).as_of, next(months).as_of] == [dt.date(2024, 1, 31), dt.date(2024, 2, 29)]


def test_a_drop_reads_as_plain_csv_with_true_false_iso_days_and_empty_nulls():
    tables = next(simulate(STREAMFLOW, 200, 1, 1)).tables
    text = {
        name: pd.read_csv(io.StringIO(frame.to_csv(index=False)), dtype=str)
        for name, frame in tables.items()
    }
    assert set(text["subscriptions"]["plan_stream_tv"].dropna()) == {"True", "False"}
    assert text["subscriptions"]["plan_stream_tv"].isna().any()
    assert text["users"]["signup_date"].str.fullmatch(r"\d{4}-\d{2}-\d{2}").all()
    assert text["usage_agg_30d"]["skips_7d"].str.fullmatch(r"\d+").all()


@pytest.mark.parametrize(
    ("cadence", "first", "expected"),
    [
        ("month", "2024-01-31", ["2024-01-31", "2024-02-29", "2024-03-31", "2024-04-30"]),
        ("month", "2024-02-29", ["2024-02-29", "2024-03-31", "2024-04-30", "2024-05-31"]),
        ("month", "2024-01-30", ["2024-01-30", "2024-02-29", "2024-03-30", "2024-04-30"]),
        ("week", "2024-02-29", ["2024-02-29", "2024-03-07", "2024-03-14", "2024-03-21"]),
        ("day", "2023-12-31", ["2023-12-31", "2024-01-01", "2024-01-02", "2024-01-03"]),
    ],
)
def test_months_follow_the_cadence_and_a_months_end_stays_one(cadence, first, expected):
    contract = Contract.model_validate(STREAMFLOW.as_mapping() | {"cadence": cadence})
    days = [as_of_at(contract, dt.date.fromisoformat(first), month) for month in (1, 2, 3, 4)]
    assert [day.isoformat() for day in days] == expected


@CONTRACTS
def test_churners_are_gone_next_month_and_as_many_come_with_keys_that_nobody_had(contract):
    seen, stayed = set(), None
    for month in simulate(contract, 300, 5, 3):
        present = set(month.chances.index)
        if stayed is not None:
            assert stayed <= present
            assert present - stayed == present - seen
        churned = labels(contract, month)
        seen |= present
        stayed = set(churned[churned == 0].index)
        assert 0 < len(stayed) < len(present) == 300


def test_a_staying_customer_is_recognisable_but_changes(shifted):
    first, second = (rows(STREAMFLOW, month).set_index("user_id") for month in shifted[:2])
    stayed = first.index.intersection(second.index)
    first, second = first.loc[stayed], second.loc[stayed]
    lasting = ["net_service", "user_gender", "has_family", "signup_date"]
    assert first[lasting].equals(second[lasting])
    for name in ("monthly_fee", "watch_hours_30d", "skips_7d"):
        assert 0.7 < first[name].corr(second[name], method="spearman") < 0.9


def test_newcomers_joined_within_the_last_step_and_nobody_after_as_of():
    first, second = simulate(WEEKLY, 500, 2, 3)
    before, now = (
        month.tables["members"].set_index("member")["joined"] for month in (first, second)
    )
    assert before.max() <= pd.Timestamp(first.as_of)
    newcomers = now[~now.index.isin(before.index)].dropna()
    assert newcomers.between(
        pd.Timestamp(first.as_of) + pd.Timedelta(days=1), pd.Timestamp(second.as_of)
    ).all()
    assert (pd.Timestamp(first.as_of) - before).dt.days.median() > 7


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_the_two_months_before_the_shift_are_alike(seed):
    first, second = simulate(STREAMFLOW, 5_000, 2, seed)
    assert max(drift(STREAMFLOW, first, second).values()) < 0.05
    assert abs(first.truth.churn_rate - second.truth.churn_rate) < 0.03


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


@pytest.mark.parametrize("seed", range(1, 7))
def test_about_a_quarter_churn_and_the_best_auc_lies_above_078_in_every_business(seed):
    for month in simulate(STREAMFLOW, 2_000, 3, seed, scenario=SUDDEN_SHIFT):
        assert 0.18 < month.truth.churn_rate < 0.29
        assert 0.78 < month.truth.best_auc < 0.88


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_model_is_good_until_the_shift_falls_to_chance_and_recovers_when_fitted_again(seed):
    first, second, third = simulate(STREAMFLOW, 5_000, 3, seed, scenario=SUDDEN_SHIFT)
    old = fitted(*matrix(STREAMFLOW, first))
    features, target = matrix(STREAMFLOW, second)
    assert second.truth.best_auc - roc_auc_score(target, old.predict(features)) < 0.03

    features, target = matrix(STREAMFLOW, third)
    assert 0.45 < roc_auc_score(target, old.predict(features)) < 0.62
    held = pd.util.hash_array(features.index.to_numpy()) % 4 == 0
    new = fitted(features[~held], target[~held])
    best = best_auc(target[held].to_numpy(dtype=bool), third.chances[target.index[held]].to_numpy())
    reached = roc_auc_score(target[held], new.predict(features[held]))
    assert best > 0.78
    assert best - reached < 0.04
    assert third.truth.best_auc - reached < 0.04


def test_another_business_falls_and_recovers_too():
    first, second, third = simulate(WEEKLY, 5_000, 3, 2, scenario=SUDDEN_SHIFT)
    old = fitted(*matrix(WEEKLY, first))
    scores = {}
    for month in (second, third):
        features, target = matrix(WEEKLY, month)
        scores[month.as_of] = roc_auc_score(target, old.predict(features))
    assert second.truth.best_auc - scores[second.as_of] < 0.03
    assert scores[third.as_of] < 0.62
    assert third.truth.best_auc > 0.78


def test_the_shift_moves_one_or_two_features_for_good_and_the_truth_names_them(shifted):
    moves = {name for name, distance in drift(STREAMFLOW, *shifted[1:3]).items() if distance > 0.1}
    assert 1 <= len(moves) <= 2
    assert moves == set(
        shifted[2].truth.what_changed.split("distributed otherwise: ")[1].split(", ")
    )
    assert max(drift(STREAMFLOW, *shifted[2:4]).values()) < 0.05
    assert [month.truth.what_changed == "nothing" for month in shifted] == [True, True, False, True]


def test_the_truth_names_what_drives_churn_now(shifted):
    before, after = shifted[0].truth.drivers, shifted[2].truth.drivers
    assert [month.truth.drivers for month in shifted] == [before, before, after, after]
    assert before != after
    assert shifted[2].truth.what_changed.startswith(f"churn now follows {', '.join(after)}; ")
    features, target = matrix(STREAMFLOW, shifted[0])
    encoded = features[list(before)].fillna(features[list(before)].median())
    assert roc_auc_score(target, fitted(encoded, target).predict(encoded)) > 0.8


def scenario_months(name, users=4_000, months=4, seed=2):
    return list(simulate(STREAMFLOW, users, months, seed, scenario=SCENARIOS[name]))


def test_a_gradual_shift_goes_a_quarter_further_each_month():
    months = scenario_months("gradual-shift", months=6)
    quarters = [
        "for 25% of customers",
        "for 50% of customers",
        "for 75% of customers",
        "distributed otherwise",
    ]
    assert [month.truth.what_changed for month in months[:2]] == ["nothing"] * 2
    for month, said in zip(months[2:], quarters, strict=True):
        assert said in month.truth.what_changed
    old = fitted(*matrix(STREAMFLOW, months[0]))
    reached = [
        roc_auc_score(y, old.predict(x))
        for x, y in (matrix(STREAMFLOW, month) for month in months[1:])
    ]
    assert reached == sorted(reached, reverse=True)
    assert reached[0] > 0.78
    assert reached[-1] < 0.62


def test_a_covariate_shift_moves_two_features_and_leaves_the_old_model_as_good_as_any():
    months = scenario_months("covariate-shift")
    moved = {name for name, distance in drift(STREAMFLOW, *months[1:3]).items() if distance > 0.1}
    assert len(moved) == 2
    assert (
        months[2].truth.what_changed
        == f"distributed otherwise: {', '.join(n for n in moves_of(months[2]))}"
    )
    assert moved == set(moves_of(months[2]))
    assert moved & set(months[0].truth.drivers)
    old = fitted(*matrix(STREAMFLOW, months[0]))
    features, target = matrix(STREAMFLOW, months[3])
    assert months[3].truth.best_auc - roc_auc_score(target, old.predict(features)) < 0.03


def moves_of(month):
    return month.truth.what_changed.split("distributed otherwise: ")[1].split(", ")


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


def test_a_leak_tells_the_label_from_its_month_on_and_the_best_auc_is_that_without_it():
    months = scenario_months("leak")
    assert [month.truth.leak for month in months] == [
        None,
        None,
        months[2].truth.leak,
        months[2].truth.leak,
    ]
    name = months[2].truth.leak
    assert months[2].truth.what_changed == f"{name} is filled in after churning"
    assert months[3].truth.what_changed == "nothing"
    alone = [
        roc_auc_score(y, x[name].fillna(0))
        for x, y in (matrix(STREAMFLOW, month) for month in months)
    ]
    assert max(alone[:2]) < 0.56
    assert min(alone[2:]) > 0.97
    assert all(month.truth.best_auc < 0.88 for month in months)
    assert faults(STREAMFLOW, *next((t, f) for t, f in months[2].tables.items() if name in f)) == []


def test_a_leak_in_another_business_takes_a_number_that_is_never_null():
    months = list(simulate(WEEKLY, 2_000, 3, 4, scenario=SCENARIOS["leak"]))
    assert months[2].truth.leak == "share"
    assert faults(WEEKLY, "members", months[2].tables["members"]) == []


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"users": 49}, "users is 49, but must be at least 50"),
        ({"months": 0}, "months is 0, but must be at least 1"),
        ({"seed": -1}, "seed is -1, but must be at least 0"),
    ],
)
def test_a_number_below_its_minimum_is_refused_before_the_first_month(wrong, message):
    with pytest.raises(UsageError, match=message):
        simulate(STREAMFLOW, **({"users": 50, "months": 1, "seed": 0} | wrong))


def test_a_contract_without_a_feature_that_can_vary_is_refused():
    tables = {
        "t": {
            "columns": {"fee": {"dtype": "float", "min": 3, "max": 3}, "left": {"dtype": "boolean"}}
        }
    }
    raw = {
        "name": "x",
        "model_name": "x",
        "entity": {"column": "k"},
        "label": {"table": "t", "column": "left"},
    }
    views = {"v": {"table": "t", "features": ["fee"]}}
    contract = Contract.model_validate(raw | {"tables": tables, "feature_views": views})
    with pytest.raises(ContractError, match="no feature can take two values"):
        simulate(contract, 50, 1, 1)


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
    with pytest.raises(DataError, match="3 entities drew labels of one class only"):
        best_auc(np.zeros(3, dtype=bool), np.array([0.1, 0.2, 0.3]))
    assert best_auc(np.array([False, True, True, False]), np.array([0.1, 0.9, 0.2, 0.3])) == 0.75
