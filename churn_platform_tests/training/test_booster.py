"""LightGBM's C library called directly: the same figures as its Python package, without importing it."""

import json
import subprocess
import sys

import numpy as np
import pytest

from churn_platform.base.errors import IntegrityError
from churn_platform.training.release_loading import LightGBMBooster


@pytest.fixture(scope="module")
def trained():
    """LightGBM's own booster on 400 rows of 6 columns with nulls, and the rows."""
    import lightgbm

    random = np.random.default_rng(3)
    rows = random.normal(size=(400, 6))
    rows[random.random(rows.shape) < 0.1] = np.nan
    labels = np.nan_to_num(rows[:, 0]) + random.normal(size=400) > 0
    model = lightgbm.LGBMClassifier(n_estimators=30, num_leaves=7, n_jobs=1, verbose=-1).fit(
        rows, labels
    )
    return model.booster_, rows


@pytest.fixture(scope="module")
def ours(trained):
    return LightGBMBooster(trained[0].model_to_string().encode())


def test_probabilities_are_bit_for_bit_those_of_the_package(trained, ours):
    booster, rows = trained
    expected = booster.predict(rows)
    for layout in (rows, np.asfortranarray(rows)):
        assert ours.probability(layout).tolist() == expected.tolist()
    assert [ours.probability(row[None])[0] for row in rows[:50]] == expected[:50].tolist()


def test_contributions_are_those_of_the_package_without_the_base(trained, ours):
    booster, rows = trained
    expected = booster.predict(rows, pred_contrib=True)[:, :-1]
    assert ours.contributions(rows).tolist() == expected.tolist()
    assert ours.contributions(rows[:1]).tolist() == expected[:1].tolist()


def test_a_text_that_is_no_booster_is_refused_in_one_sentence():
    with pytest.raises(IntegrityError, match=r"LightGBM refused the booster \(.+\): not loaded"):
        LightGBMBooster(b"tree\nnonsense")


def test_boosters_come_and_go_without_touching_each_other(trained, ours):
    booster, rows = trained
    for _ in range(20):
        LightGBMBooster(booster.model_to_string().encode()).probability(rows[:1])
    assert ours.probability(rows[:1]).tolist() == booster.predict(rows[:1]).tolist()


def test_neither_the_package_nor_scikit_learn_is_imported(trained, tmp_path):
    text = tmp_path / "booster.txt"
    text.write_text(trained[0].model_to_string())
    script = (
        "import sys, json, numpy as np\nfrom churn_platform.training.release_loading import LightGBMBooster\n"
        "found = LightGBMBooster(open(sys.argv[1], 'rb').read()).probability(np.zeros((1, 6)))\n"
        "heavy = {'lightgbm', 'sklearn', 'pandas', 'pyarrow', 'scipy'} & set(sys.modules)\n"
        "print(json.dumps([found.tolist(), sorted(heavy)]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(text)], capture_output=True, text=True, check=True
    )
    [probability], heavy = json.loads(done.stdout)
    assert probability == trained[0].predict(np.zeros((1, 6)))[0]
    assert heavy == []
