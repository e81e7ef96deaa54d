"""How often, and after how many months, is a better challenger proposed, and how often a false one?

Compares the rule of challenger evaluation (recent months, Bonferroni over the rounds) with alpha
spending on all months since both versions exist (ADR 45).

    uv run python -m benchmarks.challengers [--quick] [customers ...]

The errors of one month's AUC and their correlation over months and versions are measured on
simulated customers, who stay until they churn. The rounds are then drawn from them, with the
gains as stated. The goal is at most 2.5% false proposals in the planned rounds, the error of
the gate's level on the side of the better. A gain must also exceed the gate's delta.
"""

import argparse
import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from churn_platform.contract.policy import PromotionPolicy, VerdictPolicy
from churn_platform.evaluation.gain import AucParts
from churn_platform.evaluation.sequential import level_at
from churn_platform.evaluation.statistics import (
    FloatArray,
    detectable_difference,
    quantile_of_normal,
)
from churn_platform.monitoring.challengers import adjusted_level

GATE = PromotionPolicy()
POLICY = VerdictPolicy()
GOAL = (1 - GATE.level) / 2
SIZES = (300, 1_700, 7_000)
GAINS = (0.01, 0.02, 0.03)
SHIFTS = (0.02, 0.05)
EARLIER = (3, 12)
MONTHS = 36
CHURN_LOG_ODDS = -1.6
"""With `SIGNAL` 24% churn, and the score without errors has an AUC of 0.81."""
SIGNAL = 1.7
VERSION_ERROR = 0.6
"""One version's error in the log-odds. The difference of two versions then has a standard
error of 0.0085 on 1,700 customers, as two LightGBM fits on so many simulated customers.
"""
STAYS_THE_SAME = 0.8
"""Share of a customer's score that is the same every month."""


@dataclass(frozen=True)
class Rule:
    """The newest `window` months are compared, and z must exceed the boundary of the round."""

    window: int
    boundaries: FloatArray

    def proposed(self, differences: FloatArray, covariance: FloatArray, delta: float) -> FloatArray:
        """The lower end of every interval that proposes its version, else NaN.

        Args:
            differences: shape (repeats, months, versions).
            covariance: of one version's differences, shape (months, months).
            delta: the gain that must be exceeded.
        """
        found = np.full(differences.shape, np.nan)
        for month in range(differences.shape[1]):
            seen = slice(max(month + 1 - self.window, 0), month + 1)
            gain = differences[:, seen].mean(axis=1)
            needed = self.boundaries[month] * math.sqrt(covariance[seen, seen].mean())
            better = (gain > needed) & (gain > delta)
            found[:, month][better] = (gain - needed)[better]
        return found


def recent(versions: int, window: int, error: float, months: int) -> Rule:
    """Bonferroni over versions and rounds, on a window of recent months."""
    level = adjusted_level(1 - error, versions, POLICY.looks)
    return Rule(window, np.full(months, quantile_of_normal(level)))


def cumulative(versions: int, error: float, months: int) -> Rule:
    """Alpha spending on all months, after the planned ones on the newest of so many."""
    level = adjusted_level(1 - error, versions, 1)
    levels = [level_at(month, POLICY.looks, level) for month in range(1, months + 1)]
    return Rule(POLICY.looks, np.array([quantile_of_normal(one) for one in levels]))


def rules(versions: int, months: int) -> dict[str, tuple[Rule, ...]]:
    """The rules by name; a version is proposed when one of a rule's parts proposes it."""
    error = 1 - GATE.level
    half = error / 2
    return {
        "recent 3": (recent(versions, POLICY.months, error, months),),
        "recent 12": (recent(versions, POLICY.looks, error, months),),
        "spending": (cumulative(versions, error, months),),
        "half each": (
            recent(versions, POLICY.months, half, months),
            cumulative(versions, half, months),
        ),
    }


def one_business(
    rng: np.random.Generator, customers: int, months: int, versions: int
) -> tuple[FloatArray, FloatArray]:
    """The differences in AUC of equally good versions from production on one business, and how
    far each customer moves them: shapes (versions x months,) and (versions x months, customers).
    """
    models = versions + 1
    keys = np.arange(customers)
    lasting = rng.standard_normal((models + 1, customers))
    differences = np.empty((versions, months))
    moved = np.zeros((versions, months, customers * (months + 1)))
    for month in range(months):
        drawn = rng.standard_normal(lasting.shape)
        drawn = math.sqrt(STAYS_THE_SAME) * lasting + math.sqrt(1 - STAYS_THE_SAME) * drawn
        risk = SIGNAL * drawn[0]
        churned = rng.random(customers) < 1 / (1 + np.exp(-CHURN_LOG_ODDS - risk))
        ranked = [AucParts.of(churned, risk + VERSION_ERROR * own) for own in drawn[1:]]
        production = ranked[0]
        for number, version in enumerate(ranked[1:]):
            differences[number, month] = version.auc - production.auc
            moved[number, month, keys] = version.parts - production.parts
        left = np.flatnonzero(churned)
        lasting[:, left] = rng.standard_normal((models + 1, left.size))
        keys[left] = (month + 1) * customers + left
    return differences.ravel(), moved.reshape(versions * months, -1)


def measured(customers: int, versions: int, businesses: int) -> tuple[FloatArray, float, float]:
    """How the errors of the differences in AUC go together, on average over businesses.

    Returns:
        The covariance between (version, month) places over `POLICY.looks` months; the variance
        of z over the real differences of each business, which is 1 where the intervals are
        right; the same for one month.
    """
    rng = np.random.default_rng(customers)
    months = POLICY.looks
    total = np.zeros((versions * months, versions * months))
    squares = []
    single = []
    for _ in range(businesses):
        differences, moved = one_business(rng, customers, months, versions)
        covariance = moved @ moved.T
        total += covariance
        for number in range(versions):
            own = slice(number * months, (number + 1) * months)
            squares.append(differences[own].mean() ** 2 / covariance[own, own].mean())
            single.append(differences[own][0] ** 2 / covariance[own, own][0, 0])
    return total / businesses, float(np.mean(squares)), float(np.mean(single))


def correlations(covariance: FloatArray, versions: int) -> tuple[float, float, float]:
    """The standard error of one month, its correlation with another month's of the same
    version, and with another version's in the same month.
    """
    months = POLICY.looks
    blocks = covariance.reshape(versions, months, versions, months)
    variance = np.einsum("vmvm->", blocks) / (versions * months)
    own = np.einsum("vmvn->", blocks) / (versions * months)
    same_month = np.einsum("vmwm->", blocks) / (versions * months)
    over_months = (own - variance) / (variance * (months - 1))
    over_versions = (same_month - variance) / (variance * (versions - 1))
    return math.sqrt(variance), max(over_months, 0.0), over_versions


def drawn_rounds(
    rng: np.random.Generator, repeats: int, gains: FloatArray, figures: tuple[float, float, float]
) -> tuple[FloatArray, FloatArray]:
    """Differences in AUC with these true gains, (months, versions), for each repeat, and the
    covariance of one version's months.
    """
    error, over_months, over_versions = figures
    months, versions = gains.shape

    def noise(length: int) -> FloatArray:
        common = rng.standard_normal((repeats, length, 1))
        own = rng.standard_normal((repeats, length, versions))
        return math.sqrt(over_versions) * common + math.sqrt(1 - over_versions) * own

    lasting = math.sqrt(over_months) * noise(1)
    differences = gains + error * (lasting + math.sqrt(1 - over_months) * noise(months))
    covariance = error**2 * (over_months + (1 - over_months) * np.eye(months))
    return differences, covariance


def first_right(
    parts: tuple[Rule, ...],
    differences: FloatArray,
    covariance: FloatArray,
    delta: float = GATE.delta,
    start: int = 0,
) -> FloatArray:
    """The round, counted from 1 after `start`, whose proposal is the first version; infinite
    where another version comes first or none is proposed.
    """
    lows = [rule.proposed(differences, covariance, delta)[:, start:] for rule in parts]
    low = np.nan_to_num(np.fmax.reduce(lows), nan=-np.inf)
    proposed = np.isfinite(low).any(axis=2)
    round_ = proposed.argmax(axis=1)
    best = low[np.arange(low.shape[0]), round_].argmax(axis=1)
    return np.where(proposed.any(axis=1) & (best == 0), round_ + 1.0, np.inf)


def false_by(
    parts: tuple[Rule, ...], differences: FloatArray, covariance: FloatArray, delta: float
) -> FloatArray:
    """Share of repeats with a proposal up to each month."""
    lows = [rule.proposed(differences, covariance, delta) for rule in parts]
    proposed = np.isfinite(np.fmax.reduce(lows)).any(axis=2)
    return np.maximum.accumulate(proposed, axis=1).mean(axis=0)


def row(what: str, cells: Mapping[str, str]) -> str:
    """One line of a table."""
    return f"{what:<38}" + "".join(f"{text:>20}" for text in cells.values())


def found_row(
    what: str,
    drawn: tuple[FloatArray, FloatArray],
    delta: float = GATE.delta,
    start: int = 0,
) -> str:
    """A row: the share found within the planned rounds, and the mean rounds (13 if not)."""
    differences, spread = drawn
    cells = {}
    for name, parts in rules(differences.shape[2], differences.shape[1]).items():
        rounds = first_right(parts, differences, spread, delta, start)
        late = np.minimum(rounds, POLICY.looks + 1).mean()
        cells[name] = f"{np.isfinite(rounds).mean():.2f} in {late:.1f}"
    return row(what, cells)


def false_row(what: str, drawn: tuple[FloatArray, FloatArray], delta: float) -> str:
    """A row: the share with a false proposal in one, two and three times the planned rounds."""
    differences, spread = drawn
    cells = {}
    for name, parts in rules(differences.shape[2], MONTHS).items():
        rates = false_by(parts, differences, spread, delta)[POLICY.looks - 1 :: POLICY.looks]
        cells[name] = "/".join(f"{rate:.3f}" for rate in rates)
    return row(what, cells) + f"  goal <= {GOAL:.1%} in {POLICY.looks}"


def report(customers: int, repeats: int, businesses: int) -> None:
    """Print the tables of one size."""
    followed = POLICY.followed_versions
    looks = POLICY.looks
    covariance, twelve, one = measured(customers, followed, businesses)
    figures = correlations(covariance, followed)
    error, over_months, over_versions = figures
    print(
        f"\n{customers:,} customers: one month's standard error {error:.4f}, correlation of"
        f" months {over_months:.2f}, of versions {over_versions:.2f}; variance of z {one:.2f} on"
        f" one month, {twelve:.2f} on {looks}"
    )
    rng = np.random.default_rng(1)
    print(row("", {name: name for name in rules(1, 1)}))
    for versions in (1, followed):
        quiet = drawn_rounds(rng, repeats, np.zeros((MONTHS, versions)), figures)
        for delta in (0.0, GATE.delta):
            what = f"{versions} equal, delta {delta:g}: false"
            print(false_row(what, quiet, delta))
        for gain in GAINS:
            gains = np.zeros((looks, versions))
            gains[:, 0] = gain
            drawn = drawn_rounds(rng, repeats, gains, figures)
            print(found_row(f"{versions} compared, gain {gain:g}", drawn))
    planned = detectable_difference(error / math.sqrt(looks), level=GATE.level)
    drawn = drawn_rounds(rng, repeats, np.full((looks, 1), planned), figures)
    print(found_row(f"1 compared, gain {planned:.4f}, delta 0", drawn, delta=0.0))
    for gain in SHIFTS:
        for before in (0.0, -gain):
            for earlier in EARLIER:
                gains = np.zeros((earlier + looks, followed))
                gains[:earlier, 0] = before
                gains[earlier:, 0] = gain
                drawn = drawn_rounds(rng, repeats, gains, figures)
                what = f"gain {before:g} for {earlier} months, then {gain:g}"
                print(found_row(what, drawn, start=earlier))


def main() -> None:
    """Print the tables of each size."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--quick", action="store_true", help="one size and few repeats")
    parser.add_argument("customers", nargs="*", type=int)
    asked = parser.parse_args()
    sizes = asked.customers or (SIZES[:1] if asked.quick else SIZES)
    for customers in sizes:
        report(customers, 500 if asked.quick else 10_000, 5 if asked.quick else 60)


if __name__ == "__main__":
    main()
