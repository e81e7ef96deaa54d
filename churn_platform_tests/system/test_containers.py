"""docker/ in real containers, by the commands of docs/stack.md: build, trial, backup, restore. `uv run pytest -m docker`.

It works on a copy of the project under Compose's project name `churn-try`, so no deployment of this machine is touched.
"""

import hashlib
import json
import os
import re
import shutil
import subprocess
import time

import pytest

from churn_platform_tests.system.compose import DOCKER

pytestmark = pytest.mark.docker
ROOT = DOCKER.parent
STACK = (ROOT / "docs" / "stack.md").read_text(encoding="utf-8")
COMPOSE = "docker compose -f docker/compose.yaml"
LARGEST_LAYER_OF_CODE = 20_000_000


def blocks(section):
    """The code blocks of a section of docs/stack.md, as the page shows them."""
    text = STACK.partition(f"\n## {section}\n")[2].partition("\n## ")[0]
    return re.findall(r"^```\n(.*?)^```$", text, flags=re.MULTILINE | re.DOTALL)


def why_not():
    """Why nothing can be run in containers here; empty when it can."""
    for asked in (["docker", "version"], ["docker", "compose", "version"]):
        try:
            done = subprocess.run(asked, capture_output=True, text=True, check=False, timeout=60)
        except (OSError, subprocess.TimeoutExpired) as error:
            return f"{' '.join(asked)}: {error}"
        if done.returncode != 0:
            return f"{' '.join(asked)}: {(done.stderr or done.stdout).strip()}"
    return ""


class Trial:
    """The copy of the project, and its stack."""

    def __init__(self, folder):
        self.folder = folder
        self.environment = os.environ | {"COMPOSE_PROJECT_NAME": "churn-try", "CHURN_PORT": "9443"}
        self.seconds = []

    def run(self, script, **more):
        """A shell script in the copy; its output. It stops at the first command that fails."""
        began = time.monotonic()
        done = subprocess.run(
            ["sh", "-e", "-c", script], cwd=self.folder, env=self.environment, capture_output=True, text=True,
            check=False, **more,
        )  # fmt: skip
        first, *rest = script.strip().splitlines()
        self.seconds.append(
            f"{time.monotonic() - began:.0f} s: {first[:100]}{' ...' if rest else ''}"
        )
        assert done.returncode == 0, f"{script}\n{done.stdout[-6000:]}\n{done.stderr[-6000:]}"
        return done.stdout

    def ask(self, path):
        return json.loads(
            self.run(
                f"curl --silent --fail --insecure --retry 12 --retry-all-errors --retry-delay 5 "
                f"--header 'Authorization: Bearer {self.key}' https://api.localhost:9443{path}"
            )
        )

    def receipts(self):
        """The acts of the ledger, oldest first."""
        shown = self.run(f"{COMPOSE} exec -T dagster-code cat /srv/churn/ledger/receipts.jsonl")
        return [json.loads(line)["act"] for line in shown.splitlines()]


@pytest.fixture(scope="module")
def trial(request, tmp_path_factory):
    """The stack after `docker/try.sh`, two simulated months old."""
    reason = why_not()
    if reason:
        with request.config.pluginmanager.getplugin("capturemanager").global_and_fixture_disabled():
            print(f"\nNOT RUN: docker/ was not tried in containers. {reason}")
        pytest.skip(reason)
    folder = tmp_path_factory.mktemp("project") / "project"
    ignored = shutil.ignore_patterns(
        ".git", ".venv", "__pycache__", ".*_cache", "*.env", "secrets", "*_home"
    )
    shutil.copytree(ROOT, folder, ignore=ignored)
    made = Trial(folder)
    try:
        made.run("sh docker/prepare.sh")
        made.run(f"{COMPOSE} build")
        shown = made.run("CHURN_TRY_KEEP=1 sh docker/try.sh")
        made.key = re.search(r"API key: (\w+)", shown)[1]
        made.environment["CHURN_API_KEYS"] = hashlib.sha256(made.key.encode()).hexdigest()
        yield made
        print("\n".join(made.seconds))
    finally:
        subprocess.run(
            ["sh", "-c", f"{COMPOSE} --profile maintenance down --volumes --timeout 20"], cwd=folder, check=False,
            env=made.environment, capture_output=True,
        )  # fmt: skip


def test_every_service_is_healthy_and_a_container_of_one_command_has_no_check(trial):
    state = "{{.Name}} {{.State.Status}} {{if .State.Health}}{{.State.Health.Status}}{{else}}none{{end}}"
    shown = trial.run(
        f"docker inspect --format '{state}' $({COMPOSE} ps --all --quiet)"
    ).splitlines()
    found = {
        name.removeprefix("/churn-try-").removesuffix("-1"): rest
        for name, *rest in map(str.split, shown)
    }
    assert found.pop("home") == ["exited", "none"]
    assert set(map(tuple, found.values())) == {("running", "healthy")}, found
    assert len(found) == 11


def test_the_code_is_a_small_layer_on_that_of_the_libraries(trial):
    layers = trial.run(
        "docker history --human=false --format '{{.Size}} {{.CreatedBy}}' churn-platform:local"
    ).splitlines()
    copies = [int(line.split()[0]) for line in layers if "COPY /app/.venv" in line]
    code, libraries = copies
    assert code < LARGEST_LAYER_OF_CODE < libraries


def test_the_api_is_verified_from_another_container(trial):
    found = json.loads(trial.run(f"{COMPOSE} run --rm -T maintenance churn verify --json"))
    [server] = [finding for finding in found["findings"] if finding["check"] == "server"]
    assert (server["state"], found["verified"]) == ("holds", True)
    assert "api:3002" in server["detail"]


def test_a_backup_made_and_restored_as_documented_answers_as_before(trial):
    before = {path: trial.ask(path) for path in ("/customers/at-risk?top=20", "/model")}
    acts = trial.receipts()
    back_up, restore = blocks("Backup")
    trial.run(f"{COMPOSE} stop dagster-daemon")
    trial.run(back_up)
    trial.run(f"{COMPOSE} down --volumes")
    trial.run(restore)  # ends with `churn verify --deep`
    for path, answer in before.items():
        assert without_request(trial.ask(path)) == without_request(answer), path
    trial.run(
        f"{COMPOSE} exec -T dagster-code churn run"
    )  # nothing is due: no month is seen as another
    assert trial.receipts() == acts


def without_request(answer):
    return {name: value for name, value in answer.items() if name != "request_id"}
