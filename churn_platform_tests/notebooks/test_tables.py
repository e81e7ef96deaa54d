"""The tables of the Python API, made from records alone: what must not be shown is not shown."""

import dataclasses
import datetime as dt
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from churn_platform.contacts.campaign import CampaignRecord
from churn_platform.contacts.effect import EffectState, WithheldBecause, effect_of
from churn_platform.features.training_dataset import OUTSIDE, WEIGHT, TrainingDataset
from churn_platform.ingestion import drop
from churn_platform.ingestion.drop import FileDigests
from churn_platform.lake.records import Records
from churn_platform.lake.window import Window
from churn_platform.notebooks.datasets import dataset_frame
from churn_platform.notebooks.opened_model import OpenedModel
from churn_platform.notebooks.tables import effect_table, performance_table
from churn_platform_tests.contacts.campaigns import Campaign, drawn
from churn_platform_tests.monitoring.test_track_record import history

JANUARY, FEBRUARY = dt.date(2024, 1, 31), dt.date(2024, 2, 29)


def performance(folder, *misses):
    """The table of a home whose estimates missed by so much."""
    stored = Records(folder)
    for number, record in enumerate(history(*misses)):
        month = dt.date(2020 + number // 12, number % 12 + 1, 28)
        stored.write("performance", month, record.as_json())
    return performance_table(stored)


def test_an_estimate_stays_next_to_what_labels_showed_later(tmp_path):
    frame = performance(tmp_path, 0.01, -0.01)
    assert frame["as_of"].is_monotonic_increasing
    assert frame["estimated_auc"].tolist() == [0.82, 0.82, 0.82]
    assert frame["auc"].tolist()[:2] == pytest.approx([0.83, 0.81])
    assert np.isnan(frame["auc"].iloc[2])
    assert frame["state"].isna().all()


def test_an_estimate_is_shown_as_it_was_shown_then(tmp_path):
    frame = performance(tmp_path, 0.0, -0.3, 0.0)
    shown = frame["estimated_auc"].notna().tolist()
    assert shown == [True, True, False]  # withdrawn when the second month was known
    assert frame["auc"].notna().all()


def test_a_withheld_verdict_has_no_figures():
    effect = effect_of(drawn(Campaign(months=3), 1).months, 1.96)
    shown = effect_table(CampaignRecord(effect=effect))
    assert shown.loc[0, ["prevented", "low"]].tolist() == [
        effect.effect.value,
        effect.effect.interval.low,
    ]
    doubted = dataclasses.replace(
        effect, state=EffectState.WITHHELD, doubts=(WithheldBecause.SAMPLE_RATIO,)
    )
    withheld = effect_table(CampaignRecord(effect=doubted))
    assert len(withheld) == 1
    assert withheld[["prevented", "low", "high"]].isna().all(axis=None)


def test_rows_of_assigned_customers_weigh_nothing_and_train_nothing():
    frame = pd.DataFrame(
        {
            "member": ["a", "b", "c", "d"],
            "as_of": ["2024-01-31", "2024-02-29", "2024-02-29", "2024-02-29"],
            "label": [True, False, True, False],
            "holdout": [False, False, True, False],
            WEIGHT: [1.0, 0.0, 1.25, 1.25],
            OUTSIDE: False,
        }
    )
    window = Window(training=(FEBRUARY,), holdout=(FEBRUARY,), forward=(JANUARY,))
    shown = dataset_frame(TrainingDataset(frame, window, ""))
    assert shown["part"].tolist() == ["", "", "holdout", "training"]
    assert shown["weight"].tolist() == [1.0, 0.0, 1.25, 1.25]


class Halves:
    """A model that reads one column and predicts half of it."""

    features = (("hours", "float"),)
    threshold = 0.3

    def probability(self, rows):
        return rows["hours"].to_numpy() / 2


def test_probabilities_are_of_staying_and_of_leaving():
    card = SimpleNamespace(as_json=dict)
    model = OpenedModel(SimpleNamespace(model=Halves(), version=1, card=card), None)
    found = model.predict_proba(pd.DataFrame({"other": [0, 0], "hours": [0.2, 1.0]}))
    assert found.tolist() == [[0.9, 0.1], [0.5, 0.5]]


def test_a_version_without_figures_is_shown_without_them():
    card = SimpleNamespace(as_json=lambda: {"algorithm": "imported", "months": [], "metrics": {}})
    model = OpenedModel(SimpleNamespace(model=Halves(), version=1, card=card), None)
    assert repr(model) == "<version 1: imported, trained on unknown months>"
    assert "AUC" not in model._repr_html_()


def test_a_home_that_is_only_read_keeps_no_digests(tmp_path, monkeypatch):
    monkeypatch.setattr(drop, "SETTLED", -1)
    (tmp_path / "visits.csv").write_text("member,hours\n")
    memory = tmp_path / "memory.json"
    digests = FileDigests(tmp_path, memory)
    digests.saves = False
    digests.of(tmp_path / "visits.csv")
    digests.save()
    assert not memory.exists()
    digests.saves = True
    digests.save()
    assert memory.exists()
