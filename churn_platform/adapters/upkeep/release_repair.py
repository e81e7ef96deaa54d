"""A damaged or missing release, and a lost pointer, made again from what proves what they were.

A release is proved by its own manifest or by the receipt that it was published; the content comes from the registry,
whose files have digests of their own. Belongs here: that. Does not: publishing a new version
(`adapters/promotion/promoting.py`).
"""

import hashlib
import uuid
from collections.abc import Mapping

from churn_platform.adapters.files import replacing, sha256_file
from churn_platform.adapters.home import Home
from churn_platform.adapters.promotion.publishing import publish
from churn_platform.core import release
from churn_platform.core.candidate import candidate_of
from churn_platform.core.digest import digest_of
from churn_platform.core.forgetting import current
from churn_platform.core.moves import DONE, Move, promotions, version_of
from churn_platform.core.release import Manifest
from churn_platform.core.serving_form import serving_files
from churn_platform.errors import IntegrityError, UsageError


def rebuild(home: Home, version: int) -> tuple[str, dict[str, str]]:
    """Restore a release from the registry.

    Returns:
        What was done, and the digest of the manifest before -> after where it is a new one.

    Raises:
        IntegrityError: nothing proves what the release was, or the registry has other files; it is left as it was.
    """
    content = _registered(home, version)
    try:
        manifest = home.releases.manifest(version)
    except (IntegrityError, UsageError):
        return _again(home, version, content)
    mended = _mended(home, manifest, content)
    return f"Release {version}: {', '.join(mended)} restored from the registry, as in its manifest.", {}


def rebuild_pointer(home: Home) -> str:
    """Write the pointer again from the last move that the ledger records as done.

    Raises:
        IntegrityError: no move was done, or its release is not complete.
    """
    done = [receipt for receipt in home.ledger.receipts() if receipt.act in DONE]
    if not done:
        raise IntegrityError(f"{home.releases.pointer_file} cannot be read, and the ledger knows no promotion.")
    last = done[-1]
    version, previous = version_of(last.after), version_of(last.before)
    if version is None:
        raise IntegrityError(f"Receipt {last.sequence} names no version.")
    home.releases.verify(version)
    evidence = last.evidence
    home.releases.repoint(
        {
            "version": version, "previous_version": previous, "as_of": str(evidence["as_of"]),
            "activate_at": str(evidence["activate_at"]), "ledger_head": str(evidence["intent"]),
        }
    )  # fmt: skip
    return f"The pointer to production names version {version} again, as in receipt {last.sequence}."


def _registered(home: Home, version: int) -> dict[str, bytes]:
    """The version's files in the registry, verified there, and the serving form that comes of them."""
    files = home.registry.files(version)
    return {**files, **serving_files(candidate_of(files, version).model)}


def _mended(home: Home, manifest: Manifest, content: Mapping[str, bytes]) -> list[str]:
    """Put back the files that are not as the manifest records, each atomically."""
    folder = home.releases.folder / str(manifest.version)
    wrong = [n for n, d in manifest.files.items() if not (folder / n).is_file() or sha256_file(folder / n) != d]
    other = [name for name in wrong if hashlib.sha256(content.get(name, b"")).hexdigest() != manifest.files[name]]
    if other:
        raise IntegrityError(
            f"Release {manifest.version}: {', '.join(other)} cannot be restored: the registry has other content."
        )
    for name in wrong:
        with replacing(folder / name) as temporary:
            temporary.write_bytes(content[name])
    known = {*manifest.files, release.MANIFEST, release.MANIFEST_DIGEST}
    added = [entry for entry in folder.iterdir() if entry.name not in known]
    for entry in added:
        aside = home.releases.folder / f".added-to-{manifest.version}.{uuid.uuid4().hex}"
        entry.rename(aside)  # somebody's, and no part of the release
    home.releases.verify(manifest.version)
    return [*wrong, *(f"{entry.name} (put aside)" for entry in added)]


def _again(home: Home, version: int, content: Mapping[str, bytes]) -> tuple[str, dict[str, str]]:
    """Publish the version again, where receipts say what it was."""
    receipts = home.ledger.receipts()
    said = next((r for r in receipts if r.act == "release published" and r.subject == f"version {version}"), None)
    promoted = promotions(receipts).get(version)
    if said is None or promoted is None:
        raise IntegrityError(f"Release {version} has no valid manifest, and no receipt records its files.")
    files = {name: hashlib.sha256(one).hexdigest() for name, one in content.items()}
    if files != said.evidence["files"]:
        raise IntegrityError(f"Release {version} cannot be restored: the registry has other content.")
    folder = home.releases.folder / str(version)
    aside = home.releases.folder / f".damaged-{version}.{uuid.uuid4().hex}"
    if folder.exists():
        folder.rename(aside)
    try:
        publish(home, Move.of(promoted))
    except Exception:
        if aside.exists() and not folder.exists():
            aside.rename(folder)
        raise
    before = current(receipts, said.evidence["manifest"], said.sequence)
    after = digest_of(home.releases.verify(version).model_dump(mode="json"))
    done = f"Release {version} was published again from the registry"
    if after == before:
        return f"{done}, as in receipt {said.sequence}.", {}
    return f"{done}, its files as in receipt {said.sequence}, its manifest with other golden rows.", {before: after}
