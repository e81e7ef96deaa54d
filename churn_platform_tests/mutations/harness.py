"""Runs the tests that guard the gate against a patched copy of the package, one process a mutant."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from churn_platform_tests.mutations.mutants import Mutant

ROOT = Path(__file__).parents[2]
SECONDS, TIMED_OUT = 900, -1
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
    """What the guards said: pytest's exit code and the end of its output."""

    code: int
    output: str

    @property
    def caught(self) -> bool:
        """Whether a test ran and failed, and not because the patch cannot run."""
        return self.code == 1 and not any(f"E   {error}" in self.output for error in BROKEN)


def patched(mutant: Mutant, source: str) -> str:
    """The source with the bug.

    Raises:
        LookupError: the text to replace does not stand there exactly once: the mutant has become vacuous.
    """
    if source.count(mutant.old) != 1 or mutant.old == mutant.new:
        raise LookupError(
            f"{mutant.name}: {mutant.old!r} stands {source.count(mutant.old)} times in {mutant.module}"
        )
    return source.replace(mutant.old, mutant.new)


def package_copy(folder: Path, mutant: Mutant | None) -> Path:
    """A copy of the package in `folder`, with the bug; None changes nothing. The folder to put on the path."""
    shutil.copytree(
        ROOT / "churn_platform",
        folder / "churn_platform",
        ignore=shutil.ignore_patterns("__pycache__"),
    )
    if mutant is not None:
        module = folder / "churn_platform" / mutant.module
        module.write_text(patched(mutant, module.read_text(encoding="utf-8")), encoding="utf-8")
    return folder


def run_guards(package: Path, guards: Iterable[str]) -> Tried:
    """The guards' tests in a new process that imports the copy; up to the first failure."""
    files = [str(ROOT / "churn_platform_tests" / name) for name in guards]
    # Without the plug-in of the same name the copy would never be imported and every mutant would survive.
    command = [
        sys.executable,
        "-P",
        "-m",
        "pytest",
        "-n0",
        "-x",
        "--tb=short",
        "-p",
        "no:cacheprovider",
        "-p",
        "is_the_copy",
    ]
    (package / "is_the_copy.py").write_text(
        f"import churn_platform\nassert churn_platform.__file__.startswith({str(package)!r}), churn_platform.__file__\n",
        encoding="utf-8",
    )
    environment = {
        **os.environ,
        "PYTHONPATH": str(package),
        "HYPOTHESIS_STORAGE_DIRECTORY": str(package / "examples"),
    }
    try:
        done = subprocess.run(
            [*command, f"--rootdir={ROOT}", f"--basetemp={package / 'temporary'}", *files],
            capture_output=True,
            text=True,
            cwd=ROOT,
            env=environment,
            check=False,
            timeout=SECONDS,
        )
    except (
        subprocess.TimeoutExpired
    ):  # one that hangs is not caught, and does not take the others along
        return Tried(TIMED_OUT, f"the guards did not finish within {SECONDS} seconds")
    return Tried(done.returncode, (done.stdout + done.stderr)[-6000:])


def try_all(folder: Path, mutants: Sequence[Mutant | None], guards: Sequence[str]) -> list[Tried]:
    """Every mutant against its own guards, None (the package as it is) against all of `guards`."""

    def tried(numbered: tuple[int, Mutant | None]) -> Tried:
        number, mutant = numbered
        package = package_copy(folder / str(number), mutant)
        found = run_guards(package, guards if mutant is None else mutant.guards)
        shutil.rmtree(package)
        return found

    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        return list(pool.map(tried, enumerate(mutants)))
