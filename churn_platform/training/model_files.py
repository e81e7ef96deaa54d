"""Model files of the business: where they are, how they are written, and how they are read."""

import hashlib
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import yaml

from churn_platform.base.errors import IntegrityError, UsageError
from churn_platform.training.imported import IMPORTED_TYPES
from churn_platform.training.mlflow_server import client_of, quiet
from churn_platform.training.model import read_skops
from churn_platform.training.pickle_conversion import to_skops

Format = Literal["skops", "pickle", "lightgbm", "xgboost"]
MLMODEL = "MLmodel"
FLAVORS = {"sklearn": "pickled_model", "lightgbm": "data", "xgboost": "data"}
"""MLflow's flavour -> the field that names its file."""
ADDRESS = re.compile(r"(models|runs):/")
NATIVE = {".json": "xgboost", ".ubj": "xgboost", ".xgb": "xgboost", ".lgb": "lightgbm"}


@dataclass(frozen=True)
class ModelFile:
    """A model file, as it was found at `source`."""

    source: str
    name: str
    content: bytes
    format: Format

    @property
    def sha256(self) -> str:
        """Of the file."""
        return hashlib.sha256(self.content).hexdigest()

    def estimator(self, *, trust_code: bool) -> Any:  # noqa: ANN401 - whatever the file holds
        """The estimator in the file.

        Args:
            trust_code: whether a file that runs code may be read: once, in a process of its own.

        Raises:
            UsageError: the file runs code and that is not allowed; it names types that are not
                allowed; or it is damaged.
        """
        if self.format == "lightgbm":
            return self._booster()
        if self.format == "xgboost":
            return self._xgboost()
        content = self.content
        if self.format == "pickle":
            if not trust_code:
                raise UsageError(
                    f"{self.name} is a pickle, and reading a pickle runs the code in it. Save the"
                    ' model as skops (`skops.io.dump(model, "model.skops")`), or, if you trust'
                    " whoever made the file, type the command again with --trust-code: it is read"
                    " once, in a process of its own, and kept as skops.",
                    code="MODEL_RUNS_CODE",
                )
            content = to_skops(content, self.name)
        try:
            return read_skops(content, IMPORTED_TYPES)
        except IntegrityError as error:
            raise UsageError(
                f"{self.name}: {error} Only estimators of scikit-learn and of the libraries that"
                " the platform trains with are read. Use their own steps in place of these types,"
                " or let the platform train the model (policy.training.estimator).",
                code="MODEL_TYPES_NOT_ALLOWED",
            ) from None

    def _booster(self) -> Any:  # noqa: ANN401 - a Booster
        import lightgbm

        try:
            return lightgbm.Booster(model_str=self.content.decode("utf-8"))
        except (UnicodeDecodeError, lightgbm.basic.LightGBMError) as error:
            raise _unreadable(self.name, str(error)) from None

    def _xgboost(self) -> Any:  # noqa: ANN401 - an XGBClassifier
        try:
            import xgboost  # type: ignore[import-not-found,import-untyped,unused-ignore]
        except ImportError:
            raise _unreadable(self.name, "the package xgboost is not installed") from None
        model = xgboost.XGBClassifier()
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / self.name
            path.write_bytes(self.content)
            try:
                model.load_model(path)
            except (xgboost.core.XGBoostError, ValueError, TypeError) as error:
                raise _unreadable(self.name, str(error)) from None
        return model


@contextmanager
def found_model(source: str, tracking_uri: str) -> Iterator[ModelFile]:
    """The model file at a path or at an address of MLflow.

    Args:
        source: a file, a folder of an MLflow model, `models:/NAME/VERSION`, `models:/NAME@ALIAS`
            or `runs:/RUN/PATH`.
        tracking_uri: where MLflow's addresses are looked up.

    Raises:
        UsageError: there is no model, or none that is read.
    """
    if not ADDRESS.match(source):
        yield _at(Path(source), source)
        return
    with tempfile.TemporaryDirectory() as folder:
        yield _at(_downloaded(source, tracking_uri, folder), source)


def _at(path: Path, source: str) -> ModelFile:
    written: Format | None = None
    if path.is_dir():
        path, written = _in_folder(path, source)
    try:
        content = path.read_bytes()
    except OSError as error:
        raise _unreadable(source, error.strerror or str(error)) from None
    return ModelFile(source, path.name, content, written or _format(path, content))


def _in_folder(folder: Path, source: str) -> tuple[Path, Format | None]:
    """The model file of an MLflow model, and its format if the flavour says so."""
    if not (folder / MLMODEL).is_file():
        raise _unreadable(source, f"the folder has no file {MLMODEL}, so it is not an MLflow model")
    try:
        flavors = yaml.safe_load((folder / MLMODEL).read_text(encoding="utf-8"))["flavors"]
        known = {name: flavors[name][FLAVORS[name]] for name in FLAVORS if name in flavors}
    except (yaml.YAMLError, UnicodeDecodeError, LookupError, TypeError) as error:
        raise _unreadable(source, f"{MLMODEL} cannot be read ({error})") from None
    if not known:
        raise _unreadable(
            source, f"its flavours are {', '.join(flavors)}; those read are {', '.join(FLAVORS)}"
        )
    path = folder / next(iter(known.values()))
    if not path.resolve().is_relative_to(folder.resolve()):
        raise _unreadable(source, f"{MLMODEL} names a file outside of the folder")
    return path, None


def _format(path: Path, content: bytes) -> Format:
    """How a file is written: by its first bytes, then by its name."""
    if content.startswith(b"PK"):
        return "skops"
    if content.startswith(b"tree\n"):
        return "lightgbm"
    if NATIVE.get(path.suffix) == "xgboost" and content.startswith(b"{"):
        return "xgboost"
    return "pickle"


def _downloaded(source: str, tracking_uri: str, folder: str) -> Path:
    import mlflow.artifacts
    from mlflow.exceptions import MlflowException

    uri = source
    try:
        with quiet():
            if source.startswith("models:/"):
                uri = _version_uri(source.removeprefix("models:/"), tracking_uri)
            return Path(
                mlflow.artifacts.download_artifacts(
                    artifact_uri=uri, dst_path=folder, tracking_uri=tracking_uri
                )
            )
    except MlflowException as error:
        raise _unreadable(source, f"MLflow at {tracking_uri} answers: {error.message}") from None


def _version_uri(named: str, tracking_uri: str) -> str:
    """Not models:/name/version, which ignores the store."""
    client = client_of(tracking_uri)
    if "@" in named:
        name, alias = named.split("@", 1)
        version = client.get_model_version_by_alias(name, alias).version
    else:
        name, _, version = named.partition("/")
    return str(client.get_model_version_download_uri(name, version))


class NoModelFound(UsageError):
    """There is no model at a path or an address."""

    code = "MODEL_SOURCE_UNREADABLE"


def _unreadable(source: str, why: str) -> NoModelFound:
    return NoModelFound(
        f"There is no model to import at {source}: {why.rstrip('.')}. Name a file of skops, a"
        " pickle, a booster of LightGBM or XGBoost, the folder of an MLflow model, or"
        " models:/NAME/VERSION."
    )
