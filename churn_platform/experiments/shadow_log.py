"""The shadow log: the scores of shadows for served predictions, with the mechanics of the
prediction log.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from churn_platform.monitoring.prediction_log import DailyLog, ServedPrediction, served_columns


class ShadowScore(NamedTuple):
    """The score of one shadow for one served prediction; None where a rule has none."""

    served: ServedPrediction
    shadow: str
    score: float | None


class ShadowLog(DailyLog):
    """The log of the scores of shadows."""

    def __init__(self, folder: Path, entity: str) -> None:
        super().__init__(folder)
        self._entity = entity

    def write(self, scores: Sequence[ShadowScore]) -> None:
        """Append scores: time, key, shadow, served_version, features_as_of, score, and of what
        was served the sha256 of the features, what-if and stale.
        """
        self.append(scores, self._columns, scores[0].served.moment)

    def _columns(self, scores: Sequence[ShadowScore]) -> dict[str, Any]:
        import pyarrow as pa

        answers = [one.served for one in scores]
        served = served_columns(self._entity, answers)
        return {
            "time": served.pop("time"),
            self._entity: served.pop(self._entity),
            "shadow": pa.array([one.shadow for one in scores], pa.string()),
            "served_version": pa.array([one.version for one in answers], pa.int64()),
            "features_as_of": served.pop("features_as_of"),
            "score": pa.array([one.score for one in scores], pa.float64()),
            **served,
        }
