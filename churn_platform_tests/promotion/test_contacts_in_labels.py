"""What contacts do to the evidence of a promotion."""

import datetime as dt

import pandas as pd
import pytest

from churn_platform.contract.model import Contract
from churn_platform.features.training_dataset import (
    AS_OF,
    HOLDOUT,
    LABEL,
    OUTSIDE,
    WEIGHT,
    TrainingDataset,
    row_weights,
)
from churn_platform.lake.window import Window
from churn_platform.promotion.gate import label_doubts

MONTH = dt.date(2024, 1, 31)


def dataset(weights: list[float], outside: int = 0) -> TrainingDataset:
    """200 rows, every second one in the holdout, every fourth a churner."""
    count = 200
    frame = pd.DataFrame(
        {
            "member": [f"M{number}" for number in range(count)],
            AS_OF: MONTH.isoformat(),
            LABEL: [number % 4 == 0 for number in range(count)],
            HOLDOUT: [number % 2 == 1 for number in range(count)],
            WEIGHT: (weights * count)[:count],
            OUTSIDE: [number % 2 == 1 and number < 2 * outside for number in range(count)],
        }
    )
    window = Window((MONTH,), (MONTH,), ())
    return TrainingDataset(frame, window, "digest")


def test_rows_assigned_or_contacted_outside_a_plan_do_not_train() -> None:
    found = dataset([1.0, 0.0, 10.0, 0.0])
    assert len(found.training_rows()) == 100
    assert (found.training_rows()[WEIGHT] > 0).all()
    contacted = dataset([1.0])
    contacted.frame[OUTSIDE] = True
    assert contacted.training_rows().empty
    assert len(contacted.holdout_rows()) == 100


def test_assigned_rows_leave_the_holdout_and_the_others_keep_their_weight() -> None:
    held = dataset([1.0, 0.0, 10.0, 10.0]).holdout_rows()
    assert len(held) == 50
    assert row_weights(held).tolist() == [10.0] * 50  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("weights", "outside", "doubts"),
    [
        ([1.0], 0, 0),
        ([1.0], 1, 0),
        ([1.0], 2, 1),
        ([1.0, 0.0, 1.0, 10.0], 0, 0),
        ([1.0, 0.0, 1.0, 1.02], 0, 1),
    ],
)
def test_contacts_that_chance_did_not_decide_are_a_doubt(
    gym: Contract, weights: list[float], outside: int, doubts: int
) -> None:
    found = label_doubts(gym, dataset(weights, outside))
    assert len([doubt for doubt in found if "holdout customers" in doubt]) == doubts
