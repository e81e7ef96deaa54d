"""MLflow's addresses follow the home: a copied, renamed or restored one reads and writes its own artifacts."""

import sqlite3

import pytest

from churn_platform.base.errors import IntegrityError
from churn_platform.training.mlflow_server import COLUMNS, relocate
from churn_platform_tests.small_business import (
    FEBRUARY,
    candidate,
    copied,
    deliver,
    monthly,
    open_home,
)


def addresses(folder):
    with sqlite3.connect(folder / "mlflow.db") as store:
        return [
            row[0]
            for table, column in COLUMNS
            for row in store.execute(f"SELECT {column} FROM {table}")
        ]


def test_every_address_that_mlflow_keeps_is_among_those_that_follow(january):
    """A column that a later MLflow adds would lead into another home unseen."""
    found = set()
    with sqlite3.connect(january.folder / "mlflow.db") as store:
        for (table,) in store.execute(
            "SELECT name FROM sqlite_master WHERE type = 'table'"
        ).fetchall():
            for _, column, *_ in store.execute(f"PRAGMA table_info({table})").fetchall():
                where = f"CAST({column} AS TEXT) LIKE '%' || ? || '/artifacts%'"
                if store.execute(
                    f"SELECT 1 FROM {table} WHERE {where} LIMIT 1", (str(january.folder),)
                ).fetchone():
                    found.add((table, column))
    assert found == set(COLUMNS)


def test_a_moved_home_reads_its_version_and_registers_the_next_one_in_its_own_folder(
    january, tmp_path
):
    first = copied(january, tmp_path / "first")
    first.folder.rename(tmp_path / "moved")
    home = open_home(tmp_path / "moved")
    assert home.registry.load(1).digest == january.registry.load(1).digest
    deliver(home, FEBRUARY)
    monthly(home, FEBRUARY)
    assert home.registry.load(candidate(home, FEBRUARY)).version == 2
    assert not (tmp_path / "first").exists()
    assert all(
        address.startswith(home.folder.as_uri())
        for address in addresses(home.folder)
        if "file:" in address
    )


def test_addresses_outside_a_home_and_names_that_only_begin_alike_stay(january, tmp_path):
    home = copied(january, tmp_path / "home")
    near = f"{(home.folder / 'artifacts').as_uri()}-of-others/x"
    moved = tmp_path / "moved" / "artifacts"
    with sqlite3.connect(home.folder / "mlflow.db") as store:
        store.execute("UPDATE runs SET artifact_uri = ?", (near,))
        store.execute(
            "INSERT INTO experiments (name, artifact_location) VALUES ('cloud', 's3://bucket/artifacts')"
        )
    assert relocate(home.folder / "mlflow.db", moved)
    found = set(addresses(home.folder))
    assert {near, "s3://bucket/artifacts", moved.as_uri()} <= found
    assert not [
        address
        for address in found
        if address.startswith(f"{(home.folder / 'artifacts').as_uri()}/")
    ]
    assert not relocate(home.folder / "mlflow.db", moved)


def test_without_a_store_there_is_nothing_to_do_and_a_broken_one_is_named(tmp_path):
    assert not relocate(tmp_path / "mlflow.db", tmp_path / "artifacts")
    assert not (tmp_path / "mlflow.db").exists()
    (tmp_path / "mlflow.db").write_text("no database at all, and long enough to be looked at")
    with pytest.raises(IntegrityError, match="estore it from a backup"):
        relocate(tmp_path / "mlflow.db", tmp_path / "artifacts")
