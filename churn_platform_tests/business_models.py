"""Models that a gym had before the platform: scikit-learn pipelines with their own preprocessing."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import skops.io
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import OneHotEncoder
from sklearn.tree import DecisionTreeClassifier

from churn_platform_tests.small_business import JANUARY, month_tables

READS = ["hours", "plan", "months"]


def gym_rows(as_of=JANUARY) -> tuple[pd.DataFrame, pd.Series]:
    """The rows of a month as the gym's own scripts would read them, and who left."""
    tables = month_tables(as_of)
    rows = tables["members"].merge(tables["visits"], on="member").merge(tables["leavers"])
    return rows, rows["has_left"].astype(int)


def gym_model(classifier: Any = None, reads=READS, categories=("plan",)) -> Pipeline:
    """An unfitted pipeline that reads some of the gym's features."""
    numbers = [name for name in reads if name not in categories]
    prepare = ColumnTransformer(
        [
            ("numbers", SimpleImputer(), numbers),
            ("categories", OneHotEncoder(handle_unknown="ignore"), list(categories)),
        ]
    )
    return Pipeline(
        [("prepare", prepare), ("fit", LogisticRegression() if classifier is None else classifier)]
    )


def honest_model(share: float = 0.6) -> tuple[Pipeline, pd.Series]:
    """A model of January's customers, and the keys of those that it was trained on."""
    rows, left = gym_rows()
    chosen = np.random.default_rng(3).random(len(rows)) < share
    return gym_model().fit(rows.loc[chosen, READS], left[chosen]), rows.loc[chosen, "member"]


def memorising_model(*months) -> Pipeline:
    """A model that knows the label of every row of some months by heart."""
    parts = [gym_rows(month) for month in months]
    rows = pd.concat([part[READS] for part, _ in parts])
    left = pd.concat([left for _, left in parts])
    return gym_model(DecisionTreeClassifier(random_state=0)).fit(rows, left)


def saved(model: Any, folder: Path, name: str = "model.skops") -> str:
    """The path of the model's skops file."""
    folder.mkdir(parents=True, exist_ok=True)
    skops.io.dump(model, folder / name)
    return str(folder / name)


def listed(keys: pd.Series, folder: Path, name: str = "customers.csv") -> Path:
    """The path of a list of customers."""
    folder.mkdir(parents=True, exist_ok=True)
    keys.to_frame("member").to_csv(folder / name, index=False)
    return folder / name
