"""Settings: every `CHURN_*` field, what the libraries read, and that no other module reads the environment."""

import ast
import os
import pwd
from pathlib import Path

import pytest
from dotenv import dotenv_values
from pydantic import SecretStr

import churn_platform
from churn_platform.base.errors import UsageError
from churn_platform.base.settings import (
    LIBRARY_ENVIRONMENT,
    Settings,
    build_environment,
    dagster_is_temporary,
    expand,
    load_settings,
    prepare_environment,
    prepare_serving,
)


@pytest.fixture(autouse=True)
def environ(monkeypatch):
    """An environment without settings; what a test sets is gone after it."""
    kept = dict(os.environ)
    for name in kept:
        if name.startswith(("CHURN_", "DAGSTER_")) or name in LIBRARY_ENVIRONMENT:
            del os.environ[name]
    yield monkeypatch
    monkeypatch.undo()
    os.environ.clear()
    os.environ.update(kept)


FIELDS = {
    "home": ("/srv/churn", Path("/srv/churn")),
    "contract": ("/srv/contract.yaml", Path("/srv/contract.yaml")),
    "lake": ("s3://bucket/prefix", "s3://bucket/prefix"),
    "drops": ("s3://bucket/prefix", "s3://bucket/prefix"),
    "dagster_postgres": (
        "postgresql+psycopg2://churn:pw@db:5432/dagster",
        SecretStr("postgresql+psycopg2://churn:pw@db:5432/dagster"),
    ),
    "mlflow_uri": ("http://mlflow:5000/sub", "http://mlflow:5000/sub"),
    "ui_port": ("8080", 8080),
    "reports_port": ("8081", 8081),
    "reports_url": ("https://dagster.example/reports", "https://dagster.example/reports"),
    "quiet_seconds": ("0.5", 0.5),
    "lock_seconds": ("0", 0.0),
    "api_port": ("8082", 8082),
    "api_workers": ("3", 3),
    "api_keys": (f"{'a' * 64},{'b' * 64}", f"{'a' * 64},{'b' * 64}"),
    "metrics_keys": ("c" * 64, "c" * 64),
    "api_address": ("api:3002", "api:3002"),
    "api_hosts": ("churn.example", "churn.example"),
    "online_store": ("redis://cache/1", "redis://cache/1"),
    "online_password": ("geheim", SecretStr("geheim")),
    "feast_registry": ("postgresql://churn@db/feast", "postgresql://churn@db/feast"),
    "feast_registry_password": ("geheim", SecretStr("geheim")),
    "exporter_port": ("8083", 8083),
    "prediction_log": ("/srv/log", Path("/srv/log")),
    "alert_urls": ("json://pa55word@host", SecretStr("json://pa55word@host")),
    "alert_urls_file": ("/run/secrets/alerts", Path("/run/secrets/alerts")),
    "actor": ("Ada", "Ada"),
}


@pytest.mark.parametrize("name", [name for name in Settings.model_fields if name != "profile"])
def test_every_field_is_read_from_its_own_variable(environ, name):
    text, value = FIELDS[name]
    environ.setenv(f"CHURN_{name.upper()}", text)
    assert getattr(load_settings(), name) == value
    assert Settings.model_fields[name].description


def test_receivers_of_alerts_stand_in_the_variable_in_a_file_or_in_both_each_once(
    environ, tmp_path
):
    assert not load_settings().alerts_wanted
    (tmp_path / "urls").write_text("# ops\njson://b\njson://c?to=x,y  # the second\n")
    environ.setenv("CHURN_ALERT_URLS", " json://a  json://b\n")
    assert load_settings().alert_receivers() == ("json://a", "json://b")
    environ.setenv("CHURN_ALERT_URLS_FILE", str(tmp_path / "urls"))
    assert load_settings().alerts_wanted
    assert load_settings().alert_receivers() == ("json://a", "json://b", "json://c?to=x,y")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("ONLINE_PASSWORD", "geheim"),
        ("FEAST_REGISTRY_PASSWORD", "geheim"),
        ("ALERT_URLS", "json://me:geheim@host"),
        ("DAGSTER_POSTGRES", "postgresql+psycopg2://churn:geheim@db/dagster"),
    ],
)
def test_no_text_of_the_settings_contains_a_secret(environ, name, value):
    environ.setenv(f"CHURN_{name}", value)
    found = load_settings()
    assert "geheim" not in f"{found!r} {found} {found.model_dump()} {found.model_dump_json()}"


@pytest.mark.parametrize(
    ("name", "text"),
    [
        *((name, "ge heim") for name in ("API_KEYS", "METRICS_KEYS", "REPORTS_URL")),
        ("MLFLOW_URI", "http://ada:geheim@mlflow:5000"),
        ("MLFLOW_URI", "sqlite:///geheim.db"),
        ("MLFLOW_URI", "mlflow:5000 geheim"),
        ("DAGSTER_POSTGRES", "postgresql://churn:geheim@db/dagster"),
        *(
            ("API_KEYS", key)
            for key in ("a" * 63, "A" * 64, f"{'a' * 64},", f"{'a' * 64};{'b' * 64}")
        ),
    ],
)
def test_a_text_that_is_refused_is_not_shown(environ, name, text):
    environ.setenv(f"CHURN_{name}", text)
    with pytest.raises(UsageError, match=rf"^CHURN_{name} ") as caught:
        load_settings()
    assert caught.value.code == "SETTING_INVALID"
    assert text.split()[-1] not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("UI_PORT", "abc"),
        ("UI_PORT", "70000"),
        ("QUIET_SECONDS", "-1"),
        ("LOCK_SECONDS", "-0.1"),
        ("API_WORKERS", "0"),
    ],
)
def test_a_variable_that_cannot_be_read_is_named_with_its_value(environ, name, text):
    environ.setenv(f"CHURN_{name}", text)
    with pytest.raises(UsageError, match=rf"^CHURN_{name} is '{text}': Input should be "):
        load_settings()


def test_a_profile_is_read_beside_the_environment_which_goes_first(environ, tmp_path):
    (tmp_path / "stack.env").write_text(
        "# the stack\nCHURN_MLFLOW_URI=http://mlflow:5000\nCHURN_ACTOR='Ada'\nMLFLOW_TRACKING_PASSWORD=pa$$word\n"
    )
    environ.chdir(tmp_path)
    environ.setenv("CHURN_PROFILE", "stack.env")
    environ.setenv("CHURN_ACTOR", "Grace")
    found = load_settings()
    assert (found.mlflow_uri, found.actor, found.profile) == (
        "http://mlflow:5000",
        "Grace",
        tmp_path / "stack.env",
    )
    assert (
        os.environ["MLFLOW_TRACKING_PASSWORD"] == "pa$$word"
    )  # for MLflow's own client, and for child processes


def test_a_profile_that_is_not_there_or_names_no_setting_is_told(environ, tmp_path):
    environ.setenv("CHURN_PROFILE", str(tmp_path / "none.env"))
    with pytest.raises(
        UsageError, match=r"^CHURN_PROFILE is '.*none\.env': there is no such file\.$"
    ):
        load_settings()
    (tmp_path / "none.env").write_text("CHURN_MLFOW_URI=http://mlflow:5000\n")
    with pytest.raises(UsageError, match=r"none\.env sets CHURN_MLFOW_URI, which is not a setting"):
        load_settings()


def test_the_home_of_the_command_line_goes_before_the_environments(environ, tmp_path):
    environ.setenv("CHURN_HOME", "/elsewhere")
    assert load_settings(tmp_path).home_folder == tmp_path
    environ.setenv("HOME", str(tmp_path))
    assert load_settings(Path("~/churn")).home_folder == tmp_path / "churn"


def test_who_acts_is_the_actor_then_the_login_name_then_unknown(environ):
    environ.setenv("CHURN_ACTOR", "Ada")
    assert load_settings().who == "Ada"
    environ.delenv("CHURN_ACTOR")
    for name in ("LOGNAME", "USER", "LNAME", "USERNAME"):
        environ.delenv(name, raising=False)
    environ.setenv("USER", "grace")
    assert load_settings().who == "grace"
    environ.delenv("USER")
    nobody = next(
        number
        for number in range(54321, 60000)
        if number not in {entry.pw_uid for entry in pwd.getpwall()}
    )
    environ.setattr(os, "getuid", lambda: nobody)
    assert load_settings().who == "unknown"


def test_the_libraries_are_told_to_stay_silent_and_off_the_network(tmp_path):
    prepare_environment(Settings(home=tmp_path))
    for name in (
        "DAGSTER_DISABLE_TELEMETRY",
        "MLFLOW_DISABLE_TELEMETRY",
        "BENTOML_DO_NOT_TRACK",
        "DO_NOT_TRACK",
    ):
        assert os.environ[name] in ("yes", "true", "1")
    assert os.environ["BENTOML_DO_NOT_TRACK"] == "true"  # "1" is ignored by BentoML
    assert os.environ["MLFLOW_MODEL_CATALOG_URI"] == ""
    assert {name: os.environ[name] for name in LIBRARY_ENVIRONMENT} == LIBRARY_ENVIRONMENT


def test_child_processes_get_the_settings_of_this_home_and_none_of_an_earlier_one(
    environ, tmp_path
):
    environ.chdir(tmp_path)
    given = {
        "dagster_postgres": "postgresql+psycopg2://churn:pw@db/dagster",
        "mlflow_uri": "http://mlflow:5000",
    }
    prepare_environment(
        Settings(home=Path("a"), contract=Path("c.yaml"), alert_urls_file=Path("urls"), **given)
    )
    paths = {"HOME": "a", "CONTRACT": "c.yaml", "ALERT_URLS_FILE": "urls"}
    assert {name: os.environ[f"CHURN_{name}"] for name in paths} == {
        name: str(tmp_path / path) for name, path in paths.items()
    }
    assert os.environ["DAGSTER_HOME"] == str(tmp_path / "a" / "dagster")
    assert {name: os.environ[f"CHURN_{name.upper()}"] for name in given} == given
    prepare_environment(Settings(home=Path("b"), contract=None, dagster_postgres="", mlflow_uri=""))
    for name in ("CONTRACT", "DAGSTER_POSTGRES", "MLFLOW_URI"):
        assert f"CHURN_{name}" not in os.environ


def test_what_the_user_has_set_stays(environ, tmp_path):
    for name in LIBRARY_ENVIRONMENT:
        environ.setenv(name, "mine")
    prepare_environment(Settings(home=tmp_path))
    assert {os.environ[name] for name in LIBRARY_ENVIRONMENT} == {"mine"}


def test_the_names_under_which_the_api_may_be_called_are_lower_case_and_trimmed():
    assert Settings(api_hosts=" Churn.Example, other ,,").served_names == {"churn.example", "other"}
    assert Settings().served_names == frozenset()


def test_each_server_of_a_home_has_a_bentoml_home_of_its_own(environ, tmp_path):
    prepare_serving(Settings(home=tmp_path), 4000, 3)
    assert os.environ["BENTOML_HOME"] == str(tmp_path / "serving" / "4000")
    assert (os.environ["CHURN_API_PORT"], os.environ["CHURN_API_WORKERS"]) == ("4000", "3")
    assert os.environ["BENTOML_DO_NOT_TRACK"] == "true"
    prepare_serving(Settings(home=tmp_path), 4001, 1)
    assert os.environ["BENTOML_HOME"] == str(tmp_path / "serving" / "4001")


def test_preparing_and_importing_make_no_folder(tmp_path):
    prepare_environment(Settings(home=tmp_path / "new"))
    assert not (tmp_path / "new").exists()


def test_nothing_else_in_the_package_reads_the_environment():
    readers = set()
    for path in Path(churn_platform.__file__).parent.rglob("*.py"):
        text = path.read_text(encoding="utf-8")
        if "environ" not in text and "getenv" not in text:
            continue
        for node in ast.walk(ast.parse(text)):
            named = (
                node.attr
                if isinstance(node, ast.Attribute)
                else node.name
                if isinstance(node, ast.alias)
                else ""
            )
            if named in ("environ", "getenv", "environb"):
                readers.add(path.name)
    assert readers == {"settings.py"}


def test_a_tool_that_builds_gets_no_setting_of_a_home_and_no_telemetry(environ):
    environ.setenv("CHURN_HOME", "/srv/churn")
    environ.setenv("BENTOML_HOME", "/srv/bentoml")
    found = build_environment()
    assert not [name for name in found if name.startswith("CHURN_")]
    assert (found["BENTOML_HOME"], found["BENTOML_DO_NOT_TRACK"]) == ("/srv/bentoml", "true")


def test_variables_in_a_text_are_replaced_from_the_environment_or_the_file_that_is_named(
    environ, tmp_path
):
    (tmp_path / "secret").write_text("s3cret\n")
    environ.setenv("CRM_USER", "crm")
    environ.setenv("CRM_PASSWORD_FILE", str(tmp_path / "secret"))
    assert expand("pg://${CRM_USER}:${CRM_PASSWORD}@db/$HOME") == "pg://crm:s3cret@db/$HOME"
    with pytest.raises(
        UsageError, match=r"^CRM_URL is not set: set it, or CRM_URL_FILE to a file that holds it\.$"
    ):
        expand("${CRM_URL}")
    environ.setenv("CRM_URL_FILE", "gone")
    with pytest.raises(
        UsageError, match=r"^CRM_URL_FILE names gone, which cannot be read: No such file"
    ):
        expand("${CRM_URL}")


@pytest.mark.parametrize(
    ("variables", "temporary"),
    [
        ({"DAGSTER_IS_DEV_CLI": "1"}, True),
        ({"DAGSTER_IS_DEV_CLI": "1", "DAGSTER_HOME": "/srv/dagster"}, False),
        ({}, False),
    ],
)
def test_a_ui_that_shows_no_home_is_known(environ, variables, temporary):
    environ.delenv("DAGSTER_HOME", raising=False)
    for name, value in variables.items():
        environ.setenv(name, value)
    assert dagster_is_temporary() is temporary


def test_dagsters_own_command_sends_no_telemetry_from_the_projects_folder():
    values = dotenv_values(Path(__file__).parents[2] / ".env")
    assert values["DAGSTER_DISABLE_TELEMETRY"] == LIBRARY_ENVIRONMENT["DAGSTER_DISABLE_TELEMETRY"]


def test_a_profile_with_the_settings_of_0_1_0_is_read(environ, tmp_path):
    (tmp_path / "stack.env").write_text(
        "CHURN_OFFLINE_STORE=postgresql://churn@db/feast\nCHURN_OFFLINE_PASSWORD=s3cret\nCHURN_ACTOR=Grace\n"
    )
    environ.setenv("CHURN_PROFILE", str(tmp_path / "stack.env"))
    assert load_settings().actor == "Grace"
    assert "CHURN_OFFLINE_PASSWORD" not in os.environ
