"""The estimator that a contract names: its entry point is imported, called with the contract's
parameters, and what it returns is checked.

The entry point is code of the business. It runs where models are trained, never where they are
loaded.
"""

import importlib
import inspect
import sys
import sysconfig
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from difflib import get_close_matches
from importlib import metadata
from importlib.machinery import ModuleSpec, PathFinder
from importlib.util import cache_from_source
from pathlib import Path
from typing import Any

from churn_platform.base.digests import digest_of
from churn_platform.base.errors import ChurnError, DataError
from churn_platform.base.files import sha256_file
from churn_platform.base.settings import load_settings
from churn_platform.contract.model import Contract
from churn_platform.contract.reading import chosen_contract_path
from churn_platform.contract.recipes import Parameter

FIELD = "policy.training.estimator"
NEEDED = ("fit", "predict_proba", "get_params", "set_params")
SEEDS = ("random_state", "random_seed", "seed")
_added: list[str] = []
"""The folders that are on Python's path for the home of this process."""
_contracts: list[Path] = []
"""The contract that is checked, if it is not that of the home."""
_imported: dict[str, tuple[str, dict[str, str]]] = {}
"""Package -> its place and sources when it was imported here."""


class EstimatorError(DataError):
    """The estimator or its parameters cannot be used: the training is refused."""

    code = "ESTIMATOR_INVALID"


@dataclass(frozen=True)
class OwnEstimator:
    """An estimator of the business.

    Attributes:
        name: the entry point, as `package.module:function`.
        parameters: what it is called with.
        seed: its `random_state`, unless the parameters have a seed.
    """

    name: str
    parameters: Mapping[str, Parameter]
    seed: int

    @property
    def module(self) -> str:
        """The module of the entry point."""
        return self.name.partition(":")[0]

    @property
    def attribute(self) -> str:
        """The function or class in the module."""
        return self.name.partition(":")[2]

    def record(self) -> dict[str, Any]:
        """What decides its fits besides the recipe: its sources, and the versions of the
        libraries that it is made of.

        Raises:
            EstimatorError: it cannot be built.
        """
        return {"sources": self.sources(), "libraries": libraries_of(self.build())}

    def sources(self) -> dict[str, str]:
        """File -> sha256 of its code, which is not imported for this.

        All files of a package that is not installed; of an installed one the module alone, as
        its version names the others.

        Raises:
            EstimatorError: there is no such module.
        """
        spec = self._spec()
        folders = list(spec.submodule_search_locations or [])
        if not folders:
            file = Path(str(spec.origin))
            return {file.name: sha256_file(file)}
        root = Path(folders[0])
        if _installed(root):
            module = root.joinpath(*self.module.split(".")[1:])
            named = (module.with_suffix(".py"), module / "__init__.py")
            files = [path for path in named if path.is_file()]
        else:
            files = sorted(root.rglob("*.py"))
        return {path.relative_to(root.parent).as_posix(): sha256_file(path) for path in files}

    def only_in_current_folder(self) -> bool:
        """Whether its package is found in the current folder and nowhere else."""
        folders = list(self._spec().submodule_search_locations or [])
        place = Path(folders[0] if folders else str(self._spec().origin)).parent
        return [*own_folders()][:-1] != [place] and place == Path.cwd() and str(place) in _added

    def build(self) -> Any:  # noqa: ANN401 - whichever classifier it returns
        """The unfitted classifier.

        Raises:
            EstimatorError: the entry point cannot be imported, fails, or returns something that
                is not a classifier.
        """
        call = self._load()
        try:
            accepted, seeded = _accepted(call)
            check_names(self.parameters, accepted, self.name)
            given: dict[str, Any] = dict(self.parameters)
            if seeded and not set(SEEDS) & set(given):
                given["random_state"] = self.seed
            made = call(**given)
        except EstimatorError:
            raise
        except Exception as error:
            raise self._failed("fails", error) from error
        lacking = [name for name in NEEDED if not callable(getattr(made, name, None))]
        if isinstance(made, type):
            raise EstimatorError(
                f"{FIELD}: {self.name} returned the class {made.__name__}. Return an instance."
            )
        if lacking:
            # Never its repr: an address in it would make each refusal another one.
            kind = f"{type(made).__module__}.{type(made).__qualname__}"
            raise EstimatorError(
                f"{FIELD}: {self.name} returned an object of {kind}, which is not a classifier of"
                f" scikit-learn: it lacks {', '.join(lacking)}."
            )
        self._check_clone(made)
        try:
            if not set(SEEDS) & set(self.parameters) and _unseeded(made):
                made.set_params(random_state=self.seed)
        except Exception as error:
            raise self._failed("refused its seed", error) from error
        return made

    def _check_clone(self, made: Any) -> None:  # noqa: ANN401 - whichever classifier it returns
        from sklearn.base import clone

        try:
            clone(made)
        except Exception as error:
            raise EstimatorError(
                f"{FIELD}: what {self.name} returned cannot be cloned ({_said(error)}). Its"
                " __init__ must keep every parameter unchanged under its own name."
            ) from error

    def _load(self) -> Callable[..., Any]:
        self._forget_old_source()
        try:
            module = importlib.import_module(self.module)
        except ModuleNotFoundError as error:
            if error.name is not None and f"{self.module}.".startswith(f"{error.name}."):
                raise self._not_found() from None
            raise self._failed("cannot be imported", error) from error
        except Exception as error:
            raise self._failed("cannot be imported", error) from error
        found = getattr(module, self.attribute, None)
        if found is None:
            raise EstimatorError(
                f"{FIELD}: {self.module} ({getattr(module, '__file__', None)}) has no"
                f" {self.attribute!r}.",
                code="ESTIMATOR_NOT_FOUND",
            )
        if not callable(found):
            raise EstimatorError(
                f"{FIELD}: {self.name} is of type {type(found).__name__}. Name a function or a"
                " class that returns a classifier."
            )
        call: Callable[..., Any] = found
        return call

    def _spec(self) -> ModuleSpec:
        try:
            found = PathFinder.find_spec(self._package, _search_path())
        except (ImportError, ValueError):
            found = None
        if found is None or not (found.origin or found.submodule_search_locations):
            raise self._not_found()
        return found

    @property
    def _package(self) -> str:
        return self.module.partition(".")[0]

    def _forget_old_source(self) -> None:
        """Import a package of the business again if its files have changed, or if it is that of
        another home.
        """
        spec = self._spec()
        folders = list(spec.submodule_search_locations or [])
        now = (str(folders or spec.origin), self.sources())
        if folders and _installed(Path(folders[0])):
            return
        if _imported.get(self._package) == now and self.module in sys.modules:
            return
        for name in [*sys.modules]:
            if name.partition(".")[0] == self._package:
                del sys.modules[name]
        self._delete_bytecode()
        importlib.invalidate_caches()
        _imported[self._package] = now

    def _delete_bytecode(self) -> None:
        """Python takes the bytecode of a file for current if the file's size and the second of its
        change are the same: an edit within that second would be recorded and not be trained.
        """
        folders = list(self._spec().submodule_search_locations or [])
        root = Path(folders[0]).parent if folders else Path(str(self._spec().origin)).parent
        for name in self.sources():
            Path(cache_from_source(str(root / name))).unlink(missing_ok=True)

    def _not_found(self) -> EstimatorError:
        folders = ", ".join(str(folder) for folder in own_folders())
        return EstimatorError(
            f"{FIELD}: there is no module {self.module} in Python's path or in {folders}. Put it"
            " next to the contract, or install it.",
            code="ESTIMATOR_NOT_FOUND",
        )

    def _failed(self, what: str, error: Exception) -> EstimatorError:
        return EstimatorError(
            f"{FIELD}: {self.name} {what} ({_said(error)}).", code="ESTIMATOR_FAILED"
        )


@contextmanager
def reported(name: str) -> Iterator[None]:
    """Raise what an estimator raises while it is fitted as EstimatorError; our own errors stay."""
    try:
        yield
    except EstimatorError as error:
        raise EstimatorError(f"{name}: {error}", code=error.code) from error
    except ChurnError:
        raise
    except Exception as error:
        raise EstimatorError(
            f"{name} could not be fitted ({_said(error)}).", code="ESTIMATOR_FAILED"
        ) from error


def estimator_sources(contract: Contract) -> str:
    """Digest of the sources of the contract's estimators; empty without one, or if it is missing.

    It imports nothing of the business.
    """
    policy = contract.policy.training
    try:
        sources = [OwnEstimator(name, {}, policy.seed).sources() for name in policy.estimators]
    except EstimatorError:
        return ""
    if not sources:
        return ""
    return digest_of(sources[0] if len(sources) == 1 else sources)


def check_names(given: Collection[str], accepted: Collection[str] | None, what: str) -> None:
    """Raise EstimatorError for a parameter that is not accepted; None accepts all."""
    for name in given:
        if accepted is None or name in accepted:
            continue
        nearest = get_close_matches(name, accepted, n=1)
        if nearest:
            advice = f"Did you mean {nearest[0]!r}?"
        else:
            advice = f"It has {', '.join(sorted(accepted)) or 'none'}."
        raise EstimatorError(
            f"policy.training.parameters.{name}: {what} has no parameter {name!r}. {advice}",
            code="ESTIMATOR_PARAMETER_UNKNOWN",
        )


@contextmanager
def searching_next_to(contract: Path) -> Iterator[None]:
    """Search next to this contract instead of that of the home."""
    _contracts.append(contract)
    try:
        yield
    finally:
        _contracts.pop()


def own_folders() -> list[Path]:
    """Where entry points are searched after Python's path: the folder of the contract, then the
    current folder.
    """
    contract = _contracts[-1] if _contracts else chosen_contract_path(load_settings())
    folders = [Path.cwd()]
    if contract is not None:
        folders.insert(0, contract.expanduser().resolve().parent)
    return folders


def libraries_of(classifier: Any) -> dict[str, str]:  # noqa: ANN401 - any classifier
    """Installed package -> version, of the classes that a classifier is made of."""
    parts = [classifier, *classifier.get_params(deep=True).values()]
    modules = {type(part).__module__.partition(".")[0] for part in parts}
    packages = metadata.packages_distributions()
    names = {name for module in modules for name in packages.get(module, [])}
    return {name: metadata.version(name) for name in sorted(names)}


def _accepted(call: Callable[..., Any]) -> tuple[set[str] | None, bool]:
    """The names of the parameters, None if all are accepted; whether `random_state` is one."""
    parameters = inspect.signature(call).parameters.values()
    names = {
        one.name for one in parameters if one.kind in (one.POSITIONAL_OR_KEYWORD, one.KEYWORD_ONLY)
    }
    if not any(one.kind == one.VAR_KEYWORD for one in parameters):
        return names, "random_state" in names
    if not (inspect.isclass(call) and hasattr(call, "get_params")):
        return None, "random_state" in names
    # XGBClassifier takes **kwargs and would fit with a parameter that nothing reads.
    default: Any = call()
    names |= set(default.get_params())
    return names, "random_state" in names


def _unseeded(made: Any) -> bool:  # noqa: ANN401 - any classifier
    return made.get_params(deep=False).get("random_state", "none of this name") is None


def _search_path() -> list[str]:
    """Python's path, with the folders of this home at its end."""
    for folder in _added:
        if folder in sys.path:
            sys.path.remove(folder)
    _added[:] = [str(folder) for folder in own_folders() if str(folder) not in sys.path]
    sys.path += _added
    return sys.path


def _installed(folder: Path) -> bool:
    places = {sysconfig.get_path(name) for name in ("purelib", "platlib", "stdlib")}
    return str(folder.parent) in places


def _said(error: Exception) -> str:
    """An error on one line."""
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text[:300]}" if text else type(error).__name__
