"""Evidently is asked what we judge by, its values are ours, and nothing that a month can hold crashes it."""

import json
from functools import partial, reduce

import numpy as np
import pandas as pd
import pytest

from churn_platform.base.errors import DataError
from churn_platform.contract.model import Contract
from churn_platform.contract.reading import default_contract_path, read_contract
from churn_platform.drift import report
from churn_platform.drift.measure import Rows, measure
from churn_platform.drift.report import LABEL, PREDICTION, write_report
from churn_platform.drift.result import judge

COLUMNS = {
    "fee": {"dtype": "float"},
    "spent": {"dtype": "float", "nullable": True},
    "logins": {"dtype": "integer"},
    "failures": {"dtype": "integer"},
    "paperless": {"dtype": "boolean", "nullable": True},
    "plan": {"dtype": "category"},
    "city": {"dtype": "category", "nullable": True},
    "visits": {"dtype": "integer"},
    "same": {"dtype": "float"},
    "version": {"dtype": "integer"},
    "lost": {"dtype": "category", "nullable": True},
    "empty": {"dtype": "float", "nullable": True},
}


def _contract(columns=COLUMNS, **drift):
    return Contract.model_validate(
        {
            "name": "toy",
            "model_name": "toy_churn",
            "entity": {"column": "key"},
            "tables": {
                "people": {"columns": columns},
                "ends": {"columns": {"gone": {"dtype": "boolean"}}},
            },
            "label": {"table": "ends", "column": "gone"},
            "feature_views": {"people_fv": {"table": "people", "features": list(columns)}},
            "policy": {"drift": drift},
        }
    )


def _month(seed, rows=400):
    random = np.random.default_rng(seed)
    paperless = pd.array(random.random(rows) < 0.3, dtype="boolean")
    paperless[:30] = pd.NA
    features = pd.DataFrame(
        {
            "fee": random.normal(50, 10, rows),
            "spent": np.where(random.random(rows) < 0.2, np.nan, random.lognormal(0, 1.5, rows)),
            "logins": pd.array(random.poisson(9, rows), dtype="Int64"),
            "failures": random.choice(4, rows, p=[0.7, 0.2, 0.08, 0.02]),
            "paperless": paperless,
            "plan": random.choice(["basic", "plus", "family"], rows, p=[0.5, 0.3, 0.2]),
            "city": pd.array(
                [f"c{number}" for number in random.integers(0, 90, rows)], dtype="string"
            ),
            "visits": random.poisson(30, rows),
            "same": np.full(rows, 29.14104464084511),
            "version": np.ones(rows, dtype=int),
            "lost": ["x"] * rows,
            "empty": np.full(rows, np.nan),
        }
    )
    return Rows(features, pd.Series(random.random(rows) < 0.26), random.beta(2, 5, rows))


def _eventful_month():
    now = _month(2)
    now.features["fee"] += 7
    now.features.loc[:239, "spent"] = np.nan
    now.features.loc[:39, "plan"] = "Cable"
    now.features.loc[:79, "version"] = 2
    now.features["lost"] = None
    return Rows(now.features, now.labels, now.predictions + 0.1)


def _run(folder, contract, before, now):
    result = write_report(
        contract,
        before,
        now,
        month="2024-02-29",
        reference_months=["2024-01-31"],
        html=folder / "drift.html",
        json=folder / "drift.json",
        seed=7,
    )
    html = (folder / "drift.html").read_text(encoding="utf-8")
    return result, html, json.loads((folder / "drift.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def eventful(tmp_path_factory):
    contract = _contract(methods={"visits": "jensenshannon"})
    return _run(tmp_path_factory.mktemp("eventful"), contract, _month(1), _eventful_month())


def test_one_of_fourteen_features_drifted_between_the_real_months(real_data, tmp_path):
    contract = read_contract(default_contract_path())
    months = []
    for as_of in ("2024-01-31", "2024-02-29"):
        tables = [pd.read_csv(real_data / as_of / f"{table}.csv") for table in contract.tables]
        whole = reduce(partial(pd.merge, on=contract.entity.column, validate="one_to_one"), tables)
        months.append(Rows(whole, whole[contract.label.column]))
    result, html, told = _run(tmp_path, contract, *months)
    assert result.drifted_columns == ("rebuffer_events_7d",)
    assert result.share == pytest.approx(1 / 14)
    values = {one.column: round(one.value, 3) for one in result.columns if one.value > 0}
    assert values == {
        "rebuffer_events_7d": 0.205, "watch_hours_30d": 0.089, "support_tickets_90d": 0.032,
        "failed_payments_90d": 0.028,
    }  # fmt: skip
    exceeded = (result.share_exceeded, result.target_exceeded, result.prediction_drift)
    assert exceeded == (True, False, None)
    constant = next(column for column in result.columns if column.column == "avg_session_mins_7d")
    assert constant.reason.endswith("always 29.141 in both")
    assert result.target_drift == pytest.approx(0.0239, abs=5e-5)
    assert told["evidently"]["values"][LABEL] == pytest.approx(0.0239, abs=5e-5)
    assert "Drift is detected for 7.143% of columns (1 out of 14)." in html
    assert "Dataset drift detection threshold is 0.05" in html
    assert "Difference of the churn rates. Drift score: 0.024" in html


def test_our_values_are_evidentlys_on_every_kind_of_column(eventful):
    """Judged from both: floats, counts, few and many values, binned numbers, booleans and categories with nulls."""
    result, _, told = eventful
    contract = _contract(methods={"visits": "jensenshannon"})
    own = judge(
        contract.policy.drift,
        measure(contract.features, contract.policy.drift, _month(1), _eventful_month(), seed=7),
    )
    theirs = told["evidently"]["values"]
    assert len(theirs) == len(COLUMNS) - 2 + 2
    for mine, said in zip(own.columns, result.columns, strict=True):
        if mine.value is not None:
            assert mine.value == pytest.approx(theirs[mine.column], abs=1e-6)
            assert said.value == theirs[mine.column]
    assert result.target_drift == pytest.approx(theirs[LABEL], abs=1e-9)
    assert result.prediction_drift == pytest.approx(theirs[PREDICTION], abs=1e-9)


def test_every_kind_of_change_is_seen_and_said(eventful):
    result, html, _ = eventful
    assert html.index("<section class") < html.index('<div id="root_')
    reasons = {column.column: column.reason for column in result.columns if column.drifted}
    assert set(reasons) == {"fee", "spent", "plan", "version", "lost"}
    assert "the noise of so few rows" in reasons["fee"]
    assert reasons["spent"].startswith("68% null, was 15.7%")
    assert reasons["plan"].startswith("new category 'Cable' in 10% of rows")
    assert reasons["version"].endswith("always 1 in the reference, 20% of rows differ now")
    assert reasons["lost"] == "100% null, was 0%; empty now"


def test_evidently_is_asked_with_the_methods_and_thresholds_that_we_judge_by(eventful):
    result, _, told = eventful
    asked = {
        metric["config"]["column"]: (metric["config"]["method"], metric["config"]["threshold"])
        for metric in told["evidently"]["report"]["metrics"]
        if "column" in metric["config"]
    }
    judged = {
        column.column: (column.method, column.threshold)
        for column in result.columns
        if column.method
    }
    judged |= {
        LABEL: ("rate_difference", result.target_threshold),
        PREDICTION: ("wasserstein", result.prediction_threshold),
    }
    assert asked == judged
    reached = [
        one for one in result.columns if one.value is not None and one.value >= one.threshold
    ]
    assert told["evidently"]["report"]["metrics"][0]["value"]["count"] == len(reached)
    assert told["result"] == result.as_json()
    assert (told["month"], told["reference_months"]) == ("2024-02-29", ["2024-01-31"])
    assert told["evidently"]["rows"] == "from all rows."
    assert min(asked["fee"][1], asked[PREDICTION][1]) > 0.1


def test_many_rows_are_judged_whole_and_shown_from_a_stated_sample(tmp_path, monkeypatch):
    monkeypatch.setattr(report, "EVIDENTLY_ROWS", 200)
    columns = {name: COLUMNS[name] for name in ("fee", "plan", "paperless")}
    before, now = _month(1, rows=1500), _month(2, rows=1400)
    result, html, told = _run(tmp_path, _contract(columns), before, now)
    contract = _contract(columns)
    whole = measure(contract.features, contract.policy.drift, before, now, seed=7)
    assert [column.value for column in result.columns] == [
        one.value for one in whole.distances.values()
    ]
    assert told["evidently"]["values"]["fee"] != result.columns[0].value
    assert "from a random sample of 200 and 200 rows" in html


def test_neither_a_sample_that_loses_a_columns_only_values_nor_a_month_without_labels_crashes(
    tmp_path, monkeypatch
):
    monkeypatch.setattr(report, "EVIDENTLY_ROWS", 30)
    columns = {name: COLUMNS[name] for name in ("fee", "empty")}
    before, now = _month(1, rows=800), _month(2, rows=800)
    for rows in (before, now):
        rows.features.loc[[3, 4], "empty"] = 1.0
    unlabelled = Rows(now.features, None, now.predictions)
    result, _, told = _run(tmp_path, _contract(columns), before, unlabelled)
    assert set(told["evidently"]["values"]) == {"fee", PREDICTION}
    assert result.target_drift is None
    assert [column.value is not None for column in result.columns] == [True, True]


def test_a_month_with_nothing_to_compare_has_a_page_without_figures(tmp_path):
    columns = {"empty": COLUMNS["empty"]}
    before = Rows(_month(1, rows=60).features)
    result, html, told = _run(tmp_path, _contract(columns), before, before)
    assert (result.share, result.columns[0].reason) == (0.0, "empty in both")
    assert "<strong>empty</strong>: empty in both" in html
    assert told["evidently"]["values"] == {}


def test_a_month_without_rows_is_an_error_and_writes_nothing(tmp_path):
    before = _month(1, rows=50)
    with pytest.raises(DataError, match="the current month holds no rows"):
        _run(tmp_path, _contract(), before, Rows(before.features.head(0)))
    assert list(tmp_path.iterdir()) == []
