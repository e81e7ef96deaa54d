"""The Postgres database that holds Feast's registry, as a setting names it.

A password comes from its own variable alone: files, errors and the address in words never hold it.
"""

import re
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from churn_platform.adapters.online.address import OnlineAddress, online_address
from churn_platform.errors import UsageError

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
        """The address as it may be shown and written."""
        return self.where.said

    def connection(self) -> dict[str, Any]:
        """The keywords of psycopg.connect; times are UTC whatever the server's own zone."""
        return self.where.postgres() | {
            "connect_timeout": CONNECT_SECONDS, "options": "-c TimeZone=UTC", "application_name": "churn",
        }  # fmt: skip

    def registry(self, *, secret: bool = False) -> dict[str, Any]:
        """The `registry` of feature_store.yaml: with the password's variable, or for this process with the password."""
        where = self.where
        target = f"{quote(where.user)}@/{quote(where.database)}?host={quote(where.host)}&port={where.port}"
        arguments = {"sslmode": where.sslmode, "connect_timeout": CONNECT_SECONDS, **self._password(secret=secret)}
        return {
            "registry_type": "sql", "path": f"postgresql+psycopg://{target}",
            "sqlalchemy_config_kwargs": {"connect_args": arguments},
        }  # fmt: skip

    def away(self) -> str | None:
        """Why the database cannot be used now, as a sentence; None when it answers.

        Raises:
            UsageError: psycopg is not installed.
        """
        try:
            import psycopg
        except ModuleNotFoundError as error:
            raise UsageError(f"{error.name} is not installed: install churn-platform[postgres].") from None
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


def postgres_address(setting: str, text: str, variable: str, password: str) -> PostgresAddress | None:
    """The database that a setting names, with the password of another variable; None where it is empty.

    Raises:
        UsageError: it is no such address, or it holds a password; nothing of it is shown.
    """
    if not text:
        return None
    if PASSWORD.match(text):
        raise UsageError(f"{setting} holds a password: put it into {variable} instead.")
    try:
        where = online_address(text, password)
    except UsageError:
        where = OnlineAddress()
    if where.kind != "postgres":
        raise UsageError(f"{setting} is not a database address: give {EXAMPLE}, or nothing to keep it in the home.")
    return PostgresAddress(where, variable)
