"""The Bento holds what the server imports, at the versions that are locked."""

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

import bento

ROOT = Path(bento.__file__).parents[1]
BENTOFILE = ROOT / "bento" / "bentofile.yaml"
SERVER = """
import sys
before = set(sys.modules)
import bento.server
print(" ".join(sorted({name.split(".")[0] for name in set(sys.modules) - before})))
"""


@pytest.fixture(scope="module")
def declared():
    return yaml.safe_load(BENTOFILE.read_text(encoding="utf-8"))


def test_each_package_has_the_locked_version(declared):
    locked = tomllib.loads((ROOT / "uv.lock").read_text(encoding="utf-8"))["package"]
    known = {(package["name"], package["version"]) for package in locked}
    for requirement in declared["python"]["packages"]:
        name, version = requirement.split("==")
        assert (name, version) in known


def test_packages_are_not_resolved_over_the_network(declared):
    assert declared["python"]["lock_packages"] is False


def test_the_server_imports_nothing_that_the_bento_does_not_hold_and_nothing_heavy(declared):
    done = subprocess.run(
        [sys.executable, "-c", SERVER], capture_output=True, text=True, check=True
    )
    loaded = set(done.stdout.split())
    heavy = {
        "pandas",
        "sklearn",
        "lightgbm",
        "scipy",
        "pyarrow",
        "skops",
        "feast",
        "mlflow",
        "dagster",
        "evidently",
    }
    assert loaded & heavy == set()
    named = {re.split("[=<>]", one)[0].replace("-", "_") for one in declared["python"]["packages"]}
    outside = {
        name
        for name in loaded
        if name in ("fastapi", "pydantic_settings", "filelock", "starlette", "numpy", "pydantic")
    }
    assert outside <= named
    assert {"bento", "churn_platform"} <= loaded


def bentoml_build(tmp_path, *words, folder=None):
    nowhere = "http://127.0.0.1:9"
    environment = {
        "PATH": os.environ["PATH"], "HOME": str(tmp_path), "BENTOML_HOME": str(tmp_path / "bentoml"),
        "BENTOML_DO_NOT_TRACK": "true", "http_proxy": nowhere, "https_proxy": nowhere,
    }  # fmt: skip
    command = [Path(sys.executable).parent / "bentoml", "build", *words, "--output", "tag"]
    return subprocess.run(
        command,
        capture_output=True,
        text=True,
        env=environment,
        cwd=folder or tmp_path,
        check=False,
    )


@pytest.mark.slow
def test_a_build_in_another_folder_fails_with_the_way_and_leaves_no_empty_bento(tmp_path):
    done = bentoml_build(tmp_path, folder=BENTOFILE.parent)
    assert done.returncode != 0
    assert "churn bento" in done.stdout + done.stderr
    assert "bentoml build -f bento/bentofile.yaml ." in done.stdout + done.stderr
    assert list((tmp_path / "bentoml" / "bentos").rglob("bento.yaml")) == []


@pytest.mark.slow
def test_bentoml_builds_it_without_the_network_and_the_service_is_found(tmp_path):
    done = bentoml_build(tmp_path, "-f", str(BENTOFILE), str(ROOT))
    assert done.returncode == 0, done.stdout + done.stderr
    [built] = (tmp_path / "bentoml" / "bentos" / "churn").glob("*/bento.yaml")
    assert yaml.safe_load(built.read_text())["service"] == "bento.service:ChurnService"
    source = built.parent / "src"
    assert (source / "bento" / "page" / "index.html").exists()
    assert (source / "churn_platform" / "contract").is_dir()
