"""The wheel as it is installed elsewhere: next to another package called `bento`, which is not ours to import."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import httpx
import pytest
import yaml

from churn_platform_tests.servers import BODY, Served

ROOT = Path(__file__).parents[2]
CHURN = "import churn_platform; assert 'installed' in churn_platform.__file__; from churn_platform.cli.app import main; main()"

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """A folder of installed packages that holds the wheel and somebody else's `bento`; others come from here."""
    folder = tmp_path_factory.mktemp("wheel")
    build = ["uv", "build", "--wheel", "--offline", "--quiet", "--out-dir", str(folder), str(ROOT)]
    done = subprocess.run(build, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    [wheel] = folder.glob("*.whl")
    zipfile.ZipFile(wheel).extractall(folder / "installed")
    (folder / "installed" / "bento").mkdir()
    for name in ("__init__", "service", "server"):
        (folder / "installed" / "bento" / f"{name}.py").write_text(
            "raise ImportError('somebody else')\n"
        )
    return folder / "installed"


def test_it_installs_one_top_level_package(installed):
    found = {path.name for path in installed.iterdir() if not path.name.endswith(".dist-info")}
    assert found == {"churn_platform", "bento"}  # the second is the other's
    own = {
        path.name
        for path in (installed / "churn_platform" / "_bento").iterdir()
        if path.suffix == ".py"
    }
    assert own == {path.name for path in (ROOT / "bento").glob("*.py")}


def test_the_api_serves_from_it(installed, served_copy, tmp_path):
    serve = [sys.executable, "-c", CHURN, "serve", "--home", served_copy.folder, "--workers", "1"]
    server = Served(serve, tmp_path / "log", tmp_path, PYTHONPATH=str(installed))
    try:
        server.wait()
        assert httpx.post(f"{server.url}/predict", json=BODY).json()["model"]["version"] == 2
        assert "<html" in httpx.get(f"{server.url}/").text
    finally:
        server.end()


def test_a_bento_is_built_from_it(installed, served_copy, tmp_path):
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith("CHURN_")
    }
    environment |= {"PYTHONPATH": str(installed), "BENTOML_HOME": str(tmp_path / "bentoml")}
    command = [sys.executable, "-c", CHURN, "bento", "--home", served_copy.folder]
    done = subprocess.run(
        command, capture_output=True, text=True, env=environment, cwd=tmp_path, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    [built] = (tmp_path / "bentoml" / "bentos" / "churn").glob("*/bento.yaml")
    assert yaml.safe_load(built.read_text())["service"] == "bento.service:ChurnService"
    assert (built.parent / "src" / "bento" / "service.py").read_bytes() == (
        ROOT / "bento" / "service.py"
    ).read_bytes()
