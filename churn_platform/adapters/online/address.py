"""Where the online store is: `CHURN_ONLINE_STORE` read, and its form in Feast's configuration.

Belongs here: the address of a store and what feature_store.yaml holds of it. Does not: reading or writing rows.
A password comes from the environment alone: files, errors and the address in words never hold it.
The server imports this module: the standard library only.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal
from urllib.parse import parse_qsl, unquote, urlsplit

from churn_platform.errors import UsageError

Kind = Literal["sqlite", "redis", "postgres"]
KINDS: dict[str, Kind] = {"redis": "redis", "rediss": "redis", "postgresql": "postgres", "postgres": "postgres"}
PORTS = {"redis": 6379, "postgres": 5432}
OPTIONS = {"redis": set[str](), "postgres": {"host", "sslmode"}}
SECRET = "${CHURN_ONLINE_PASSWORD}"  # noqa: S105 - the name of the variable, which Feast's command line replaces
EXAMPLES = "redis://host:6379/0, rediss://host/0, postgresql://user@host:5432/database, or nothing for SQLite"
WRITE_SECONDS = 30


@dataclass(frozen=True)
class OnlineAddress:
    """One online store; SQLite is the file in the home.

    Attributes:
        said: The address as it may be shown and written, without any secret; empty for SQLite.
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
        """The `online_store` of feature_store.yaml, with the variable's name in place of the password."""
        return self._section(SECRET if self.password else "")

    def with_secret(self) -> dict[str, Any]:
        """The same with the password, for Feast in this process."""
        # Feast splits the string at commas and reads each value as JSON.
        secret = self.password if self.kind == "postgres" else json.dumps(self.password).replace(",", "\\u002c")
        return self._section(secret if self.password else "")

    def postgres(self) -> dict[str, Any]:
        """Where the database is and who asks, as keywords of psycopg.connect."""
        return {
            "host": self.host, "port": self.port, "dbname": self.database, "user": self.user,
            "password": self.password or None, "sslmode": self.sslmode,
        }  # fmt: skip

    def _section(self, secret: str) -> dict[str, Any]:
        if self.kind == "sqlite":
            return {"type": "sqlite", "path": "online_store.db"}
        if self.kind == "postgres":
            return {
                "type": "postgres", "host": self.host, "port": self.port, "database": self.database, "user": self.user,
                "password": secret, "sslmode": self.sslmode, "db_schema": "public",
            }  # fmt: skip
        parts = [f"{self.host}:{self.port}", f"db={self.database}", f"socket_timeout={WRITE_SECONDS}"]
        parts += [f"username={json.dumps(self.user)}"] if self.user else []
        parts += [f"password={secret}"] if secret else []
        parts += ["ssl=true"] if self.tls else []
        # Without it Feast leaves out rows of the same instant: a correction of a month would never arrive. That an
        # older month comes after a newer one, `FeatureStore.materialize` prevents for every store.
        return {"type": "redis", "connection_string": ",".join(parts), "skip_dedup": True}


def online_address(text: str, password: str = "") -> OnlineAddress:
    """The store that a setting names.

    Raises:
        UsageError: it cannot be read, or it holds a password; the message shows the allowed forms, never the value.
    """
    if not text:
        return OnlineAddress()
    try:
        parts = urlsplit(text)
        kind, port = KINDS.get(parts.scheme), parts.port
    except ValueError:  # whose words may hold a part of a password
        raise UsageError(f"CHURN_ONLINE_STORE cannot be read as an address: give {EXAMPLES}.") from None
    if parts.password is not None:
        raise UsageError("CHURN_ONLINE_STORE holds a password: put it into CHURN_ONLINE_PASSWORD instead.")
    options = dict(parse_qsl(parts.query))
    host = options.get("host", parts.hostname or "")
    if kind is None or not host or set(options) - OPTIONS[kind]:
        raise UsageError(f"CHURN_ONLINE_STORE is not a store address: give {EXAMPLES}.")
    database, user = unquote(parts.path.strip("/")), unquote(parts.username or "")
    database = database or ("0" if kind == "redis" else "")
    if (kind == "redis" and not database.isdecimal()) or (kind == "postgres" and not (database and user)):
        raise UsageError(f"CHURN_ONLINE_STORE names no database or no user: give {EXAMPLES}.")
    return OnlineAddress(
        kind, text, host, port or PORTS[kind], database, user, password, parts.scheme == "rediss",
        options.get("sslmode", "prefer"),
    )  # fmt: skip


def names_store(configuration: Mapping[str, Any], address: OnlineAddress) -> bool:
    """Whether a feature_store.yaml names the store of an address, as this platform writes it."""
    named: Mapping[str, Any] = configuration.get("online_store") or {"type": "sqlite"}
    if address.kind == "sqlite":
        return named.get("type") == "sqlite"
    secretless = OnlineAddress(**{**address.__dict__, "password": ""}).configuration()
    return all(_plain(named.get(name)) == value for name, value in secretless.items())


def _plain(value: Any) -> Any:  # noqa: ANN401 - whatever YAML holds
    return value.replace(f",password={SECRET}", "").replace(SECRET, "") if isinstance(value, str) else value
