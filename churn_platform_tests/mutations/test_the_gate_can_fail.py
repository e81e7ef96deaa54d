"""Each deliberate bug in the comparison is caught by a test that guards the gate.

What the big registry once shipped: a gate that compared a model with itself, and tests that were green.
"""

import os

import pytest

from churn_platform_tests.mutations.harness import (
    ROOT,
    Tried,
    package_copy,
    patched,
    run_guards,
    try_all,
)
from churn_platform_tests.mutations.mutants import MUTANTS, Mutant

NAMES = [mutant.name for mutant in MUTANTS]
EVERY_GUARD = sorted({guard for mutant in MUTANTS for guard in mutant.guards})


@pytest.fixture(scope="module")
def tried(tmp_path_factory) -> dict[str | None, Tried]:
    """What the guards said of each mutant, and of the package as it is (None)."""
    found = try_all(tmp_path_factory.mktemp("mutants"), [None, *MUTANTS], EVERY_GUARD)
    return dict(zip([None, *NAMES], found, strict=True))


@pytest.mark.slow
def test_the_guards_pass_on_the_package_as_it_is(tried):
    assert tried[None].code == 0, tried[None].output


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_a_guard_catches(tried, name):
    assert tried[name].caught, tried[name].output


@pytest.mark.parametrize("mutant", MUTANTS, ids=NAMES)
def test_every_mutant_still_changes_the_source_and_its_guards_exist(mutant):
    source = (ROOT / "churn_platform" / mutant.module).read_text(encoding="utf-8")
    assert patched(mutant, source) != source
    compile(patched(mutant, source), mutant.module, "exec")
    assert all((ROOT / "churn_platform_tests" / guard).is_file() for guard in mutant.guards)


def test_a_mutant_whose_text_is_gone_or_stands_twice_is_an_error():
    mutant = Mutant("name", "x.py", "a", "b", ())
    for source in ("", "aa", "none"):
        with pytest.raises(LookupError, match="stands"):
            patched(mutant, source)
    with pytest.raises(LookupError):
        patched(Mutant("name", "x.py", "a", "a", ()), "a")


def test_what_merely_breaks_is_not_caught():
    assert Tried(1, "E   AssertionError: 1 != 2").caught
    assert not Tried(1, "E   NameError: name 'x' is not defined").caught
    assert not Tried(0, "").caught
    assert not Tried(2, "errors during collection").caught
    assert not Tried(4, "file not found").caught


def test_the_guards_run_on_the_copy(tmp_path):
    package = package_copy(tmp_path, None)
    broken = package / "churn_platform" / "lake" / "window.py"
    broken.write_text(
        "raise RuntimeError('this is the copy')\n" + broken.read_text(encoding="utf-8"),
        encoding="utf-8",
    )
    assert "this is the copy" in run_guards(package, ["lake/test_window.py"]).output
    assert "PYTHONPATH" not in os.environ
