"""docker/ on a clean machine and on one that is upgraded: built once, no secret in sight, and volumes that can be written.

What a service may do and what it names is asked by `test_compose.py`.
"""

import os
import re
import subprocess

import pytest

from churn_platform_tests.compose import DOCKER, Composed, compose, variables

STACK = (DOCKER.parent / "docs" / "stack.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def composed() -> Composed:
    """With a value of its own for every variable."""
    return compose({name: f"value-of-{name}" for name in variables()})


def waited_for(composed: Composed, name: str) -> set[str]:
    """Every service that must be there before this one, directly or not."""
    direct = set(composed.services[name].said.get("depends_on", {}))
    return direct.union(*(waited_for(composed, other) for other in direct))


def test_each_image_is_built_by_one_service_that_all_others_of_it_wait_for(composed):
    """Two builds of one name end with "already exists" on a machine that has none of it."""
    for image in {service.said["image"] for service in composed.services.values()}:
        users = {name for name, service in composed.services.items() if service.said["image"] == image}
        builders = {name for name in users if "build" in composed.services[name].said}
        if not builders:
            assert len(users) == 1, image
            continue
        [builder] = builders
        for name in users - {builder}:
            assert builder in waited_for(composed, name), name
            assert composed.services[name].said["pull_policy"] == "never"


def test_no_command_line_holds_a_secret(composed):
    """`ps` on the host shows it to everybody."""
    secrets = [f"value-of-{name}" for name in variables() if re.search(r"PASSWORD|SECRET|KEYS", name)]
    assert secrets
    for name, service in composed.services.items():
        words = " ".join([*service.command, *service.said.get("healthcheck", {}).get("test", [])])
        assert not [secret for secret in secrets if secret in words], name


def test_redis_reads_its_password_from_what_its_shell_gives_it(composed, tmp_path):
    """A program in its place shows how it is started: the stack's own tests start the real one."""
    redis = composed.services["redis"]
    assert redis.environment["REDISCLI_AUTH"] == composed.services["api"].environment["CHURN_ONLINE_PASSWORD"]
    (tmp_path / "redis-server").write_text("#!/bin/sh\nprintf '%s\\n' \"$@\"\ncat\n")
    (tmp_path / "redis-server").chmod(0o755)
    environment = redis.environment | {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
    shown = subprocess.run(redis.command, env=environment, capture_output=True, text=True, check=True).stdout
    assert shown.splitlines() == ["-", *redis.command[4:], "requirepass value-of-REDIS_PASSWORD"]


def test_mlflow_takes_what_its_own_pages_send(composed):
    """The address that a browser names: with the port, and without where it is the usual one."""
    [allowed] = [word for word in composed.services["mlflow"].command if word.startswith("--cors-allowed-origins=")]
    host = "https://mlflow.value-of-CHURN_DOMAIN"
    assert allowed.partition("=")[2].split(",") == [f"{host}:value-of-CHURN_PORT", host]


def test_who_reads_databases_and_who_tells_people_has_the_variables_of_the_user(composed):
    given = {
        name: service.said["env_file"] for name, service in composed.services.items() if "env_file" in service.said
    }
    assert given == {name: [{"path": "./home.env", "required": False}] for name in ("dagster-code", "exporter")}


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
    for words, said in (((tmp_path,), "and its date"), ((tmp_path / "none", "2024-01-31"), "is no folder")):
        done = subprocess.run(["sh", DOCKER / "deliver.sh", *words], capture_output=True, text=True, check=False)
        assert (done.returncode, done.stderr.count("\n")) == (2, 1)
        assert said in done.stderr
