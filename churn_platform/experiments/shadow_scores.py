"""Scores a month with every shadow so it can be compared with production's list later."""

import datetime as dt
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from churn_platform.base.errors import ChurnError
from churn_platform.base.stored import Stored
from churn_platform.contacts.labels import CorrectedLabels
from churn_platform.contract.model import Contract
from churn_platform.experiments.shadow_scorer import load_shadow, score_frame
from churn_platform.experiments.state import ExperimentState, Shadow
from churn_platform.lake.records import Records
from churn_platform.lake.tables import feature_frame
from churn_platform.training.releases import Releases


class ScoredShadow(Stored):
    """A shadow that scored a month, or could not.

    Attributes:
        name: The name of the shadow and of its column.
        manifest: Digest of the version's release; None for a rule.
        since: The instant from which it was a shadow.
        before_labels: Whether it was a shadow before the labels of the month were known: whoever
            writes a rule knows the labels of the past.
        without_score: Customers whose rule is null.
        why_not: Why it could not score the month; then there is no column.
    """

    name: str
    version: int | None = None
    manifest: str | None = None
    since: str
    before_labels: bool = False
    without_score: int = 0
    why_not: str | None = None


class ShadowScoresRecord(Stored):
    """The record of the kind `shadow_scores`; its rows have a column per shadow.

    Attributes:
        features: Digest of the features that were scored.
        version: The version in production that ranked the month; None where none did.
    """

    snapshot: str = ""
    inputs: str = ""
    features: str = ""
    version: int | None = None
    shadows: tuple[ScoredShadow, ...] = ()

    def of(self, name: str) -> ScoredShadow | None:
        """The shadow of this name; None if it was not one."""
        return next((one for one in self.shadows if one.name == name), None)


@dataclass(frozen=True)
class ShadowScoring:
    """Scores the newest month of a home with its shadows.

    Attributes:
        state: The experiments of this instant.
    """

    contract: Contract
    labels: CorrectedLabels
    records: Records
    releases: Releases
    state: Callable[[], ExperimentState]

    @property
    def shadows(self) -> tuple[Shadow, ...]:
        """Those that run."""
        return self.state().running.scoring()

    def score(self, as_of: dt.date) -> ShadowScoresRecord | None:
        """Score a month; None where there is no shadow, or where the month is not the newest and
        was not scored by a shadow then: a rule that was written later knows what came after.

        A shadow that cannot score is noted and never stops the month.
        """
        months = self.labels.months()
        if as_of != months.published[-1]:
            return shadow_scores(self.records, as_of)
        shadows = self.shadows
        if not shadows:
            return None
        tables = self.labels.lake.tables(as_of)
        key = self.contract.entity.column
        columns: dict[str, pd.Series] = {}
        scored = []
        for shadow in shadows:
            fields = {"name": shadow.name, "version": shadow.version, "manifest": shadow.manifest}
            found = ScoredShadow(
                since=shadow.since, before_labels=self._before_labels(as_of, shadow), **fields
            )
            try:
                scorer = load_shadow(shadow, self.contract, self.releases)
                frame = feature_frame(scorer.contract, tables)
                scores = score_frame(scorer, frame)
            except ChurnError as error:
                found = found.model_copy(update={"why_not": str(error)})
            except Exception as error:  # noqa: BLE001 - whatever a shadow raises stops no month
                found = found.model_copy(
                    update={"why_not": f"It failed ({type(error).__name__}: {error})."}
                )
            else:
                columns[shadow.name] = pd.Series(scores, index=frame[key])
                found = found.model_copy(update={"without_score": int(np.isnan(scores).sum())})
            scored.append(found)
        ranked = self.records.read("scores", as_of) or {}
        record = ShadowScoresRecord(
            **months.made_from(as_of),
            features=self.labels.lake.feature_digest(as_of),
            version=ranked.get("version"),
            shadows=tuple(scored),
        )
        rows = pd.DataFrame(columns)
        rows.index.name = key
        self.records.write("shadow_scores", as_of, record.as_json(), rows.reset_index())
        return record

    def _before_labels(self, as_of: dt.date, shadow: Shadow) -> bool:
        """Whether a shadow ran before the labels of a month were known: it scored the month
        without them, or it scored an earlier month.
        """
        if not self.labels.lake.has_labels(as_of):
            return True
        for month in self.records.months("shadow_scores"):
            record = shadow_scores(self.records, month)
            own = None if record is None else record.of(shadow.name)
            if own is None or own.since != shadow.since or month > as_of:
                continue
            if month < as_of or own.before_labels:
                return True
        return False


def shadow_scores(records: Records, as_of: dt.date) -> ShadowScoresRecord | None:
    """The record of a month; None where no shadow scored it."""
    fields = records.read("shadow_scores", as_of)
    if fields is None:
        return None
    return ShadowScoresRecord.read(fields, f"The record of the shadows' scores of {as_of}")
