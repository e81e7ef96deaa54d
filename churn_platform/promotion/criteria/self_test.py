"""GATE005: the gate refuses what it must refuse, on this very evidence.

A copy of the incumbent, a constant score and permuted scores must not pass; never may both
directions of a pair pass; and the recipe refitted on labels shuffled over all customers must be
at chance, which catches leaked rows.
"""

from collections.abc import Callable, Iterator

import numpy as np

from churn_platform.evaluation.comparison import entity_codes
from churn_platform.evaluation.statistics import auc, chance_p_value
from churn_platform.promotion.criteria.base import Criterion, CriterionResult, Outcome
from churn_platform.promotion.evidence import Evidence
from churn_platform.training.candidate import ShuffledRefit

CHANCE_P = 0.001
# One permutation of a weak candidate (AUC 0.54) passes 1 time in 40, as its interval allows;
# two rarely do.
PERMUTATIONS = 2
Passes = Callable[[Evidence], bool]


def impostors(evidence: Evidence, seed: int) -> Iterator[tuple[str, list[Evidence]]]:
    """What must be refused, each with its name; a name is at fault when all of its evidence
    would be promoted.
    """
    # One that need only be no worse may be as good as production.
    if evidence.production is not None and not evidence.must_replace:
        yield "a copy of production", [evidence.with_scores(evidence.production.copy())]
    yield (
        "a constant score",
        [evidence.with_scores(np.full(len(evidence.labels), evidence.churn_rate))],
    )
    random = np.random.default_rng(seed)
    yield (
        "the candidate's scores permuted",
        [_permuted(evidence, random) for _ in range(PERMUTATIONS)],
    )


def _permuted(evidence: Evidence, random: np.random.Generator) -> Evidence:
    """The candidate's scores dealt out anew among the valid rows."""
    sound = np.flatnonzero(evidence.sound_rows)
    # Sorted first, so that the order in which a join returned the rows does not decide.
    columns = [evidence.y, evidence.ours, entity_codes(evidence.keys, sound.size)]
    if evidence.w is not None:
        columns.insert(0, evidence.w)
    order = sound[np.lexsort(columns)]
    scores = evidence.candidate.copy()
    scores[order] = scores[random.permutation(order)]
    return evidence.with_scores(scores)


def judge(evidence: Evidence, passes: Passes, refit: ShuffledRefit, seed: int) -> CriterionResult:
    """Run the self-test.

    Args:
        evidence: the real evidence.
        passes: the complete decision without this criterion.
        refit: the recipe on shuffled labels.
        seed: of the permutations.
    """
    if not evidence.comparable:
        return CRITERION.result(
            "not_applicable", "Nothing could be compared, so nothing could be tested."
        )
    tried = list(impostors(evidence, seed))
    faults = [
        f"{name} would have been promoted" for name, fakes in tried if all(map(passes, fakes))
    ]
    if evidence.production is not None and not evidence.must_replace and passes(evidence):
        mirrored = evidence.with_scores(evidence.production, evidence.candidate)
        if passes(mirrored):
            faults.append("the comparison passes in both directions")
    sound, sentence = shuffled_labels(evidence, refit)
    if not sound:
        faults.append(sentence)
    if faults:
        return CRITERION.result(
            "fail", f"The gate cannot be trusted: {'; '.join(faults)}.", unsound=True
        )
    names = ", ".join(name for name, _ in tried)
    return CRITERION.result("pass", f"The gate refused what it must refuse: {names}; {sentence}.")


def shuffled_labels(evidence: Evidence, refit: ShuffledRefit) -> tuple[bool, str]:
    """Whether the refit is at chance on the shuffled labels of the rows compared, and the
    sentence with its figures.

    The rows count alike: no contact has changed a shuffled label, and weights would only make
    the test less sharp.
    """
    rows = evidence.labels.shape
    if refit.why_not:
        return (
            False,
            (f"the recipe could not be refitted on shuffled labels ({refit.why_not.rstrip('.')})"),
        )
    if refit.scores.shape != rows or refit.labels.shape != rows:
        return (
            False,
            (
                f"the refit on shuffled labels gave {refit.scores.size:,} scores for"
                f" {rows[0]:,} holdout rows"
            ),
        )
    scores = refit.scores[evidence.sound_rows]
    labels = refit.labels[evidence.sound_rows]
    wrong = int((~np.isfinite(scores)).sum())
    if wrong:
        return False, f"{wrong:,} scores of the refit on shuffled labels are not numbers"
    if labels.all() or not labels.any():
        return (
            False,
            (
                f"the {labels.size:,} shuffled holdout labels are all alike, so a leak could"
                " not show"
            ),
        )
    found = (
        f"fitted on shuffled labels the recipe has AUC {auc(labels, scores):.3f} on the"
        " holdout, where 0.5 is chance"
    )
    p_value = chance_p_value(labels, scores)
    if p_value < CHANCE_P:
        return False, f"{found} (p below {CHANCE_P:g}): holdout rows leak into training"
    return True, f"{found} (p = {p_value:.3f})"


def _not_alone(_: Evidence) -> tuple[Outcome, str]:
    raise TypeError("the self-test judges the other criteria: call self_test.judge")


CRITERION = Criterion("GATE005", "self_test", "Self-test", _not_alone)
