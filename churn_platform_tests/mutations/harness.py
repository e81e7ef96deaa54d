"""Runs the tests that guard the gate against patched source, one forked process per mutant.

The fork server has imported the libraries, but no module of the package. A process that a
guard starts runs the source as it is.
"""

import gc
import multiprocessing
import os
import shutil
import signal
import sys
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from importlib.util import spec_from_file_location
from multiprocessing.connection import wait
from pathlib import Path
from types import CodeType
from typing import NoReturn
from unittest.mock import patch

import hypothesis
import pytest

from churn_platform_tests.mutations.mutants import Mutant

ROOT = Path(__file__).parents[2]
SECONDS = 900
TIMED_OUT = -signal.SIGALRM
NOT_IMPORTED = 70
"""The exit code if the guards did not import the patched module. pytest does not use it."""
PLUGINS = ("xdist.plugin", "_hypothesis_pytestplugin")
LIBRARIES = (
    "pytest",
    *PLUGINS,
    "hypothesis.strategies",
    "pandas",
    "scipy.stats",
    "sklearn.compose",
    "sklearn.linear_model",
    "lightgbm",
    "duckdb",
    "pyarrow.parquet",
    "pydantic.json_schema",
    "pydantic_settings",
    "sqlalchemy",
    "yaml",
)
"""What most guards import: 2.5 s. The fork server imports it once."""
ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
"""A fork copies one thread: the libraries must not start others before it."""
# A bug of the patch itself would be "caught" by any test that merely runs it.
BROKEN = (
    "NameError",
    "SyntaxError",
    "ImportError",
    "AttributeError",
    "UnboundLocalError",
    "IndentationError",
)


@dataclass(frozen=True)
class Tried:
    """One run of guards: the exit code, the end of the output and the test that failed."""

    code: int
    output: str
    failed: str = ""

    @property
    def caught(self) -> bool:
        """Whether a test ran and failed, and not because the patch cannot run."""
        broken = any(f"E   {error}" in self.output for error in BROKEN)
        return self.code == pytest.ExitCode.TESTS_FAILED and bool(self.failed) and not broken


def patched(mutant: Mutant, source: str) -> str:
    """The source with the bug.

    Raises:
        LookupError: the source does not contain the text to replace exactly once.
    """
    count = source.count(mutant.old)
    if count != 1 or mutant.old == mutant.new:
        raise LookupError(f"{mutant.name}: {mutant.module} contains {mutant.old!r} {count} times")
    return source.replace(mutant.old, mutant.new)


class PatchedModule(MetaPathFinder):
    """A pytest plugin that imports one module of the package from its patched source."""

    def __init__(self, mutant: Mutant):
        self.path = ROOT / "churn_platform" / mutant.module
        self.source = patched(mutant, self.path.read_text(encoding="utf-8"))
        self.name = ".".join(("churn_platform", *Path(mutant.module).with_suffix("").parts))

    @pytest.hookimpl(tryfirst=True)
    def pytest_load_initial_conftests(self) -> None:
        """Take precedence over pytest's own finder, which imports files such as `self_test.py`."""
        sys.meta_path.insert(0, self)

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, _: object = None
    ) -> ModuleSpec | None:
        """The spec of the patched module, None for every other."""
        if fullname != self.name:
            return None
        found = PathFinder.find_spec(fullname, path)
        assert found is not None
        assert found.origin == str(self.path)
        loader = _PatchedLoader(fullname, found.origin, self.source)
        return spec_from_file_location(fullname, found.origin, loader=loader)

    @property
    def imported(self) -> bool:
        """Whether the patched module was imported."""
        loader = getattr(sys.modules.get(self.name), "__loader__", None)
        return isinstance(loader, _PatchedLoader)


class _PatchedLoader(SourceFileLoader):
    def __init__(self, fullname: str, path: str, source: str):
        super().__init__(fullname, path)
        self.source = source

    def get_code(self, _: str) -> CodeType:
        return compile(self.source, self.path, "exec", dont_inherit=True)


class FailedTest:
    """A pytest plugin that writes the id of the test that failed into a file."""

    def __init__(self, path: Path):
        self.path = path

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Called for the setup, the call and the teardown of each test."""
        if report.failed:
            self.path.write_text(report.nodeid, encoding="utf-8")


def run_tests(
    folder: Path, mutant: Mutant | None, tests: Sequence[str], seconds: float
) -> NoReturn:
    """Run tests up to the first failure in this forked process, and exit with pytest's code.

    Writes the output and the id of the failed test into `folder`.
    """
    # Without a handler the signal ends the process, even in a loop of C code.
    signal.setitimer(signal.ITIMER_REAL, seconds)
    output = os.open(folder / "output", os.O_CREAT | os.O_WRONLY)
    os.dup2(output, 1)
    os.dup2(output, 2)
    early = [name for name in sys.modules if name.partition(".")[0] in {"churn_platform", "bento"}]
    assert not early, f"imported before the patch: {early}"
    # Without shrinking, which only shortens the report of a failure and takes longest.
    phases = (hypothesis.Phase.explicit, hypothesis.Phase.generate)
    hypothesis.settings.register_profile("mutants", phases=phases, derandomize=True, database=None)
    options = [f"--rootdir={ROOT}", f"--basetemp={folder / 'temporary'}", "-pno:cacheprovider"]
    options += ["-n0", "-x", "--tb=short", "--hypothesis-profile=mutants"]
    options += ["--disable-plugin-autoload", *(f"-p{plugin}" for plugin in PLUGINS)]
    plugins: list[object] = [FailedTest(folder / "failed")]
    module = PatchedModule(mutant) if mutant is not None else None
    if module is not None:
        plugins.append(module)
    # pytest collects garbage several times: leave out what the libraries hold.
    gc.freeze()
    code = int(pytest.main([*options, *(str(ROOT / test) for test in tests)], plugins))
    finished = code in {pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED}
    if finished and module is not None and not module.imported:
        print(f"The guards did not import {module.name}.")
        code = NOT_IMPORTED
    sys.stdout.flush()
    # Do not wait for threads that a test has left running.
    os._exit(code)


def try_all(folder: Path, mutants: Sequence[Mutant], seconds: float = SECONDS) -> list[Tried]:
    """Try every mutant against its guards."""
    runs = [
        (mutant, [f"churn_platform_tests/{guard}" for guard in mutant.guards]) for mutant in mutants
    ]
    return _run_all(folder, runs, seconds)


def try_unpatched(folder: Path, tests: Sequence[str]) -> Tried:
    """Run tests against the package as it is, in the way in which `try_all` runs them."""
    return _run_all(folder, [(None, tests)], SECONDS)[0]


def _run_all(
    folder: Path, runs: Sequence[tuple[Mutant | None, Sequence[str]]], seconds: float
) -> list[Tried]:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(list(LIBRARIES))
    waiting = deque(enumerate(runs))
    running = {}
    tried: dict[int, Tried] = {}
    while waiting or running:
        if waiting and len(running) < (os.cpu_count() or 1):
            number, (mutant, tests) = waiting.popleft()
            own = folder / str(number)
            own.mkdir()
            process = context.Process(target=run_tests, args=(own, mutant, tests, seconds))
            # The first start also starts the fork server.
            with patch.dict(os.environ, ONE_THREAD):
                process.start()
            running[process.sentinel] = (number, process)
            continue
        for sentinel in wait(list(running)):
            number, process = running.pop(sentinel)
            process.join()
            tried[number] = _outcome(folder / str(number), process.exitcode)
            shutil.rmtree(folder / str(number))
    return [tried[number] for number in range(len(runs))]


def _outcome(folder: Path, code: int) -> Tried:
    failed = folder / "failed"
    output = (folder / "output").read_text(encoding="utf-8", errors="replace")
    return Tried(
        code, output[-6000:], failed.read_text(encoding="utf-8") if failed.exists() else ""
    )
