"""The MLflow history of one registered model: read from a store, compared, written to a server."""

import re
import tempfile
from collections.abc import Callable, Container, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from pydantic import BaseModel, ConfigDict

from churn_platform.base.errors import IntegrityError, UsageError
from churn_platform.base.files import sha256_file
from churn_platform.training.mlflow_server import OWNER

if TYPE_CHECKING:
    from mlflow.entities import Metric
    from mlflow.tracking import MlflowClient

BEFORE = "churn.before"
"""The tag with the id that a run or logged model had in the home's own store."""
OTHERS = ("churn.", "mlflow.modelVersions")
"""Prefixes of tags that differ between stores: the owner, and MLflow's list of versions."""
PAGE = 1000
ID = re.compile(r"\b(?:m-)?[0-9a-f]{32}\b")
"""The id of a run or of a logged model."""

Ids = Mapping[str, str]
OnCopied = Callable[[int, int], None]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True)


_P = TypeVar("_P", bound=_Part)


def renamed(part: _P, ids: Ids) -> _P:
    """The same under other ids of runs and logged models."""
    text = ID.sub(lambda found: ids.get(found[0], found[0]), part.model_dump_json())
    return type(part).model_validate_json(text)


class LoggedMetric(NamedTuple):
    """A metric. The value is text, so a NaN equals another."""

    name: str
    value: str
    time: int
    step: int
    dataset: str | None
    digest: str | None
    """Of the dataset."""


class RunHistory(_Part):
    """One run; `produced` are the logged models and their steps, `files` name -> sha256.

    `place` is the address of the files; histories that differ in it alone are equal.
    """

    name: str
    status: str
    began: int
    ended: int | None
    deleted: bool
    params: dict[str, str]
    tags: dict[str, str]
    figures: frozenset[LoggedMetric]
    produced: frozenset[tuple[str, int]]
    datasets: list[dict[str, Any]]
    """As MLflow writes them."""
    files: dict[str, str]
    place: str


class ModelHistory(_Part):
    """One logged model; `figures` name the run of each."""

    name: str
    kind: str | None
    run: str | None
    ready: bool
    params: dict[str, str]
    tags: dict[str, str]
    figures: frozenset[tuple[str | None, LoggedMetric]]
    files: dict[str, str]
    place: str


class VersionHistory(_Part):
    """One registered version; `source` is `models:/ID` or `runs:/ID/path`."""

    source: str
    run: str | None
    description: str
    tags: dict[str, str]


class History(_Part):
    """Everything of one registered model and its experiment."""

    runs: dict[str, RunHistory]
    models: dict[str, ModelHistory]
    versions: dict[int, VersionHistory]
    aliases: dict[str, int]
    description: str

    def first_difference(self, other: "History") -> str | None:
        """The first difference from another history; None if they are equal."""
        mine = dict(self._fields())
        theirs = dict(other._fields())
        for place in (*mine, *theirs):
            if place not in mine or place not in theirs or mine[place] != theirs[place]:
                return place
        return None

    def _fields(self) -> Iterator[tuple[str, object]]:
        for kind, parts in (("run", self.runs), ("model", self.models), ("version", self.versions)):
            for one, part in parts.items():
                for name in type(part).model_fields.keys() - {"place"}:
                    yield f"{name} of {kind} {one}", getattr(part, name)
        yield "aliases", self.aliases
        yield "description", self.description

    def unknown_sources(self) -> list[int]:
        """The versions whose files belong to no run or model of the history."""
        known = {*self.models, *self.runs}
        return [
            number
            for number, version in sorted(self.versions.items())
            if version.source.partition(":/")[2].partition("/")[0] not in known
        ]


def read_history(client: "MlflowClient", name: str, only: Container[str] | None = None) -> History:
    """Read the history of the model `name`, with the digest of every artifact.

    Args:
        client: of the store.
        name: of the registered model and of its experiment.
        only: the ids of the runs and logged models that belong to it; None takes all of the
            experiment.
    """
    from mlflow.entities import ViewType

    found = client.search_experiments(filter_string=f"name = '{name}'")
    experiments = [experiment.experiment_id for experiment in found]
    runs: dict[str, RunHistory] = {}
    models: dict[str, ModelHistory] = {}
    for run in _pages(
        client.search_runs,
        experiment_ids=experiments,
        run_view_type=ViewType.ALL,
        max_results=PAGE,
        order_by=["attributes.start_time ASC"],
    ):
        if only is None or run.info.run_id in only:
            # A search leaves out inputs and outputs.
            runs[run.info.run_id] = _run(client, client.get_run(run.info.run_id))
    for model in _pages(client.search_logged_models, experiment_ids=experiments, max_results=PAGE):
        if only is None or model.model_id in only:
            models[model.model_id] = _model(client, model)
    registered = client.get_registered_model(name)
    return History(
        runs=runs,
        models=models,
        versions={
            int(version.version): VersionHistory(
                source=version.source,
                run=version.run_id or None,
                description=version.description or "",
                tags=_theirs(version.tags),
            )
            for version in _pages(
                client.search_model_versions, filter_string=f"name='{name}'", max_results=PAGE
            )
        },
        aliases={alias: int(number) for alias, number in registered.aliases.items()},
        description=registered.description or "",
    )


def _pages(search: Callable[..., Any], **asked: object) -> Iterator[Any]:
    """Everything that a search of MLflow finds."""
    token = None
    while True:
        found = search(**asked, page_token=token)
        yield from found
        if not (token := found.token):
            return


def _run(client: "MlflowClient", run: Any) -> RunHistory:  # noqa: ANN401 - MLflow's
    info = run.info
    outputs = run.outputs.model_outputs if run.outputs else ()
    inputs = run.inputs.dataset_inputs if run.inputs else ()
    return RunHistory(
        name=info.run_name,
        status=info.status,
        began=info.start_time,
        ended=info.end_time,
        deleted=info.lifecycle_stage == "deleted",
        params=run.data.params,
        tags=_theirs(run.data.tags),
        figures=frozenset(
            _figure(metric)
            for name in run.data.metrics
            for metric in client.get_metric_history(info.run_id, name)
        ),
        produced=frozenset((one.model_id, one.step) for one in outputs),
        datasets=[one.to_dictionary() for one in inputs],
        files=_digests(client, info.artifact_uri),
        place=info.artifact_uri,
    )


def _model(client: "MlflowClient", model: Any) -> ModelHistory:  # noqa: ANN401 - MLflow's
    return ModelHistory(
        name=model.name,
        kind=model.model_type or None,
        run=model.source_run_id or None,
        ready=str(model.status) == "READY",
        params=model.params,
        tags=_theirs(model.tags),
        figures=frozenset((metric.run_id, _figure(metric)) for metric in model.metrics or ()),
        files=_digests(client, model.artifact_location),
        place=model.artifact_location,
    )


def _figure(metric: "Metric") -> LoggedMetric:
    return LoggedMetric(
        metric.key,
        repr(float(metric.value)),
        metric.timestamp,
        metric.step,
        metric.dataset_name or None,
        metric.dataset_digest or None,
    )


def _metric(figure: LoggedMetric, model: str | None = None) -> "Metric":
    from mlflow.entities import Metric

    return Metric(
        figure.name,
        float(figure.value),
        figure.time,
        figure.step,
        model_id=model,
        dataset_name=figure.dataset,
        dataset_digest=figure.digest,
    )


def _theirs(tags: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in tags.items() if not name.startswith(OTHERS)}


def _local_folder(place: str) -> Path:
    """Where the artifacts of a home's own store are."""
    from mlflow.utils.file_utils import local_file_uri_to_path

    return Path(local_file_uri_to_path(place))


def _digests(client: "MlflowClient", place: str) -> dict[str, str]:
    """sha256 of every artifact by its name."""
    import mlflow.artifacts

    if place.startswith("file:"):
        return _digests_in(_local_folder(place))
    if not mlflow.artifacts.list_artifacts(artifact_uri=place, tracking_uri=client.tracking_uri):
        return {}
    with tempfile.TemporaryDirectory() as target:
        found = mlflow.artifacts.download_artifacts(
            place, dst_path=target, tracking_uri=client.tracking_uri
        )
        return _digests_in(Path(found))


def _digests_in(folder: Path) -> dict[str, str]:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): sha256_file(path) for path in files}


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
        if experiment is None:
            self._experiment = self.client.create_experiment(self.name)
        else:
            self._experiment = experiment.experiment_id
            self._clear()
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

    def _clear(self) -> None:
        """Delete the runs and logged models of an earlier try."""
        asked = {
            "experiment_ids": [self._experiment],
            "filter_string": f"tags.`{OWNER}` = '{self.owner}'",
        }
        for model in list(_pages(self.client.search_logged_models, **asked)):
            self.client.delete_logged_model(model.model_id)
        for run in list(_pages(self.client.search_runs, **asked)):
            self.client.delete_run(run.info.run_id)

    def _begin_run(self, one: str, run: RunHistory) -> str:
        began = self.client.create_run(
            self._experiment, start_time=run.began, tags=self._marked(one), run_name=run.name
        )
        return str(began.info.run_id)

    def _fill_run(self, one: str, run: RunHistory, models: dict[str, ModelHistory]) -> None:
        from mlflow.entities import (
            Dataset,
            DatasetInput,
            InputTag,
            LoggedModelOutput,
            Param,
            RunTag,
        )

        new = self.ids[one]
        own = renamed(run, self.ids)
        of_models = {
            figure: self.ids[model]
            for model, found in models.items()
            for of_run, figure in found.figures
            if of_run == one
        }
        self.client.log_batch(
            new,
            metrics=[_metric(figure, of_models.get(figure)) for figure in run.figures],
            params=[Param(name, value) for name, value in own.params.items()],
            tags=[RunTag(name, value) for name, value in own.tags.items()],
        )
        if run.datasets:
            inputs = [
                DatasetInput(
                    Dataset(**used["dataset"]), [InputTag(*tag) for tag in used["tags"].items()]
                )
                for used in own.datasets
            ]
            self.client.log_inputs(new, inputs)
        if run.produced:
            outputs = [LoggedModelOutput(model, step) for model, step in sorted(own.produced)]
            self.client.log_outputs(new, outputs)
        if run.files:
            self.client.log_artifacts(new, str(_local_folder(run.place)))
        if run.status != "RUNNING":
            self.client.set_terminated(new, run.status, run.ended)
        if run.deleted:
            self.client.delete_run(new)

    def _write_model(self, one: str, model: ModelHistory) -> str:
        own = renamed(model, self.ids)
        new = self.client.create_logged_model(
            self._experiment,
            name=model.name,
            source_run_id=own.run,
            tags=own.tags | self._marked(one),
            params=own.params,
            model_type=model.kind,
        ).model_id
        if model.files:
            self.client.log_model_artifacts(new, str(_local_folder(model.place)))
        if model.ready:
            self.client.finalize_logged_model(new, "READY")
        return str(new)

    def _write_versions(self, versions: dict[int, VersionHistory], last: int) -> None:
        """Write every version under its number; create and delete those that were deleted."""
        nothing = None
        if len(versions) < last:
            nothing = self.client.create_logged_model(
                self._experiment, name="deleted", tags={OWNER: self.owner}
            ).model_id
        for number in range(1, last + 1):
            version = versions.get(number)
            if version is None:
                self._write_version(number, source=f"models:/{nothing}", model_id=nothing)
                self.client.delete_model_version(self.name, str(number))
                continue
            own = renamed(version, self.ids)
            scheme, _, model = own.source.partition(":/")
            self._write_version(
                number,
                source=own.source,
                run_id=own.run,
                tags=own.tags,
                description=own.description or None,
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
