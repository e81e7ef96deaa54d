"""Where the online store is: `CHURN_ONLINE_STORE` read, and its form in Feast's configuration."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal
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


@dataclass(frozen=True)
class OnlineAddress:
    """One online store; SQLite is the file in the home.

    Attributes:
        said: The address without any secret, for messages and files; empty for SQLite.
        database: Redis: the number; Postgres: the name.
        tls: Redis: whether the connection is encrypted; Postgres has `sslmode`.
    """

    kind: Kind = "sqlite"
    said: str = ""
    host: str = ""
    port: int = 0
    database: str = ""
    user: str = ""
    password: str = field(default="", repr=False)
    tls: bool = False
    sslmode: str = "prefer"

    def configuration(self) -> dict[str, Any]:
        """The `online_store` of feature_store.yaml, with a variable in place of the password."""
        return self._section(SECRET if self.password else "")

    def with_secret(self) -> dict[str, Any]:
        """The same with the password, for Feast in this process only."""
        # Feast splits the string at commas and reads each value as JSON.
        if self.kind == "postgres":
            secret = self.password
        else:
            secret = json.dumps(self.password).replace(",", "\\u002c")
        return self._section(secret if self.password else "")

    def postgres(self) -> dict[str, Any]:
        """The database and user as keywords of psycopg.connect."""
        return {
            "host": self.host, "port": self.port, "dbname": self.database, "user": self.user,
            "password": self.password or None, "sslmode": self.sslmode,
        }  # fmt: skip

    def redis(self) -> dict[str, Any]:
        """The database and user as keywords of a Redis connection."""
        return {
            "host": self.host,
            "port": self.port,
            "db": int(self.database or 0),
            "username": self.user or None,
            "password": self.password or None,
        }

    def _section(self, secret: str) -> dict[str, Any]:
        if self.kind == "sqlite":
            return {"type": "sqlite", "path": "online_store.db"}
        if self.kind == "postgres":
            return {
                "type": "postgres", "host": self.host, "port": self.port,
                "database": self.database, "user": self.user, "password": secret,
                "sslmode": self.sslmode, "db_schema": "public",
            }  # fmt: skip
        parts = [
            f"{self.host}:{self.port}",
            f"db={self.database}",
            f"socket_timeout={WRITE_SECONDS}",
        ]
        if self.user:
            parts.append(f"username={json.dumps(self.user)}")
        if secret:
            parts.append(f"password={secret}")
        if self.tls:
            parts.append("ssl=true")
        # Without skip_dedup, Feast skips rows of the same instant, so a correction would never
        # arrive. `FeatureStore.materialize` keeps older months from overwriting newer ones.
        return {"type": "redis", "connection_string": ",".join(parts), "skip_dedup": True}


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
    database = database or ("0" if kind == "redis" else "")
    if (kind == "redis" and not database.isdecimal()) or (
        kind == "postgres" and not (database and user)
    ):
        raise UsageError(
            f"CHURN_ONLINE_STORE has no database or no user: give {EXAMPLES}.",
            code="SETTING_INVALID",
        )
    return OnlineAddress(
        kind, text, host, port or PORTS[kind], database, user, password, parts.scheme == "rediss",
        options.get("sslmode", "prefer"),
    )  # fmt: skip


def names_store(configuration: Mapping[str, Any], address: OnlineAddress) -> bool:
    """Whether a feature_store.yaml written by this platform names the store of an address."""
    named: Mapping[str, Any] = configuration.get("online_store") or {"type": "sqlite"}
    if address.kind == "sqlite":
        return named.get("type") == "sqlite"
    secretless = OnlineAddress(**{**address.__dict__, "password": ""}).configuration()
    return all(_plain(named.get(name)) == value for name, value in secretless.items())


def _plain(value: Any) -> Any:  # noqa: ANN401 - whatever YAML holds
    if isinstance(value, str):
        return value.replace(f",password={SECRET}", "").replace(SECRET, "")
    return value


CONNECT_SECONDS = 10
EXAMPLE = "postgresql://user@host:5432/database"
PASSWORD = re.compile(r"[^/]*//[^/]*:[^/]*@")


@dataclass(frozen=True)
class PostgresAddress:
    """One database.

    Attributes:
        variable: The name of the variable that holds its password.
    """

    where: OnlineAddress
    variable: str

    @property
    def said(self) -> str:
        """The address without any secret."""
        return self.where.said

    def connection(self) -> dict[str, Any]:
        """The keywords of psycopg.connect; times are in UTC, whatever the server's time zone."""
        return self.where.postgres() | {
            "connect_timeout": CONNECT_SECONDS,
            "options": "-c TimeZone=UTC",
            "application_name": "churn",
        }

    def registry(self, *, secret: bool = False) -> dict[str, Any]:
        """The `registry` of feature_store.yaml, with the password or with its variable."""
        where = self.where
        target = f"{quote(where.user)}@/{quote(where.database)}"
        target += f"?host={quote(where.host)}&port={where.port}"
        arguments = {
            "sslmode": where.sslmode,
            "connect_timeout": CONNECT_SECONDS,
            **self._password(secret=secret),
        }
        return {
            "registry_type": "sql", "path": f"postgresql+psycopg://{target}",
            "sqlalchemy_config_kwargs": {"connect_args": arguments},
        }  # fmt: skip

    def away(self) -> str | None:
        """Why the database cannot be used now, as a sentence; None if it answers.

        Raises:
            UsageError: psycopg is not installed.
        """
        try:
            import psycopg
        except ModuleNotFoundError as error:
            raise UsageError(
                f"{error.name} is not installed: install churn-platform[postgres].",
                code="PACKAGE_MISSING",
            ) from None
        try:
            psycopg.connect(**self.connection()).close()
        except psycopg.Error as error:
            reason = " ".join(str(error).split())
            return f"Postgres at {self.said} does not answer ({reason}): try again."
        return None

    def _password(self, *, secret: bool) -> dict[str, str]:
        if not self.where.password:
            return {}
        return {"password": self.where.password if secret else f"${{{self.variable}}}"}


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
