"""Receipts name the installation that acted: another source, library or lock file is another digest."""

import hashlib
import re
import shutil
from importlib import metadata
from pathlib import Path

import pytest

import churn_platform
from churn_platform.adapters.ledger import provenance as module
from churn_platform.adapters.ledger.provenance import (
    code_digest,
    fitting_parts,
    lock_digest,
    package_digest,
    provenance,
)

PACKAGE = Path(churn_platform.__file__).parent


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
    gate = folder / "core" / "gate.py"
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
    monkeypatch.setattr(metadata, "version", lambda asked: "0" if asked == name else installed(asked))
    assert fitting_parts()["libraries"][name] == "0"
    assert code_digest() != before


def test_the_sources_that_fit_exist_and_are_digested():
    assert set(fitting_parts()["sources"]) == set(module.SOURCES)
    content = (PACKAGE / "core" / "estimator.py").read_bytes()
    assert fitting_parts()["sources"]["estimator.py"] == hashlib.sha256(content).hexdigest()


def test_every_receipt_names_the_code_and_the_lock_file_that_acted(sound):
    receipts = sound.ledger.receipts()
    assert len({receipt.act for receipt in receipts}) > 6
    for receipt in receipts:
        assert provenance().items() <= receipt.evidence.items(), receipt.act
