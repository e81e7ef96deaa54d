"""Where the online store is: `CHURN_ONLINE_STORE` read, and its form in Feast's configuration."""

import contextlib
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal, TypedDict
from urllib.parse import parse_qsl, quote, unquote, urlsplit

from churn_platform.base.errors import UsageError

Kind = Literal["sqlite", "redis", "postgres"]
KINDS: dict[str, Kind] = {
    "redis": "redis",
    "rediss": "redis",
    "postgresql": "postgres",
    "postgres": "postgres",
}
PORTS = {"redis": 6379, "postgres": 5432}
OPTIONS = {"redis": set[str](), "postgres": {"host", "sslmode"}}
SECRET = "${CHURN_ONLINE_PASSWORD}"  # noqa: S105 - the name of the variable, which Feast's command line replaces
EXAMPLES = (
    "redis://host:6379/0, rediss://host/0, postgresql://user@host:5432/database, or nothing for"
    " SQLite"
)
WRITE_SECONDS = 30
DATABASE = "online_store.db"
"""The file of a store in SQLite, in the folder of the Feast repository."""
Section = dict[str, str | int]
"""A part of feature_store.yaml."""


class RedisOptions(TypedDict):
    """The keywords of a Redis connection."""

    host: str
    port: int
    db: int
    username: str | None
    password: str | None


@contextlib.contextmanager
def packages_of(extra: str) -> Iterator[None]:
    """Import the packages of an extra of churn-platform.

    Raises:
        UsageError: one of them is not installed.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        raise UsageError(
            f"{error.name} is not installed: install churn-platform[{extra}].",
            code="PACKAGE_MISSING",
        ) from None


@dataclass(frozen=True)
class OnlineAddress:
    """One online store; SQLite is the file in the home.

    Attributes:
        url: The address without any secret, for messages and files; empty for SQLite.
        database: Redis: the number; Postgres: the name.
        tls: Redis: whether the connection is encrypted; Postgres has `sslmode`.
    """

    kind: Kind = "sqlite"
    url: str = ""
    host: str = ""
    port: int = 0
    database: str = ""
    user: str = ""
    password: str = field(default="", repr=False)
    tls: bool = False
    sslmode: str = "prefer"

    def configuration(self, *, secret: bool = False) -> Section:
        """The `online_store` of feature_store.yaml, with the password or with its variable."""
        if self.kind == "sqlite":
            return {"type": "sqlite", "path": DATABASE}
        shown = self.password if secret or not self.password else SECRET
        if self.kind == "postgres":
            return {
                "type": "postgres", "host": self.host, "port": self.port,
                "database": self.database, "user": self.user, "password": shown,
                "sslmode": self.sslmode, "db_schema": "public",
            }  # fmt: skip
        parts = [
            f"{self.host}:{self.port}",
            f"db={self.database}",
            f"socket_timeout={WRITE_SECONDS}",
        ]
        if self.user:
            parts.append(f"username={json.dumps(self.user)}")
        if secret and shown:
            # Feast splits the string at commas and reads each value as JSON.
            shown = json.dumps(shown).replace(",", "\\u002c")
        if shown:
            parts.append(f"password={shown}")
        if self.tls:
            parts.append("ssl=true")
        # Without skip_dedup, Feast skips rows of the same instant, so a correction would never
        # arrive. `FeatureStore.materialize` keeps older months from overwriting newer ones.
        return {"type": "redis", "connection_string": ",".join(parts), "skip_dedup": True}

    def postgres(self, **options: str | int) -> str:
        """The database and user as the connection string of psycopg, with more options."""
        from psycopg.conninfo import make_conninfo

        return make_conninfo(
            "", host=self.host, port=self.port, dbname=self.database, user=self.user,
            password=self.password or None, sslmode=self.sslmode, **options,
        )  # fmt: skip

    def redis(self) -> RedisOptions:
        """The database and user as keywords of a Redis connection."""
        return {
            "host": self.host,
            "port": self.port,
            "db": int(self.database or 0),
            "username": self.user or None,
            "password": self.password or None,
        }


def online_address(text: str, password: str = "") -> OnlineAddress:
    """The store that a setting names.

    Raises:
        UsageError: it is invalid or contains a password; the message never shows the value.
    """
    if not text:
        return OnlineAddress()
    try:
        parts = urlsplit(text)
        kind = KINDS.get(parts.scheme)
        port = parts.port
    except ValueError:  # its text may contain a part of the password
        raise UsageError(
            f"CHURN_ONLINE_STORE cannot be read as an address: give {EXAMPLES}.",
            code="SETTING_INVALID",
        ) from None
    if parts.password is not None:
        raise UsageError(
            "CHURN_ONLINE_STORE contains a password: put it into CHURN_ONLINE_PASSWORD instead.",
            code="SETTING_INVALID",
        )
    options = dict(parse_qsl(parts.query))
    host = options.get("host", parts.hostname or "")
    if kind is None or not host or set(options) - OPTIONS[kind]:
        raise UsageError(
            f"CHURN_ONLINE_STORE is not a store address: give {EXAMPLES}.", code="SETTING_INVALID"
        )
    database = unquote(parts.path.strip("/"))
    user = unquote(parts.username or "")
    if kind == "redis":
        database = database or "0"
        complete = database.isdecimal()
    else:
        complete = bool(database and user)
    if not complete:
        raise UsageError(
            f"CHURN_ONLINE_STORE has no database or no user: give {EXAMPLES}.",
            code="SETTING_INVALID",
        )
    return OnlineAddress(
        kind, text, host, port or PORTS[kind], database, user, password, parts.scheme == "rediss",
        options.get("sslmode", "prefer"),
    )  # fmt: skip


CONNECT_SECONDS = 10
EXAMPLE = "postgresql://user@host:5432/database"
PASSWORD = re.compile(r"[^/]*//[^/]*:[^/]*@")


class SqlRegistry(TypedDict):
    """The `registry` of feature_store.yaml, in a database."""

    registry_type: Literal["sql"]
    path: str
    sqlalchemy_config_kwargs: dict[str, Section]


@dataclass(frozen=True)
class PostgresAddress:
    """One database.

    Attributes:
        variable: The name of the variable that holds its password.
    """

    where: OnlineAddress
    variable: str

    @property
    def url(self) -> str:
        """The address without any secret."""
        return self.where.url

    def registry(self, *, secret: bool = False) -> SqlRegistry:
        """The `registry` of feature_store.yaml, with the password or with its variable."""
        where = self.where
        target = f"{quote(where.user)}@/{quote(where.database)}"
        target += f"?host={quote(where.host)}&port={where.port}"
        arguments: Section = {"sslmode": where.sslmode, "connect_timeout": CONNECT_SECONDS}
        if where.password:
            arguments["password"] = where.password if secret else f"${{{self.variable}}}"
        return {
            "registry_type": "sql", "path": f"postgresql+psycopg://{target}",
            "sqlalchemy_config_kwargs": {"connect_args": arguments},
        }  # fmt: skip

    def away(self) -> str | None:
        """Why the database cannot be used now, as a sentence; None if it answers.

        Raises:
            UsageError: psycopg is not installed.
        """
        with packages_of("postgres"):
            import psycopg
        try:
            psycopg.connect(
                self.where.postgres(connect_timeout=CONNECT_SECONDS, application_name="churn")
            ).close()
        except psycopg.Error as error:
            reason = " ".join(str(error).split())
            return f"Postgres at {self.url} does not answer ({reason}): try again."
        return None


def postgres_address(
    setting: str, text: str, variable: str, password: str
) -> PostgresAddress | None:
    """The database that a setting names; None if the setting is empty.

    Raises:
        UsageError: it is invalid or contains a password; the message never shows the value.
    """
    if not text:
        return None
    if PASSWORD.match(text):
        raise UsageError(
            f"{setting} contains a password: put it into {variable} instead.",
            code="SETTING_INVALID",
        )
    try:
        where = online_address(text, password)
    except UsageError:
        where = OnlineAddress()
    if where.kind != "postgres":
        raise UsageError(
            f"{setting} is not a database address: give {EXAMPLE}, or nothing to keep it in the"
            " home.",
            code="SETTING_INVALID",
        )
    return PostgresAddress(where, variable)
