"""docker/ on a clean machine and on one that is upgraded: built once, no secret in sight, and volumes that can be written.

What a service may do and what it names is asked by `test_compose.py`.
"""

import json
import os
import re
import subprocess
from pathlib import Path

import pytest

from churn_platform_tests.system.compose import DOCKER, Composed, compose, variables

STACK = (DOCKER.parent / "docs" / "stack.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def composed() -> Composed:
    """With a value of its own for every variable."""
    return compose({name: f"value-of-{name}" for name in variables()})


def waited_for(composed: Composed, name: str) -> set[str]:
    """Every service that must be there before this one, directly or not."""
    direct = set(composed.services[name].said.get("depends_on", {}))
    return direct.union(*(waited_for(composed, other) for other in direct))


def test_each_image_is_built_by_one_service(composed):
    """Two builds of one name end with "already exists" on a machine that has none of it.

    Compose builds what is missing before it creates the first container, so no service has to wait for the builder.
    """
    for image in {service.said["image"] for service in composed.services.values()}:
        users = {
            name for name, service in composed.services.items() if service.said["image"] == image
        }
        builders = {name for name in users if "build" in composed.services[name].said}
        if not builders:
            assert len(users) == 1, image
            continue
        [builder] = builders
        for name in users - {builder}:
            assert composed.services[name].said["pull_policy"] == "never"


def test_serving_waits_for_nothing_that_it_does_not_need(composed):
    """A dashboard, MLflow or Postgres that does not come up must not keep the API from answering."""
    assert waited_for(composed, "proxy") == set()
    assert waited_for(composed, "api") == {"home", "redis"}


def test_nothing_waits_for_what_only_watches_and_that_waits_for_nothing_it_watches(composed):
    watching = {"grafana", "prometheus", "exporter"}
    for name in composed.services:
        assert not waited_for(composed, name) & watching, name
    assert waited_for(composed, "grafana") == waited_for(composed, "prometheus") == set()
    assert waited_for(composed, "exporter") == {"home"}


def test_mlflow_workers_may_import_for_longer_than_uvicorn_allows_by_default(composed):
    from uvicorn.main import main as uvicorn

    [options] = [
        word for word in composed.services["mlflow"].command if word.startswith("--uvicorn-opts=")
    ]
    context = uvicorn.make_context("uvicorn", [*options.partition("=")[2].split(), "app"])
    assert context.params["timeout_worker_healthcheck"] >= 60


def test_no_health_check_does_work(composed):
    """Dagster's own commands import it (2 s of CPU each time), and `/metrics` of the exporter reads the home."""
    checks = {
        name: service.said["healthcheck"].get("test", [])
        for name, service in composed.services.items()
    }
    for name, check in checks.items():
        assert not {"dagster", "dagster-daemon", "churn"} & set(check[1:2]), name
    assert not [name for name, check in checks.items() if "".join(check[-1:]).endswith("/metrics")]


def test_no_command_line_holds_a_secret(composed):
    """`ps` on the host shows it to everybody."""
    secrets = [
        f"value-of-{name}" for name in variables() if re.search(r"PASSWORD|SECRET|KEYS", name)
    ]
    assert secrets
    for name, service in composed.services.items():
        words = " ".join([*service.command, *service.said.get("healthcheck", {}).get("test", [])])
        assert not [secret for secret in secrets if secret in words], name


def test_redis_reads_its_password_from_what_its_shell_gives_it(composed, tmp_path):
    """A program in its place shows how it is started: the stack's own tests start the real one."""
    redis = composed.services["redis"]
    assert (
        redis.environment["REDISCLI_AUTH"]
        == composed.services["api"].environment["CHURN_ONLINE_PASSWORD"]
    )
    (tmp_path / "redis-server").write_text("#!/bin/sh\nprintf '%s\\n' \"$@\"\ncat\n")
    (tmp_path / "redis-server").chmod(0o755)
    environment = redis.environment | {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
    shown = subprocess.run(
        redis.command, env=environment, capture_output=True, text=True, check=True
    ).stdout
    assert shown.splitlines() == ["-", *redis.command[4:], "requirepass value-of-REDIS_PASSWORD"]


def test_mlflow_takes_what_its_own_pages_send(composed):
    """The address that a browser names: with the port, and without where it is the usual one."""
    [allowed] = [
        word
        for word in composed.services["mlflow"].command
        if word.startswith("--cors-allowed-origins=")
    ]
    host = "https://mlflow.value-of-CHURN_DOMAIN"
    assert allowed.partition("=")[2].split(",") == [f"{host}:value-of-CHURN_PORT", host]


def test_who_reads_databases_or_the_lake_and_who_tells_people_has_the_variables_of_the_user(
    composed,
):
    given = {
        name: service.said["env_file"]
        for name, service in composed.services.items()
        if "env_file" in service.said
    }
    readers = ("dagster-code", "exporter", "home", "maintenance")
    assert given == {name: [{"path": "./home.env", "required": False}] for name in readers}


def test_what_the_proxy_image_keeps_in_its_volumes_belongs_to_its_user(composed):
    """The image of others has folders of root within them."""
    text = (DOCKER / "proxy.Dockerfile").read_text()
    service = composed.services["proxy"]
    kept = {source: target for source, target, _ in service.mounts if not source.startswith(".")}
    given = re.findall(r"chown -R churn:churn (.+)$", text, flags=re.MULTILINE)[0].split()
    assert kept["caddy"] in given
    assert f"-u {service.said['user'].partition(':')[0]} churn" in text


def test_the_database_is_asked_where_the_server_that_fills_a_new_volume_does_not_listen(composed):
    check = composed.services["postgres"].said["healthcheck"]["test"]
    assert check[check.index("-h") + 1] == "127.0.0.1"


def test_an_upgrade_starts_services_anew_whose_mounted_file_alone_has_changed():
    upgrade = STACK.partition("## Upgrade")[2].partition("\n## ")[0]
    [up] = re.findall(r"compose\.yaml up (.+)$", upgrade, flags=re.MULTILINE)
    assert up.split() == ["--detach", "--build", "--wait", "--force-recreate"]


def test_the_documents_deliver_a_drop_by_the_script_for_it():
    assert "sh docker/deliver.sh FOLDER 2024-01-31" in STACK
    assert not re.search(r"compose\.yaml cp ", STACK)
    assert "sh docker/deliver.sh" in (DOCKER / "try.sh").read_text()


def test_a_delivery_without_folder_or_date_says_in_one_sentence_what_to_do(tmp_path):
    for words, said in (
        ((tmp_path,), "and its date"),
        ((tmp_path / "none", "2024-01-31"), "is not a folder"),
    ):
        done = subprocess.run(
            ["sh", DOCKER / "deliver.sh", *words], capture_output=True, text=True, check=False
        )
        assert (done.returncode, done.stderr.count("\n")) == (2, 1)
        assert said in done.stderr


SHIM = """#!/bin/sh
printf '%s %s\\n' "$COMPOSE_PROJECT_NAME" "$(echo "$*" | head -n 1)" >> "$CALLS"
"""


@pytest.fixture
def shims(tmp_path):
    """Programs in place of Docker and others, first in the PATH; `docker compose -f FILE exec -T SERVICE` runs here."""
    folder = tmp_path / "bin"
    folder.mkdir()

    def made(**programs):
        for name, text in programs.items():
            (folder / name).write_text(text)
            (folder / name).chmod(0o755)
        return os.environ | {
            "PATH": f"{folder}:{os.environ['PATH']}",
            "CALLS": str(tmp_path / "calls"),
        }

    return made


@pytest.mark.parametrize("accepted", [True, False])
def test_a_delivery_is_unpacked_on_the_disk_of_the_home_and_leaves_nothing(
    shims, tmp_path, accepted
):
    """/tmp of a container is memory: a large drop would not fit."""
    drops, files = tmp_path / "home" / "drops", tmp_path / "files"
    drops.mkdir(parents=True)
    files.mkdir()
    (files / "usage.csv").write_text("user_id\n1\n")
    environment = shims(
        docker='#!/bin/sh\nshift 6\nexec "$@"\n',
        churn=f'#!/bin/sh\necho "$@" > {tmp_path}/said; cat "$2/usage.csv" > {tmp_path}/came; exit {0 if accepted else 1}\n',
    )
    done = subprocess.run(
        ["sh", DOCKER / "deliver.sh", files, "2024-01-31"], check=False,
        env=environment | {"CHURN_HOME": str(tmp_path / "home")},
    )  # fmt: skip
    assert (done.returncode == 0) == accepted
    assert (tmp_path / "came").read_text() == "user_id\n1\n"
    command, folder, *rest = (tmp_path / "said").read_text().split()
    assert (command, rest) == ("ingest", ["--as-of", "2024-01-31"])
    assert Path(folder).parent == drops
    assert re.fullmatch(r"\..+\.tmp", Path(folder).name), (
        "as `churn doctor --fix` knows what a killed process left"
    )
    assert list(drops.iterdir()) == []


DOCKER_SHIM = """case "$*" in
*"exec -T dagster-code python -c "*) shift 6; exec "$@" ;;
*"tar -C /tmp/simulated"*) cd "$MONTHS" && tar -c . ;;
*promtool*) echo '=> 1' ;;
*"churn ingest"*) cat > /dev/null ;;
esac
"""
CURL_SHIM = """#!/bin/sh
case "$*" in
*/model) echo '{"version": 1}' ;;
*at-risk*) echo "$LISTED" ;;
*) printf 401 ;;
esac
"""
LATER = """#!/bin/sh
[ "$1" = +%s ] || exit 2
echo 1000 >> "$CALLS.clock"
awk '{t += $1} END {print t}' "$CALLS.clock"
"""
THREE = [{"key": key} for key in "abc"]


@pytest.mark.parametrize(
    ("customers", "as_of", "good"),
    [(THREE, "2024-02-29", True), ([], "2024-02-29", False), (THREE, "2024-01-31", False)],
)
def test_the_trial_fails_without_a_list_of_the_newest_month(
    shims, tmp_path, customers, as_of, good
):
    """And in both cases it leaves nothing: it is a stack of its own, whose volumes are removed."""
    docker = tmp_path / "docker"
    docker.mkdir()
    for name in ("try.sh", "deliver.sh"):
        (docker / name).write_text((DOCKER / name).read_text())
    (docker / ".env").write_text("")
    for month in ("2024-01-31", "2024-02-29"):
        (tmp_path / "months" / month).mkdir(parents=True)
        (tmp_path / "months" / month / "labels.csv").touch()
    listed = json.dumps({"as_of": as_of, "customers": customers})
    environment = shims(docker=SHIM + DOCKER_SHIM, curl=CURL_SHIM, date=LATER, sleep="#!/bin/sh\n")
    done = subprocess.run(
        ["sh", docker / "try.sh"], check=False, capture_output=True, text=True,
        env=environment | {"LISTED": listed, "MONTHS": str(tmp_path / "months"), "CHURN_ALERT_URLS": "json://people"},
    )  # fmt: skip
    assert (done.returncode, "lists customers" in done.stderr) == (
        (0, False) if good else (1, True)
    ), done.stderr
    calls = (tmp_path / "calls").read_text().splitlines()
    assert {call.split()[0] for call in calls} == {"churn-try"}
    assert "down --volumes" in calls[-1]
