"""The calibrated classifier by itself: honest folds, a sigmoid that mends probabilities, exact contributions."""

import numpy as np
import pytest
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression

from churn_platform.base.errors import DataError
from churn_platform.training.estimator import SigmoidCalibrated, build_pipeline, log_odds


class Memoriser(ClassifierMixin, BaseEstimator):
    """Knows the entities (the first column) that it was fitted on: 0.9 for them, 0.1 for all others."""

    def fit(self, x, y):
        self.known_ = set(x[:, 0])
        self.classes_ = np.array([0, 1])
        return self

    def predict_proba(self, x):
        churn = np.array([0.9 if entity in self.known_ else 0.1 for entity in x[:, 0]])
        return np.column_stack([1 - churn, churn])


@pytest.fixture(scope="module")
def linear():
    """Two columns that drive churn and one that does not, (rows, 3), and labels of 0/1."""
    random = np.random.default_rng(4)
    x = random.normal(size=(800, 3))
    return x, (random.random(800) < 1 / (1 + np.exp(1.5 - x[:, 0] + 2 * x[:, 1]))).astype(int)


@pytest.fixture(scope="module")
def months_of_members():
    """60 members with 4 rows each, entity in the first column; labels of 0/1 and groups."""
    members = np.repeat(np.arange(60.0), 4)
    return members[:, None], np.random.default_rng(0).integers(0, 2, 240), members


def test_the_rows_of_one_entity_lie_in_one_fold(months_of_members):
    x, y, members = months_of_members
    fitted = SigmoidCalibrated(Memoriser()).fit(x, y, groups=members)
    assert np.ptp(fitted.out_of_fold_) == 0
    # Without groups a fold knows some of its entities, and only some.
    assert np.ptp(SigmoidCalibrated(Memoriser()).fit(x, y).out_of_fold_) > 0


def test_groups_of_one_row_each_are_folded_like_no_groups(linear):
    x, y = linear
    alone = SigmoidCalibrated(LogisticRegression()).fit(x, y)
    grouped = SigmoidCalibrated(LogisticRegression()).fit(x, y, groups=np.arange(len(y)))
    assert np.array_equal(alone.out_of_fold_, grouped.out_of_fold_)


def test_the_sigmoid_mends_probabilities_that_are_far_too_high(linear):
    x, y = linear
    balanced = LogisticRegression(class_weight="balanced")
    raw = balanced.fit(x, y).predict_proba(x)[:, 1]
    mended = SigmoidCalibrated(balanced).fit(x, y).predict_proba(x)[:, 1]
    assert raw.mean() > y.mean() + 0.1
    assert mended.mean() == pytest.approx(y.mean(), abs=0.01)
    assert ((mended - y) ** 2).mean() < ((raw - y) ** 2).mean()


def test_the_out_of_fold_scores_come_from_models_that_did_not_see_the_row():
    random = np.random.default_rng(1)
    x = np.arange(300.0)[:, None]
    y = random.integers(0, 2, 300)
    fitted = SigmoidCalibrated(Memoriser()).fit(x, y)
    assert np.ptp(fitted.out_of_fold_) == 0
    assert fitted.out_of_fold_.mean() == pytest.approx(y.mean(), abs=0.01)


def test_contributions_to_a_linear_model_are_exact(linear):
    x, y = linear
    fitted = SigmoidCalibrated(LogisticRegression()).fit(x, y)
    weights = fitted.estimator_.coef_[0]
    assert np.allclose(
        fitted.contributions(x), fitted.slope_ * weights * (x - x.mean(axis=0)), atol=1e-9
    )


def test_a_missing_number_does_not_hide_the_mean_that_a_column_is_compared_with(linear):
    x = linear[0].copy()
    y = linear[1]
    x[::7, 0] = np.nan
    fitted = SigmoidCalibrated(HistGradientBoostingClassifier(max_iter=20)).fit(x, y)
    at_mean = x[:50].copy()
    at_mean[:, 0] = np.nanmean(x[:, 0])
    assert np.abs(fitted.contributions(at_mean)[:, 0]).max() == 0
    assert np.abs(fitted.contributions(x)[:, 0]).mean() > 0.05


def test_log_odds_stay_finite_at_0_and_1():
    found = log_odds(np.array([0, 1e-6, 0.25, 0.5, 1]))
    assert found == pytest.approx([-13.8155, -13.8155, -1.0986, 0, 13.8155], abs=1e-4)


@pytest.mark.parametrize(
    ("algorithm", "name"),
    [
        ("lightgbm", "LGBMClassifier"),
        ("hist_gradient_boosting", "HistGradientBoostingClassifier"),
        ("logistic_regression", "LogisticRegression"),
        ("random_forest", "RandomForestClassifier"),
    ],
)
def test_each_algorithm_has_its_classifier_and_the_seed(algorithm, name):
    pipeline = build_pipeline(algorithm, (("tier", "category"), ("fee", "float")), 11)
    classifier = pipeline.named_steps["classify"].estimator
    assert (type(classifier).__name__, classifier.random_state) == (name, 11)


def test_a_fold_that_would_be_fitted_on_one_class_is_a_sentence_about_the_data():
    labels = np.array([1, 1, 0, 0, 0, 0, 0, 0])
    members = np.array([0, 0, 1, 2, 3, 4, 5, 6])  # every row of a churner is in one fold
    with pytest.raises(DataError, match="0 churners"):
        SigmoidCalibrated(LogisticRegression()).fit(np.arange(8.0)[:, None], labels, members)
