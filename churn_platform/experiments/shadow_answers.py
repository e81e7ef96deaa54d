"""The answers that the API served, each with the scores of the shadows, and their replay from
the lake.
"""

import datetime as dt
import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from pydantic_core import to_json

from churn_platform.base.errors import ChurnError
from churn_platform.contract.model import Contract
from churn_platform.evaluation.statistics import BoolArray, FloatArray
from churn_platform.experiments.shadow_scorer import ShadowScorer, rows_of
from churn_platform.lake.tables import feature_frame
from churn_platform.monitoring.prediction_log import files
from churn_platform.training.scorer import GOLDEN_TOLERANCE

ANSWERED = "WHERE NOT what_if AND NOT stale AND {key} IS NOT NULL AND features_as_of IN $months"
LAST_ANSWERS = """
    SELECT {key}, features_as_of, unnest(arg_max(
        struct_pack(version := version, probability := probability, features := features), time
    ))
    FROM predictions {answered} {of_production} GROUP BY {key}, features_as_of
"""
SCORES = """
    SELECT {key}, features_as_of, features, shadow, arg_max(score, time) AS score
    FROM shadows {answered} GROUP BY {key}, features_as_of, features, shadow
"""


def last_answers(
    predictions: Path, shadows: Path, entity: str, months: Sequence[dt.date]
) -> pd.DataFrame:
    """The last answer of production to each customer and month, once per shadow that scored it.

    What-ifs, stale answers and those of a canary are left out. A score belongs to an answer by
    customer, month and features, of which it is a function.

    Args:
        predictions: the folder of the prediction log.
        shadows: the folder of the shadow log.
        entity: the column of the key.
        months: the months of the features.

    Returns:
        shadow, features_as_of (date), the key, version, probability, features (their sha256) and
        score (NaN where the rule is null), in this order.
    """
    import duckdb

    columns = ["shadow", "features_as_of", entity, "version", "probability", "features", "score"]
    logs = {"predictions": predictions, "shadows": shadows}
    since = min(months, default=dt.date.max)
    paths = {
        name: [str(path) for path in files(folder, since)]
        for name, folder in logs.items()
        if folder.is_dir()
    }
    if not paths.get("predictions") or not paths.get("shadows"):
        return pd.DataFrame(columns=columns)
    with duckdb.connect() as connection:
        for name, found in paths.items():
            log = connection.read_parquet(found, union_by_name=True)
            if entity not in log.columns:  # every file is of another contract
                return pd.DataFrame(columns=columns)
            if name == "predictions":
                has_arms = "arm" in log.columns
            log.create_view(name)
        parts = {
            "key": f'"{entity}"',
            "of_production": "AND coalesce(arm, 'production') = 'production'" if has_arms else "",
        }
        parts["answered"] = ANSWERED.format(**parts)
        answers = LAST_ANSWERS.format(**parts)
        joined = (
            f"SELECT * FROM ({answers}) JOIN ({SCORES.format(**parts)})"  # noqa: S608
            f' USING ("{entity}", features_as_of, features)'
            f' ORDER BY shadow, features_as_of, "{entity}"'
        )
        rows = connection.execute(joined, {"months": list(months)}).df()
    rows["features_as_of"] = pd.to_datetime(rows["features_as_of"]).dt.date
    rows["version"] = rows["version"].astype(int)
    rows["score"] = rows["score"].astype(float)
    return rows[columns]


@dataclass(frozen=True)
class ReplayOfMonth:
    """The scores of a shadow for the answers of one month, made again.

    Attributes:
        answers: Answers that it scored.
        differ: Scores that are not the same number, or to 1e-12 without a serving form.
        changed: Answers whose features the lake no longer has, as after a correction.
        why_not: Why nothing could be made again.
    """

    shadow: str
    as_of: dt.date
    answers: int
    differ: int = 0
    changed: int = 0
    why_not: str | None = None


def replayed(
    answers: pd.DataFrame,
    load: Callable[[str], ShadowScorer],
    served_by: Callable[[int], Contract],
    tables: Callable[[dt.date], dict[str, pd.DataFrame]],
) -> list[ReplayOfMonth]:
    """Score the answers again from the lake, as `last_answers` returns them.

    Args:
        answers: the answers.
        load: the scorer of a shadow, by its name.
        served_by: the contract of a version, whose features were served.
        tables: the published tables of a month.
    """
    found = []
    pairs = zip(answers["shadow"], answers["features_as_of"], strict=True)
    for shadow, as_of in sorted({*pairs}):
        rows = answers[(answers["shadow"] == shadow) & (answers["features_as_of"] == as_of)]
        try:
            scorer = load(shadow)
            again = replayed_scores(rows, scorer, served_by, tables(as_of))
        except ChurnError as error:
            found.append(ReplayOfMonth(shadow, as_of, len(rows), why_not=str(error)))
            continue
        known = again.known
        logged = rows["score"].to_numpy(dtype=np.float64)[known]
        tolerance = 0.0 if scorer.exact else GOLDEN_TOLERANCE
        differ = int((~_same(logged, again.scores[known], tolerance)).sum())
        changed = int((~known).sum())
        found.append(ReplayOfMonth(shadow, as_of, len(rows), differ, changed))
    return found


@dataclass(frozen=True, eq=False)
class ReplayedScores:
    """Scores that were made again (rows,), and for which rows the lake has the same features."""

    scores: FloatArray
    known: BoolArray


def replayed_scores(
    answers: pd.DataFrame,
    scorer: ShadowScorer,
    served_by: Callable[[int], Contract],
    tables: dict[str, pd.DataFrame],
) -> ReplayedScores:
    """The scores of the answers of one month, from the features of the lake.

    Args:
        answers: (rows,) of one shadow and month, as `last_answers` returns them.
        scorer: the shadow.
        served_by: the contract of a version, whose features were served.
        tables: the published tables of the month.
    """
    key = scorer.contract.entity.column
    known = np.zeros(len(answers), dtype=bool)
    versions = answers["version"].to_numpy(dtype=np.int64)
    for version in np.unique(versions):
        places = np.flatnonzero(versions == version)
        contract = served_by(int(version))
        frame = feature_frame(contract, tables).set_index(key)
        own = answers.iloc[places]
        present = own[key].isin(frame.index).to_numpy()
        rows = rows_of(frame.loc[own[key][present]], list(contract.features))
        digests = [hashlib.sha256(to_json(row)).hexdigest() for row in rows]
        known[places[present]] = own["features"].to_numpy()[present] == digests
    scores = np.full(len(answers), np.nan)
    frame = feature_frame(scorer.contract, tables).set_index(key)
    rows = rows_of(frame.loc[answers[key][known]], scorer.features)
    scores[known] = scorer.score(rows)
    return ReplayedScores(scores, known)


def _same(first: FloatArray, second: FloatArray, tolerance: float) -> BoolArray:
    """Which scores (rows,) are the same number; two customers without one are alike."""
    return (np.abs(first - second) <= tolerance) | (np.isnan(first) & np.isnan(second))
