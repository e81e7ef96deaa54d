"""Experiments after deployment: shadows compared with production, and tests of two versions."""

from collections.abc import Mapping
from typing import Any

import dagster as dg

from churn_platform.alerting.dagster_ui import report_url
from churn_platform.defs.contacts import contact_plan
from churn_platform.defs.monitoring import performance
from churn_platform.defs.resources import (
    HomeResource,
    as_of_partitions,
    markdown_table,
    month_of,
)
from churn_platform.defs.scoring import scores
from churn_platform.experiments.shadow_monitor import CHANGES_FILE, ShadowFigures

NOTHING = (
    "Nothing is tried: there is no shadow and no test. `churn shadow VERSION` or a rule starts a"
    " shadow, `churn test A B` a test."
)
LOOK_HEADS = ["month", "look:", "information:", "saved by A less B:", "boundary:"]
HEADS = [
    "shadow", "list:", "on both:", "enter:", "rank correlation:", "AUC on labels:", "hits:",
    "AUC of answers:",
]  # fmt: skip


@dg.asset(
    partitions_def=as_of_partitions,
    group_name="experiments",
    deps=[scores, performance, contact_plan],
    kinds={"numpy"},
)
def experiments(context: dg.AssetExecutionContext, home: HomeResource) -> dg.MaterializeResult:
    """Shadows compared with production: before labels whom each would list, and once labels
    are known who was right. Two versions tested on the customers that their lists save.
    """
    opened = home.open()
    as_of = month_of(context)
    record = opened.month.experiments(as_of)
    if record is None or not (record.shadows or record.test):
        return dg.MaterializeResult(metadata={"note": NOTHING})
    metadata: dict[str, dg.RawMetadataValue] = {}
    if record.test is not None:
        metadata |= model_test_metadata(record.test)
    if record.shadows:
        rows = [shadow_row(one) for one in record.shadows]
        metadata["shadows"] = markdown_table(HEADS, rows)
    for one in record.shadows:
        metadata[one.title] = " ".join(one.lines)
    changes = opened.reports / as_of.isoformat() / CHANGES_FILE
    if changes.exists():
        metadata["who enters and leaves"] = dg.MetadataValue.url(report_url(opened, changes))
        metadata["file"] = dg.MetadataValue.path(str(changes))
    return dg.MaterializeResult(metadata=metadata)


def model_test_metadata(test: Mapping[str, Any]) -> "dict[str, dg.RawMetadataValue]":
    """A test of two versions: how far it is, its looks, and what a person can do."""
    metadata: dict[str, dg.RawMetadataValue] = {"test": test["sentence"]}
    looks = [
        (look["months"][-1], f"{look['look']}", f"{look['information']:.0%}", _difference(look),
         f"{look['boundary']:.2f}")
        for look in test["looks"]
    ]  # fmt: skip
    if looks:
        metadata["looks of the test"] = markdown_table(LOOK_HEADS, looks)
    if test["command"]:
        metadata["proposed"] = test["command"]
    return metadata


def _difference(look: Mapping[str, Any]) -> str:
    """Customers saved a month by list A less those by list B, with the interval."""
    if look["difference"] is None or look["interval"] is None:
        return "too few customers"
    low, high = look["interval"]
    return f"{look['difference']:+.1f} [{low:+.1f}, {high:+.1f}]"


def shadow_row(shadow: ShadowFigures) -> tuple[str, ...]:
    """A row of the table; a dash for what is not known."""
    listed = shadow.listed
    figures = ["-"] * 4
    if listed is not None:
        correlation = "-" if listed.correlation is None else f"{listed.correlation:.2f}"
        figures = [str(listed.budget), str(listed.overlap), str(listed.enter), correlation]
    return shadow.name, *figures, *shadow.short_outcomes
