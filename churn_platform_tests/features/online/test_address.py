"""Addresses of online stores: what they may be, and that no secret leaves them."""

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from churn_platform.base.errors import UsageError
from churn_platform.features.feast_repository import import_feast
from churn_platform.features.online.address import (
    SECRET,
    OnlineAddress,
    names_store,
    online_address,
)


def test_nothing_is_sqlite_in_the_home():
    assert online_address("") == OnlineAddress()
    assert OnlineAddress().configuration() == {"type": "sqlite", "path": "online_store.db"}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("redis://cache", ("redis", "cache", 6379, "0", "", False)),
        ("redis://churn@cache:7000/3", ("redis", "cache", 7000, "3", "churn", False)),
        ("rediss://cache/1", ("redis", "cache", 6379, "1", "", True)),
        ("postgresql://churn@db/features", ("postgres", "db", 5432, "features", "churn", False)),
        (
            "postgresql://churn@/features?host=/run/pg",
            ("postgres", "/run/pg", 5432, "features", "churn", False),
        ),
    ],
)
def test_an_address_is_read(text, expected):
    found = online_address(text)
    assert (found.kind, found.host, found.port, found.database, found.user, found.tls) == expected
    assert found.said == text


@pytest.mark.parametrize(
    "text",
    ["mysql://host/db", "redis://", "redis://host/name", "redis://host/0?protocol=3", "postgresql://host/db", "host:1",
     "postgresql://user@host", "postgresql://user@host/db?options=-c", "redis://host:port/0"],
)  # fmt: skip
def test_anything_else_is_refused_with_what_it_may_be(text):
    with pytest.raises(UsageError, match="redis://host:6379/0"):
        online_address(text)


def test_a_password_in_the_address_is_refused_without_being_shown():
    with pytest.raises(UsageError, match="CHURN_ONLINE_PASSWORD") as caught:
        online_address("redis://:geheim@host/0")
    assert "geheim" not in str(caught.value)


@pytest.mark.parametrize(
    "text",
    [
        "churn:geheim@cache/0",
        "redis://cache/0?password=geheim",
        "redis://:geheim/1@cache",
        "redis://u@h/geheim",
    ],
)
def test_nothing_of_what_is_no_address_is_shown(text):
    with pytest.raises(UsageError, match="redis://host:6379/0") as caught:
        online_address(text)
    assert "geheim" not in str(caught.value)


@pytest.mark.parametrize("text", ["redis://churn@cache/3", "postgresql://churn@db/features"])
def test_what_is_written_and_shown_names_the_variable_and_never_the_password(text):
    address = online_address(text, "geheim")
    written = yaml.safe_dump(address.configuration())
    assert SECRET in written
    assert "geheim" not in written + repr(address) + address.said
    assert SECRET not in yaml.safe_dump(online_address(text).configuration())
    for password in ("", "other"):
        assert names_store(
            {"online_store": address.configuration()}, online_address(text, password)
        )
    assert not names_store({"online_store": address.configuration()}, OnlineAddress())
    assert not names_store(
        {"online_store": address.configuration()}, online_address(text.replace("@", "@x"))
    )


@settings(deadline=None)  # the first example imports Feast
@given(password=st.text(min_size=1, max_size=20))
def test_feast_reads_any_password_out_of_its_connection_string(password):
    import_feast()
    from feast.infra.online_stores.redis import RedisOnlineStore

    secret = online_address("redis://churn@cache/3", password).with_secret()["connection_string"]
    nodes, options = RedisOnlineStore._parse_connection_string(secret)
    assert nodes == [{"host": "cache", "port": "6379"}]
    assert (options["password"], options["username"], options["db"]) == (password, "churn", 3)
    assert (
        online_address("postgresql://churn@db/features", password).with_secret()["password"]
        == password
    )
