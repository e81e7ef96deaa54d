"""The commands of the README and of the pages about serving and the home work, one after the other, in a shell."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from churn_platform.base.settings import LIBRARY_ENVIRONMENT
from churn_platform_tests.servers import PROGRAMS, Served
from churn_platform_tests.small_business import FEBRUARY, JANUARY, month_tables

ROOT = Path(__file__).parents[1]
TOOLS = "Look into it with MLflow, Feast and Dagster"
SHELL_COMMAND = re.compile(r"uv |curl |sh |docker |DAGSTER_HOME=|export ")
UV = '#!/bin/sh\n[ "$1" = run ] && shift\nexec "$@"\n'
"""In place of uv, so that no environment is synchronised while others use it."""

pytestmark = pytest.mark.slow


def commands(page: str, section: str) -> list[str]:
    """The lines of a section's shell blocks, in order, without comments behind them."""
    text = (ROOT / page).read_text(encoding="utf-8")
    text = text.partition(f"\n## {section}\n")[2].partition("\n## ")[0]
    blocks = re.findall(r"^```\n(.*?)^```", text, flags=re.DOTALL | re.MULTILINE)
    lines = [line for block in blocks for line in block.splitlines()]
    return [line for line in lines if SHELL_COMMAND.match(line)]


class Shell:
    """A shell in a folder of its own; it stops at the first command that fails."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "bin").mkdir()
        (folder / "bin" / "uv").write_text(UV)
        (folder / "bin" / "uv").chmod(0o755)
        path = os.pathsep.join([str(folder / "bin"), str(PROGRAMS), os.environ["PATH"]])
        self.environment = LIBRARY_ENVIRONMENT | {"PATH": path, "HOME": str(folder), "TZ": "UTC"}

    def type(self, lines: list[str]) -> str:
        """Run the lines and return what they print."""
        script = "set -e\n" + "\n".join(lines)
        done = subprocess.run(
            ["sh", "-c", script],
            capture_output=True,
            text=True,
            cwd=self.folder,
            env=self.environment,
            check=False,
        )
        assert done.returncode == 0, f"{script}\n{done.stdout}{done.stderr}"
        return done.stdout


@pytest.fixture(scope="module")
def shell(tmp_path_factory):
    """Where a month's files became `my_home`, by the section "Use your own data", and the next month of the living too."""
    made = Shell(tmp_path_factory.mktemp("readme"))
    for folder, as_of in (("january", JANUARY), ("february", FEBRUARY)):
        (made.folder / folder).mkdir()
        for name, table in month_tables(as_of).items():
            table.to_csv(made.folder / folder / f"{name}.csv", index=False)
    (made.folder / "february" / "leavers.csv").unlink()
    lines = commands("README.md", "Use your own data")
    assert [re.findall(r"churn (\w+)", line)[0] for line in lines] == [
        "init",
        "contract",
        "ingest",
        "run",
        "scores",
    ]
    made.type([line.replace("FILES", "january") for line in lines])
    made.printed = made.type(
        [
            line.replace("FILES", "february").replace("2024-01-31", "2024-02-29")
            for line in lines[2:]
        ]
    )
    return made


def test_a_months_files_become_a_ranked_list(shell):
    assert "2024-02-29" in shell.printed
    assert re.search(r"^ +1 +m\d{5} ", shell.printed, flags=re.MULTILINE)


def test_the_api_answers_about_the_first_customer_of_the_list(shell):
    [start] = commands("docs/serving.md", "Start the API")
    asking = commands("docs/serving.md", "Ask about a customer")
    words = start.partition("#")[0].split()[2:]
    assert words[:2] == ["churn", "serve"]
    server = Served([PROGRAMS / words[0], *words[1:]], shell.folder / "serve.log", shell.folder)
    try:
        server.wait()
        answer = json.loads(shell.type([line.replace("3002", str(server.port)) for line in asking]))
        page = httpx.get(f"{server.url}/")
    finally:
        server.end()
    assert json.loads((shell.folder / "customer.json").read_text()) == {"member": answer["member"]}
    listed = json.loads((shell.folder / "top.json").read_text())["listed"][0]
    assert answer["probability"] == pytest.approx(listed["probability"], abs=1e-12)
    assert (page.status_code, "html" in page.headers["content-type"]) == (200, True)


def test_feasts_own_tools_work_on_the_home(shell):
    _, listing, ui, _ = commands("docs/home.md", TOOLS)
    assert "members" in shell.type([listing])
    words = ui.split()[2:]
    server = Served(
        [PROGRAMS / words[0], *words[1:]],
        shell.folder / "feast.log",
        shell.folder,
        **LIBRARY_ENVIRONMENT,
    )
    try:
        server.wait("/projects-list.json")
        [project] = httpx.get(f"{server.url}/projects-list.json").json()["projects"]
    finally:
        server.end()
    assert project["id"]


def test_mlflows_own_ui_shows_the_model(shell):
    words = commands("docs/home.md", TOOLS)[0].split()[2:]
    words += [
        "--workers",
        "1",
    ]  # of several, uvicorn ends each that imports for more than 5 s, as on a busy machine
    server = Served(
        [PROGRAMS / words[0], *words[1:]],
        shell.folder / "mlflow.log",
        shell.folder,
        **LIBRARY_ENVIRONMENT,
    )
    try:
        server.wait("/health")
        found = httpx.get(f"{server.url}/api/2.0/mlflow/registered-models/search").json()[
            "registered_models"
        ]
    finally:
        server.end()
    assert [model["name"] for model in found] == ["my_home_churn"]


def test_mlflows_own_model_takes_what_pandas_reads_from_the_delivered_files(shell):
    script = """
import mlflow, mlflow.pyfunc, pandas as pd
mlflow.set_tracking_uri("sqlite:///my_home/mlflow.db")
tables = [pd.read_csv(f"february/{name}.csv") for name in ("members", "visits")]
rows = tables[0].merge(tables[1], on="member")
chance = mlflow.pyfunc.load_model("models:/my_home_churn/1").predict(rows)
print(pd.Series(chance[:, 1], index=rows["member"]).to_json(double_precision=15))
"""
    (shell.folder / "score.py").write_text(script)
    scored = json.loads(shell.type([f"{sys.executable} score.py"]).splitlines()[-1])
    listed = json.loads(shell.type(["uv run churn scores --top 500 --json --home my_home"]))[
        "listed"
    ]
    assert len(listed) > 100
    for row in listed:
        assert scored[row["member"]] == pytest.approx(row["probability"], abs=1e-12)


def test_the_commands_for_servers_name_files_that_exist():
    lines = commands("docs/stack.md", "Deploy with Docker Compose")
    assert len(lines) > 3
    for line in lines:
        for path in re.findall(r"docker/[a-z.-]+", line.partition("#")[0]):
            assert (ROOT / path).is_file(), line
