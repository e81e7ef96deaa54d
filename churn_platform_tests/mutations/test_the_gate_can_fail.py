"""Each deliberate bug in the comparison is caught by a test that guards the gate.

The reason: a large registry once shipped a gate that compared a model with itself, and its
tests passed.
"""

import pytest

from churn_platform_tests.mutations.harness import (
    NOT_IMPORTED,
    ROOT,
    TIMED_OUT,
    Tried,
    patched,
    try_all,
    try_unpatched,
)
from churn_platform_tests.mutations.mutants import MUTANTS, Mutant

NAMES = [mutant.name for mutant in MUTANTS]
STATISTICS = "evaluation/statistics.py"
ABOVE = "return self.low > value"
GUARDS = ("evaluation/test_statistics.py",)


@pytest.fixture(scope="module")
def tried(tmp_path_factory) -> dict[str, Tried]:
    """The result of each mutant."""
    found = try_all(tmp_path_factory.mktemp("mutants"), MUTANTS)
    return dict(zip(NAMES, found, strict=True))


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_a_guard_catches(tried, name):
    assert tried[name].caught, tried[name].output


@pytest.mark.slow
def test_the_tests_that_catch_pass_on_the_package_as_it_is(tried, tmp_path):
    tests = sorted({found.failed for found in tried.values() if found.failed})
    found = try_unpatched(tmp_path, tests)
    assert found.code == 0, found.output


@pytest.mark.slow
def test_what_no_guard_catches_is_not_caught(tmp_path):
    survivor = Mutant("no change", STATISTICS, ABOVE, "return value < self.low", GUARDS)
    broken = Mutant(
        "cannot be imported",
        STATISTICS,
        "import numpy as np\n",
        "raise RuntimeError('patched source')\n",
        GUARDS,
    )
    unseen = Mutant("not imported", "probe.py", "import sys\n", "import sys as sys\n", GUARDS)
    found = try_all(tmp_path, [survivor, broken, unseen])
    assert not any(one.caught for one in found)
    assert found[0].code == 0
    assert "patched source" in found[1].output
    assert found[2].code == NOT_IMPORTED


@pytest.mark.slow
def test_a_hang_ends_and_is_not_caught(tmp_path):
    hang = Mutant("hang", STATISTICS, ABOVE, "while True: pass", GUARDS)
    (found,) = try_all(tmp_path, [hang], seconds=5)
    assert (found.code, found.caught) == (TIMED_OUT, False)


@pytest.mark.parametrize("mutant", MUTANTS, ids=NAMES)
def test_every_mutant_still_changes_the_source_and_its_guards_exist(mutant):
    source = (ROOT / "churn_platform" / mutant.module).read_text(encoding="utf-8")
    assert patched(mutant, source) != source
    compile(patched(mutant, source), mutant.module, "exec")
    for guard in mutant.guards:
        file, _, test = guard.partition("::")
        guard_source = (ROOT / "churn_platform_tests" / file).read_text(encoding="utf-8")
        assert not test or f"def {test}(" in guard_source


def test_a_mutant_whose_text_the_source_does_not_contain_once_is_an_error():
    mutant = Mutant("name", "x.py", "a", "b", ())
    for source in ("", "aa", "none"):
        with pytest.raises(LookupError):
            patched(mutant, source)
    with pytest.raises(LookupError):
        patched(Mutant("name", "x.py", "a", "a", ()), "a")


def test_what_merely_breaks_is_not_caught():
    assert Tried(1, "E   AssertionError: 1 != 2", "a test").caught
    assert not Tried(1, "E   NameError: name 'x' is not defined", "a test").caught
    assert not Tried(1, "the process failed before the tests").caught
    assert not Tried(0, "").caught
    assert not Tried(2, "errors during collection").caught
    assert not Tried(4, "file not found").caught
