"""What a candidate is, what it carries, and the refit that catches a leak."""

import dataclasses
import datetime as dt
import io
import json

import numpy as np
import pandas as pd
import pytest

from churn_platform.base.errors import DataError, NotANumber
from churn_platform.contract.model import Contract, Costs
from churn_platform.contract.views import of_version
from churn_platform.evaluation.statistics import auc, chance_p_value
from churn_platform.features.training_dataset import TrainingDataset, entity_hashes
from churn_platform.training.candidate import (
    FILES,
    candidate_digest,
    candidate_of,
    fit_candidate,
    forward_scores,
    holdout_metrics,
    shuffled_refit,
)
from churn_platform.training.model import Recipe
from churn_platform_tests.gym import FEBRUARY


@pytest.fixture(scope="module")
def boosted(declare):
    """The gym with the default algorithm, which can memorise."""
    return declare(policy={"training": {"algorithm": "lightgbm"}})


@pytest.fixture(scope="module")
def files(candidate):
    """A version's files as the registry keeps them."""
    entities = io.BytesIO()
    np.save(entities, candidate.training_entities)
    card = json.dumps(candidate.card.as_json()).encode()
    contents = (candidate.model.to_bytes(), card, entities.getvalue(), b"{}")
    return dict(zip(FILES, contents, strict=True))


def leaking(dataset):
    """The dataset with every holdout row among the training rows too."""
    copied = dataset.frame[dataset.frame["holdout"]].assign(holdout=False)
    return TrainingDataset(
        pd.concat([dataset.frame, copied], ignore_index=True), dataset.window, dataset.digest
    )


def test_the_model_card_says_what_the_candidate_is_and_has_seen(gym, two_months, candidate):
    train = two_months.training_rows()
    card = candidate.card
    written = json.loads(json.dumps(card.as_json()))
    metrics = written.pop("metrics")
    made_from = written.pop("made_from")
    own = of_version(gym, FEBRUARY, tuple(gym.features))
    assert Contract.model_validate(written.pop("contract")) == own
    assert written == {
        "digest": candidate_digest(two_months, Recipe.of(gym), "code"),
        "model_name": "gym_churn",
        "algorithm": "logistic_regression",
        "as_of": "2024-02-29",
        "months": ["2024-02-29"],
        "training_rows": len(train),
        "training_churners": int(train["label"].sum()),
        "dataset_digest": two_months.digest,
        "contract_hash": gym.model_hash,
        "code_digest": "code",
        "threshold": candidate.model.threshold,
        "features": [{"name": name, "dtype": c.dtype} for name, c in gym.features.items()],
    }
    assert metrics == holdout_metrics(gym, two_months, candidate.model).as_dict()
    assert list(made_from) == [
        *("recipe", "holdout", "slices", "window", "known_at", "tables", "with")
    ]
    assert made_from["recipe"]["features"][0] == ["monthly_fee", "float"]
    assert made_from["window"] == {
        "training": ["2024-02-29"], "holdout": ["2024-02-29"], "forward": ["2024-01-31"],
    }  # fmt: skip
    assert np.array_equal(candidate.training_entities, entity_hashes(train["member"]))


def test_its_metrics_are_those_of_the_holdout_rows(gym, two_months, candidate):
    holdout = two_months.holdout_rows()
    metrics = holdout_metrics(gym, two_months, candidate.model)
    assert metrics.rows == len(holdout)
    assert metrics.auc == auc(holdout["label"].to_numpy(), candidate.model.probability(holdout))
    assert metrics.auc > 0.65


@pytest.mark.parametrize("algorithm", ["logistic_regression", "lightgbm"])
def test_nothing_of_a_candidate_but_its_metrics_hangs_on_the_holdout(
    declare, month, dataset_of, algorithm
):
    contract = declare(policy={"training": {"algorithm": algorithm}})
    dataset = dataset_of(contract, month(customers=600, seed=1))
    frame = dataset.frame.copy()
    holdout = frame["holdout"]
    frame.loc[holdout, "label"] = ~frame.loc[holdout, "label"]
    frame.loc[holdout, "monthly_fee"] = frame.loc[holdout, "monthly_fee"].to_numpy()[::-1]
    honest = fit_candidate(contract, dataset, "code")
    other = fit_candidate(contract, dataclasses.replace(dataset, frame=frame), "code")
    assert other.card.metrics["auc"] != honest.card.metrics["auc"]
    assert np.array_equal(
        other.model.probability(dataset.frame), honest.model.probability(dataset.frame)
    )
    assert other.model.threshold == honest.model.threshold
    assert np.array_equal(other.training_entities, honest.training_entities)


def test_anything_else_changes_the_digest(declare, gym, two_months):
    recipe = Recipe.of(gym)
    other_data = dataclasses.replace(two_months, digest="other")
    other_window = dataclasses.replace(
        two_months, window=dataclasses.replace(two_months.window, training=two_months.window.months)
    )
    digests = [
        candidate_digest(two_months, recipe, "code"),
        candidate_digest(two_months, recipe, "other code"),
        candidate_digest(other_data, recipe, "code"),
        candidate_digest(other_window, recipe, "code"),
        *(
            candidate_digest(two_months, dataclasses.replace(recipe, **change), "code")
            for change in (
                {"algorithm": "lightgbm"},
                {"seed": 8},
                {"features": recipe.features[:-1]},
                {"costs": Costs(missed_churner=6)},
                {"costs": Costs(needless_contact=2)},
            )
        ),
    ]
    assert len(set(digests)) == 9
    assert candidate_digest(two_months, Recipe.of(declare(slices=["region"])), "code") == digests[0]


def test_a_candidate_is_the_same_again_from_its_files(two_months, candidate, files):
    again = candidate_of(files, version=4)
    assert (again.version, again.card) == (4, candidate.card)
    assert again.model.features == candidate.model.features
    assert np.array_equal(again.training_entities, candidate.training_entities)
    assert np.array_equal(
        again.model.probability(two_months.frame), candidate.model.probability(two_months.frame)
    )


def test_training_entities_that_need_a_pickle_are_refused(files):
    objects = io.BytesIO()
    np.save(objects, np.array([{}], dtype=object), allow_pickle=True)
    with pytest.raises(ValueError, match="allow_pickle"):
        candidate_of({**files, "training_entities.npy": objects.getvalue()}, version=4)


def test_the_forward_scores_come_from_the_month_before(gym, two_months):
    before = two_months.forward_rows()
    holdout = two_months.holdout_rows()
    older = Recipe.of(gym).fit(before, before["label"], before["member"])
    assert set(before["as_of"]) == {"2024-01-31"}
    assert np.array_equal(forward_scores(gym, two_months), older.probability(holdout))


def test_a_month_before_with_too_few_churners_has_no_forward_scores_and_stops_nothing(
    gym, month, dataset_of
):
    assert forward_scores(gym, dataset_of(gym, month(customers=50))) is None  # no month before
    quiet = month(customers=200).assign(label=False)
    dataset = dataset_of(gym, quiet, month(dt.date(2024, 2, 29), customers=200, seed=2))
    assert len(dataset.forward_rows()) > 100
    assert forward_scores(gym, dataset) is None


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_refit_on_shuffled_labels_is_at_chance_unless_rows_leak(boosted, month, dataset_of, seed):
    dataset = dataset_of(boosted, month(seed=seed))
    refit = shuffled_refit(boosted, dataset)
    assert chance_p_value(refit.labels, refit.scores) > 0.001
    assert abs(auc(refit.labels, refit.scores) - 0.5) < 0.1
    leaked = shuffled_refit(boosted, leaking(dataset))
    assert chance_p_value(leaked.labels, leaked.scores) < 1e-6
    assert auc(leaked.labels, leaked.scores) > 0.65


def test_the_labels_are_shuffled_over_all_customers_once_a_row(gym, two_months):
    refit = shuffled_refit(gym, two_months)
    train = two_months.training_rows()
    holdout = two_months.holdout_rows()
    assert refit.scores.shape == refit.labels.shape == (len(holdout),)
    assert refit.labels.dtype == np.bool_
    assert 0 < refit.labels.sum() < int(train["label"].sum() + holdout["label"].sum())
    moved = (refit.labels != holdout["label"].to_numpy()).mean()
    rate = pd.concat([train, holdout])["label"].mean()
    assert moved == pytest.approx(2 * rate * (1 - rate), abs=0.08)
    assert np.array_equal(shuffled_refit(gym, two_months).labels, refit.labels)


def test_too_few_of_one_class_stop_a_candidate_and_leave_the_refit_out(gym, two_months):
    frame = two_months.frame
    still = frame.assign(label=frame["label"] & ~frame["holdout"])
    with pytest.raises(DataError, match="0 churners") as caught:
        fit_candidate(gym, dataclasses.replace(two_months, frame=still), "code")
    assert caught.value.code == "TOO_FEW_ROWS"

    def too_few(*_):
        raise DataError("too few")

    assert shuffled_refit(gym, two_months, too_few).why_not == "too few"


def test_nan_is_an_error_also_where_a_refit_that_cannot_be_made_is_left_out(gym, two_months):
    def nan(*_):
        raise NotANumber("3 of 4 scores are NaN")

    for refit in (forward_scores, shuffled_refit):
        with pytest.raises(NotANumber):
            refit(gym, two_months, nan)
