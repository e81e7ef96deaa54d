"""A script of a user as mypy sees it: `uv run mypy` fails if a type of the Python API is lost."""

from typing import Any, assert_type

import numpy as np
import pandas as pd
from numpy.typing import NDArray

import churn_platform as churn


def look(folder: str) -> None:
    """Call everything; never run."""
    home = churn.open(folder, contract="contract.yaml")
    assert_type(home, churn.OpenedHome)
    assert_type(home.training_dataset("2024-01-31"), pd.DataFrame)
    assert_type(home.features(["m00001"], as_of=pd.Timestamp("2024-01-31")), pd.DataFrame)
    assert_type(home.scores(), pd.DataFrame)
    assert_type(home.history("decision"), pd.DataFrame)
    assert_type(home.status(), dict[str, Any])
    decision = home.decision()
    assert_type(decision, churn.OpenedDecision)
    assert_type(decision.criteria, pd.DataFrame)
    model = home.model(2)
    assert_type(model, churn.OpenedModel)
    assert_type(model.predict_proba(home.features()), NDArray[np.float64])
    assert_type(home.plot, churn.HomePlots)
    try:
        home.months()
    except churn.ChurnError as error:
        assert_type(error.code, str)
    churn.opened  # type: ignore[attr-defined]  # noqa: B018 - a name that does not exist
    home.history("no such act")  # type: ignore[arg-type]
