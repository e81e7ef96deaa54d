"""The one partition: as_of, dynamic, so any cadence works."""

import datetime as dt

import dagster as dg

as_of_partitions = dg.DynamicPartitionsDefinition(name="as_of")


def month_of(context: dg.AssetExecutionContext) -> dt.date:
    """The as_of of the run's partition."""
    return dt.date.fromisoformat(context.partition_key)
