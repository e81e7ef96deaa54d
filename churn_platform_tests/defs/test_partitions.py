"""The partition: as_of, dynamic, and what a run reads from it."""

import datetime as dt

import dagster as dg
import pytest

from churn_platform.defs.partitions import as_of_partitions, month_of


def test_any_cadence_fits_because_the_partitions_are_dynamic():
    assert isinstance(as_of_partitions, dg.DynamicPartitionsDefinition)
    assert as_of_partitions.name == "as_of"


def test_the_month_of_a_run_is_its_partition_as_a_date():
    with dg.build_asset_context(partition_key="2024-02-29") as context:
        assert month_of(context) == dt.date(2024, 2, 29)


def test_a_partition_that_is_no_date_is_an_error():
    with (
        dg.build_asset_context(partition_key="february") as context,
        pytest.raises(ValueError, match="february"),
    ):
        month_of(context)
