"""Estimated figures on rows whose true chances are known."""

import numpy as np
import pytest

from churn_platform.contacts.value import ContactTerms
from churn_platform.evaluation.calibration import Calibration
from churn_platform.evaluation.density_ratio import density_ratio
from churn_platform.evaluation.statistics import auc
from churn_platform.monitoring.estimate import (
    PerformanceEstimate,
    ReferenceRows,
    ScoredRows,
    Spending,
    estimate,
    split_fall,
)

CUSTOMERS = 4_000


def sigmoid(values):
    return 1 / (1 + np.exp(-values))


class World:
    """Customers with three features; the first two drive churn, the version knows that."""

    def __init__(self, seed: int, *, moved: float = 0.0, spread: float = 1.0, old: float = 1.0):
        rng = np.random.default_rng(seed)
        self.columns = rng.standard_normal((CUSTOMERS, 3))
        self.columns[:, 0] = self.columns[:, 0] * spread + moved
        first, second, third = self.columns.T
        # With `old` 0 the third feature drives churn instead.
        self.chance = sigmoid(-1.4 + old * (1.2 * first + 0.8 * second) + (1 - old) * 1.4 * third)
        self.churned = rng.random(CUSTOMERS) < self.chance
        # Too sure of itself: the chances need a calibration, the ranks do not.
        self.probability = sigmoid(-1.0 + 1.6 * (1.2 * first + 0.8 * second))

    @property
    def scored(self) -> ScoredRows:
        return ScoredRows(self.columns, self.probability)

    def reference(self, weights=None, churned=None) -> ReferenceRows:
        weights = np.ones(CUSTOMERS) if weights is None else weights
        churned = self.churned if churned is None else churned
        kept = weights > 0
        scored = ScoredRows(self.columns[kept], self.probability[kept])
        return ReferenceRows(scored, churned[kept], weights[kept], np.arange(CUSTOMERS)[kept])

    def figures(self, contacts: int) -> dict[str, float]:
        """What the labels show."""
        listed = np.argsort(-self.probability)[:contacts]
        return {
            "auc": auc(self.churned, self.probability),
            "brier": float(((self.probability - self.churned) ** 2).mean()),
            "churn_rate": float(self.churned.mean()),
            "hits": float(self.churned[listed].sum()),
        }


def made(
    reference: ReferenceRows, month: World, spending: Spending | None = None
) -> PerformanceEstimate:
    found = estimate(reference, month.scored, spending or Spending(400), seed=1)
    assert found is not None
    return found


@pytest.mark.parametrize(
    "shift", [{}, {"moved": 0.6}, {"spread": 0.5}], ids=["quiet", "moved", "narrower"]
)
def test_figures_are_near_what_the_labels_show_later(shift):
    for seed in range(1, 4):
        month = World(100 + seed, **shift)
        found = made(World(seed).reference(), month)
        for name, real in month.figures(400).items():
            figure = getattr(found, name)
            half = (figure.interval.high - figure.interval.low) / 2
            assert figure.interval.low < figure.value < figure.interval.high
            assert abs(figure.value - real) < 2 * half, (seed, name)


def test_half_of_the_churners_of_a_calibration_are_expected():
    """Twice as many labels of 1 in the reference: the estimated rate follows."""
    world = World(1)
    rarer = world.churned & (np.arange(CUSTOMERS) % 2 == 0)
    usual = made(world.reference(), World(2)).churn_rate.value
    halved = made(world.reference(churned=rarer), World(2)).churn_rate.value
    assert halved == pytest.approx(usual / 2, abs=0.02)


def test_rows_stand_for_as_many_customers_as_their_weight():
    """Half of the churners are not among the rows, and the others stand for them."""
    world = World(31)
    half = np.arange(CUSTOMERS) % 2 == 0
    weights = np.where(world.churned, np.where(half, 2.0, 0.0), 1.0)
    found = made(world.reference(weights), World(32))
    assert found.churn_rate.value == pytest.approx(world.churned.mean(), abs=0.025)
    assert found.reference_auc == pytest.approx(auc(world.churned, world.probability), abs=0.02)


def test_contacted_customers_spoil_the_estimate_and_weights_repair_it():
    """Contacts keep half of the churners on the list from leaving."""
    world = World(3)
    rng = np.random.default_rng(0)
    listed = world.probability > np.quantile(world.probability, 0.8)
    untouched = listed & (rng.random(CUSTOMERS) < 0.2)
    assigned = listed & ~untouched
    seen = world.churned & ~(assigned & (rng.random(CUSTOMERS) < 0.5))
    month = World(4)
    real = month.figures(400)["auc"]
    weights = np.where(assigned, 0.0, np.where(untouched, 1 / 0.2, 1.0))
    naive = made(world.reference(churned=seen), month).auc.value
    corrected = made(world.reference(weights, seen), month).auc.value
    assert naive < real - 0.04
    assert corrected == pytest.approx(real, abs=0.02)


def test_expected_auc_counts_pairs_of_different_customers_and_ties_by_half():
    reference = World(5).reference()
    month = World(6)
    few = ScoredRows(month.columns[:40], np.round(month.probability[:40], 1))
    found = estimate(reference, few, Spending(10), seed=1)
    assert found is not None
    chance = expected_chances(reference, few)
    wins = (few.probability[:, None] > few.probability) + 0.5 * (
        few.probability[:, None] == few.probability
    )
    pairs = chance[:, None] * (1 - chance) * (1 - np.eye(40))
    assert found.auc.value == pytest.approx((pairs * wins).sum() / pairs.sum(), abs=1e-9)
    error = chance * (1 - few.probability) ** 2 + (1 - chance) * few.probability**2
    assert found.brier.value == pytest.approx(error.mean(), abs=1e-9)


def expected_chances(reference: ReferenceRows, month: ScoredRows) -> np.ndarray:
    """The calibrated chances of the month."""
    known = reference.scored
    weights = density_ratio(known.table, month.table, reference.weights)
    rng = np.random.default_rng(1)
    calibration = Calibration.fit(
        known.probability, reference.churned, weights, reference.entities, rng
    )
    return calibration.chance(month.probability)


def test_customers_are_ranked_by_the_raw_probability():
    """A version that ranks the wrong way round stays wrong after calibration."""
    world = World(7)
    month = World(8)
    turned = ReferenceRows(
        ScoredRows(world.columns, 1 - world.probability),
        world.churned, np.ones(CUSTOMERS), np.arange(CUSTOMERS),
    )  # fmt: skip
    found = estimate(turned, ScoredRows(month.columns, 1 - month.probability), Spending(400), 1)
    assert found is not None
    assert found.auc.value < 0.3


def test_value_is_of_the_customers_with_the_highest_risk_times_value():
    month = World(9)
    value = np.where(np.arange(CUSTOMERS) % 2 == 0, 100.0, 0.0)
    terms = ContactTerms(0.3, contact_cost=2.0, incentive=1.0)
    found = made(World(10).reference(), month, Spending(400, value, terms))
    listed = np.argsort(-month.probability * value, kind="stable")[:400]
    real = 0.3 * value[listed] @ month.chance[listed] - 400 * 3.0
    assert found.value is not None
    assert found.value.value == pytest.approx(real, rel=0.06)
    assert made(World(10).reference(), month).value is None


def test_budget_of_more_than_everybody_lists_everybody():
    month = World(11)
    found = made(World(12).reference(), month, Spending(10 * CUSTOMERS))
    assert found.hits.value == pytest.approx(found.churn_rate.value * CUSTOMERS)


def test_same_seed_gives_the_same_estimate():
    reference = World(13).reference()
    month = World(14)
    assert made(reference, month) == made(reference, month)


def test_interval_contains_the_error_of_the_calibration():
    """With a tenth of the reference the interval is wider; labels alone would not show that."""
    month = World(15)
    world = World(16)
    tenth = np.where(np.arange(CUSTOMERS) % 10 == 0, 1.0, 0.0)
    wide = made(world.reference(tenth), month).auc.interval
    narrow = made(world.reference(), month).auc.interval
    assert wide.high - wide.low > 1.6 * (narrow.high - narrow.low)


def test_repeated_customers_count_once():
    """The same customers in nine months know no more than in one."""
    world = World(17)
    month = World(18)
    few = np.arange(400)
    many = np.tile(few, 9)
    rows = ScoredRows(world.columns[many], world.probability[many])
    ones = np.ones(many.size)
    own = ReferenceRows(rows, world.churned[many], ones, many)
    as_others = ReferenceRows(rows, world.churned[many], ones, np.arange(many.size))
    wide = made(own, month).churn_rate.interval
    narrow = made(as_others, month).churn_rate.interval
    assert wide.high - wide.low > 1.5 * (narrow.high - narrow.low)


def test_no_estimate_for_customers_too_different_from_the_reference():
    assert estimate(World(19).reference(), World(20, moved=3.0).scored, Spending(400), 1) is None
    share = made(World(19).reference(), World(20)).effective_share
    assert share > 0.95


def test_a_constant_score_is_estimated_as_chance():
    world = World(27)
    flat = np.full(CUSTOMERS, 0.2)
    own = ReferenceRows(
        ScoredRows(world.columns, flat), world.churned, np.ones(CUSTOMERS), np.arange(CUSTOMERS)
    )
    found = estimate(own, ScoredRows(World(28).columns, flat), Spending(400), 1)
    assert found is not None
    assert found.auc.value == pytest.approx(0.5)
    assert found.hits.value == pytest.approx(400 * world.churned.mean(), rel=0.1)


def test_no_estimate_for_so_few_customers_that_nobody_may_churn():
    month = World(30)
    few = ScoredRows(month.columns[:3], month.probability[:3])
    assert estimate(World(29).reference(), few, Spending(1), 1) is None


def test_missing_and_constant_columns_are_read():
    world = World(21)
    month = World(22)
    holes = np.where(np.arange(CUSTOMERS) % 5 == 0, np.nan, month.columns[:, 2])
    ones = np.ones(CUSTOMERS)
    empty = np.full(CUSTOMERS, np.nan)
    before = np.column_stack([world.columns, ones, empty])
    after = np.column_stack([month.columns[:, :2], holes, ones, empty])
    weights = density_ratio(before, after, ones)
    assert np.isfinite(weights).all()
    assert (weights > 0).all()


def test_change_of_the_drivers_is_told_from_a_change_of_the_customers():
    reference = World(23).reference()
    ones = np.ones(CUSTOMERS)
    concept = World(24, old=0.0)
    found = split_fall(reference, concept.scored, concept.churned, ones)
    assert found is not None
    assert found.change < -0.2
    assert found.drivers / found.change > 0.9
    customers = World(25, spread=0.2)
    found = split_fall(reference, customers.scored, customers.churned, ones)
    assert found is not None
    assert found.change < -0.04
    assert abs(found.drivers) < 2 * found.drivers_error
    assert found.customers < -2 * found.customers_error
    assert found.customers + found.drivers == pytest.approx(found.change)
    far = World(26, moved=4.0)
    assert split_fall(reference, far.scored, far.churned, ones) is None
