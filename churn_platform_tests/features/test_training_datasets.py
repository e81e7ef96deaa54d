"""Training datasets: rows in are rows out, as they were known, and only what was published is ever loaded."""

import datetime as dt

import pandas as pd
import pytest

from churn_platform.base.errors import IntegrityError
from churn_platform.features.feature_store import FeatureStore
from churn_platform.features.training_datasets import join
from churn_platform_tests.small_business import (
    CUSTOMERS,
    FEBRUARY,
    JANUARY,
    deliver,
    make_home,
    month_tables,
    open_home,
)

NOON = dt.datetime(2024, 2, 1, 12, tzinfo=dt.UTC)


@pytest.fixture
def home(tmp_path):
    """A home of sixty customers, its clock at noon of 1 February."""
    return make_home(tmp_path / "home", now=lambda: NOON)


def published(home, tables=None):
    """Deliver and publish January, of sixty customers unless other tables are given."""
    deliver(home, JANUARY, tables or month_tables(JANUARY, 60))
    home.ingestion.publish(JANUARY)


def corrected(home, days, **changes):
    """Publish January again with changed columns, `days` after its as_of; the home at that time."""
    then = dt.datetime(2024, 1, 31, tzinfo=dt.UTC) + dt.timedelta(days=days)
    tables = month_tables(JANUARY, 60)
    for column, value in changes.items():
        for table in tables.values():
            if column in table:
                table[column] = value
    later = open_home(home.folder, lambda: then)
    published(later, tables)
    return later


def test_every_labelled_customer_is_one_row_with_the_features_of_the_drop(january):
    dataset = january.training_datasets.load(JANUARY)
    frame, tables = dataset.frame.set_index("member"), month_tables(JANUARY)
    assert len(frame) == CUSTOMERS
    assert frame["as_of"].unique().tolist() == ["2024-01-31"]
    for table in tables.values():
        for column in table.columns.drop("member"):
            known = table.set_index("member")[column]
            name = "label" if column == "has_left" else column
            pd.testing.assert_series_equal(frame[name], known, check_dtype=False, check_names=False)
    columns = ["as_of", "months", "plan", "has_app", "hours", "town", "label", "holdout"]
    assert list(frame.columns) == columns
    assert frame["has_app"].isna().sum() == 300
    assert len(dataset.training_rows()) + len(dataset.holdout_rows()) == CUSTOMERS
    assert len(dataset.holdout_rows()) == 371


def test_a_dataset_is_loaded_as_it_was_built_and_its_record_says_what_from(home):
    published(home)
    built = home.training_datasets.build(JANUARY)
    loaded = home.training_datasets.load(JANUARY)
    pd.testing.assert_frame_equal(loaded.frame, built.frame)
    assert (loaded.digest, loaded.window) == (built.digest, built.window)
    record = home.records.read("training_dataset", JANUARY)
    labels = record.pop("labels")
    assert (labels["as_of"], labels["rows"], labels["warnings"]) == ("2024-01-31", 60, [])
    assert record == {
        **home.progress().made_from(JANUARY),
        "known_at": NOON.isoformat(),
        "digest": built.digest,
        "window": {"training": ["2024-01-31"], "holdout": ["2024-01-31"], "forward": []},
        "tables": dict(built.origin.tables),
        "left_out": {},
    }
    assert loaded.origin == built.origin
    assert home.training_datasets.known_at(JANUARY) == NOON
    assert home.training_datasets.build(JANUARY).digest == built.digest


def test_without_labels_there_is_no_dataset_and_a_record_that_says_so(home):
    tables = month_tables(JANUARY, 60)
    del tables["leavers"]
    published(home, tables)
    assert home.training_datasets.build(JANUARY) is None
    assert home.training_datasets.load(JANUARY) is None
    assert home.records.read("training_dataset", JANUARY)["digest"] is None


def test_what_was_never_built_or_was_changed_since_is_not_loaded(january_copy):
    with pytest.raises(
        IntegrityError, match="There is no training dataset of 2024-02-29: materialize"
    ):
        january_copy.training_datasets.load(FEBRUARY)
    path = january_copy.records.path("training_dataset", JANUARY, ".parquet")
    frame = pd.read_parquet(path)
    frame.loc[7, "label"] = not frame.loc[7, "label"]
    frame.to_parquet(path, index=False)
    with pytest.raises(
        IntegrityError, match="The training dataset of 2024-01-31 is not what was published"
    ):
        january_copy.training_datasets.load(JANUARY)


@pytest.mark.parametrize(("days", "seen"), [(3, True), (9, False)])
def test_corrections_reach_the_dataset_within_the_delivery_days_only_slices_too(home, days, seen):
    published(home)
    before = home.training_datasets.build(JANUARY)
    later = corrected(home, days, months=99, town="south")
    after = later.training_datasets.build(JANUARY)
    assert (after.frame["months"] == 99).all() == seen
    assert (after.frame["town"] == "south").all() == seen
    assert (after.digest != before.digest) == seen
    assert later.training_datasets.mismatches(after, later.training_datasets.known_at(JANUARY)) == 0


def test_a_label_corrected_later_changes_the_dataset(home):
    published(home)
    before = home.training_datasets.build(JANUARY).frame.set_index("member")["label"]
    later = corrected(home, 40, has_left=~month_tables(JANUARY, 60)["leavers"]["has_left"])
    after = later.training_datasets.build(JANUARY).frame.set_index("member")["label"]
    assert (after == ~before).all()


def test_the_check_beside_feast_counts_exactly_the_cells_that_differ(home):
    published(home)
    dataset = home.training_datasets.build(JANUARY)
    assert home.training_datasets.mismatches(dataset, NOON) == 0
    frame = dataset.frame
    nulls, known = frame.index[frame["has_app"].isna()], frame.index[frame["hours"].notna()]
    frame.loc[nulls[:2], "has_app"] = True
    frame.loc[known[:3], "hours"] = None
    frame.loc[frame.index[:4], "plan"] = "other"
    assert home.training_datasets.mismatches(dataset, NOON) == 9


def test_a_labelled_customer_without_features_is_a_row_of_nulls(home):
    tables = month_tables(JANUARY, 60)
    for name in ("members", "visits"):
        tables[name] = tables[name].iloc[1:]
    published(home, tables)
    frame = home.training_datasets.build(JANUARY).frame.set_index("member")
    assert len(frame) == 60
    assert frame.loc["m00000", ["months", "plan", "has_app", "hours", "town"]].isna().all()


def test_a_dataset_says_what_it_was_read_from_and_can_be_joined_again_after_a_correction(
    january_copy, tmp_path
):
    dataset = january_copy.training_datasets.load(JANUARY)
    entries = january_copy.lake.deliveries(JANUARY)[0].tables
    assert dataset.origin.tables == {
        f"{name} 2024-01-31": entry.digest for name, entry in entries.items()
    }
    tables = month_tables(JANUARY)
    tables["leavers"]["has_left"] = ~tables["leavers"]["has_left"]
    published(january_copy, tables)
    home = open_home(january_copy.folder)
    store = FeatureStore(tmp_path / "feast", home.contract)
    known_at = dt.datetime.fromisoformat(dataset.origin.known_at)
    again = join(home.labels, store, dataset.window, known_at)
    assert (again.digest, again.origin) == (dataset.digest, dataset.origin)
    assert join(home.labels, store, dataset.window, home.now()).digest != dataset.digest
