"""GATE007: no slice of customers is clearly worse off; intervals are corrected for the number
of slices.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd

from churn_platform.evaluation.comparison import AucDifference, paired_auc_difference
from churn_platform.promotion.criteria.base import Criterion, Outcome
from churn_platform.promotion.evidence import Evidence

MIN_ENTITIES = 10
MISSING = "(none)"
Mask = np.ndarray[Any, np.dtype[np.bool_]]


def slice_masks(evidence: Evidence) -> Iterator[tuple[str, Mask]]:
    """Each value of each slice column, a missing one too, with enough churners and others to be
    ranked.
    """
    for column in evidence.slices.columns:
        values = evidence.slices[column].astype(object).to_numpy()[evidence.sound_rows]
        texts = np.where(pd.isna(values), MISSING, values.astype(str))
        for text in sorted(set(texts)):
            mask = texts == text
            classes = (mask & evidence.y, mask & ~evidence.y)
            if min(map(evidence.entities_of, classes)) >= MIN_ENTITIES:
                yield f"{column} = {text}", mask


def rule(evidence: Evidence) -> tuple[Outcome, str]:
    """Fail when the corrected (Bonferroni) interval of any slice's AUC difference is entirely
    below zero.
    """
    masks = list(slice_masks(evidence))
    if not masks:
        return (
            "not_applicable",
            f"No slice holds {MIN_ENTITIES} churners and {MIN_ENTITIES} others.",
        )
    level = 1 - (1 - evidence.policy.level) / len(masks)
    found: dict[str, AucDifference] = {
        name: paired_auc_difference(
            evidence.y[mask],
            evidence.ours[mask],
            evidence.theirs[mask],
            level,
            evidence.keys[mask],
            None if evidence.w is None else evidence.w[mask],
        )
        for name, mask in masks
    }
    worse = [name for name, difference in found.items() if difference.interval.below(0)]
    lowest = min(found, key=lambda name: found[name].difference)
    shown = ", ".join(_figures(name, found[name]) for name in worse or [lowest])
    tested = (
        f"{len(masks)} slice{'s' * (len(masks) > 1)} tested, intervals widened for their number"
    )
    if worse:
        return (
            "fail",
            f"The candidate's AUC is clearly below production's where {shown} ({tested}).",
        )
    return (
        "pass",
        (
            f"The candidate is not clearly worse in any slice; it gains least where {shown}"
            f" ({tested})."
        ),
    )


def _figures(name: str, difference: AucDifference) -> str:
    interval = difference.interval
    return f"{name}: {difference.difference:+.3f} [{interval.low:+.3f}, {interval.high:+.3f}]"


CRITERION = Criterion("GATE007", "no_slice_worse", "No slice worse", rule, needs="production")
