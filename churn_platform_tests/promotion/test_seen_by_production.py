"""Which holdout rows an imported model may have been trained on: by its list, by the contract's date, by its import."""

import datetime as dt

import numpy as np
import pandas as pd
import pytest

from churn_platform.features.training_dataset import TrainingDataset, entity_hashes
from churn_platform.lake.window import Window
from churn_platform.promotion.gate import seen_by_production
from churn_platform.training.candidate import Candidate
from churn_platform.training.imported import first_unseen, unseen_from
from churn_platform.training.release import Imported, ModelCard
from churn_platform_tests.small_business import DECLARED, FEBRUARY, JANUARY, MARCH, declared

MONTHS = (JANUARY, FEBRUARY, MARCH)


def contract(trained_before=None, period="after", horizon=1):
    promotion = DECLARED["policy"]["promotion"]
    if trained_before:
        promotion = promotion | {"incumbent_trained_before": trained_before}
    return declared(
        label=DECLARED["label"] | {"period": period, "horizon": {"months": horizon}},
        policy=DECLARED["policy"] | {"promotion": promotion},
    )


def version(customers=(), as_of=None, imported_on="2026-11-30"):
    imported = Imported(
        source="model.skops", file="model.skops", sha256="0" * 64, format="skops", estimator="Pipeline",
        reads=[], positive_class=1, imported_on=imported_on, by="Ann", reason="Ours.", as_of=as_of,
        customers=len(customers) or None, sample=[], libraries={},
    )  # fmt: skip
    card = ModelCard(
        digest="d", model_name="gym", algorithm="imported", as_of=imported_on, months=[], training_rows=0,
        training_churners=0, dataset_digest="", contract_hash="", code_digest="", threshold=0.5, features=[],
        metrics={}, imported=imported,
    )  # fmt: skip
    return Candidate(None, card, entity_hashes(customers), 1)


@pytest.fixture(scope="module")
def dataset():
    """Two holdout customers, a and b, and c who is not, in three months."""
    frame = pd.DataFrame(
        [(key, month.isoformat(), key != "c") for month in MONTHS for key in "abc"],
        columns=["member", "as_of", "holdout"],
    )
    return TrainingDataset(frame, Window(MONTHS[-1:], MONTHS, ()), "digest")


def unseen_months(saw, dataset):
    rows = dataset.holdout_rows()
    return [] if saw is None else sorted(rows["as_of"][~saw].unique())


def test_customers_of_the_list_and_no_others_are_seen_in_every_month(dataset):
    saw, said = seen_by_production(contract("2024-01-01"), dataset, version(["a", "x"]))
    rows = dataset.holdout_rows()
    assert np.array_equal(saw, (rows["member"] == "a").to_numpy())
    assert "2 customers" in said


def test_a_list_without_any_customer_of_these_months_is_none(dataset):
    saw, said = seen_by_production(contract("2024-01-01"), dataset, version(["A", "B"]))
    assert saw is None
    assert "another way" in said


@pytest.mark.parametrize(
    ("trained_before", "as_of", "period", "horizon", "unseen"),
    [
        (None, None, "after", 1, ()),
        (None, "2020-01-31", "after", 1, ()),  # the month of its training proves nothing
        ("2024-01-31", None, "after", 1, MONTHS),
        ("2024-02-01", None, "after", 1, MONTHS[1:]),
        ("2024-03-31", None, "after", 1, MONTHS[2:]),
        ("2024-04-01", None, "after", 1, ()),
        ("2027-01-01", None, "after", 1, ()),
        # It was trained on January: when its labels were known, and not before.
        ("2024-01-01", "2024-01-31", "after", 1, MONTHS[1:]),
        ("2024-01-01", "2024-01-31", "after", 2, MONTHS[2:]),
        ("2024-01-01", "2024-02-29", "after", 0, MONTHS[2:]),
        # The label looks back over a month of which a part had happened.
        ("2024-01-31", None, "before", 0, MONTHS[1:]),
        ("2024-02-01", None, "before", 0, MONTHS[2:]),
    ],
)
def test_rows_of_months_that_had_not_begun_are_unseen(
    dataset, trained_before, as_of, period, horizon, unseen
):
    own = contract(trained_before, period, horizon)
    saw, _ = seen_by_production(own, dataset, version(as_of=as_of))
    assert unseen_months(saw, dataset) == [month.isoformat() for month in unseen]


def test_months_after_the_import_are_unseen_without_any_statement(dataset):
    saw, said = seen_by_production(contract(), dataset, version(imported_on="2024-02-29"))
    assert unseen_months(saw, dataset) == ["2024-03-31"]
    assert "2024-03-01" in said


def test_a_later_date_than_the_import_changes_nothing():
    card = version(imported_on="2024-02-29").card
    assert unseen_from(contract("2025-01-01"), card) == dt.date(2024, 3, 1)
    assert first_unseen(contract(period="before", horizon=0), JANUARY) == FEBRUARY
