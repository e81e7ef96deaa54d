"""Reads the tables of a drop that a contract places in a database, and writes them as the files
of one.
"""

import datetime as dt
import decimal
import math
import re
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from churn_platform.base.errors import DataError, UsageError
from churn_platform.base.settings import expand
from churn_platform.contract.model import Contract
from churn_platform.contract.parts import DatabaseSource

if TYPE_CHECKING:
    import pyarrow as pa
    import sqlalchemy as sa


CHUNK = 50_000
CONNECT_SECONDS = 10
SHOWN = 300
"""Characters of a database's message that are shown."""
DRIVERS = {
    "psycopg2": "psycopg2-binary",
    "MySQLdb": "mysqlclient",
    "pyodbc": "pyodbc",
    "psycopg": "psycopg[binary]",
}
TIMES = (dt.date, dt.datetime)


def next_as_of(contract: Contract, newest: dt.date) -> dt.date:
    """The as_of one cadence after `newest`; the end of a month is followed by the end of the
    next.
    """
    following = contract.step.after(newest)
    if contract.cadence != "month" or (newest + dt.timedelta(days=1)).day != 1:
        return following
    return (following.replace(day=1) + dt.timedelta(days=32)).replace(day=1) - dt.timedelta(days=1)


def due_pull(
    contract: Contract, months: Sequence[dt.date], labelled: Collection[dt.date], today: dt.date
) -> tuple[dt.date | None, str]:
    """The as_of to read now, or None; and the sentence why.

    Args:
        contract: the contract.
        months: the published months, oldest first.
        labelled: those whose labels have been delivered.
        today: the date.
    """
    by_files = [
        name
        for name in contract.tables
        if name not in contract.pulled and name != contract.label.table
    ]
    if not contract.pulled:
        return None, "Nothing is read by the clock: no table is in a database."
    if by_files:
        return None, f"Nothing is read by the clock: files deliver {', '.join(by_files)}."
    if not months:
        return None, "Ingest the first month by hand: `churn ingest --as-of DATE`."
    following = next_as_of(contract, months[-1])
    if following < today:
        return following, f"The {contract.cadence} {following} is over."
    late = next((m for m in months if m not in labelled and contract.matures(m) < today), None)
    if late is not None and contract.label.table in contract.pulled:
        return late, f"The labels of {late} have matured and are not here yet."
    return None, f"The next {contract.cadence} is {following}."


def pull(
    contract: Contract,
    as_of: dt.date,
    folder: Path,
    skip: Sequence[str] = (),
    *,
    every_column: bool = False,
) -> dict[str, int]:
    """Write every table of the contract that is in a database into `folder`, as Parquet; table
    -> rows.

    Tables of one database are read in one read-only transaction, so they are of one moment
    where it can do that.

    Args:
        contract: the contract.
        as_of: the month, the value of `:as_of`.
        folder: where the files go.
        skip: tables that are not asked for.
        every_column: also those that the contract does not name; one that it names may lack.

    Raises:
        UsageError: a variable is not set, a URL is invalid, or its driver is not installed.
        DataError: the database does not answer, refuses the login or the query, lacks a column,
            or has no rows.
    """
    by_url: dict[str, list[str]] = {}
    for name, source in contract.pulled.items():
        if name not in skip:
            by_url.setdefault(source.url, []).append(name)
    counts = {}
    for url, names in by_url.items():
        where = f"tables.{names[0]}.source"
        engine = _engine(where, url)
        try:
            with _connected(engine, where) as connection:
                for name in names:
                    counts[name] = _write(
                        contract, name, as_of, connection, folder, every_column=every_column
                    )
        finally:
            engine.dispose()
    return counts


def _engine(where: str, url: str) -> "sa.Engine":
    import sqlalchemy as sa

    try:
        address = sa.engine.make_url(expand(url))
        postgres = address.get_backend_name() == "postgresql"
        options = {"connect_timeout": CONNECT_SECONDS} if postgres else {}
        engine = sa.create_engine(address, connect_args=options, poolclass=sa.pool.NullPool)
    except UsageError as error:
        raise UsageError(f"{where}.url: {error}", code=error.code) from None
    except (sa.exc.ArgumentError, sa.exc.NoSuchModuleError, ValueError):
        raise UsageError(
            f"{where}.url is not a database URL: write it as"
            " postgresql+psycopg2://USER:PASSWORD@HOST/DATABASE, or as sqlite:////FOLDER/FILE.",
            code="SETTING_INVALID",
        ) from None
    except ImportError as error:
        package = DRIVERS.get(error.name or "", error.name)
        raise UsageError(
            f"{where}.url needs a driver that is not installed: `pip install {package}`.",
            code="PACKAGE_MISSING",
        ) from None
    if address.get_backend_name() == "sqlite" and not Path(address.database or "").is_file():
        raise DataError(
            f"{where}: there is no SQLite file {address.database}.", code="SOURCE_FAILED"
        )  # SQLite would make an empty one.
    return engine


def _connected(engine: "sa.Engine", where: str) -> "sa.Connection":
    """A connection that can only read."""
    import sqlalchemy as sa

    try:
        connection = engine.connect()
        if engine.dialect.name == "postgresql":
            return connection.execution_options(
                isolation_level="REPEATABLE READ", postgresql_readonly=True
            )
        if engine.dialect.name == "sqlite":
            connection.execute(sa.text("PRAGMA query_only = ON"))
    except sa.exc.SQLAlchemyError as error:
        shown = engine.url.render_as_string(hide_password=True)
        said = _said(error, engine)
        login = re.search("authentication|password|access denied", said, re.I)
        what = "refuses the login" if login else "does not answer"
        raise DataError(
            f"{where}: the database {shown} {what}: {said}", code="SOURCE_FAILED"
        ) from None
    return connection


def _write(
    contract: Contract,
    name: str,
    as_of: dt.date,
    connection: "sa.Connection",
    folder: Path,
    *,
    every_column: bool = False,
) -> int:
    """Write one table in order of its key, a log in order of all columns, so the same rows make
    the same file; how many rows.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq
    import sqlalchemy as sa

    where = f"tables.{name}.source"
    source = contract.pulled[name]
    headers = [column.source or own for own, column in contract.delivered(name).items()]
    optional = {contract.label.column} if contract.wide and name == contract.label.table else set()
    try:
        result = connection.execution_options(stream_results=True, yield_per=CHUNK).execute(
            _query(source, [] if every_column else headers),
            {"as_of": as_of},
        )
        present = list(result.keys())
        missing = [header for header in headers if header not in present and header not in optional]
        if missing and not every_column:
            raise DataError(
                f"{where}: the query gives no column {', '.join(map(repr, missing))}; it gives"
                f" {', '.join(present)}.",
                code="SOURCE_FAILED",
            )
        wanted = [header for header in headers if header in present]
        if every_column:
            wanted = [header for header in present if header != source.as_of_column]
        chunks = list(_chunks(result, [present.index(header) for header in wanted], wanted))
    except sa.exc.SQLAlchemyError as error:
        raise DataError(
            f"{where}: the database refuses the query: {_said(error, connection.engine)}",
            code="SOURCE_FAILED",
        ) from None
    if not chunks and name == contract.label.table and not contract.wide:
        return 0  # labels come later: a drop without their file waits for them
    if not chunks and name in contract.logs:  # a quiet month
        chunks = [pa.table({header: pa.array([], pa.string()) for header in wanted})]
    if not chunks:
        raise DataError(f"{where}: the database has no rows of {as_of}.", code="SOURCE_FAILED")
    table = _joined(chunks)
    key = contract.key.source or contract.entity.column
    order = table.column_names if name in contract.logs else []
    order = [own for own in dict.fromkeys([key, *order]) if not pa.types.is_null(table[own].type)]
    if order:
        table = table.sort_by([(own, "ascending") for own in order])
    pq.write_table(table, folder / f"{contract.file_stem(name)}.parquet")
    return int(table.num_rows)


def _query(source: DatabaseSource, headers: Sequence[str]) -> Any:  # noqa: ANN401
    """The rows of a month with these columns; with all without any."""
    import sqlalchemy as sa

    as_of: sa.BindParameter[Any] = sa.bindparam("as_of", type_=sa.Date())
    if source.query:
        return sa.text(source.query).bindparams(as_of)
    schema, _, name = source.table.rpartition(".")
    month: sa.ColumnClause[Any] = sa.column(source.as_of_column)
    table = sa.table(name, *(sa.column(header) for header in headers), schema=schema or None)
    columns = table.c if headers else [sa.text("*")]
    return sa.select(*columns).select_from(table).where(month == as_of)


def _chunks(result: Any, places: Sequence[int], names: Sequence[str]) -> Iterator["pa.Table"]:  # noqa: ANN401
    import pyarrow as pa

    for rows in result.partitions():
        columns = list(zip(*rows, strict=True))
        yield pa.table(
            {name: _column(columns[place]) for name, place in zip(names, places, strict=True)}
        )


def _column(values: Sequence[Any]) -> "pa.Array":
    """One column of a chunk in the type of its values; what is of several kinds becomes text."""
    import pyarrow as pa

    kinds = {type(value) for value in values} - {type(None)}
    if decimal.Decimal in kinds:  # rounded by Python, as a number in a file is
        known = [value for value in values if value is not None]
        whole = all(not math.isnan(value) and value == int(value) for value in known)
        number = int if whole else float
        values = [None if value is None else number(value) for value in values]
        kinds = {type(value) for value in values} - {type(None)}
    plain = (
        kinds <= {bool}
        or kinds <= {int, float}
        or kinds <= {str}
        or len(kinds & set(TIMES)) == len(kinds) == 1
    )
    if kinds == {int, float}:
        return pa.array([None if value is None else float(value) for value in values], pa.float64())
    if plain:
        try:
            return pa.array(values)
        except (pa.ArrowException, OverflowError):  # a whole number of more than 64 bits
            pass
    return pa.array([None if value is None else str(value) for value in values], pa.string())


def _joined(chunks: Sequence["pa.Table"]) -> "pa.Table":
    """One table of all chunks; a column whose kind changes on the way becomes text."""
    import pyarrow as pa

    try:
        return pa.concat_tables(chunks, promote_options="permissive").combine_chunks()
    except pa.ArrowException:
        text = [
            pa.table({name: chunk[name].cast(pa.string()) for name in chunk.column_names})
            for chunk in chunks
        ]
        return pa.concat_tables(text).combine_chunks()


def _said(error: Exception, engine: "sa.Engine") -> str:
    """The first line of the database's message, without the password."""
    lines = str(getattr(error, "orig", None) or error).strip().splitlines()
    said = (lines or [type(error).__name__])[0][:SHOWN].rstrip(".")
    if password := engine.url.password:
        said = said.replace(str(password), "***")
    return f"{said}."
