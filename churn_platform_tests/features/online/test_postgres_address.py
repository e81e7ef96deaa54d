"""The setting that names the Postgres database of Feast's registry: what it may be, and that no secret leaves it."""

from urllib.parse import quote

import pytest
import yaml

from churn_platform.base.errors import UsageError
from churn_platform.features.feast_repository import repository_files
from churn_platform.features.online.address import OnlineAddress, postgres_address
from churn_platform_tests.small_business import declared

SETTING, VARIABLE = "CHURN_FEAST_REGISTRY", "CHURN_FEAST_REGISTRY_PASSWORD"


def read(text, password=""):
    return postgres_address(SETTING, text, VARIABLE, password)


def test_nothing_is_in_the_home():
    assert read("") is None


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        ("postgresql://churn@db/features", "db", 5432),
        ("postgresql://churn@db:6000/features?sslmode=require", "db", 6000),
        ("postgresql://churn@/features?host=/run/pg", "/run/pg", 5432),
    ],
)
def test_an_address_is_said_to_psycopg_and_to_feast_alike(text, host, port):
    found = read(text)
    assert found.said == text
    assert (found.connection()["host"], found.connection()["port"]) == (host, port)
    assert found.connection()["options"] == "-c TimeZone=UTC"
    assert f"host={quote(host)}&port={port}" in found.registry()["path"]


@pytest.mark.parametrize(
    "text",
    ["redis://host/0", "mysql://a@host/db", "postgresql://host/db", "postgresql://u@h", "h:1"],
)
def test_anything_else_is_refused_with_what_it_may_be(text):
    with pytest.raises(
        UsageError,
        match=r"^CHURN_FEAST_REGISTRY is not a database address: give postgresql://user@host:5432/",
    ):
        read(text)


@pytest.mark.parametrize(
    "text", ["postgresql://churn:geheim@db/features", "redis://:geheim@db/0", "x://a:geheim@b:c/d"]
)
def test_a_password_in_the_address_is_refused_without_being_shown(text):
    with pytest.raises(UsageError, match="CHURN_FEAST_REGISTRY_PASSWORD") as caught:
        read(text)
    assert "geheim" not in str(caught.value)


@pytest.mark.parametrize(
    "text",
    [
        "churn:geheim@db/features",
        "host=db password=geheim",
        "postgresql://churn@db/f?password=geheim",
        "x://[geheim",
    ],
)
def test_nothing_of_what_is_no_address_is_shown(text):
    with pytest.raises(UsageError, match="give postgresql://user@host") as caught:
        read(text)
    assert "geheim" not in str(caught.value)


def test_the_files_of_the_repository_name_the_variable_and_never_the_password():
    found = read("postgresql://churn@db/features", "geheim")
    files = repository_files(declared(), OnlineAddress(), found)
    assert "geheim" not in "".join(files.values()) + repr(found) + found.said
    named = yaml.safe_load(files["feature_store.yaml"])
    assert (
        named["registry"]["sqlalchemy_config_kwargs"]["connect_args"]["password"]
        == "${CHURN_FEAST_REGISTRY_PASSWORD}"
    )
    assert found.connection()["password"] == "geheim"
    secret = found.registry(secret=True)["sqlalchemy_config_kwargs"]["connect_args"]
    assert secret["password"] == "geheim"
    assert "password" not in str(repository_files(declared(), OnlineAddress(), None))
