"""Training: the candidate, fitted, measured, logged and registered."""

from typing import Any

import dagster as dg

from churn_platform.adapters.features.training_data import load_training_dataset
from churn_platform.core.training_dataset import LABEL
from churn_platform.defs.features import training_dataset
from churn_platform.defs.partitions import as_of_partitions, month_of
from churn_platform.defs.resources import HomeResource
from churn_platform.errors import DataError


@dg.asset(partitions_def=as_of_partitions, group_name="training", deps=[training_dataset], kinds={"sklearn", "mlflow"})
def candidate_model(
    context: dg.AssetExecutionContext, home: HomeResource, mlflow: dg.ResourceParam[Any]
) -> dg.MaterializeResult:
    """One scikit-learn pipeline fitted on the training rows, registered in MLflow as `candidate`.

    The same data, recipe and code are the same version: nothing is registered twice.
    """
    from churn_platform.adapters.ledger.provenance import code_digest, made_with
    from churn_platform.adapters.models.registry import CANDIDATE
    from churn_platform.adapters.plots import candidate_plots, markdown_image
    from churn_platform.core.candidate import candidate_digest, fit_candidate
    from churn_platform.core.model import Recipe

    opened, as_of = home.open(), month_of(context)
    dataset = load_training_dataset(opened, as_of)
    if dataset is None:
        raise DataError(f"No labels have matured up to {as_of}: there is nothing to train on.")
    registry, code = opened.registry, code_digest()
    run_id = mlflow.active_run().info.run_id
    version = registry.find(candidate_digest(dataset, Recipe.of(opened.contract), code))
    fresh = version is None
    holdout = dataset.holdout_rows()
    if version is None:
        candidate = fit_candidate(opened.contract, dataset, code, made_with())
        plots = candidate_plots(holdout[LABEL].to_numpy(), candidate.model.probability(holdout))
        version = registry.register(candidate, dataset.training_rows(), plots, run_id)
    else:
        candidate = registry.load(version)
        plots = candidate_plots(holdout[LABEL].to_numpy(), candidate.model.probability(holdout))
        registry.set_alias(CANDIDATE, version)
    registry.tag_run(run_id, {"as_of": as_of.isoformat(), "version": str(version), "fitted": str(fresh).lower()})
    mlflow.end_run()
    metrics = candidate.passport["metrics"]
    figures = {name: round(value, 4) for name, value in metrics.items() if isinstance(value, float)}
    return dg.MaterializeResult(
        metadata={
            "version": str(version),
            "registered": "now" if fresh else "earlier: same data, recipe and code",
            "algorithm": candidate.passport["algorithm"],
            "threshold": candidate.passport["threshold"],
            **figures,
            "plots": dg.MetadataValue.md("\n".join(markdown_image(png, name) for name, png in plots.items())),
            "MLflow run": run_id,
            "digest": candidate.digest,
        }
    )
