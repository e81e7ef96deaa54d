"""Training: the candidate, fitted, measured, logged and registered."""

import datetime as dt
from collections.abc import Iterator
from typing import Any

import dagster as dg

from churn_platform.base.errors import DataError, NotANumber
from churn_platform.defs.features import training_dataset
from churn_platform.defs.partitions import as_of_partitions, month_of
from churn_platform.defs.resources import HomeResource
from churn_platform.features.training_dataset import LABEL, TrainingDataset


@dg.asset(
    partitions_def=as_of_partitions,
    group_name="training",
    deps=[training_dataset],
    kinds={"sklearn", "mlflow"},
    output_required=False,
)
def candidate_model(
    context: dg.AssetExecutionContext, home: HomeResource, mlflow: dg.ResourceParam[Any]
) -> Iterator[dg.MaterializeResult]:
    """One scikit-learn pipeline fitted on the training rows, registered in MLflow as
    `candidate`.

    The same data, recipe and code are the same version: nothing is registered twice. A training
    that the data cannot support is recorded with its reason; the run stays green and what
    follows is skipped.
    """
    from churn_platform.base.provenance import code_digest, made_with
    from churn_platform.evaluation.plots import candidate_plots, markdown_image
    from churn_platform.ingestion.month_warnings import refusal_sentence
    from churn_platform.loop.training_requests import record_refused_training
    from churn_platform.training.candidate import candidate_digest, fit_candidate
    from churn_platform.training.model import Recipe
    from churn_platform.training.registry import CANDIDATE

    opened = home.open()
    as_of = month_of(context)
    published = opened.training_datasets.load(as_of)
    registry = opened.registry
    code = code_digest()
    run_id = mlflow.active_run().info.run_id
    try:
        dataset = _labelled(published, as_of)
        version = registry.find(candidate_digest(dataset, Recipe.of(opened.contract), code))
        if version is not None:
            candidate = registry.load(version)
        else:
            candidate = fit_candidate(opened.contract, dataset, code, made_with())
    except NotANumber:  # a fault of the model or of the code, never a property of the data
        raise
    except DataError as error:
        record_refused_training(opened, as_of, published, str(error))
        why = refusal_sentence(str(error))
        registry.tag_run(run_id, {"as_of": as_of.isoformat(), "refused": why})
        mlflow.end_run()
        _show_refusal(context, as_of.isoformat(), why)
        return
    fresh = version is None
    holdout = dataset.holdout_rows()
    plots = candidate_plots(holdout[LABEL].to_numpy(), candidate.model.probability(holdout))
    if version is None:
        version = registry.register(candidate, dataset.training_rows(), plots, run_id)
    else:
        registry.set_alias(CANDIDATE, version)
    registry.tag_run(
        run_id,
        {"as_of": as_of.isoformat(), "version": str(version), "fitted": str(fresh).lower()},
    )
    mlflow.end_run()
    metrics = candidate.card.metrics
    figures = {name: round(value, 4) for name, value in metrics.items() if isinstance(value, float)}
    yield dg.MaterializeResult(
        metadata={
            "version": str(version),
            "registered": "now" if fresh else "earlier: same data, recipe and code",
            "algorithm": candidate.card.algorithm,
            "threshold": candidate.card.threshold,
            **figures,
            "plots": dg.MetadataValue.md(
                "\n".join(markdown_image(png, name) for name, png in plots.items())
            ),
            "MLflow run": run_id,
            "digest": candidate.digest,
        }
    )


def _labelled(dataset: TrainingDataset | None, as_of: dt.date) -> TrainingDataset:
    if dataset is None:
        raise DataError(
            f"No labels have matured up to {as_of}: there is nothing to train on.",
            code="LABELS_NOT_MATURED",
        )
    return dataset


def _show_refusal(context: dg.AssetExecutionContext, as_of: str, why: str) -> None:
    """The reason where people look for it in the UI: the run's log and the asset's events."""
    context.log.warning(why)
    context.log_event(
        dg.AssetObservation(asset_key=context.asset_key, partition=as_of, description=why)
    )
