"""The MLflow history of one registered model as plain values, to compare two stores."""

import tempfile
from collections.abc import Callable, Container, Iterator, Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from churn_platform.base.files import sha256_file

if TYPE_CHECKING:
    from mlflow.entities import DatasetInput, Metric
    from mlflow.tracking import MlflowClient

OTHERS = ("churn.", "mlflow.modelVersions")
"""Prefixes of tags that differ between stores: the owner, and MLflow's list of versions."""
PAGE = 1000

Ids = Mapping[str, str]
Figure = tuple[str, str, int, int, str | None, str | None]
"""Name, value (as text: a NaN equals none), time, step, name and digest of its dataset."""


@dataclass(frozen=True)
class RunHistory:
    """One run; `produced` are the logged models and their steps, `files` name -> sha256."""

    name: str
    status: str
    began: int
    ended: int | None
    deleted: bool
    params: dict[str, str]
    tags: dict[str, str]
    figures: frozenset[Figure]
    produced: frozenset[tuple[str, int]]
    datasets: tuple["DatasetInput", ...]
    files: dict[str, str]
    place: str = field(compare=False)

    def named_as(self, ids: Ids) -> "RunHistory":
        """The same run under other ids."""
        produced = frozenset((ids.get(model, model), step) for model, step in self.produced)
        return replace(self, tags=_renamed(self.tags, ids), produced=produced)


@dataclass(frozen=True)
class ModelHistory:
    """One logged model; `figures` say of which run they are."""

    name: str
    kind: str | None
    run: str | None
    ready: bool
    params: dict[str, str]
    tags: dict[str, str]
    figures: frozenset[tuple[str | None, Figure]]
    files: dict[str, str]
    place: str = field(compare=False)

    def named_as(self, ids: Ids) -> "ModelHistory":
        """The same model under other ids."""
        figures = frozenset((ids.get(run or "", run), figure) for run, figure in self.figures)
        return replace(
            self,
            run=ids.get(self.run or "", self.run),
            tags=_renamed(self.tags, ids),
            figures=figures,
        )


@dataclass(frozen=True)
class VersionHistory:
    """One registered version; `source` is `models:/ID` or `runs:/ID/path`."""

    source: str
    run: str | None
    description: str
    tags: dict[str, str]

    def named_as(self, ids: Ids) -> "VersionHistory":
        """The same version under other ids."""
        scheme, _, rest = self.source.partition(":/")
        one, slash, path = rest.partition("/")
        source = f"{scheme}:/{ids.get(one, one)}{slash}{path}"
        return replace(
            self,
            source=source,
            run=ids.get(self.run or "", self.run),
            tags=_renamed(self.tags, ids),
        )


@dataclass(frozen=True)
class History:
    """Everything of one registered model and its experiment."""

    runs: dict[str, RunHistory]
    models: dict[str, ModelHistory]
    versions: dict[int, VersionHistory]
    aliases: dict[str, int]
    description: str

    def named_as(self, ids: Ids) -> "History":
        """The same history under other ids."""
        return History(
            {ids.get(one, one): run.named_as(ids) for one, run in self.runs.items()},
            {ids.get(one, one): model.named_as(ids) for one, model in self.models.items()},
            {number: version.named_as(ids) for number, version in self.versions.items()},
            self.aliases,
            self.description,
        )

    def first_difference(self, other: "History") -> str | None:
        """The first difference from another history; None if they are equal."""
        for what in ("runs", "models", "versions"):
            mine = getattr(self, what)
            theirs = getattr(other, what)
            for one in sorted({*mine, *theirs}):
                if one not in mine or one not in theirs:
                    return f"{what[:-1]} {one} is in one of them only"
                if mine[one] != theirs[one]:
                    differ = (f.name for f in fields(mine[one]) if f.compare)
                    name = next(
                        name
                        for name in differ
                        if getattr(mine[one], name) != getattr(theirs[one], name)
                    )
                    return f"{name} of {what[:-1]} {one}"
        return next(
            (
                name
                for name in ("aliases", "description")
                if getattr(self, name) != getattr(other, name)
            ),
            None,
        )


def read_history(client: "MlflowClient", name: str, only: Container[str] | None = None) -> History:
    """Read the history of the model `name`, with the digest of every artifact.

    Args:
        client: of the store.
        name: of the registered model and of its experiment.
        only: the ids of the runs and logged models that belong to it; None takes all of the
            experiment.
    """
    experiment = client.get_experiment_by_name(name)
    runs: dict[str, RunHistory] = {}
    models: dict[str, ModelHistory] = {}
    for run in () if experiment is None else _runs(client, experiment.experiment_id):
        if only is None or run.info.run_id in only:
            runs[run.info.run_id] = _run(client, run)
    for model in () if experiment is None else _models(client, experiment.experiment_id):
        if only is None or model.model_id in only:
            models[model.model_id] = _model(client, model)
    registered = client.get_registered_model(name)
    versions = {int(found.version): _version(found) for found in _versions(client, name)}
    aliases = {alias: int(version) for alias, version in registered.aliases.items()}
    return History(runs, models, versions, aliases, registered.description or "")


def local_folder(place: str) -> Path:
    """Where the artifacts of a home's own store are."""
    from mlflow.utils.file_utils import local_file_uri_to_path

    return Path(local_file_uri_to_path(place))


def pages(search: Callable[..., Any], **asked: object) -> Iterator[Any]:
    """Everything that a search of MLflow finds."""
    token = None
    while True:
        found = search(**asked, page_token=token)
        yield from found
        if not (token := found.token):
            return


def _runs(client: "MlflowClient", experiment: str) -> Iterator[Any]:
    """Every run with its inputs and outputs, which a search leaves out; also deleted runs."""
    from mlflow.entities import ViewType

    everything = pages(
        client.search_runs,
        experiment_ids=[experiment],
        run_view_type=ViewType.ALL,
        max_results=PAGE,
        order_by=["attributes.start_time ASC"],
    )
    return (client.get_run(run.info.run_id) for run in everything)


def _models(client: "MlflowClient", experiment: str) -> Iterator[Any]:
    return pages(client.search_logged_models, experiment_ids=[experiment], max_results=PAGE)


def _versions(client: "MlflowClient", name: str) -> Iterator[Any]:
    return pages(client.search_model_versions, filter_string=f"name='{name}'", max_results=PAGE)


def _run(client: "MlflowClient", run: Any) -> RunHistory:  # noqa: ANN401 - MLflow's
    info = run.info
    data = run.data
    measured = [
        metric for key in data.metrics for metric in client.get_metric_history(info.run_id, key)
    ]
    return RunHistory(
        name=info.run_name,
        status=info.status,
        began=info.start_time,
        ended=info.end_time,
        deleted=info.lifecycle_stage == "deleted",
        params=dict(data.params),
        tags=_theirs(data.tags),
        figures=frozenset(_figure(metric) for metric in measured),
        produced=frozenset(
            (one.model_id, one.step) for one in (run.outputs.model_outputs if run.outputs else ())
        ),
        datasets=tuple(run.inputs.dataset_inputs if run.inputs else ()),
        files=_digests(client, info.artifact_uri),
        place=info.artifact_uri,
    )


def _model(client: "MlflowClient", model: Any) -> ModelHistory:  # noqa: ANN401 - MLflow's
    return ModelHistory(
        name=model.name,
        kind=model.model_type or None,
        run=model.source_run_id or None,
        ready=str(model.status) == "READY",
        params=dict(model.params),
        tags=_theirs(model.tags),
        figures=frozenset((metric.run_id, _figure(metric)) for metric in model.metrics or ()),
        files=_digests(client, model.artifact_location),
        place=model.artifact_location,
    )


def _version(found: Any) -> VersionHistory:  # noqa: ANN401 - MLflow's
    return VersionHistory(
        found.source, found.run_id or None, found.description or "", _theirs(found.tags)
    )


def _figure(metric: "Metric") -> Figure:
    dataset = metric.dataset_name or None, metric.dataset_digest or None
    return (metric.key, repr(float(metric.value)), metric.timestamp, metric.step, *dataset)


def _theirs(tags: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in tags.items() if not name.startswith(OTHERS)}


def _renamed(tags: Mapping[str, str], ids: Ids) -> dict[str, str]:
    """A tag whose value is an id refers to a run or a model."""
    return {name: ids.get(value, value) for name, value in tags.items()}


def _digests(client: "MlflowClient", place: str) -> dict[str, str]:
    """sha256 of every artifact by its name; from a server, one folder at a time."""
    import mlflow.artifacts

    if place.startswith("file:"):
        return _read(local_folder(place))
    if not mlflow.artifacts.list_artifacts(artifact_uri=place, tracking_uri=client.tracking_uri):
        return {}
    with tempfile.TemporaryDirectory() as target:
        found = mlflow.artifacts.download_artifacts(
            place, dst_path=target, tracking_uri=client.tracking_uri
        )
        return _read(Path(found))


def _read(folder: Path) -> dict[str, str]:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): sha256_file(path) for path in files}
