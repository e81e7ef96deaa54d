"""The copy of the lake in a real Postgres: whole or not there, nobody else's, and never other than the lake."""

import pandas as pd
import pytest

from churn_platform.adapters.features.feast_library import import_feast
from churn_platform.adapters.features.feature_store import FeatureStore
from churn_platform.adapters.features.offline_copy import OfflineCopy
from churn_platform.adapters.features.postgres_address import postgres_address
from churn_platform.adapters.features.training_data import build_training_dataset, oracle_mismatches
from churn_platform.adapters.proof.deep_checks import check_copy
from churn_platform.adapters.upkeep.forgetting import forget
from churn_platform.core.digest import frame_digest
from churn_platform.errors import DataError, IntegrityError, StoreDown, UsageError
from churn_platform_tests.small_business import FEBRUARY, JANUARY, copied, declared, open_home
from churn_platform_tests.trusted_home import verification

AWAY = "postgresql://nobody@127.0.0.1:1/none"


def at(text):
    return postgres_address("CHURN_OFFLINE_STORE", text, "CHURN_OFFLINE_PASSWORD", "")


@pytest.fixture
def address(postgres_server):
    return postgres_server.new()


@pytest.fixture
def rows(postgres_server, address):
    """Ask the database itself."""
    name = at(address).where.database

    def ask(statement):
        with postgres_server.connect(name) as connection:
            cursor = connection.execute(statement)
            return cursor.fetchall() if cursor.description else []

    return ask


@pytest.fixture
def home(february, tmp_path, address):
    """Two months and two versions, as a home that joins in Postgres."""
    copied(february, tmp_path / "home")
    return open_home(tmp_path / "home", offline_store=address)


def tables(rows):
    return dict(rows("SELECT relname, oid FROM pg_class WHERE relname ~ '^_[0-9a-f]{40}$'"))


def question(home):
    return home.lake.view(home.now(), as_at_scoring=True), pd.DataFrame(
        {"member": ["m00003", "nobody", "m00001", "m00003"], "as_of": [str(m) for m in (FEBRUARY, JANUARY) * 2]}
    )


def test_a_month_of_the_loop_has_the_digest_that_duckdb_gives_it(february, home, rows):
    here = build_training_dataset(home, FEBRUARY)
    there = february.records.read("training_dataset", FEBRUARY)
    assert here.digest == there["digest"]
    assert frame_digest(here.frame) == here.digest
    assert oracle_mismatches(home, here, home.now()) == 0
    assert len(tables(rows)) == 4


def test_a_snapshot_is_copied_once_and_a_month_materialized_from_it_is_the_one_of_duckdb(february, home, rows):
    view, spine = question(home)
    home.feature_store.historical(view, spine)
    before = tables(rows)
    assert open_home(home.folder, offline_store=home.settings.offline_store).feature_store.materialize(view, FEBRUARY)
    assert tables(rows) == before
    for member in ("m00001", "m00005", "m00009", "nobody"):
        assert home.feature_store.online(member) == february.feature_store.online(member)


def test_the_join_is_ours_and_what_feast_answers_for_others_is_the_same(home):
    view, spine = question(home)
    ours = home.feature_store.historical(view, spine)
    store, references = home.feature_store._store(), home.feature_store._references()
    asked = pd.DataFrame({"member": spine["member"], "event_timestamp": pd.to_datetime(spine["as_of"], utc=True)})
    assert type(store.get_historical_features(asked, references)).__name__ == "SnapshotJob"
    others = import_feast().FeatureStore(repo_path=str(home.feature_store.folder))  # as `feast` on the command line
    job = others.get_historical_features(asked, references)
    assert type(job).__name__ == "PostgreSQLRetrievalJob"
    theirs = job.to_arrow().to_pylist()
    plain = ours.astype(object).where(ours.notna(), None).drop(columns="as_of").to_dict("records")
    assert sorted(map(repr, plain)) == sorted(
        repr({name: value for name, value in row.items() if name != "event_timestamp"}) for row in theirs
    )


def test_a_copy_that_was_changed_is_told_and_copied_again_once_it_is_dropped(home, rows):
    view, spine = question(home)
    home.feature_store.historical(view, spine)
    [sound] = check_copy(home, [])
    assert (sound.state, sound.count) == ("holds", 4)
    named = "SELECT relname FROM pg_class JOIN pg_attribute ON attrelid = pg_class.oid WHERE attname = 'hours'"
    table = next(name for (name,) in rows(named) if name.startswith("_"))
    rows(f"UPDATE churn_gym.\"{table}\" SET hours = coalesce(hours, 0) + 0.5 WHERE member = 'm00001'")
    [fault] = check_copy(home, [])
    assert fault.state == "broken"
    assert table in fault.detail
    rows("DROP SCHEMA churn_gym CASCADE")
    home.feature_store.historical(view, spine)
    assert [found.state for found in check_copy(home, [])] == ["holds"]


def test_a_forgotten_customer_leaves_the_copy_and_the_others_stay(home, rows):
    view, spine = question(home)
    before = home.feature_store.historical(view, spine)
    old = set(tables(rows))
    assert home.offline.count("m00001") == 4
    assert forget(home, "m00001", "ann", "asked").rows["offline copy"] == 4
    assert home.offline.count("m00001") == 0
    assert not set(tables(rows)) & old
    assert rows("SELECT count(*) FROM churn_gym.members WHERE member = 'm00001'") == [(0,)]
    after = home.feature_store.historical(home.lake.view(home.now(), as_at_scoring=True), spine)
    others = spine["member"] != "m00001"
    pd.testing.assert_frame_equal(after[others], before[others])
    assert after.loc[~others, "months"].isna().all()


def test_a_home_whose_copy_is_not_named_forgets_nobody(home):
    home.feature_store.apply(home.lake.view(home.now(), as_at_scoring=True))
    with pytest.raises(UsageError, match="CHURN_OFFLINE_STORE is not set"):
        forget(open_home(home.folder), "m00001", "ann", "asked")
    assert home.offline.count("m00001") == 4


def test_a_value_that_postgres_cannot_keep_is_one_sentence_and_nothing_is_left_behind(home, rows, monkeypatch):
    import pyarrow as pa

    from churn_platform.adapters.features import offline_copy

    copy_in = offline_copy.copy_in

    def with_nul(connection, target, table, what):
        if "plan" in table.column_names:
            table = table.set_column(2, "plan", pa.array(["a\0b"] * len(table)))
        copy_in(connection, target, table, what)

    monkeypatch.setattr(offline_copy, "copy_in", with_nul)
    with pytest.raises(DataError, match=r"Postgres cannot keep a value in .*members.*0x00"):
        home.feature_store.apply(home.lake.view(home.now(), as_at_scoring=True))
    assert tables(rows) == {}


def test_a_changed_file_of_the_lake_is_not_copied(home, rows):
    import pyarrow.parquet as pq

    view = home.lake.view(home.now(), as_at_scoring=True)
    path = view["visits"][JANUARY]
    table = pq.read_table(path)
    pq.write_table(table.slice(1), path)
    with pytest.raises(IntegrityError, match="put it back from a backup"):
        home.feature_store.apply(view)
    assert tables(rows) == {}


def test_two_homes_of_one_name_do_not_share_a_schema(home, tmp_path, address):
    home.feature_store.apply(home.lake.view(home.now(), as_at_scoring=True))
    other = FeatureStore(
        tmp_path / "feast", home.contract, offline=OfflineCopy(at(address), home.lake, tmp_path / "feast")
    )
    with pytest.raises(UsageError, match="belongs to another home"):
        other.apply(home.lake.view(home.now(), as_at_scoring=True))
    assert home.offline.differing() == ([], 4)


def test_a_name_that_postgres_would_cut_is_refused(home, tmp_path, address):
    name = "x" * 60
    copy = OfflineCopy(at(address), type(home.lake)(home.lake.folder, declared(name=name)), tmp_path / "feast")
    with pytest.raises(UsageError, match="cuts names after 63"):
        copy.show(home.lake.view(home.now(), as_at_scoring=True))


def test_a_database_that_is_away_is_one_sentence_and_the_verification_says_so(home):
    away = open_home(home.folder, offline_store=AWAY)
    marker = home.feature_store.folder / "applied.json"
    before = marker.read_text()
    for ask in (
        away.offline.prune,
        lambda: away.offline.count("m00001"),
        lambda: away.feature_store.apply(question(home)[0]),
    ):
        with pytest.raises(
            StoreDown, match=r"^Postgres at postgresql://nobody@127.0.0.1:1/none does not answer .*try again\.$"
        ):
            ask()
    assert "does not answer" in away.feature_store.away()
    assert home.feature_store.away() is None
    assert marker.read_text() == before
    found = verification(away, deep=True, offline_store=AWAY)
    assert any("does not answer" in missed for missed in found["not_verified"])
    assert (found["verified"], found["breaks"]) == (False, [])
    assert list(check_copy(open_home(home.folder), [])) == []


def test_a_view_over_ours_and_rights_on_it_stay_when_a_month_is_added(home, rows, postgres_server):
    view, _ = question(home)
    january = {table: {m: p for m, p in months.items() if m == JANUARY} for table, months in view.items()}
    home.feature_store.apply(january)
    rows("CREATE VIEW public.mine AS SELECT count(*) AS n FROM churn_gym.members")
    [(before,)] = rows("SELECT n FROM public.mine")
    home.feature_store.apply(view)
    [(after,)] = rows("SELECT n FROM public.mine")
    assert after > before > 0
