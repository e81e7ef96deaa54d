"""Reads a version from the home's MLflow store without MLflow, which sets what a whole process
sees, and without writing anything.
"""

import contextlib
import hashlib
import sqlite3
from pathlib import Path

from churn_platform.base.errors import IntegrityError, UsageError
from churn_platform.training.candidate import Candidate, candidate_of

DIGEST_TAG = "sha256."
FOLDERS = ("", "extra_files")
"""Where a model's files are in its artifacts."""


def stored_version(home: Path, model_name: str, version: int) -> Candidate:
    """A version that has no release, such as a refused one, verified by the digests that were
    recorded when it was registered.

    Args:
        home: the folder of the home; its models must not be on a server.
        model_name: the registered model.
        version: the version.

    Raises:
        UsageError: there is no such version in the home.
        IntegrityError: a file does not match its digest.
    """
    unknown = UsageError(
        f"Version {version} of {model_name} has no release and is not in the MLflow store of"
        f" {home}: `churn history` lists the versions.",
        code="VERSION_UNKNOWN",
    )
    store = home / "mlflow.db"
    if not store.exists():
        raise unknown
    named = (model_name, version)
    with contextlib.closing(sqlite3.connect(f"{store.as_uri()}?mode=ro", uri=True)) as database:
        places = database.execute(
            "SELECT storage_location FROM model_versions WHERE name = ? AND version = ?", named
        ).fetchall()
        tags = database.execute(
            "SELECT key, value FROM model_version_tags WHERE name = ? AND version = ?", named
        ).fetchall()
    if not places:
        raise unknown
    # A home that was moved or copied still has the addresses of the old one.
    _, _, within = str(places[0][0]).rpartition("/artifacts/models/")
    artifacts = home / "artifacts" / "models" / within
    files = {}
    for tag, digest in tags:
        if not tag.startswith(DIGEST_TAG):
            continue
        name = tag.removeprefix(DIGEST_TAG)
        found = (artifacts / folder / name for folder in FOLDERS)
        content = next((path.read_bytes() for path in found if path.exists()), b"")
        if hashlib.sha256(content).hexdigest() != digest:
            raise IntegrityError(
                f"Version {version} of {model_name}: {name} does not match the digest recorded"
                " when it was registered: not loaded.",
                code="MODEL_CHANGED",
            )
        files[name] = content
    return candidate_of(files, version)
