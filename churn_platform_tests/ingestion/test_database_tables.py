"""Tables of a drop out of real databases: the same snapshot as from files, and one sentence for what goes wrong."""

import copy

import pandas as pd
import pyarrow.parquet as pq
import pytest
import sqlalchemy as sa

from churn_platform.base.errors import DataError, UsageError
from churn_platform.contract.model import Contract
from churn_platform.ingestion import database_source as database_tables
from churn_platform.ingestion.database_source import pull
from churn_platform.ingestion.validation import DropRefused
from churn_platform_tests.databases import PASSWORD, Postgres, run_sql, store
from churn_platform_tests.small_business import (
    DECLARED,
    FEBRUARY,
    JANUARY,
    deliver,
    make_home,
    month_tables,
)

ROWS = 120
BY_TABLE = {"url": "${CRM_URL}", "as_of_column": "valid_on"}


@pytest.fixture(scope="module")
def postgres(tmp_path_factory):
    server = Postgres(tmp_path_factory.mktemp("postgres"))
    yield server
    server.stop()


@pytest.fixture(params=["sqlite", "postgres"])
def crm(request, tmp_path, monkeypatch):
    """A database with two months of the gym; its URL, which is in the environment."""
    url = (
        f"sqlite:///{tmp_path / 'crm.db'}"
        if request.param == "sqlite"
        else request.getfixturevalue("postgres").new()
    )
    for month in (JANUARY, FEBRUARY):
        store(url, month, month_tables(month, ROWS))
    monkeypatch.setenv("CRM_URL", url)
    return url


def declared(**sources):
    """The gym with some of its tables in a database; a text is a query, True the table of the same name."""
    made = copy.deepcopy(DECLARED)
    for name, source in sources.items():
        own = (
            {**BY_TABLE, "table": name}
            if source is True
            else {"url": "${CRM_URL}", "query": source}
        )
        made["tables"][name]["source"] = own if isinstance(source, bool | str) else source
    return made


def home_of(folder, **sources):
    return make_home(folder, declared(**sources))


def taken_in(home, as_of, folder=None):
    with home.ingestion.gathered([folder] if folder else [], as_of) as files:
        home.ingestion.accept(files, as_of)
    return home.ingestion.publish(as_of)


ALL = dict.fromkeys(("members", "visits", "leavers"), True)


def test_the_snapshot_of_a_database_is_that_of_files_with_the_same_rows(crm, tmp_path):
    home, by_files = home_of(tmp_path / "home", **ALL), make_home(tmp_path / "files")
    for month in (JANUARY, FEBRUARY):
        deliver(by_files, month, month_tables(month, ROWS))
        expected = by_files.ingestion.publish(month)
        found = taken_in(home, month)
        assert (found.digest, found.rows) == (expected.digest, expected.rows)
    assert home.lake.digest(JANUARY) != home.lake.digest(FEBRUARY)


def test_a_query_with_other_names_an_order_and_a_cast_gives_the_same(crm, tmp_path):
    query = """
        SELECT valid_on, town, CAST(months AS {kind}) AS months, plan, has_app, member, 'x' AS other
        FROM members WHERE valid_on = :as_of ORDER BY town, member DESC
    """
    kind = "NUMERIC(9, 2)" if crm.startswith("postgres") else "REAL"
    home, by_files = (
        home_of(tmp_path / "home", members=query.format(kind=kind), visits=True, leavers=True),
        make_home(tmp_path / "files"),
    )
    deliver(by_files, JANUARY, month_tables(JANUARY, ROWS))
    assert taken_in(home, JANUARY).digest == by_files.ingestion.publish(JANUARY).digest


def test_the_same_rows_in_chunks_of_any_size_make_the_same_file(crm, tmp_path, monkeypatch):
    contract, files = Contract.model_validate(declared(**ALL)), []
    for chunk in (7, 50_000):
        monkeypatch.setattr(database_tables, "CHUNK", chunk)
        (tmp_path / str(chunk)).mkdir()
        assert pull(contract, JANUARY, tmp_path / str(chunk)) == dict.fromkeys(ALL, ROWS)
        files.append([pq.read_table(tmp_path / str(chunk) / f"{name}.parquet") for name in ALL])
    assert files[0] == files[1]


def test_tables_of_a_database_and_of_files_make_one_drop(crm, tmp_path):
    home, by_files = home_of(tmp_path / "home", members=True), make_home(tmp_path / "files")
    deliver(by_files, JANUARY, month_tables(JANUARY, ROWS))
    folder = tmp_path / "delivered"
    folder.mkdir()
    for name in ("visits", "leavers"):
        month_tables(JANUARY, ROWS)[name].to_csv(folder / f"{name}.csv", index=False)
    assert taken_in(home, JANUARY, folder).digest == by_files.ingestion.publish(JANUARY).digest
    assert sorted(path.name for path in folder.iterdir()) == ["leavers.csv", "visits.csv"]


def test_a_file_that_is_given_goes_before_its_database(crm, tmp_path, monkeypatch):
    home, folder = home_of(tmp_path / "home", **ALL), tmp_path / "delivered"
    folder.mkdir()
    tables = month_tables(JANUARY, ROWS)
    tables["visits"].assign(hours=1.25).to_csv(folder / "visits.csv", index=False)
    taken_in(home, JANUARY, folder)
    assert set(home.lake.tables(JANUARY)["visits"]["hours"]) == {1.25}


def test_a_refused_month_is_recorded_without_the_values_found(crm, tmp_path):
    home = home_of(tmp_path / "home", **ALL)
    run_sql(crm, "UPDATE members SET plan = 'gold' WHERE valid_on = '2024-01-31'")
    with pytest.raises(DropRefused):
        home.ingestion.pull(JANUARY)
    [receipt] = home.ledger.receipts("drop refused")
    assert "members.parquet" in receipt.reason
    assert "gold" not in receipt.reason
    assert list(home.drops.iterdir()) == []


def test_the_database_is_only_read(crm, tmp_path):
    query = (
        "DELETE FROM members WHERE valid_on = :as_of RETURNING member, months, plan, has_app, town"
    )
    with pytest.raises(
        DataError, match=r"^tables\.members\.source: the database refuses the query: "
    ):
        taken_in(home_of(tmp_path / "home", members=query), JANUARY)
    engine = sa.create_engine(crm)
    with engine.connect() as connection:
        assert connection.execute(sa.text("SELECT count(*) FROM members")).scalar() == 2 * ROWS
    engine.dispose()


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("SELECT member, plan FROM members WHERE valid_on = :as_of", "the query gives no column 'months', 'has_app', 'town'; it gives member, plan."),
        ("SELECT nothing FROM members WHERE valid_on = :as_of", "the database refuses the query: .*nothing.*"),
        ("SELECT * FROM nowhere WHERE valid_on = :as_of", "the database refuses the query: .*nowhere.*"),
        ("SELEKT :as_of", "the database refuses the query: .*SELEKT.*"),
        ({**BY_TABLE, "table": "members", "as_of_column": "told_on"}, "the database refuses the query: .*told_on.*"),
        ({**BY_TABLE, "table": "no.members"}, "the database refuses the query: .*no.*members.*"),
        ("SELECT * FROM members WHERE valid_on > :as_of AND valid_on < :as_of", "the database has no rows of 2024-01-31."),
    ],
)  # fmt: skip
def test_what_the_database_refuses_is_one_sentence(crm, tmp_path, source, said):
    with pytest.raises(
        (DataError, UsageError), match=rf"^tables\.members\.source: {said}$"
    ) as caught:
        taken_in(home_of(tmp_path / "home", members=source), JANUARY)
    assert "\n" not in str(caught.value)
    assert PASSWORD not in str(caught.value)


def test_a_wrong_password_is_told_without_it(postgres, tmp_path, monkeypatch):
    monkeypatch.setenv("CRM_URL", postgres.url(password="wr0ng-secret"))
    with pytest.raises(
        DataError, match=r"refuses the login: .*password authentication failed for user"
    ) as caught:
        taken_in(home_of(tmp_path / "home", **ALL), JANUARY)
    assert "wr0ng-secret" not in str(caught.value)
    assert "crm:***@" in str(caught.value)
    assert str(caught.value).count("\n") == 0


@pytest.mark.parametrize("address", ["127.0.0.1:1", "no-such-host.invalid:5432"])
def test_a_database_that_is_away_is_told_with_its_address(address, tmp_path, monkeypatch):
    monkeypatch.setenv("CRM_URL", f"postgresql+psycopg2://crm:{PASSWORD}@{address}/crm")
    with pytest.raises(
        DataError, match=r"^tables\.members\.source: the database .*does not answer: "
    ) as caught:
        taken_in(home_of(tmp_path / "home", **ALL), JANUARY)
    assert address in str(caught.value)
    assert PASSWORD not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("nonsense pa55-word", "is not a database URL: write it as"),
        ("unknown://crm:pa55-word@host/crm", "is not a database URL: write it as"),
        (
            "mysql+mysqldb://crm:pa55-word@host/crm",
            "needs a driver that is not installed: `pip install mysqlclient`",
        ),
    ],
)
def test_a_url_that_cannot_be_used_is_told_without_it(url, said, tmp_path, monkeypatch):
    monkeypatch.setenv("CRM_URL", url)
    with pytest.raises(UsageError, match=said) as caught:
        taken_in(home_of(tmp_path / "home", **ALL), JANUARY)
    assert PASSWORD not in str(caught.value)


def test_a_sqlite_file_that_is_not_there_is_told_and_not_made(tmp_path, monkeypatch):
    monkeypatch.setenv("CRM_URL", f"sqlite:///{tmp_path / 'crm.db'}")
    with pytest.raises(DataError, match="there is no SQLite file"):
        taken_in(home_of(tmp_path / "home", **ALL), JANUARY)
    assert not (tmp_path / "crm.db").exists()


def test_a_variable_that_is_not_set_is_named_and_may_stand_in_a_file(crm, tmp_path, monkeypatch):
    monkeypatch.delenv("CRM_URL")
    home = home_of(tmp_path / "home", **ALL)
    with pytest.raises(
        UsageError,
        match=r"^tables\.members\.source\.url: CRM_URL is not set: set it, or CRM_URL_FILE",
    ):
        taken_in(home, JANUARY)
    (tmp_path / "secret").write_text(f"{crm}\n")
    monkeypatch.setenv("CRM_URL_FILE", str(tmp_path / "secret"))
    assert taken_in(home, JANUARY).rows["members"] == ROWS


def test_a_contract_of_files_alone_needs_a_folder(tmp_path):
    with pytest.raises(UsageError, match="The contract reads no table from a database"):
        taken_in(make_home(tmp_path / "home"), JANUARY)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([1, None, 3], [1, None, 3]),
        ([1, 2.5], [1.0, 2.5]),
        ([True, "x"], ["True", "x"]),
        ([2**70, 1], [str(2**70), "1"]),
        ([b"ab", None], ["b'ab'", None]),
        (
            [pd.Timestamp("2024-01-31").to_pydatetime(), None],
            [pd.Timestamp("2024-01-31").to_pydatetime(), None],
        ),
        ([None, None], [None, None]),
    ],
)
def test_a_column_takes_the_type_of_its_values_and_text_where_they_differ(values, expected):
    assert database_tables._column(values).to_pylist() == expected


def test_decimals_are_rounded_as_in_a_file_and_whole_ones_are_whole_numbers():
    from decimal import Decimal

    texts = ["12.34", "0.1", "1234567.89", "0.000001", "99999999999.99"]
    assert database_tables._column([Decimal(text) for text in texts]).to_pylist() == [
        float(text) for text in texts
    ]
    assert database_tables._column([Decimal("5"), Decimal("7.00"), None]).to_pylist() == [
        5,
        7,
        None,
    ]
    nan = database_tables._column([Decimal("NaN"), Decimal("1")]).to_pylist()
    assert nan[0] != nan[0]
