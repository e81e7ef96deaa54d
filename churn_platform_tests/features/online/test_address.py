"""Addresses of online stores and of Feast's registry: what they may be, and that no secret leaves them."""

from functools import partial
from urllib.parse import quote

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from churn_platform.base.errors import UsageError
from churn_platform.features.feast_repository import import_feast, repository_files
from churn_platform.features.online.address import (
    SECRET,
    OnlineAddress,
    online_address,
    postgres_address,
)
from churn_platform_tests.small_business import declared

VARIABLE = "CHURN_FEAST_REGISTRY_PASSWORD"


def registry(text, password=""):
    return postgres_address("CHURN_FEAST_REGISTRY", text, VARIABLE, password)


def test_nothing_is_a_file_in_the_home():
    assert online_address("") == OnlineAddress()
    assert OnlineAddress().configuration() == {"type": "sqlite", "path": "online_store.db"}
    assert registry("") is None


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("redis://cache", ("redis", "cache", 6379, "0", "", False)),
        ("redis://churn@cache:7000/3", ("redis", "cache", 7000, "3", "churn", False)),
        ("rediss://cache/1", ("redis", "cache", 6379, "1", "", True)),
        ("postgresql://churn@db:6000/a?sslmode=require", ("postgres", "db", 6000, "a", "churn", False)),
        ("postgresql://churn@/a?host=/run/pg", ("postgres", "/run/pg", 5432, "a", "churn", False)),
    ],
)  # fmt: skip
def test_an_address_is_read(text, expected):
    found = online_address(text)
    assert (found.kind, found.host, found.port, found.database, found.user, found.tls) == expected
    assert found.url == text
    if found.kind == "postgres":
        path = registry(text).registry()["path"]
        assert f"host={quote(found.host)}&port={found.port}" in path


@pytest.mark.parametrize("read", [online_address, registry])
@pytest.mark.parametrize(
    "text",
    ["mysql://host/db", "redis://", "redis://host/name", "redis://host/0?protocol=3", "postgresql://host/db", "host:1",
     "postgresql://user@host", "postgresql://user@host/db?options=-c", "redis://host:port/0",
     "churn:geheim@cache/0", "redis://cache/0?password=geheim", "redis://:geheim/1@cache", "redis://u@h/geheim",
     "host=db password=geheim", "postgresql://churn@db/f?password=geheim", "x://[geheim"],
)  # fmt: skip
def test_anything_else_is_refused_with_what_it_may_be_and_never_shown(read, text):
    with pytest.raises(UsageError, match=r"give .*postgresql://user@host:5432/database") as caught:
        read(text)
    assert caught.value.code == "SETTING_INVALID"
    assert "geheim" not in str(caught.value)


@pytest.mark.parametrize(
    ("read", "text", "variable"),
    [
        (online_address, "redis://:geheim@host/0", "CHURN_ONLINE_PASSWORD"),
        (registry, "postgresql://churn:geheim@db/features", VARIABLE),
        (registry, "redis://:geheim@db/0", VARIABLE),
        (registry, "x://a:geheim@b:c/d", VARIABLE),
    ],
)
def test_a_password_in_the_address_is_refused_without_being_shown(read, text, variable):
    with pytest.raises(UsageError, match=variable) as caught:
        read(text)
    assert "geheim" not in str(caught.value)


@pytest.mark.parametrize("text", ["redis://churn@cache/3", "postgresql://churn@db/features"])
def test_what_is_written_and_shown_names_the_variable_and_never_the_password(text):
    address = online_address(text, "geheim")
    written = yaml.safe_dump(address.configuration())
    assert SECRET in written
    assert "geheim" not in written + repr(address) + address.url
    assert SECRET not in yaml.safe_dump(online_address(text).configuration())


def test_the_files_of_the_repository_name_the_variable_and_never_the_password():
    found = registry("postgresql://churn@db/features", "geheim")
    files = partial(repository_files, declared(), OnlineAddress())
    written = files(found)
    assert "geheim" not in "".join(written.values()) + repr(found) + found.url
    kept = yaml.safe_load(written["feature_store.yaml"])["registry"]
    for read, password in ((kept, f"${{{VARIABLE}}}"), (found.registry(secret=True), "geheim")):
        assert read["sqlalchemy_config_kwargs"]["connect_args"]["password"] == password
    assert "password=geheim" in found.where.postgres()
    assert "password" not in str(files(None))


@settings(deadline=None)  # the first example imports Feast
@given(password=st.text(min_size=1, max_size=20))
def test_feast_reads_any_password_out_of_its_connection_string(password):
    import_feast()
    from feast.infra.online_stores.redis import RedisOnlineStore

    secret = partial(OnlineAddress.configuration, secret=True)
    text = secret(online_address("redis://churn@cache/3", password))["connection_string"]
    nodes, options = RedisOnlineStore._parse_connection_string(text)
    assert nodes == [{"host": "cache", "port": "6379"}]
    assert (options["password"], options["username"], options["db"]) == (password, "churn", 3)
    assert secret(online_address("postgresql://churn@db/a", password))["password"] == password
