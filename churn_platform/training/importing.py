"""Makes a version of an estimator that was trained elsewhere: which of the contract's features
it reads, and whether it can score a month of the home.
"""

import datetime as dt
import difflib
import json
import re
import sys
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from io import BytesIO
from typing import Any

import numpy as np
import pandas as pd
from pydantic import JsonValue

from churn_platform.base.digests import digest_of
from churn_platform.base.errors import UsageError
from churn_platform.contract.model import Contract
from churn_platform.contract.views import of_version
from churn_platform.features.training_dataset import Hashes
from churn_platform.training.candidate import Candidate
from churn_platform.training.imported import ImportedModel, first_unseen
from churn_platform.training.model_files import ModelFile
from churn_platform.training.release import IMPORTED, FeatureSpec, Imported, ModelCard

QUANTILES = (0.1, 0.3, 0.5, 0.7, 0.9)
MOST_VALUES = 30
"""Values of a category that the estimate of performance distinguishes."""
LIBRARIES = ("sklearn", "lightgbm", "xgboost", "catboost")
DEEPEST = 8
"""Levels of estimators in estimators that are searched for encoders."""
HALF = 0.5
CLASSES = 2
PARTS = ("steps", "transformers_", "estimators_", "calibrated_classifiers_", "named_estimators_")
INNER = ("estimator", "estimator_", "best_estimator_", "final_estimator_")


@dataclass(frozen=True)
class Said:
    """What a person states about the model.

    Attributes:
        features: The features that it reads, in its order; empty if it names them itself.
        positive_class: The class that is churn, as text; None if its classes are 0 and 1.
        threshold: The probability from which a customer is predicted to churn.
        as_of: The newest month that it was trained on, ISO date.
        customers: The hashes of the customers that it was trained on; empty without a list.
    """

    by: str
    reason: str
    customers: Hashes
    features: tuple[str, ...] = ()
    positive_class: str | None = None
    threshold: float = 0.5
    as_of: str | None = None


def imported_candidate(
    contract: Contract, rows: pd.DataFrame, month: str, file: ModelFile, estimator: Any, said: Said,  # noqa: ANN401
    today: str,
) -> Candidate:  # fmt: skip
    """The version that a model file becomes.

    Args:
        contract: the contract of the month.
        rows: (customers, features) of the month, which the model must be able to score.
        month: the month, ISO date.
        file: the file.
        estimator: what it holds.
        said: what the person says about it.
        today: the day of the import, ISO date, UTC.

    Raises:
        UsageError: it is no classifier with probabilities, reads other columns than the
            contract has, or cannot score the rows.
    """
    from sklearn.pipeline import Pipeline

    from churn_platform.training.estimator import ReadRows, model_input
    from churn_platform.training.imported_estimator import ImportedClassifier

    _check_classifier(estimator, file.name)
    reads = _reads(estimator, contract, said.features, file.name)
    positive, positive_class = _positive(estimator, said.positive_class)
    features = tuple((n, column.dtype) for n, column in contract.features.items() if n in reads)
    categories = tuple(name for name, dtype in features if dtype == "category")
    columns = model_input(features, rows)
    classify = ImportedClassifier(
        estimator,
        reads,
        categories,
        positive,
        _typical(rows, columns, categories),
        {
            name: rows[name].value_counts().index.astype(str)[:MOST_VALUES].tolist()
            for name in categories
        },
        said.threshold,
    )
    model = ImportedModel(
        Pipeline([("read", ReadRows(features)), ("classify", classify)]), features
    )
    _check_scores(model, rows, file.name, month)
    _check_categories(estimator, rows, categories, file.name, month)
    tomorrow = dt.date.fromisoformat(today) + dt.timedelta(days=1)
    last_seen = first_unseen(contract, tomorrow) - dt.timedelta(days=1)
    of_model = of_version(contract, dt.date.fromisoformat(month), [name for name, _ in features])
    return Candidate(
        model,
        ModelCard(
            digest=digest_of(
                {
                    "imported": file.sha256,
                    "reads": list(reads),
                    "positive_class": positive_class,
                    "threshold": said.threshold,
                    "customers": said.customers.tobytes().hex(),
                    "as_of": said.as_of,
                    "contract": of_model.written(),
                }
            ),
            model_name=contract.model_name,
            algorithm=IMPORTED,
            as_of=last_seen.isoformat(),
            months=[] if said.as_of is None else [said.as_of],
            training_rows=0,
            training_churners=0,
            dataset_digest="",
            contract_hash=of_model.model_hash,
            code_digest="",
            threshold=said.threshold,
            features=[FeatureSpec(name=name, dtype=dtype) for name, dtype in features],
            metrics={},
            contract=of_model.written(),
            reasons_by=model.reasons_by,
            imported=Imported(
                source=file.source,
                file=file.name,
                sha256=file.sha256,
                format=file.format,
                estimator=class_of(estimator),
                reads=list(reads),
                positive_class=positive_class,
                imported_on=today,
                by=said.by,
                reason=said.reason,
                as_of=said.as_of,
                customers=len(said.customers) or None,
                sample=_sample(rows, features),
                libraries=_libraries(model.to_bytes()),
            ),
        ),
        said.customers,
    )  # fmt: skip


def class_of(estimator: Any) -> str:  # noqa: ANN401
    """The class of an estimator; of a pipeline also that of its last step."""
    name = type(estimator).__name__
    steps = getattr(estimator, "steps", None)
    return f"{name} with {type(steps[-1][1]).__name__}" if steps else name


def _check_classifier(estimator: Any, name: str) -> None:  # noqa: ANN401
    booster = type(estimator).__name__ == "Booster"
    if not booster and not hasattr(estimator, "predict_proba"):
        raise UsageError(
            f"{name} holds {class_of(estimator)}, which gives no probabilities (predict_proba):"
            " import a classifier that does, or wrap it in CalibratedClassifierCV.",
            code="MODEL_NOT_FITTING",
        )


def _reads(
    estimator: Any, contract: Contract, named: Sequence[str], file: str  # noqa: ANN401
) -> tuple[str, ...]:  # fmt: skip
    """The features that the estimator reads, in its order."""
    own = _own_names(estimator)
    reads = tuple(named) or own
    count = getattr(estimator, "n_features_in_", None)
    if reads is None:
        columns = "columns" if count is None else f"{count} columns"
        raise UsageError(
            f"{file} does not record the names of the {columns} it reads: name them in its order"
            " with --features a,b,c.",
            code="MODEL_NOT_FITTING",
        )
    if named and own is not None and tuple(named) != own:
        raise UsageError(
            f"{file} records that it reads {', '.join(own)}: leave --features out.",
            code="MODEL_NOT_FITTING",
        )
    if count is not None and count != len(reads):
        raise UsageError(
            f"{file} reads {count} columns, and --features names {len(reads)}.",
            code="MODEL_NOT_FITTING",
        )
    twice = sorted({name for name in reads if reads.count(name) > 1})
    if twice:
        raise UsageError(
            f"{file} reads {', '.join(twice)} more than once.", code="MODEL_NOT_FITTING"
        )
    unknown = [_nearest(name, contract) for name in reads if name not in contract.features]
    if unknown:
        raise UsageError(
            f"{file} reads columns that are not features of the contract ({', '.join(unknown)})."
            f" Features: {', '.join(contract.features)}. Add them to the contract and the drops,"
            " or import a model that reads the contract's features; its own preprocessing belongs"
            " inside it (a scikit-learn Pipeline).",
            code="MODEL_NOT_FITTING",
        )
    return reads


def _own_names(estimator: Any) -> tuple[str, ...] | None:  # noqa: ANN401
    names = getattr(estimator, "feature_names_in_", None)
    if names is None and type(estimator).__name__ == "Booster":
        names = [name for name in estimator.feature_name() if not re.fullmatch(r"Column_\d+", name)]
    return None if names is None or len(names) == 0 else tuple(str(name) for name in names)


def _nearest(name: str, contract: Contract) -> str:
    found = difflib.get_close_matches(name, list(contract.features), n=1)
    return f"{name}, like {found[0]}" if found else name


def _positive(estimator: Any, named: str | None) -> tuple[int, JsonValue]:  # noqa: ANN401
    """The position of churn among the classes, and the class."""
    classes = np.asarray(getattr(estimator, "classes_", [0, 1])).tolist()
    shown = ", ".join(map(str, classes))
    if len(classes) != CLASSES:
        raise UsageError(
            f"The model has the classes {shown}: two are needed, churn and no churn.",
            code="MODEL_NOT_FITTING",
        )
    wanted = "1" if named is None else named
    spelled = [str(int(one)) if isinstance(one, bool) else str(one) for one in classes]
    for spelling in (spelled, [str(one) for one in classes]):
        if wanted in spelling:
            position = spelling.index(wanted)
            return position, classes[position]
    raise UsageError(
        f"The model has the classes {shown}: say with --positive-class which of them is churn.",
        code="MODEL_NOT_FITTING",
    )


def _check_scores(model: ImportedModel, rows: pd.DataFrame, file: str, month: str) -> None:
    try:
        found = model.probability(rows)
    except Exception as error:  # noqa: BLE001 - whatever a library raises about columns it cannot read
        reason = " ".join(str(error).split())[:300]
        reason += _column_of(reason, rows, model)
        raise UsageError(
            f"{file} cannot score the customers of {month}: {reason}"
            " Numbers and booleans come as float64 with NaN, categories as text with NaN.",
            code="MODEL_NOT_FITTING",
        ) from None
    wrong = int((~((found >= 0) & (found <= 1))).sum())
    if wrong:
        raise UsageError(
            f"{file} gives {wrong:,} of {len(found):,} customers of {month} a score that is no"
            " probability (NaN, or outside 0 to 1).",
            code="MODEL_NOT_FITTING",
        )


def _column_of(reason: str, rows: pd.DataFrame, model: ImportedModel) -> str:
    """Which category an error message quotes a value of, as the end of its sentence."""
    quoted = re.findall(r"'([^']+)'", reason)
    for name, dtype in model.features:
        if dtype == "category" and set(quoted) & set(rows[name].dropna().astype(str)):
            return f" ({name} is text in the contract)."
    return "" if reason.endswith(".") else "."


def _check_categories(
    estimator: Any, rows: pd.DataFrame, categories: Sequence[str], file: str, month: str  # noqa: ANN401
) -> None:  # fmt: skip
    """Refuse a model whose encoder knows none of a category's values: it would score everybody
    as unknown, without an error.
    """
    for encoder in _encoders(estimator):
        names = [str(name) for name in encoder.feature_names_in_]
        for name, known in zip(names, encoder.categories_, strict=False):
            if name not in categories:
                continue
            values = sorted(set(rows[name].dropna().astype(str)))
            if values and not set(values) & {str(one) for one in known if isinstance(one, str)}:
                raise UsageError(
                    f"{file} knows none of the values of {name} in {month}: it was trained on"
                    f" {', '.join(repr(one) for one in list(known)[:4])}, and the month has"
                    f" {', '.join(repr(one) for one in values[:4])}.",
                    code="MODEL_NOT_FITTING",
                )


def _encoders(part: Any, depth: int = 0) -> Iterator[Any]:  # noqa: ANN401
    """Every fitted encoder in an estimator."""
    if depth > DEEPEST or isinstance(part, str) or part is None:
        return
    if hasattr(part, "categories_") and hasattr(part, "feature_names_in_"):
        yield part
    if isinstance(part, (list, tuple)):
        for one in part:
            yield from _encoders(one, depth + 1)
        return
    for name in (*PARTS, *INNER):
        yield from _encoders(getattr(part, name, None), depth + 1)


def _typical(
    rows: pd.DataFrame, columns: pd.DataFrame, categories: Sequence[str]
) -> dict[str, str | float]:
    """Each feature's typical value: the median, or the most frequent value of a category."""
    found: dict[str, str | float] = {}
    for name in columns:
        if name in categories:
            counts = rows[name].value_counts()
            found[str(name)] = str(counts.index[0]) if len(counts) else np.nan
        else:
            known = columns[name].dropna()
            found[str(name)] = float(known.median()) if len(known) else np.nan
    return found


def _sample(rows: pd.DataFrame, features: Sequence[tuple[str, str]]) -> list[dict[str, JsonValue]]:
    """Rows of typical values of each feature, which are no customer's."""
    made: list[dict[str, JsonValue]] = [{} for _ in QUANTILES]
    for name, dtype in features:
        values = rows[name].dropna()
        for place, (row, quantile) in enumerate(zip(made, QUANTILES, strict=True)):
            row[name] = _quantile(values, dtype, place, quantile)
    return made


def _quantile(values: pd.Series, dtype: str, place: int, quantile: float) -> JsonValue:
    if values.empty:
        return None
    if dtype == "category":
        frequent = values.value_counts().index
        return str(frequent[place % len(frequent)])
    found = float(np.quantile(values.astype("float64"), quantile))
    if dtype == "boolean":
        return found >= HALF
    return round(found) if dtype == "integer" else found


def _libraries(content: bytes) -> dict[str, str]:
    """The libraries that a skops file needs, with their versions now."""
    with zipfile.ZipFile(BytesIO(content)) as stored:
        modules = re.findall(
            r'"__module__": "([a-z]+)', json.dumps(json.loads(stored.read("schema.json")))
        )
    return {name: str(sys.modules[name].__version__) for name in LIBRARIES if name in modules}
