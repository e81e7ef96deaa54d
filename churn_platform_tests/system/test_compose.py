"""docker/: every command, port, module, setting and file that it names exists, and no service has more rights than it
needs. There is no Docker in this test; the real one is a job of the workflow.
"""

import configparser
import hashlib
import json
import os
import re
import shutil
import subprocess
import sysconfig
import tomllib
from importlib import metadata
from pathlib import Path

import click
import pytest
import typer
import yaml

from churn_platform.base.settings import Settings
from churn_platform_tests.system.compose import (
    DOCKER,
    Composed,
    Missing,
    Service,
    compose,
    read_env,
    variables,
    yaml_text,
)

ROOT = DOCKER.parent
CADDY = Path(sysconfig.get_path("purelib")) / ".data" / "scripts" / "caddy"
PINNED = re.compile(r"^[a-z0-9./-]+:v?\d+\.\d+(\.\d+)?(-[a-z]+)*(@sha256:[0-9a-f]{64})?$")
ADDRESS = re.compile(r"(?<![\w.@-])([a-z][a-z-]*):(\d{4,5})\b")


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    """A copy of docker/ after `prepare.sh`, and what that showed."""
    folder = tmp_path_factory.mktemp("prepared") / "docker"
    shutil.copytree(DOCKER, folder, ignore=shutil.ignore_patterns("*.env", "secrets"))
    done = subprocess.run(
        ["sh", folder / "prepare.sh"], capture_output=True, text=True, check=True,
        env={"PATH": f"{CADDY.parent}:{os.environ['PATH']}", "HOME": str(folder)},
    )  # fmt: skip
    return folder, done.stdout


@pytest.fixture(scope="module")
def composed(prepared) -> Composed:
    folder, _ = prepared
    return compose(read_env(folder / ".env"))


def services(names: str = "") -> list[str]:
    """The names of the services; `ours` or `others` only."""
    found = yaml.safe_load(yaml_text())["services"]
    ours = {
        name for name, said in found.items() if str(said["image"]).startswith("churn-platform:")
    }
    return sorted({"ours": ours, "others": set(found) - ours}.get(names, set(found)))


each = pytest.mark.parametrize("name", services())
each_of_ours = pytest.mark.parametrize("name", services("ours"))


# Variables and secrets


def test_what_must_be_set_is_set_by_the_script_and_refused_without(prepared, composed):
    folder, _ = prepared
    values = read_env(folder / ".env")
    assert {name for name, value in values.items() if not value} == {
        "CHURN_ALERT_URLS"
    }  # nobody, until you say who
    assert variables() <= set(values)
    assert set(values) == set(read_env(DOCKER / ".env.example"))
    for name in re.findall(r"\$\{(\w+):\?", yaml_text()):
        with pytest.raises(Missing, match=name):
            compose({**values, name: ""})


def test_everything_of_the_example_is_used():
    assert set(read_env(DOCKER / ".env.example")) <= variables()


def test_the_script_writes_secrets_once_and_shows_those_that_people_need(prepared):
    folder, shown = prepared
    before = (folder / ".env").read_text()
    values = read_env(folder / ".env")
    keys = re.search(r"API key\s+(\w+)", shown)
    assert hashlib.sha256(keys[1].encode()).hexdigest() == values["CHURN_API_KEYS"]
    metrics = (folder / "secrets" / "metrics_key").read_bytes()
    assert hashlib.sha256(metrics).hexdigest() == values["CHURN_METRICS_KEYS"]
    assert values["PROXY_PASSWORD_HASH"].startswith("$2a$")
    assert (
        len(
            {
                values[n]
                for n in (
                    "POSTGRES_PASSWORD",
                    "MLFLOW_PASSWORD",
                    "MLFLOW_SECRET",
                    "GRAFANA_PASSWORD",
                )
            }
        )
        == 4
    )
    assert (folder / ".env").stat().st_mode & 0o077 == 0
    again = subprocess.run(
        ["sh", folder / "prepare.sh"], capture_output=True, text=True, check=True
    )
    assert "stays as it is" in again.stdout
    assert (folder / ".env").read_text() == before


def test_no_secret_is_in_git():
    example = read_env(DOCKER / ".env.example")
    assert {
        name for name in example if re.search(r"PASSWORD|SECRET|KEYS", name) and example[name]
    } == set()
    ignored = (ROOT / ".gitignore").read_text().splitlines()
    assert {"/docker/.env", "/docker/home.env", "/docker/secrets/"} <= set(ignored)


# What a service may do


@each
def test_a_service_has_no_more_rights_than_it_needs(composed, name):
    said = composed.services[name].said
    assert not str(said["user"]).startswith(("0", "root"))
    assert said["read_only"] is True
    assert said["cap_drop"] == ["ALL"]
    assert "no-new-privileges:true" in said["security_opt"]
    assert not said.get("privileged")
    assert not said.get("cap_add")
    assert "/tmp" in said.get("tmpfs", ["/tmp"])
    assert set(said["deploy"]["resources"]["limits"]) == {"cpus", "memory", "pids"}
    assert not any("docker.sock" in source for source, _, _ in composed.services[name].mounts)


@each
def test_a_service_comes_back_by_itself_and_says_whether_it_is_well(composed, name):
    service = composed.services[name].said
    if service["restart"] == "no":  # runs one command; who waits for it waits for its end
        assert service["healthcheck"] == {"disable": True}
        return
    assert service["restart"] == "unless-stopped"
    check = service["healthcheck"]
    assert check["test"][0] in ("CMD", "CMD-SHELL")
    assert set(check) == {"test", "interval", "timeout", "retries", "start_period"}
    assert (
        seconds(check["start_period"]) >= 300
    )  # a slow start is not a failure, and a quick one does not wait for it
    assert (
        seconds(check["interval"]) <= 15
    )  # `up --wait` ends one interval after the slowest service is there


def seconds(text: str) -> int:
    return int(text.removesuffix("s"))


def test_every_service_starts_with_the_stack_except_those_that_run_one_command(composed):
    said = {name: service.said for name, service in composed.services.items()}
    assert {name for name in said if said[name]["restart"] == "no"} == {"home", "maintenance"}
    assert {
        name: service["profiles"] for name, service in said.items() if "profiles" in service
    } == {"maintenance": ["maintenance"]}
    assert {target for _, target, _ in composed.services["maintenance"].mounts} == {
        "/srv/churn",
        "/srv/mlflow",
    }


def test_only_the_proxy_can_be_reached_and_only_from_this_machine_unless_said_otherwise(composed):
    published = {
        name: service.said["ports"]
        for name, service in composed.services.items()
        if "ports" in service.said
    }
    assert published == {"proxy": ["127.0.0.1:8443:8443"]}
    assert composed.said["networks"]["inside"]["internal"] is True
    outside = {
        name for name, service in composed.services.items() if "outside" in service.said["networks"]
    }
    assert outside == {"proxy", "dagster-code", "exporter", "grafana", "maintenance"}


@pytest.mark.parametrize("name", services("others"))
def test_an_image_of_others_is_pinned(composed, name):
    image = composed.services[name].said["image"]
    assert PINNED.match(image) or "build" in composed.services[name].said, image


# Names within the file


@each
def test_what_a_service_waits_for_is_there_and_can_become_so(composed, name):
    for other, wanted in composed.services[name].said.get("depends_on", {}).items():
        target = composed.services[other].said
        if wanted["condition"] == "service_healthy":
            assert "test" in target["healthcheck"]
        else:
            assert (wanted["condition"], target["restart"]) == (
                "service_completed_successfully",
                "no",
            )


def test_no_two_services_wait_for_each_other(composed):
    waits = {
        name: set(service.said.get("depends_on", {})) for name, service in composed.services.items()
    }
    while waits:
        free = {name for name, others in waits.items() if not others & set(waits)}
        assert free, f"these wait for each other: {sorted(waits)}"
        waits = {name: others for name, others in waits.items() if name not in free}


def test_every_volume_and_secret_is_declared_and_used_and_every_file_is_there(composed, prepared):
    folder, _ = prepared
    mounts = [mount for service in composed.services.values() for mount in service.mounts]
    named = {source for source, _, _ in mounts if not source.startswith(".")}
    assert named == set(composed.said["volumes"])
    for source, target, read_only in mounts:
        if source.startswith("."):
            assert (DOCKER / source).exists(), source
            assert read_only, target
    secrets = {
        name for service in composed.services.values() for name in service.said.get("secrets", [])
    }
    assert secrets == set(composed.said["secrets"])
    for secret in composed.said["secrets"].values():
        assert (folder / secret["file"]).exists()


@each
def test_a_folder_that_is_written_is_a_volume_or_in_memory(composed, name):
    service = composed.services[name]
    places = [target for _, target, read_only in service.mounts if not read_only]
    places += [str(place).split(":")[0] for place in service.said.get("tmpfs", [])]
    for word in [*service.command, *service.environment.values()]:
        for path in re.findall(r"(?:^|=)(/(?:srv|prometheus|var|data)\b[^,\s]*)", word):
            assert any(path.startswith(place) for place in places), path


def test_every_address_leads_to_a_service_that_listens_there(composed):
    texts = [
        value for service in composed.services.values() for value in [*service.environment.values()]
    ]
    texts += [
        word
        for service in composed.services.values()
        for word in service.command
        if "allowed-hosts" not in word
    ]
    files = [
        path
        for path in DOCKER.rglob("*")
        if path.suffix in (".yml", ".yaml", ".ini") or path.name == "Caddyfile"
    ]
    texts += [path.read_text() for path in files if path.name != "compose.yaml"]
    texts += [re.sub(r"host: ([\w-]+), port: (\d+)", r"\1:\2", text) for text in texts]
    found = {
        (host, int(port))
        for text in texts
        for host, port in ADDRESS.findall(re.sub(r"\w+@", "", text))
    }
    found -= {(host, port) for host, port in found if host in ("localhost",)}
    assert {host for host, _ in found} >= {
        "postgres",
        "mlflow",
        "dagster-code",
        "dagster-webserver",
        "api",
        "grafana",
    }
    for host, port in found:
        assert port in composed.services[host].ports, f"{host}:{port}"


@each
def test_a_health_check_asks_the_service_itself(composed, name):
    check = composed.services[name].said["healthcheck"].get("test", [])
    for port in re.findall(r"127\.0\.0\.1:(\d+)|-p (\d+)", " ".join(check)):
        assert int("".join(port)) in composed.services[name].ports


# Our own commands and settings


def parsed(command: list[str]) -> None:
    """Parse a command line with the program's own parser; raises where it would refuse.

    Raises:
        click.UsageError: an option or argument that it does not know.
    """
    program, *words = command
    if program == "python":
        assert words[:2] == ["-m", "churn_platform.probe"]
        assert len(words) == 3
        return
    assert metadata.entry_points(group="console_scripts", name=program)
    if program == "churn":
        from churn_platform.cli.app import app

        root: click.Command = typer.main.get_command(app)
    elif program == "mlflow":
        from mlflow.cli import cli as root
    elif program == "dagster":
        from dagster._cli import create_dagster_cli

        root = create_dagster_cli()
    elif program == "dagster-webserver":
        from dagster_webserver.cli import dagster_webserver as root
    else:
        from dagster._daemon.cli import create_dagster_daemon_cli

        root = create_dagster_daemon_cli()
    context = root.make_context(program, list(words))
    while hasattr(context.command, "resolve_command"):
        rest = [*getattr(context, "_protected_args", []), *context.args]
        name, leaf, rest = context.command.resolve_command(context, rest)
        context = leaf.make_context(name, list(rest), parent=context)


@each_of_ours
def test_a_command_of_ours_and_its_options_exist(composed, name):
    service = composed.services[name]
    parsed([service.here(word) for word in service.command])
    check = service.said["healthcheck"]
    if "test" in check:
        parsed(check["test"][1:])


@pytest.mark.parametrize(
    "command", ["churn serve --listen 0.0.0.0", "dagster-daemon walk", "mlflow server --login"]
)
def test_a_command_that_does_not_exist_is_seen(command):
    with pytest.raises(Exception, match=r"(?i)no such (option|command)"):
        parsed(command.split())


def test_the_module_that_dagster_loads_is_there(composed):
    command = composed.services["dagster-code"].command
    module = command[command.index("-m") + 1]
    assert (ROOT / f"{module.replace('.', '/')}.py").exists()
    workspace = yaml.safe_load((DOCKER / "dagster" / "workspace.yaml").read_text())
    own = yaml.safe_load((ROOT / "workspace.yaml").read_text())
    assert (
        workspace["load_from"][0]["grpc_server"]["location_name"]
        == own["load_from"][0]["python_module"]["location_name"]
    )


@each_of_ours
def test_every_variable_of_ours_is_a_setting_and_can_be_read(composed, name, monkeypatch):
    environment = composed.services[name].environment
    for old in [old for old in os.environ if old.startswith("CHURN_")]:
        monkeypatch.delenv(old)
    ours = {key: value for key, value in environment.items() if key.startswith("CHURN_")}
    assert set(ours) <= {f"CHURN_{field.upper()}" for field in Settings.model_fields}
    for key, value in ours.items():
        monkeypatch.setenv(key, value)
    read = Settings()
    if ours:
        assert str(read.home) == environment["DAGSTER_HOME"].removesuffix("/dagster")
        assert read.dagster_on_postgres
        assert read.mlflow_uri == "http://mlflow:5000"


@each_of_ours
def test_every_variable_of_mlflow_is_one_that_mlflow_reads(composed, name):
    import mlflow.environment_variables as known

    secret = "MLFLOW_FLASK_SERVER_SECRET_KEY"  # read by the app of its login alone
    for key in composed.services[name].environment:
        if key.startswith("MLFLOW_") and key != secret:
            assert hasattr(known, key), key


def test_the_login_of_mlflow_is_the_one_that_is_used_against_it(composed):
    server, client = (
        composed.services["mlflow"].environment,
        composed.services["dagster-code"].environment,
    )
    assert server["MLFLOW_AUTH_ADMIN_USERNAME"] == client["MLFLOW_TRACKING_USERNAME"]
    assert server["MLFLOW_AUTH_ADMIN_PASSWORD"] == client["MLFLOW_TRACKING_PASSWORD"]
    said = configparser.ConfigParser()
    said.read(DOCKER / "mlflow" / "auth.ini")
    mounted = {
        target
        for source, target, _ in composed.services["mlflow"].mounts
        if source == "./mlflow/auth.ini"
    }
    assert mounted == {server["MLFLOW_AUTH_CONFIG_PATH"]}
    assert (
        said["mlflow"]["authorization_function"]
        == "mlflow.server.auth:authenticate_request_basic_auth"
    )
    assert "password" not in said["mlflow"]["database_uri"]


def test_every_database_is_made(composed):
    made = set(
        re.findall(r"CREATE DATABASE (\w+);", (DOCKER / "postgres" / "databases.sql").read_text())
    )
    made.add(composed.services["postgres"].environment["POSTGRES_DB"])
    texts = [yaml_text(), (DOCKER / "mlflow" / "auth.ini").read_text()]
    used = {
        name for text in texts for name in re.findall(r"postgresql[+\w]*://[^/\s]+/(\w+)", text)
    }
    assert used == made


def test_telemetry_is_off_in_every_service_that_has_any(composed):
    for name in ("dagster-code", "dagster-webserver", "dagster-daemon", "api"):
        environment = composed.services[name].environment
        assert (environment["DAGSTER_DISABLE_TELEMETRY"], environment["DO_NOT_TRACK"]) == (
            "yes",
            "1",
        )
    for name in ("mlflow", "dagster-code"):
        assert composed.services[name].environment["MLFLOW_DISABLE_TELEMETRY"] == "true"
    grafana = composed.services["grafana"].environment
    assert (
        grafana["GF_ANALYTICS_REPORTING_ENABLED"]
        == grafana["GF_ANALYTICS_CHECK_FOR_UPDATES"]
        == "false"
    )


# The images


@pytest.mark.parametrize("name", ["Dockerfile", "proxy.Dockerfile"])
def test_an_image_is_built_from_what_is_there_and_runs_as_nobody(composed, name):
    text = (DOCKER / name).read_text()
    bases = re.findall(r"^FROM (\S+)", text, flags=re.MULTILINE)
    own = set(re.findall(r"^FROM \S+ AS (\w+)", text, flags=re.MULTILINE))
    assert all(PINNED.match(base) for base in bases if base not in own), bases
    for line in re.findall(r"^COPY (?!--from)(.+)$", text, flags=re.MULTILINE):
        assert all((ROOT / source).exists() for source in line.split()[:-1]), line
        kept = set(
            re.findall(r"^!(\S+)$", (ROOT / ".dockerignore").read_text(), flags=re.MULTILINE)
        )
        assert set(line.split()[:-1]) <= kept
    users = {
        service.said["user"]
        for service in composed.services.values()
        if service.said.get("build", {}).get("dockerfile", "").endswith(name)
        and (service.is_ours or name.startswith("proxy"))
    }
    assert users == set(re.findall(r"^USER (\S+)$", text, flags=re.MULTILINE))


def stages() -> dict[str, str]:
    """Name -> instructions of each stage of the Dockerfile; the last one is the image and has no name."""
    text = (DOCKER / "Dockerfile").read_text().replace("\\\n", " ")
    parts = re.split(r"^FROM \S+(?: AS (\w+))?\n", text, flags=re.MULTILINE)
    return {name or "": body for name, body in zip(parts[1::2], parts[2::2], strict=True)}


def test_the_image_holds_what_the_lock_says_and_the_drivers_of_the_stack():
    text = (DOCKER / "Dockerfile").read_text()
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    [options] = re.findall(r"uv export (.+)$", stages()["locked"], flags=re.MULTILINE)
    assert {"--locked", "--no-dev", "--no-emit-project"} <= set(options.split())
    assert re.findall(r"--extra (\w+)", options) == ["stack", "xgboost"]
    assert "stack" in project["optional-dependencies"]
    assert "uv pip sync --require-hashes requirements.txt" in stages()["libraries"]
    assert "uv pip install --no-deps ." in stages()["project"]
    volumes = re.findall(r"install -d -o churn -g churn (.+?)(?: \\|$)", text, flags=re.MULTILINE)[
        0
    ].split()
    assert volumes == ["/srv/churn", "/srv/mlflow"]


def test_a_changed_line_of_code_makes_a_small_layer():
    """The libraries' stage sees the list of their versions and no file of the project, and is copied on its own."""
    assert re.findall(r"^COPY (.+)$", stages()["libraries"], flags=re.MULTILINE) == [
        "--from=locked /app/requirements.txt ./"
    ]
    copies = re.findall(r"^COPY --from=(\w+) (\S+) (\S+)$", stages()[""], flags=re.MULTILINE)
    assert copies == [
        ("libraries", "/app/.venv", "/app/.venv"),
        ("project", "/app/.venv", "/app/.venv"),
    ]


def test_a_container_of_one_command_gets_no_health_check_from_the_image():
    assert not re.search(r"^HEALTHCHECK", (DOCKER / "Dockerfile").read_text(), flags=re.MULTILINE)


# The proxy


def test_the_proxy_reads_its_file_and_leads_each_name_to_its_service(composed, tmp_path):
    environment = {**composed.services["proxy"].environment, "HOME": str(tmp_path)}
    done = subprocess.run(
        [CADDY, "adapt", "--config", DOCKER / "Caddyfile", "--adapter", "caddyfile"],
        capture_output=True, text=True, env=environment, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    routes = {
        name: json.dumps(route)
        for server in json.loads(done.stdout)["apps"]["http"]["servers"].values()
        for route in server["routes"]
        for name in route["match"][0]["host"]
    }
    led = {
        "dagster": "dagster-webserver:3000",
        "mlflow": "mlflow:5000",
        "grafana": "grafana:3000",
        "api": "api:3002",
    }
    for name, target in led.items():
        assert f'"dial": "{target}"' in routes[f"{name}.localhost"]
    assert "http_basic" in routes["dagster.localhost"]
    hashed = environment["PROXY_PASSWORD_HASH"]
    assert hashed in routes["dagster.localhost"]
    hosts = composed.services["api"].environment["CHURN_API_HOSTS"].split(",")
    assert {"api", "api.localhost"} == set(hosts)


def test_prometheus_has_the_key_where_it_looks_for_it(composed):
    said = yaml.safe_load((DOCKER / "prometheus" / "prometheus.yml").read_text())
    [api] = [job for job in said["scrape_configs"] if job["job_name"] == "api"]
    assert api["authorization"]["credentials_file"] == "/run/secrets/metrics_key"
    assert composed.services["prometheus"].said["secrets"] == ["metrics_key"]
    for name in said["rule_files"]:
        assert (DOCKER / "prometheus" / name).exists()


@pytest.mark.parametrize("name", ["prepare.sh", "try.sh", "deliver.sh"])
def test_a_script_is_sound_shell_and_asks_what_is_there(composed, name):
    done = subprocess.run(["sh", "-n", DOCKER / name], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    for service, command in re.findall(
        r"exec -T ([\w-]+) (churn [\w /-]+)", (DOCKER / name).read_text()
    ):
        assert service in composed.services
        parsed(command.split())


def test_reading_the_file_is_compose_s_own_way():
    values = {"GIVEN": "x", "EMPTY": ""}
    texts = {
        "${GIVEN}": "x",
        "${NONE}": "",
        "${EMPTY:-d}-": "d-",
        "$${GIVEN}": "${GIVEN}",
        "${GIVEN:?m}": "x",
    }
    from churn_platform_tests.system.compose import interpolated

    assert interpolated(list(texts), values) == list(texts.values())
    assert Service("a", {"volumes": ["./b:/c:ro", "d:/e"]}).mounts == [
        ("./b", "/c", True),
        ("d", "/e", False),
    ]
