"""Where a result comes from: digests of the code, the libraries and the lock file, as receipts and passports name them.

Belongs here: reading the installation. Does not: what is done with the digests (`adapters/proof/reproducing.py`),
digests of data (`adapters/lake.py`).
"""

import hashlib
import platform
from functools import cache
from importlib import metadata
from pathlib import Path

from pydantic import JsonValue

from churn_platform.adapters.files import sha256_file
from churn_platform.core.digest import digest_of

PACKAGE = Path(__file__).parents[2]
FITTING = ("scikit-learn", "lightgbm", "numpy", "pandas", "scipy", "skops")
"""The libraries that decide what a fit gives."""
SOURCES = ("costs.py", "estimator.py", "evaluation.py", "model.py")
"""The modules of `core` that do."""


def provenance() -> dict[str, JsonValue]:
    """What a receipt records of the installation that acted: `code` and `lock`, to be merged into its evidence.

    `code` is the package's version with the digest of all its sources, `lock` the sha256 of the lock file, or of the
    installed versions where the package was installed without one.
    """
    return {"code": f"{metadata.version('churn-platform')}:{package_digest()}", "lock": lock_digest()}


@cache
def package_digest() -> str:
    """Digest over every source file of the package."""
    sources = {str(path.relative_to(PACKAGE)): sha256_file(path) for path in sorted(PACKAGE.rglob("*.py"))}
    return digest_of(sources)


@cache
def lock_digest() -> str:
    """`uv.lock:<sha256>` of the lock file beside the package, else `installed:<digest>` over all installed versions."""
    lock = PACKAGE.parent / "uv.lock"
    if lock.is_file():
        return f"uv.lock:{sha256_file(lock)}"
    return f"installed:{digest_of(sorted({f'{found.name}=={found.version}' for found in metadata.distributions()}))}"


def fitting_parts() -> dict[str, dict[str, str]]:
    """What decides a fit besides data and recipe: version of each library, digest of each source."""
    return {
        "libraries": {name: metadata.version(name) for name in FITTING},
        "sources": {name: hashlib.sha256((PACKAGE / "core" / name).read_bytes()).hexdigest() for name in SOURCES},
    }


def made_with() -> dict[str, dict[str, str]]:
    """`fitting_parts`, and the machine: not in the digest, but the last bit of a float may depend on it."""
    return {**fitting_parts(), "machine": {"processor": platform.machine(), "python": platform.python_version()}}


def code_digest() -> str:
    """Digest of the code and the libraries that decide what a fit gives."""
    return digest_of(fitting_parts())
