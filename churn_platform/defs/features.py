"""Features: the Feast views and the point-in-time training dataset with its checks."""

from collections.abc import Mapping
from typing import Any

import dagster as dg

from churn_platform.defs.ingestion import snapshot
from churn_platform.defs.resources import (
    HomeResource,
    as_of_partitions,
    markdown_table,
    month_of,
)
from churn_platform.evaluation.leaks import Alone, judge_alone
from churn_platform.features.customer_sample import CustomerSample
from churn_platform.features.training_dataset import AS_OF, LABEL, TrainingDataset


@dg.asset(
    partitions_def=as_of_partitions,
    group_name="features",
    deps=[snapshot],
    kinds={"feast", "duckdb"},
)
def feature_views(context: dg.AssetExecutionContext, home: HomeResource) -> dg.MaterializeResult:
    """The Feast repository generated from the contract, and the month's features in the online
    store.

    The online store only moves forward in time: an older month does not change it.
    """
    opened = home.open()
    as_of = month_of(context)
    store = opened.feature_store
    now = opened.now()
    names = store.apply(opened.lake.view(now, as_at_scoring=True))
    written = store.materialize(opened.lake.view(now, as_at_scoring=False), as_of)
    return dg.MaterializeResult(
        metadata={
            "feature views": ", ".join(names),
            "features": len(opened.contract.features),
            "online store": (
                f"holds {store.online_as_of()}"
                + ("" if written else f"; {as_of} is older and stayed out")
            ),
            "repository": dg.MetadataValue.path(str(store.folder)),
        }
    )


@dg.asset(
    partitions_def=as_of_partitions,
    group_name="features",
    deps=[feature_views],
    kinds={"feast", "pandas"},
)
def training_dataset(context: dg.AssetExecutionContext, home: HomeResource) -> dg.MaterializeResult:
    """Features as they were known when each month was scored, with matured labels and the
    stable holdout.

    The holdout is a quarter of the customers, chosen by a salted hash. It never trains a model,
    in any month.
    """
    opened = home.open()
    as_of = month_of(context)
    dataset = opened.month.training_dataset(as_of)
    if dataset is None:
        return dg.MaterializeResult(
            metadata={"note": "No labels have matured yet: nothing to train on."}
        )
    return dg.MaterializeResult(metadata=_metadata(dataset))


DATASET_CHECKS = (
    dg.AssetCheckSpec(
        "no_feature_from_after_its_moment",
        asset=training_dataset,
        description=(
            "Every feature equals what the lake knew when its month was scored, joined without"
            " Feast."
        ),
    ),
    dg.AssetCheckSpec(
        "no_holdout_entity_in_training",
        asset=training_dataset,
        description="No customer of the holdout is among the training rows of any month.",
    ),
    dg.AssetCheckSpec(
        "labels_plausible",
        asset=training_dataset,
        description=(
            "The labels look like churn: rate in range, churners stay away, months agree."
        ),
    ),
    dg.AssetCheckSpec(
        "no_feature_tells_the_label",
        asset=training_dataset,
        description=(
            "No feature alone predicts churn. One that does is probably known only after"
            " churning (GATE011)."
        ),
    ),
)


def sample_metadata(sample: CustomerSample | None) -> dict[str, str]:
    """The sentence of a sample of customers; nothing for all customers."""
    return {} if sample is None else {"sample": sample.sentence}


@dg.multi_asset_check(name="training_dataset_checks", specs=DATASET_CHECKS)
def training_dataset_checks(context: dg.AssetCheckExecutionContext, home: HomeResource):  # noqa: ANN201 - generator
    """Judge the published training dataset from the lake, without Feast."""
    opened = home.open()
    as_of = month_of(context)  # type: ignore[arg-type]
    dataset = opened.training_datasets.load(as_of)
    month = {"as_of": as_of.isoformat()}
    left_out = list(opened.progress().left_out(as_of).values())
    if dataset is None:
        note = " ".join(left_out) or "no matured labels yet"
        for spec in DATASET_CHECKS:
            passed = not left_out or spec.name != "labels_plausible"
            metadata = month | {"note": note}
            yield dg.AssetCheckResult(
                passed=passed,
                severity=dg.AssetCheckSeverity.WARN,
                check_name=spec.name,
                metadata=metadata,
            )
        return
    wrong = opened.training_datasets.mismatches(dataset, opened.training_datasets.known_at(as_of))
    yield dg.AssetCheckResult(
        passed=not wrong,
        check_name="no_feature_from_after_its_moment",
        metadata=month | {"rows compared": len(dataset.frame), "cells that differ": wrong},
    )
    key = opened.contract.entity.column
    shared = set(dataset.training_rows()[key]) & set(dataset.holdout_rows()[key])
    yield dg.AssetCheckResult(
        passed=not shared,
        check_name="no_holdout_entity_in_training",
        metadata=month | {"customers in both": len(shared)},
    )
    yield _label_result(opened.records.read("training_dataset", as_of) or {}, left_out, month)
    rows = dataset.newest_rows()
    alone = judge_alone(opened.contract, rows, rows[LABEL])
    yield _leak_result(alone, month)
    opened.training_datasets.record_failed_checks(as_of, _failed(wrong, len(shared), alone))


def _failed(wrong: int, shared: int, alone: Alone) -> dict[str, str]:
    """The failed checks with a sentence each; the plausibility of the labels has figures of its
    own in the record.
    """
    found = {}
    if wrong:
        said = f"{wrong:,} cells differ from what the lake knew when their month was scored."
        found["no_feature_from_after_its_moment"] = said
    if shared:
        found["no_holdout_entity_in_training"] = (
            f"{shared:,} customers of the holdout are in the training rows."
        )
    if alone.leaks:
        named = ", ".join(f"{name} (AUC {auc:.3f})" for name, auc in alone.leaks.items())
        found["no_feature_tells_the_label"] = f"Probably known only after churning: {named}."
    return found


def _leak_result(alone: Alone, month: dict[str, str]) -> dg.AssetCheckResult:
    """WARN rather than ERROR: the candidate is refused by GATE011, the month's scores are not
    in doubt.
    """
    aucs = sorted(alone.aucs.items(), key=lambda found: -found[1])
    rows = [(name, f"{auc:.3f}") for name, auc in aucs]
    named = ", ".join(f"{name} (AUC {auc:.3f})" for name, auc in alone.leaks.items())
    said = "No feature alone predicts churn."
    if named:
        said = f"Known only after churning? {named}"
    return dg.AssetCheckResult(
        passed=not alone.leaks,
        severity=dg.AssetCheckSeverity.WARN,
        check_name="no_feature_tells_the_label",
        description=said,
        metadata=month
        | {"limit": alone.limit, "beyond luck above": alone.certain}
        | {"alone": markdown_table(["feature", "AUC alone:"], rows)},
    )


LABEL_FIGURES = {
    "churn rate": "churn_rate",
    "churners": "churners",
    "churners that came back": "returned",
    "churned the month before": "churned_before",
    "agreement with last month": "agreement",
    "agreement by chance": "chance",
}
"""What the check shows -> the name in the record."""


def _label_result(
    record: Mapping[str, Any], left_out: list[str], month: dict[str, str]
) -> dg.AssetCheckResult:
    """The plausibility of the newest labels, from the record of the dataset. A record of an
    early version has none.
    """
    found = record.get("labels") or {}
    warnings = [*found.get("warnings", ()), *left_out]
    unknown = (
        "An earlier version made the dataset and did not judge its labels: materialize"
        " training_dataset again."
    )
    return dg.AssetCheckResult(
        passed=not warnings,
        severity=dg.AssetCheckSeverity.WARN,
        check_name="labels_plausible",
        description=" ".join(warnings) or ("Nothing looks wrong." if found else unknown),
        metadata=month
        | {name: found[key] for name, key in LABEL_FIGURES.items() if found.get(key) is not None},
    )


def _metadata(dataset: TrainingDataset) -> dict[str, object]:
    train = dataset.training_rows()
    holdout = dataset.holdout_rows()
    rows = []
    for name, part in (("training", train), ("holdout", holdout)):
        churners = int(part[LABEL].sum())
        months = ", ".join(sorted(part[AS_OF].unique()))
        rows.append((name, f"{len(part):,}", f"{churners:,}", months))
    return {
        "rows": markdown_table(["", "rows:", "churners:", "months"], rows),
        **sample_metadata(dataset.sample),
        "dagster/row_count": len(dataset.frame),
        "churn rate": float(train[LABEL].astype(float).mean()),
        "months one cadence earlier (forward value)": (
            ", ".join(m.isoformat() for m in dataset.window.forward) or "none"
        ),
        "digest": dataset.digest,
    }
