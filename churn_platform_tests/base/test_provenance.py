"""Receipts name the installation that acted: another source, library or lock file is another digest."""

import hashlib
import re
import shutil
from importlib import metadata
from pathlib import Path

import pytest

import churn_platform
from churn_platform.base import provenance as module
from churn_platform.base.provenance import (
    code_digest,
    fitting_parts,
    lock_digest,
    package_digest,
    provenance,
)

PACKAGE = Path(churn_platform.__file__).parent
FITTED = [0.719433, 0.28981, 0.22256]


@pytest.fixture
def elsewhere(tmp_path, monkeypatch):
    """The package as if it were installed in another folder, without a lock file."""
    for path in PACKAGE.rglob("*.py"):
        copy = tmp_path / "site" / "churn_platform" / path.relative_to(PACKAGE)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, copy)
    forget = lambda: [cached.cache_clear() for cached in (package_digest, lock_digest)]  # noqa: E731
    forget()
    monkeypatch.setattr(module, "PACKAGE", tmp_path / "site" / "churn_platform")
    yield tmp_path / "site" / "churn_platform", forget
    forget()


def test_code_and_lock_are_named_by_digests():
    found = provenance()
    assert re.fullmatch(rf"{re.escape(churn_platform.__version__)}:[0-9a-f]{{64}}", found["code"])
    lock = hashlib.sha256((PACKAGE.parent / "uv.lock").read_bytes()).hexdigest()
    assert found["lock"] == f"uv.lock:{lock}"


def test_any_changed_source_of_the_package_is_another_code(elsewhere):
    folder, forget = elsewhere
    before = package_digest()
    gate = folder / "promotion" / "gate.py"
    gate.write_text(gate.read_text() + "\n# changed\n")
    forget()
    assert package_digest() != before


def test_without_a_lock_file_the_installed_versions_stand_in_for_it(elsewhere, monkeypatch):
    _, forget = elsewhere
    before = lock_digest()
    assert before.startswith("installed:")
    monkeypatch.setattr(metadata, "distributions", lambda: iter(()))
    forget()
    assert lock_digest() != before


@pytest.mark.parametrize("name", module.FITTING)
def test_another_version_of_a_library_that_fits_is_another_code_digest(name, monkeypatch):
    before, installed = code_digest(), metadata.version
    monkeypatch.setattr(
        metadata, "version", lambda asked: "0" if asked == name else installed(asked)
    )
    assert fitting_parts()["libraries"][name] == "0"
    assert code_digest() != before


def test_the_recipe_has_a_version_that_is_part_of_the_code_digest(monkeypatch):
    before = code_digest()
    assert fitting_parts()["recipe"] == module.RECIPE_VERSION
    monkeypatch.setattr(module, "RECIPE_VERSION", module.RECIPE_VERSION + 1)
    assert code_digest() != before


def test_the_same_rows_and_recipe_fit_the_same_model(candidate, two_months):
    """Where this fails without a new library, raise RECIPE_VERSION: old versions are no longer made by this code."""
    fitted = candidate.model.probability(two_months.holdout_rows())
    assert module.RECIPE_VERSION == 1
    assert fitted[:3] == pytest.approx(FITTED, abs=1e-5)
    assert fitted.sum() == pytest.approx(98.62811, abs=1e-4)


def test_every_receipt_names_the_code_and_the_lock_file_that_acted(sound):
    receipts = sound.ledger.receipts()
    assert len({receipt.act for receipt in receipts}) > 6
    for receipt in receipts:
        assert provenance().items() <= receipt.evidence.items(), receipt.act
