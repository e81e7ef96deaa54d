"""Writes one model's MLflow history to a server: runs, logged models, versions, aliases."""

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from churn_platform.base.errors import IntegrityError, UsageError
from churn_platform.maintenance.mlflow_history import (
    Figure,
    History,
    ModelHistory,
    RunHistory,
    VersionHistory,
    local_folder,
    pages,
)
from churn_platform.training.mlflow_server import OWNER

if TYPE_CHECKING:
    from mlflow.entities import Metric
    from mlflow.tracking import MlflowClient

BEFORE = "churn.before"

OnCopied = Callable[[int, int], None]


class MlflowCopy:
    """Writes the history of the model `name` to the store of `client`, for the home `owner`."""

    def __init__(self, client: "MlflowClient", name: str, owner: str) -> None:
        self.client = client
        self.name = name
        self.owner = owner
        self.ids: dict[str, str] = {}
        """Old id -> new id of every run and logged model that was written."""

    def make_room(self) -> None:
        """Create experiment and registered model, and delete what an earlier try left.

        Raises:
            UsageError: another home has versions there.
        """
        found = self.client.search_registered_models(f"name='{self.name}'")
        if found and found[0].tags.get(OWNER) != self.owner:
            theirs = self.client.search_model_versions(f"name='{self.name}'", max_results=1)
            if theirs:
                raise UsageError(
                    f"The server already has versions of {self.name}. A history is moved only"
                    " to a server without one. Name another server with CHURN_MLFLOW_URI."
                    " Nothing was moved.",
                    code="NAME_TAKEN",
                )
        if found:
            self.client.delete_registered_model(self.name)
        experiment = self.client.get_experiment_by_name(self.name)
        if experiment is not None:
            self._clear(experiment.experiment_id)
        if experiment:
            self._experiment = experiment.experiment_id
        else:
            self._experiment = self.client.create_experiment(self.name)
        self.client.create_registered_model(self.name, tags={OWNER: self.owner})

    def write(self, history: History, last: int, on_copied: OnCopied) -> None:
        """Write a history of a home's own store.

        Args:
            history: what to write.
            last: the highest version number, also of a deleted version: numbers are not reused.
            on_copied: called with the number of written runs and models, and the total.
        """
        for one, run in sorted(history.runs.items(), key=lambda found: found[1].began):
            self.ids[one] = self._begin_run(one, run)
        total = len(history.models) + len(history.runs)
        for done, (one, model) in enumerate(history.models.items(), 1):
            self.ids[one] = self._write_model(one, model)
            on_copied(done, total)
        for done, (one, run) in enumerate(history.runs.items(), 1 + len(history.models)):
            self._fill_run(one, run, history.models)
            on_copied(done, total)
        self._write_versions(history.versions, last)
        for alias, version in history.aliases.items():
            self.client.set_registered_model_alias(self.name, alias, str(version))
        if history.description:
            self.client.update_registered_model(self.name, history.description)

    def _clear(self, experiment: str) -> None:
        tag = f"tags.`{OWNER}` = '{self.owner}'"
        for model in list(
            pages(self.client.search_logged_models, experiment_ids=[experiment], filter_string=tag)
        ):
            self.client.delete_logged_model(model.model_id)
        for run in list(
            pages(self.client.search_runs, experiment_ids=[experiment], filter_string=tag)
        ):
            self.client.delete_run(run.info.run_id)

    def _begin_run(self, one: str, run: RunHistory) -> str:
        began = self.client.create_run(
            self._experiment, start_time=run.began, tags=self._marked(one), run_name=run.name
        )
        return str(began.info.run_id)

    def _fill_run(self, one: str, run: RunHistory, models: dict[str, ModelHistory]) -> None:
        from mlflow.entities import LoggedModelOutput, Param, RunTag

        new = self.ids[one]
        renamed = run.named_as(self.ids)
        of_models = [
            _metric(figure, self.ids[model])
            for model, found in models.items()
            for of_run, figure in found.figures
            if of_run == one
        ]
        known = {
            figure for found in models.values() for of_run, figure in found.figures if of_run == one
        }
        self.client.log_batch(
            new,
            metrics=[*of_models, *(_metric(figure) for figure in run.figures - known)],
            params=[Param(name, value) for name, value in run.params.items()],
            tags=[RunTag(name, value) for name, value in renamed.tags.items()],
        )
        if run.datasets:
            self.client.log_inputs(new, run.datasets)
        if renamed.produced:
            self.client.log_outputs(
                new,
                [LoggedModelOutput(model, step) for model, step in sorted(renamed.produced)],
            )
        if run.files:
            self.client.log_artifacts(new, str(local_folder(run.place)))
        if run.status != "RUNNING":
            self.client.set_terminated(new, run.status, run.ended)
        if run.deleted:
            self.client.delete_run(new)

    def _write_model(self, one: str, model: ModelHistory) -> str:
        renamed = model.named_as(self.ids)
        new = self.client.create_logged_model(
            self._experiment,
            name=model.name,
            source_run_id=renamed.run,
            tags=renamed.tags | self._marked(one),
            params=model.params,
            model_type=model.kind,
        ).model_id
        if model.files:
            self.client.log_model_artifacts(new, str(local_folder(model.place)))
        if model.ready:
            self.client.finalize_logged_model(new, "READY")
        return str(new)

    def _write_versions(self, versions: dict[int, VersionHistory], last: int) -> None:
        """Write every version under its number; create and delete those that were deleted."""
        gaps = {*range(1, last + 1)} - {*versions}
        mine = {OWNER: self.owner}
        if gaps:
            nothing = self.client.create_logged_model(
                self._experiment, name="deleted", tags=mine
            ).model_id
        else:
            nothing = None
        for number in range(1, last + 1):
            version = versions.get(number)
            if version is None:
                self._write_version(number, source=f"models:/{nothing}", model_id=nothing)
                self.client.delete_model_version(self.name, str(number))
                continue
            renamed = version.named_as(self.ids)
            scheme, _, model = renamed.source.partition(":/")
            self._write_version(
                number,
                source=renamed.source,
                run_id=renamed.run,
                tags=renamed.tags,
                description=renamed.description or None,
                model_id=model if scheme == "models" else None,
            )
        if nothing is not None:
            self.client.delete_logged_model(nothing)

    def _write_version(self, number: int, **said: Any) -> None:  # noqa: ANN401 - as MLflow takes them
        made = self.client.create_model_version(self.name, await_creation_for=0, **said)
        if int(made.version) != number:
            raise IntegrityError(
                f"The server gave version {number} of {self.name} the number {made.version}:"
                " another client registers versions there. Nothing was switched. Run this"
                " again when it has stopped."
            )

    def _marked(self, one: str) -> dict[str, str]:
        return {OWNER: self.owner, BEFORE: one}


def unknown_sources(history: History) -> Iterable[int]:
    """The versions that cannot be moved: their files belong to no run or model of the history."""
    for number, version in sorted(history.versions.items()):
        one = version.source.partition(":/")[2].partition("/")[0]
        if one not in history.models and one not in history.runs:
            yield number


def _metric(figure: Figure, model: str | None = None) -> "Metric":
    from mlflow.entities import Metric

    key, value, moment, step, dataset, digest = figure
    return Metric(
        key,
        float(value),
        moment,
        step,
        model_id=model,
        dataset_name=dataset,
        dataset_digest=digest,
    )
