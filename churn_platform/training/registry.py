"""MLflow: the tracking store, the registry, and the safe loading of a version."""

import contextlib
import hashlib
import tempfile
from collections.abc import Iterator, Mapping
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from churn_platform.base.errors import ChurnError, IntegrityError, UsageError
from churn_platform.base.files import write_json
from churn_platform.base.provenance import FITTING
from churn_platform.training.candidate import (
    ENTITIES,
    FILES,
    SCHEMA,
    Candidate,
    candidate_of,
)
from churn_platform.training.imported import IMPORTED_TYPES
from churn_platform.training.mlflow_server import (
    MARKER,
    MlflowServer,
    check_place,
    client_of,
    prepare_store,
    quiet,
    relocate,
)
from churn_platform.training.model import TRUSTED_TYPES
from churn_platform.training.release import PASSPORT, ChosenFrom

if TYPE_CHECKING:
    import pandas as pd
    from mlflow.entities.model_registry import ModelVersion
    from mlflow.tracking import MlflowClient

CANDIDATE = "candidate"
CHOICE = "chosen_from.json"
"""Artifact of a run: the recipes that competed."""
PRODUCTION = "production"


class ModelRegistry:
    """The registered model of a home, in its own MLflow store or on an MLflow server."""

    def __init__(self, home: Path, model_name: str, server: str = "") -> None:
        self.home = home
        self.model_name = model_name
        self.server = MlflowServer(home, server) if server else None
        self._at_home = False

    @property
    def tracking_uri(self) -> str:
        """The store's address for MLflow's own tools."""
        if self.server:
            return self.server.uri
        return f"sqlite:///{self.home / 'mlflow.db'}"

    def away(self) -> str | None:
        """Why the store cannot be used now, as a sentence; None if it can be tried."""
        if self.server:
            return self.server.away()
        return None

    def prepare(self) -> None:
        """Create store, experiment and registered model once, under a lock.

        Raises:
            IntegrityError: the store is gone while a version is in production.
        """
        from filelock import FileLock

        with FileLock(self.home / "mlflow.lock"), quiet():
            self._relocate()
            if self.server is not None:
                self.server.claim(self._client(), self.model_name)
                return
            check_place(self.home, on_server=False)
            prepare_store(self.home / "mlflow.db", self.model_name, self.home / "artifacts")

    @contextlib.contextmanager
    def run(self) -> Iterator[str]:
        """An active MLflow run of the home's experiment, as Dagster starts one; its id."""
        import mlflow

        self.prepare()
        mlflow.set_tracking_uri(self.tracking_uri)
        mlflow.set_experiment(self.model_name)
        with mlflow.start_run() as started:
            yield started.info.run_id

    def find(self, digest: str) -> int | None:
        """The version made from the same data, recipe and code; None without one."""
        found = self._client().search_model_versions(
            f"name='{self.model_name}' and tags.digest='{digest}'"
        )
        return min((int(version.version) for version in found), default=None)

    def register(
        self,
        candidate: Candidate,
        sample: "pd.DataFrame",
        plots: Mapping[str, bytes],
        run_id: str,
    ) -> int:
        """Log a candidate to an MLflow run, register it under the alias `candidate`, and return
        the version. An imported one is no candidate, and gets no alias.

        Args:
            candidate: the fitted candidate.
            sample: (rows, features) training rows, for the output's shape in the signature.
            plots: name -> PNG.
            run_id: the MLflow run, passed explicitly and never the ambient one.
        """
        client = self._client()
        figures = {k: v for k, v in candidate.card.metrics.items() if isinstance(v, int | float)}
        for name, value in figures.items():
            client.log_metric(run_id, name, value)
        imported = candidate.card.imported
        if imported is None:
            fitted = candidate.model.pipeline.named_steps["classify"].estimator
            parameters = fitted.get_params()
        else:
            parameters = {"class": imported.estimator}
        for name in (
            "algorithm",
            "as_of",
            "training_rows",
            "training_churners",
            "threshold",
            "dataset_digest",
        ):
            client.log_param(run_id, name, getattr(candidate.card, name))
        for name, value in parameters.items():
            client.log_param(run_id, f"estimator.{name}", value)
        if candidate.card.sample is not None:
            client.log_param(run_id, "max_rows", candidate.card.sample.max_rows)
            client.log_param(run_id, "sample", candidate.card.sample.sentence)
        if candidate.card.chosen_from is not None:
            _log_choice(client, run_id, candidate.card.chosen_from)
        with tempfile.TemporaryDirectory() as folder, quiet():
            files = self._side_files(candidate, Path(folder))
            for name, png in plots.items():
                (Path(folder) / f"{name}.png").write_bytes(png)
                client.log_artifact(run_id, str(Path(folder) / f"{name}.png"), "plots")
            client.log_artifact(run_id, str(files[SCHEMA]))
            version = self._log_model(candidate, sample, files, run_id)
        self._tag(version, candidate, run_id)
        if imported is None:
            self.set_alias(CANDIDATE, version)
        return version

    def load(self, version: int) -> Candidate:
        """A version's candidate, verified by the digests recorded at registration.

        Raises:
            UsageError: there is no such version.
            IntegrityError: a file does not match its digest, or names a type that is not allowed.
        """
        return candidate_of(self.files(version), version)

    def files(self, version: int) -> dict[str, bytes]:
        """A version's verified files by name: model, model card, training entities, schema.

        Raises:
            UsageError: there is no such version.
            IntegrityError: a file does not match its digest.
        """
        recorded = self.recorded(version)
        files = self._stored_files(version)
        for name, content in files.items():
            found = hashlib.sha256(content).hexdigest()
            if found != recorded.get(name):
                raise IntegrityError(
                    f"Version {version} of {self.model_name}: {name} does not match the digest"
                    " recorded when it was registered (recorded"
                    f" {str(recorded.get(name))[:12]}, found {found[:12]}): not loaded.",
                    code="MODEL_CHANGED",
                )
        return files

    def recorded(self, version: int) -> dict[str, str]:
        """Name -> sha256 of a version's files, from MLflow's tags set at registration.

        Raises:
            UsageError: there is no such version.
        """
        found = self._find_version(version)
        if found is None:
            raise UsageError(f"{self.model_name} has no version {version}.", code="VERSION_UNKNOWN")
        tags = found.tags
        return {name: str(tags[f"sha256.{name}"]) for name in FILES if f"sha256.{name}" in tags}

    def has(self, version: int) -> bool:
        """Whether the registry has the version, so an alias can point at it."""
        return self._find_version(version) is not None

    def _find_version(self, version: int) -> "ModelVersion | None":
        from mlflow.exceptions import MlflowException

        try:
            return self._client().get_model_version(self.model_name, str(version))
        except MlflowException as error:
            if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                raise self._unreadable(error) from error
            return None

    def tags(self) -> dict[int, dict[str, str]]:
        """The tags of every completely registered version: others have no digest yet.

        Raises:
            IntegrityError: the store cannot be read.
            StoreDown: the server does not answer.
        """
        if self.server is None and not (self.home / "mlflow.db").exists():
            return {}
        from mlflow.exceptions import MlflowException

        self.alias(PRODUCTION)  # raises our error if the store cannot be read
        try:
            found = self._client().search_model_versions(f"name='{self.model_name}'")
        except MlflowException as error:  # a server that went away since
            raise self._unreadable(error) from error
        return {int(one.version): dict(one.tags) for one in found if "digest" in one.tags}

    def set_alias(self, alias: str, version: int) -> None:
        """Point an alias at a version."""
        self._client().set_registered_model_alias(self.model_name, alias, str(version))

    def remove_alias(self, alias: str) -> None:
        """Remove an alias, if there is one."""
        if self.alias(alias) is not None:
            self._client().delete_registered_model_alias(self.model_name, alias)

    def alias(self, alias: str) -> int | None:
        """The version an alias points at; None if there is no such alias.

        Raises:
            IntegrityError: the store cannot be read, which is not the same as no alias.
            StoreDown: the server does not answer.
        """
        if self.server is None and not any(
            (self.home / name).exists() for name in ("mlflow.db", MARKER)
        ):
            # A query would make MLflow create the store outside the lock.
            return None
        from mlflow.exceptions import MlflowException
        from sqlalchemy.exc import SQLAlchemyError

        try:
            return int(self._client().get_model_version_by_alias(self.model_name, alias).version)
        except (MlflowException, SQLAlchemyError) as error:
            if getattr(error, "error_code", None) in (
                "RESOURCE_DOES_NOT_EXIST",
                "INVALID_PARAMETER_VALUE",
            ):
                return None
            raise self._unreadable(error) from error

    def tag_run(self, run_id: str, tags: Mapping[str, str]) -> None:
        """Set tags on a run."""
        for name, value in tags.items():
            self._client().set_tag(run_id, name, value)

    def anchor(self, version: int, ledger_head: str) -> None:
        """Record the ledger's head on a version, so a truncated ledger is found."""
        self._client().set_model_version_tag(
            self.model_name, str(version), "ledger_head", ledger_head
        )

    def _unreadable(self, error: Exception) -> ChurnError:
        if self.server is not None:
            return self.server.down(error)
        return IntegrityError(
            f"{self.home / 'mlflow.db'} cannot be read ({str(error).splitlines()[0]}): restore it."
        )

    def _client(self) -> "MlflowClient":
        check_place(self.home, on_server=self.server is not None)
        return client_of(self.tracking_uri)

    def _relocate(self) -> None:
        """Once per process, for a home that was restored, copied or renamed."""
        if self.server is None and not self._at_home:
            self._at_home = relocate(self.home / "mlflow.db", self.home / "artifacts") or True

    def _side_files(self, candidate: Candidate, folder: Path) -> dict[str, Path]:
        """Write the files next to the model."""
        schema = {
            "features": [feature.model_dump() for feature in candidate.card.features],
            "contract_hash": candidate.card.contract_hash,
        }
        write_json(folder / PASSPORT, candidate.card.as_json())
        write_json(folder / SCHEMA, schema)
        np.save(folder / ENTITIES, candidate.training_entities, allow_pickle=False)
        return {name: folder / name for name in (PASSPORT, SCHEMA, ENTITIES)}

    def _log_model(
        self,
        candidate: Candidate,
        sample: "pd.DataFrame",
        files: Mapping[str, Path],
        run_id: str,
    ) -> int:
        import mlflow
        import mlflow.sklearn
        from mlflow.models import ModelSignature, infer_signature
        from mlflow.types.schema import AnyType, ColSpec, Schema

        mlflow.set_tracking_uri(self.tracking_uri)
        active = mlflow.active_run()
        if active is None or active.info.run_id != run_id:
            raise UsageError(
                f"MLflow's active run is not {run_id}: the model would be logged to the wrong run."
            )
        # Any type: MLflow would refuse booleans and integers with gaps. The pipeline checks the
        # values itself.
        inputs = Schema([ColSpec(AnyType(), name) for name, _ in candidate.model.features])
        outputs = infer_signature(sample, candidate.model.pipeline.predict_proba(sample)).outputs
        trusted = TRUSTED_TYPES if candidate.card.imported is None else IMPORTED_TYPES
        info = mlflow.sklearn.log_model(
            candidate.model.pipeline,
            name="model",
            signature=ModelSignature(inputs, outputs),
            serialization_format="skops",
            skops_trusted_types=list(trusted),
            pyfunc_predict_fn="predict_proba",
            pip_requirements=[
                f"{name}=={metadata.version(name)}"
                for name in dict.fromkeys((*FITTING, *candidate.card.libraries, "churn-platform"))
            ],
            extra_files=[str(path) for path in files.values()],
            registered_model_name=self.model_name,
        )
        return int(info.registered_model_version)

    def _stored_files(self, version: int) -> dict[str, bytes]:
        """The files in MLflow now, unverified; missing files are empty."""
        import mlflow.artifacts
        from mlflow.exceptions import MlflowException

        self._relocate()
        with quiet(), tempfile.TemporaryDirectory() as target:
            # Not models:/name/version, which ignores the store passed here.
            uri = self._client().get_model_version_download_uri(self.model_name, str(version))
            try:
                found = mlflow.artifacts.download_artifacts(
                    uri, dst_path=target, tracking_uri=self.tracking_uri
                )
            except MlflowException as error:
                if "No such artifact" not in str(error):
                    raise
                return dict.fromkeys(FILES, b"")
            folders = (Path(found), Path(found) / "extra_files")
            return {
                name: next(
                    (path.read_bytes() for folder in folders if (path := folder / name).exists()),
                    b"",
                )
                for name in FILES
            }

    def _tag(self, version: int, candidate: Candidate, run_id: str) -> None:
        """The digest is tagged last: a version without it is incomplete and is ignored."""
        client = self._client()
        tags = {
            "as_of": candidate.card.as_of,
            "algorithm": candidate.card.algorithm,
            "mlflow_run": run_id,
        }
        for name, content in self._stored_files(version).items():
            tags[f"sha256.{name}"] = hashlib.sha256(content).hexdigest()
        for name, value in {**tags, "digest": candidate.digest}.items():
            client.set_model_version_tag(self.model_name, str(version), name, value)


def _log_choice(client: "MlflowClient", run_id: str, choice: ChosenFrom) -> None:
    """Log which recipes competed: the chosen one and the fits as parameters, the figures of each
    as metrics, everything as `chosen_from.json`.
    """
    for name in ("chosen", "best", "fits", "budget"):
        client.log_param(run_id, f"recipes.{name}", getattr(choice, name))
    for one in choice.candidates:
        for figure in ("log_loss", "auc"):
            value = getattr(one, figure)
            if value is not None:
                client.log_metric(run_id, f"recipes.{one.name}.{figure}", value)
    client.log_dict(run_id, choice.as_json(), CHOICE)
