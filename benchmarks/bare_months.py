"""The floor of `real_months.py`: the library calls that the loop needs, written plainly, in one
process.

Pandas reads and Pandera validates each table twice (the loop checks a drop when it is taken in
and when it is published); Feast with its own DuckDB store registers, joins and materializes;
Evidently compares the second month with the first; LightGBM is fitted with five calibration
folds as candidate, month-older candidate and on shuffled labels; MLflow logs and registers each
candidate as skops and loads it back; both months are scored before and after. No Dagster, no
ledger, no releases, no records, no checks, no decision: what those take is the loop's own cost.
"""

import argparse
import datetime as dt
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from churn_platform.base.settings import Settings, prepare_environment
from churn_platform.contract.model import Contract
from churn_platform.contract.reading import default_contract_path, read_contract
from churn_platform.ingestion.rules import schema
from churn_platform.lake.tables import feature_frame

KINDS = {"integer": "Int64", "float": "float64", "boolean": "boolean", "date": "datetime64[ns]"}
CALIBRATION = 5
LISTED = 500


def read(contract: Contract, folder: Path) -> dict[str, pd.DataFrame]:
    """A month's tables, typed by pandas and validated by Pandera."""
    tables = {}
    for name in contract.tables:
        columns = contract.delivered(name)
        frame = pd.read_csv(folder / f"{name}.csv")
        for column, spec in columns.items():
            frame[column] = frame[column].astype(KINDS.get(spec.dtype, "object"))
        tables[name] = schema(contract, name).validate(frame[list(columns)], lazy=True)
    return tables


def publish(folder: Path, as_of: dt.date, tables: dict[str, pd.DataFrame]) -> None:
    """Parquet with the two timestamps that Feast asks for."""
    moment = pd.Timestamp(as_of, tz="UTC").as_unit("us")
    for name, table in tables.items():
        (folder / name).mkdir(parents=True, exist_ok=True)
        stamped = table.assign(event_timestamp=moment, created_timestamp=moment)
        stamped.to_parquet(folder / name / f"{as_of}.parquet", index=False, coerce_timestamps="us")


def registered(contract: Contract, folder: Path, offline: Path) -> Any:  # noqa: ANN401 - a feast.FeatureStore
    """Feast's repository."""
    from churn_platform.features.feast_repository import feast_objects, import_feast

    folder.mkdir()
    (folder / "feature_store.yaml").write_text(
        f"project: {contract.name}\nprovider: local\nregistry: registry.db\nonline_store:"
        " {type: sqlite, path: online_store.db}\noffline_store: {type:"
        " duckdb}\nentity_key_serialization_version: 3\n"
    )
    store = import_feast().FeatureStore(repo_path=str(folder))
    store.apply(list(feast_objects(contract, offline).values()))
    return store


def joined(contract: Contract, store: Any, labels: dict[dt.date, pd.Series]) -> pd.DataFrame:  # noqa: ANN401
    """Labelled entities of the months with their features by Feast."""
    key = contract.entity.column
    asked = pd.concat(
        [
            pd.DataFrame(
                {
                    key: known.index,
                    "event_timestamp": pd.Timestamp(month, tz="UTC").as_unit("us"),
                    "label": known.to_numpy(dtype=bool),
                }
            )
            for month, known in labels.items()
        ]
    )
    features = [
        f"{name}:{f}" for name, view in contract.feature_views.items() for f in view.features
    ]
    return store.get_historical_features(asked, features).to_df()


def fitted(contract: Contract, rows: pd.DataFrame, labels: np.ndarray) -> tuple[Any, Any]:
    """A pipeline on all rows, and the sigmoid fitted on the scores of five folds."""
    from lightgbm import LGBMClassifier
    from sklearn.compose import ColumnTransformer
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import StratifiedKFold, cross_val_predict
    from sklearn.pipeline import Pipeline
    from sklearn.preprocessing import OneHotEncoder

    words = [name for name, column in contract.features.items() if column.dtype == "category"]
    numbers = [name for name in contract.features if name not in words]
    booster = LGBMClassifier(
        n_estimators=120,
        num_leaves=8,
        learning_rate=0.05,
        min_child_samples=40,
        random_state=0,
        n_jobs=1,
        verbose=-1,
        deterministic=True,
        force_row_wise=True,
    )
    encode = OneHotEncoder(
        handle_unknown="infrequent_if_exist", min_frequency=10, sparse_output=False
    )
    prepare = ColumnTransformer([("words", encode, words), ("numbers", "passthrough", numbers)])
    pipeline = Pipeline([("prepare", prepare), ("classify", booster)])
    prepared = _prepared(contract, rows)
    folds = StratifiedKFold(CALIBRATION, shuffle=True, random_state=0)
    scores = cross_val_predict(pipeline, prepared, labels, cv=folds, method="predict_proba")[:, 1]
    odds = np.log(scores / (1 - scores))
    return pipeline.fit(prepared, labels), LogisticRegression(C=1e6).fit(odds[:, None], labels)


def _prepared(contract: Contract, rows: pd.DataFrame) -> pd.DataFrame:
    return pd.DataFrame(
        {
            name: (
                rows[name].astype(object).fillna("(none)").astype(str).to_numpy(dtype=object)
                if column.dtype == "category"
                else rows[name].astype("Float64").to_numpy(float, na_value=np.nan)
            )
            for name, column in contract.features.items()
        }
    )


def scored(contract: Contract, model: Any, rows: pd.DataFrame, csv: Path) -> np.ndarray:  # noqa: ANN401
    """Every customer's probability, the listed ones' SHAP values, the list as CSV and Parquet."""
    prepared = _prepared(contract, rows)
    probability = model.predict_proba(prepared)[:, 1]
    ranked = (
        rows[[contract.entity.column]]
        .assign(probability=probability)
        .sort_values("probability", ascending=False)
    )
    listed = prepared.loc[ranked.index[:LISTED]]
    model.named_steps["classify"].booster_.predict(
        model.named_steps["prepare"].transform(listed), pred_contrib=True
    )
    ranked.to_parquet(csv.with_suffix(".parquet"))
    ranked.head(LISTED).to_csv(csv)
    return probability


def plots(folder: Path, labels: np.ndarray, probability: np.ndarray) -> list[Path]:
    """Three PNGs as the loop logs them."""
    from matplotlib.figure import Figure
    from sklearn.calibration import calibration_curve
    from sklearn.metrics import roc_curve

    paths = []
    curves = {
        "roc": roc_curve(labels, probability)[:2],
        "calibration": calibration_curve(labels, probability, n_bins=10),
    }
    for name, (x, y) in {**curves, "lift": (np.arange(10), np.arange(10))}.items():
        figure = Figure(figsize=(5, 4), layout="constrained")
        figure.subplots().plot(x, y)
        paths.append(folder / f"{name}.png")
        figure.savefig(paths[-1], dpi=110)
    return paths


def logged(
    contract: Contract,
    folder: Path,
    model: Any,  # noqa: ANN401
    sample: pd.DataFrame,
    pngs: list[Path],
    auc: float,
) -> Any:  # noqa: ANN401
    """Log, register and load back one candidate."""
    import mlflow
    import mlflow.sklearn
    from mlflow.models import infer_signature
    from mlflow.tracking import MlflowClient

    uri = f"sqlite:///{folder / 'mlflow.db'}"
    mlflow.set_tracking_uri(uri)
    if mlflow.get_experiment_by_name("bare") is None:
        mlflow.create_experiment("bare", artifact_location=(folder / "artifacts").as_uri())
    mlflow.set_experiment("bare")
    trusted = [
        "lightgbm.basic.Booster",
        "lightgbm.sklearn.LGBMClassifier",
        "collections.OrderedDict",
        "numpy.dtype",
    ]
    with mlflow.start_run():
        mlflow.log_params(model.named_steps["classify"].get_params())
        mlflow.log_metrics({f"metric_{number}": auc for number in range(10)})
        for png in pngs:
            mlflow.log_artifact(str(png), "plots")
        prepared = _prepared(contract, sample)
        info = mlflow.sklearn.log_model(
            model,
            name="model",
            signature=infer_signature(prepared, model.predict_proba(prepared)),
            serialization_format="skops",
            skops_trusted_types=trusted,
            pip_requirements=["lightgbm", "scikit-learn"],
            registered_model_name=contract.model_name,
        )
    client = MlflowClient()
    client.set_registered_model_alias(
        contract.model_name, "production", str(info.registered_model_version)
    )
    uri = f"models:/{contract.model_name}@production"
    return mlflow.sklearn.load_model(uri)


def drift(contract: Contract, before: pd.DataFrame, now: pd.DataFrame, page: Path) -> None:
    """Evidently's report, page and JSON."""
    from evidently import DataDefinition, Dataset, Report
    from evidently.presets import DataDriftPreset

    words = [
        name
        for name, column in contract.features.items()
        if column.dtype in ("category", "boolean")
    ]
    numbers = [name for name in before.columns if name not in words]
    frames = [
        frame.assign(
            **{name: frame[name].astype(str) for name in words},
            **{name: frame[name].astype(float) for name in numbers},
        )
        for frame in (before, now)
    ]
    definition = DataDefinition(numerical_columns=numbers, categorical_columns=words)
    data = [Dataset.from_pandas(frame, definition) for frame in frames]
    preset = DataDriftPreset(num_method="wasserstein", cat_method="jensenshannon", drift_share=0.05)
    snapshot = Report([preset]).run(data[1], data[0])
    page.write_text(snapshot.get_html_str(as_iframe=False))
    page.with_suffix(".json").write_text(snapshot.json())


def main(data: Path, home: Path) -> None:
    """Both months."""
    from matplotlib.figure import Figure
    from sklearn.metrics import average_precision_score, brier_score_loss, roc_auc_score

    prepare_environment(Settings(home=home))
    home.mkdir(parents=True, exist_ok=True)
    contract = read_contract(default_contract_path())
    key = contract.entity.column
    label = contract.label
    months = sorted(dt.date.fromisoformat(path.name) for path in data.iterdir() if path.is_dir())
    labels = {}
    frames = {}
    model = None
    store = None
    names = list(contract.features)
    rng = np.random.default_rng(0)
    for month in months:
        read(contract, data / month.isoformat())
        tables = read(contract, data / month.isoformat())
        publish(home / "offline", month, tables)
        store = store or registered(contract, home / "feast", home / "offline")
        moment = dt.datetime(month.year, month.month, month.day, tzinfo=dt.UTC)
        store.materialize(moment - dt.timedelta(hours=1), moment)
        labels[month] = tables[label.table].set_index(key)[label.column]
        frames[month] = feature_frame(contract, tables)
        rows = joined(contract, store, labels)
        holdout = rows[key].map(hash) % 4 == 0
        newest = rows["event_timestamp"] == moment
        if model is not None:
            past = scored(contract, model, frames[months[0]], home / "past.csv")
            now = scored(contract, model, frames[month], home / f"{month}.csv")
            before = frames[months[0]][names].assign(prediction=past)
            drift(
                contract,
                before,
                frames[month][names].assign(prediction=now),
                home / "drift.html",
            )
            figure = Figure(figsize=(7, 5), layout="constrained")
            figure.subplots().barh(names, range(len(names)))
            figure.savefig(home / "drift.png")
        train = rows[newest & ~holdout]
        test = rows[newest & holdout]
        truth = train["label"].to_numpy(dtype=bool)
        candidate, _ = fitted(contract, train, truth)
        fitted(contract, train, rng.permutation(truth))
        if month != months[0]:
            older = rows[~newest & ~holdout]
            fitted(contract, older, older["label"].to_numpy(dtype=bool))
        probability = candidate.predict_proba(_prepared(contract, test))[:, 1]
        known = test["label"].to_numpy(dtype=bool)
        auc = float(roc_auc_score(known, probability))
        average_precision_score(known, probability)
        brier_score_loss(known, probability)
        model = logged(contract, home, candidate, train, plots(home, known, probability), auc)
        scored(contract, model, frames[month], home / f"{month}.csv")
        print(month, "AUC", round(auc, 4))


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--home", type=Path, required=True)
    given = parser.parse_args()
    main(given.data, given.home)
