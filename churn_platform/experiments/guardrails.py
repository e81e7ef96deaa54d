"""The guardrails of a canary: errors, slow answers, invalid scores, and the distance of its
scores to its own shadow.

The unit is a customer, once in each step of the canary and each guardrail, not a request: the
arm is drawn once for each customer, so a customer whose features break the model, or who asks
every minute, is one piece of evidence and not a thousand. Counting a customer again in each hour
stops every tenth canary that is no different (`benchmarks/guardrails.py`). The next step counts
the customer anew: each step is a test of its own with its part of the error, so trouble that
begins late is not weighed against a quiet past, and the tests stay valid when the share is
raised.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Final

import numpy as np
import numpy.typing as npt
from pydantic import JsonValue

from churn_platform.evaluation.anytime import ScoreEvidence, event_evidence

FALSE_STOPS: Final = 0.01
"""Probability that a canary without any difference is ever stopped, by all guardrails together."""
WARM_UP: Final = 1_000
"""Answers of production from which the limit of slow answers is taken."""
SLOW: Final = 1.5
"""An answer is slow when it takes this many times the 99th percentile of the warm-up."""
MOST_CUSTOMERS: Final = 100_000
"""Customers of one guardrail and step that are counted."""


class Measure(IntEnum):
    """What is measured of a customer. An answer of the canary is only counted."""

    ERROR = 0
    SLOW = 1
    INVALID = 2
    SCORE = 3
    ANSWER = 4


GUARDRAILS: Final[Mapping[Measure, str]] = {
    Measure.ERROR: "errors",
    Measure.SLOW: "slow answers",
    Measure.INVALID: "invalid scores",
    Measure.SCORE: "distance of scores",
}
"""The name of each guardrail."""
HAPPENED: Final[Mapping[Measure, str]] = {
    Measure.ERROR: "an error",
    Measure.SLOW: "a slow answer",
    Measure.INVALID: "an invalid score",
}

SIGHTING: Final = np.dtype(
    [
        ("customer", "<u8"),
        ("value", "<f4"),
        ("step", "<u2"),
        ("measure", "u1"),
        ("canary", "u1"),
    ]
)
"""One measurement of one customer: hash of the key, the score (0 for an event), the step, the
`Measure`, and whether the customer is in the canary's arm.
"""
Sightings = npt.NDArray[np.void]


@dataclass(frozen=True)
class Crossed:
    """A guardrail that stops a canary, and what it measured."""

    guardrail: str
    sentence: str
    figures: dict[str, JsonValue]


def slow_limit(seconds: Sequence[float]) -> float:
    """The limit of a slow answer, in seconds, from the answers of production's warm-up.

    The percentile is the median of those of ten parts in order: a stall of the machine during
    the warm-up must not raise the limit for the whole canary.
    """
    parts = np.array_split(np.asarray(seconds, dtype=float), 10)
    return SLOW * float(np.median([np.quantile(part, 0.99) for part in parts]))


def valid(probability: float) -> bool:
    """Whether a scorer's answer is a probability; NaN is not."""
    return 0.0 <= probability <= 1.0


@dataclass
class Judge:
    """Weighs what was measured in both arms; `crossed` is the first guardrail that stops.

    Attributes:
        steps: Share of the customers at each step of the canary.
        threshold: Of the canary's version; the share of scores above it is compared as well.
        version: The canary's version, for the sentence.
    """

    steps: Sequence[float]
    threshold: float
    version: int
    crossed: Crossed | None = None
    _seen: dict[tuple[int, int], set[int]] = field(default_factory=dict)
    _events: dict[tuple[int, int], npt.NDArray[np.int64]] = field(default_factory=dict)
    _scores: dict[int, tuple[ScoreEvidence, ScoreEvidence]] = field(default_factory=dict)

    @property
    def needed(self) -> float:
        """The log evidence at which one guardrail stops the canary in one step."""
        return math.log(len(GUARDRAILS) * len(self.steps) / FALSE_STOPS)

    def add(self, sightings: Sightings) -> None:
        """Take in measurements of one or several processes; a customer counts once per step
        and measure, whoever reports it.
        """
        new = np.array([self._is_new(*one) for one in sightings.tolist()], dtype=bool)
        fresh = sightings[new]
        for step, measure in sorted({(int(s), int(m)) for s, m in fresh[["step", "measure"]]}):
            rows = fresh[(fresh["step"] == step) & (fresh["measure"] == measure)]
            if self.crossed is None and measure in GUARDRAILS:
                self._take(step, Measure(measure), rows)

    def events(self, step: int, measure: Measure) -> tuple[int, int]:
        """Customers with an event in production's arm and in the canary's, in a step."""
        outside, inside = self._events.get((step, measure), np.zeros(2, dtype=np.int64))
        return int(outside), int(inside)

    def seen(self, step: int, measure: Measure) -> set[int]:
        """The customers that were counted in a step, by the hash of their key."""
        return self._seen.setdefault((step, measure), set())

    def _is_new(self, customer: int, _: float, step: int, measure: int, __: int) -> bool:
        known = self.seen(step, Measure(measure))
        if not 1 <= step <= len(self.steps) or customer in known:
            return False
        known.add(customer)
        return True

    def _take(self, step: int, measure: Measure, rows: Sightings) -> None:
        share = self.steps[step - 1]
        in_canary = rows["canary"] == 1
        if measure is Measure.SCORE:
            scores = rows["value"].astype(float)
            if step not in self._scores:
                self._scores[step] = ScoreEvidence(share), ScoreEvidence(share)
            by_score, by_threshold = self._scores[step]
            by_score.add(scores, in_canary)
            by_threshold.add((scores >= self.threshold).astype(float), in_canary)
            # Two tests share the error of the guardrail.
            if max(by_score.highest, by_threshold.highest) >= self.needed + math.log(2):
                self.crossed = self._by_scores(step, by_score, by_threshold)
            return
        counts = self._events.setdefault((step, measure), np.zeros(2, dtype=np.int64))
        inside = counts[1] + np.cumsum(in_canary)
        both = counts.sum() + np.arange(1, len(rows) + 1)
        counts += np.bincount(in_canary.astype(np.int64), minlength=2)
        if event_evidence(inside, both, share).max() >= self.needed:
            self.crossed = self._by_events(step, measure)

    def _by_events(self, step: int, measure: Measure) -> Crossed:
        outside, inside = self.events(step, measure)
        share = self.steps[step - 1]
        sentence = (
            f"{inside + outside} customers had {HAPPENED[measure]} at a share of {share:.0%}:"
            f" {inside} of them by version {self.version}, about"
            f" {share * (inside + outside):.1f} expected."
        )
        figures: dict[str, JsonValue] = {
            "step": step,
            "share": share,
            "customers_canary": inside,
            "customers_production": outside,
        }
        return Crossed(GUARDRAILS[measure], sentence, figures)

    def _by_scores(self, step: int, score: ScoreEvidence, above: ScoreEvidence) -> Crossed:
        outside, inside = score.customers
        shadow_mean, canary_mean = score.means
        shadow_above, canary_above = above.means
        sentence = (
            f"Version {self.version} scored {inside} customers that it answered at"
            f" {canary_mean:.3f} on average and {outside} others in its shadow at"
            f" {shadow_mean:.3f}; {canary_above:.1%} and {shadow_above:.1%} are above its"
            " threshold."
        )
        figures: dict[str, JsonValue] = {
            "step": step,
            "share": self.steps[step - 1],
            "customers_canary": inside,
            "customers_shadow": outside,
            "mean_canary": canary_mean,
            "mean_shadow": shadow_mean,
            "above_canary": canary_above,
            "above_shadow": shadow_above,
        }
        return Crossed(GUARDRAILS[Measure.SCORE], sentence, figures)
