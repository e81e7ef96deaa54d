"""The peer of `benchmarks/serving.py`: the API as a course builds it. FastAPI, Feast's SDK, a
pandas row, pyfunc.

A random forest of 300 trees is fitted on the home's newest training dataset and loaded through
MLflow's pyfunc, which answers with a class. Run by the benchmark: `python
benchmarks/course_api.py HOME PORT`.
"""

import sys
import tempfile
from pathlib import Path
from typing import Any

import pandas as pd

from churn_platform.base.settings import Settings, prepare_environment
from churn_platform.features.feast_repository import import_feast
from churn_platform.features.training_dataset import LABEL
from churn_platform.services import Services
from churn_platform.training.estimator import model_input


def loaded_model(home: Services, folder: Path) -> Any:  # noqa: ANN401 - MLflow's
    """The forest as MLflow loads it."""
    import mlflow
    from sklearn.compose import ColumnTransformer
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.impute import SimpleImputer
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder

    dataset = home.training_datasets.load(home.lake.months()[-1])
    rows = dataset.training_rows()
    features = tuple((name, column.dtype) for name, column in home.contract.features.items())
    categories = [name for name, dtype in features if dtype == "category"]
    numbers = [name for name, dtype in features if dtype != "category"]
    prepare = ColumnTransformer(
        [
            ("c", OneHotEncoder(handle_unknown="ignore"), categories),
            ("n", SimpleImputer(), numbers),
        ]
    )
    pipeline = make_pipeline(
        prepare, RandomForestClassifier(n_estimators=300, n_jobs=-1, random_state=1)
    )
    pipeline.fit(model_input(features, rows), rows[LABEL].astype(int))
    mlflow.sklearn.save_model(pipeline, folder / "model", serialization_format="cloudpickle")
    return mlflow.pyfunc.load_model(str(folder / "model"))


def build(home: Services, folder: Path) -> Any:  # noqa: ANN401 - a FastAPI app
    """The app: one route."""
    from fastapi import Body, FastAPI

    app = FastAPI()
    model = loaded_model(home, folder)
    store = import_feast().FeatureStore(repo_path=str(home.folder / "feast"))
    references = [
        f"{name}:{f}" for name, view in home.contract.feature_views.items() for f in view.features
    ]
    features = tuple((name, column.dtype) for name, column in home.contract.features.items())
    key = home.contract.entity.column

    @app.post("/predict")
    def predict(asked: dict[str, Any] = Body()) -> dict[str, Any]:  # noqa: B008 - FastAPI's way
        answer = store.get_online_features(
            features=references, entity_rows=[{key: asked[key]}]
        ).to_dict()
        row = model_input(features, pd.DataFrame({name: answer[name] for name, _ in features}))
        return {key: asked[key], "prediction": int(model.predict(row)[0])}

    return app


if __name__ == "__main__":
    import uvicorn

    opened = Services(Settings(home=Path(sys.argv[1])))
    prepare_environment(opened.settings)
    with tempfile.TemporaryDirectory() as scratch:
        uvicorn.run(build(opened, Path(scratch)), port=int(sys.argv[2]), log_level="warning")
