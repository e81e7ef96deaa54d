"""Where a result comes from: the code, the libraries and the lock file, as receipts and model
cards name them.
"""

import platform
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import TypedDict

from pydantic import JsonValue

from churn_platform.base.digests import digest_of
from churn_platform.base.files import sha256_file

PACKAGE = Path(__file__).parents[1]
FITTING = ("scikit-learn", "lightgbm", "numpy", "pandas", "scipy", "skops")
"""The libraries that decide what a fit gives."""
RECIPE_VERSION = 1
"""Raise it with every change of the code after which the same rows and recipe fit another
model.
"""


class FittingParts(TypedDict):
    """What decides a fit besides data and recipe."""

    recipe: int
    """The version of the recipe."""
    libraries: dict[str, str]
    """The version of each library."""


class MadeWith(FittingParts):
    """The same and the machine: not in the digest, but the last bit of a float may depend on it."""

    machine: dict[str, str]


def provenance() -> dict[str, JsonValue]:
    """What a receipt records of the installation that acted: `code` and `lock`, to be merged
    into its evidence.

    `code` is the package's version with the digest of all its sources, `lock` the sha256 of the
    lock file, or of the installed versions where the package was installed without one.
    """
    return {
        "code": f"{metadata.version('churn-platform')}:{package_digest()}",
        "lock": lock_digest(),
    }


@cache
def package_digest() -> str:
    """Digest over every source file of the package."""
    sources = {
        str(path.relative_to(PACKAGE)): sha256_file(path) for path in sorted(PACKAGE.rglob("*.py"))
    }
    return digest_of(sources)


@cache
def lock_digest() -> str:
    """`uv.lock:<sha256>` of the lock file next to the package, else `installed:<digest>` over
    all installed versions.
    """
    lock = PACKAGE.parent / "uv.lock"
    if lock.is_file():
        return f"uv.lock:{sha256_file(lock)}"
    installed = {f"{found.name}=={found.version}" for found in metadata.distributions()}
    return f"installed:{digest_of(sorted(installed))}"


def fitting_parts() -> FittingParts:
    """What decides a fit with the code and the libraries of this installation."""
    return {
        "recipe": RECIPE_VERSION,
        "libraries": {name: metadata.version(name) for name in FITTING},
    }


def made_with() -> MadeWith:
    """What a version that is fitted here is made with."""
    return {
        **fitting_parts(),
        "machine": {"processor": platform.machine(), "python": platform.python_version()},
    }


def code_digest() -> str:
    """Digest of the code and the libraries that decide what a fit gives."""
    return digest_of(fitting_parts())
