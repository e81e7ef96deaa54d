"""The offline store against Feast's own on random histories; against plain Python: test_point_in_time.py."""

import datetime as dt
import tempfile
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from churn_platform.features.feast_repository import import_feast

OURS, FEASTS = "churn_platform.features.offline_store.SnapshotOfflineStore", "duckdb"
MONTHS = [dt.date(2024, 1, 31), dt.date(2024, 2, 29), dt.date(2024, 3, 31)]
COLUMNS = ["number", "flag", "word"]


def moment(day, hours=0):
    return dt.datetime(day.year, day.month, day.day, tzinfo=dt.UTC) + dt.timedelta(hours=hours)


def write(folder, day, rows, at=None):
    """A snapshot: rows of (key, created in hours after the day, number, flag, word)."""
    micro = pa.timestamp("us", tz="UTC")
    columns = list(zip(*rows, strict=True)) or [()] * 5
    table = pa.table(
        {
            "key": pa.array(columns[0], pa.string()),
            "number": pa.array(columns[2], pa.int64()),
            "flag": pa.array(columns[3], pa.bool_()),
            "word": pa.array(columns[4], pa.string()),
            "event_timestamp": pa.array([at or moment(day)] * len(rows), micro),
            "created_timestamp": pa.array([moment(day, hours) for hours in columns[1]], micro),
        }
    )
    folder.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, folder / f"{day}.parquet")


class Repository:
    """One Feast registry with two views over one folder each, opened by either store."""

    def __init__(self, folder: Path, ttl: dt.timedelta | None) -> None:
        self.folder, self.feast = folder, import_feast()
        from feast import types
        from feast.data_format import ParquetFormat

        entity = self.feast.Entity(
            name="key", join_keys=["key"], value_type=self.feast.value_type.ValueType.STRING
        )
        kinds = {"number": types.Int64, "flag": types.Bool, "word": types.String}
        views = [
            self.feast.FeatureView(
                name=name, entities=[entity], ttl=ttl, online=True,
                schema=[self.feast.Field(name=c, dtype=kinds[c]) for c in columns],
                source=self.feast.FileSource(
                    name=f"{name}_source", path=str(folder / name / "*.parquet"), file_format=ParquetFormat(),
                    timestamp_field="event_timestamp", created_timestamp_column="created_timestamp",
                ),
            )
            for name, columns in (("one", ["number", "flag"]), ("two", ["word"]))
        ]  # fmt: skip
        self.store(OURS).apply([entity, *views])

    def store(self, kind):
        """The repository with an offline store of this kind."""
        from feast.repo_config import RepoConfig

        config = RepoConfig(
            project="test", provider="local", registry=str(self.folder / "registry.db"),
            online_store={"type": "sqlite", "path": str(self.folder / "online.db")},
            offline_store={"type": kind}, entity_key_serialization_version=3,
        )  # fmt: skip
        config.repo_path = self.folder
        return self.feast.FeatureStore(config=config)

    def historical(self, kind, asked, **options):
        """The answer as sorted rows of plain values; `asked` (key, timestamp) pairs."""
        entities = pd.DataFrame(asked, columns=["key", "event_timestamp"])
        entities["event_timestamp"] = pd.to_datetime(entities["event_timestamp"], utc=True)
        features = ["one:number", "one:flag", "two:word"]
        job = self.store(kind).get_historical_features(entities, features, **options)
        return job, self.rows(job.to_arrow())

    @staticmethod
    def rows(table):
        return table.schema, sorted((tuple(row.values()) for row in table.to_pylist()), key=repr)


keys = st.sampled_from(["a", "b", "c", "d"])
row = st.tuples(
    keys,
    st.integers(0, 400),
    st.none() | st.integers(-5, 2**60),
    st.none() | st.booleans(),
    st.none() | st.text("xyz "),
)
unique = st.lists(row, min_size=1, max_size=4, unique_by=lambda r: r[0])
repeated = st.lists(row, min_size=1, max_size=6, unique_by=lambda r: (r[0], r[1]))
times = st.sampled_from(
    [moment(d, h) for d in [dt.date(2023, 12, 31), *MONTHS] for h in (0, 0, 1, 30 * 24)]
)
lives = st.sampled_from([dt.timedelta(days=27), dt.timedelta(days=40), None])


# Without shrinking: it would take minutes of Feast to make a failing history smaller.
@settings(
    max_examples=25, deadline=None, suppress_health_check=list(HealthCheck), phases=[Phase.generate]
)
@given(
    st.fixed_dictionaries(
        {
            v: st.dictionaries(st.sampled_from(MONTHS), unique | repeated, min_size=1)
            for v in ("one", "two")
        }
    ),
    st.lists(st.tuples(keys | st.just("nobody"), times), min_size=1, max_size=12),
    lives,
)
def test_the_answer_is_feasts_own(history, asked, ttl):
    with tempfile.TemporaryDirectory() as name:
        for view, snapshots in history.items():
            for day, rows in snapshots.items():
                write(Path(name) / view, day, rows)
        repository = Repository(Path(name), ttl)
        _, ours = repository.historical(OURS, asked)
        _, feasts = repository.historical(FEASTS, asked)
        assert ours == feasts
        assert sorted(row[:2] for row in ours[1]) == sorted(asked)


@pytest.fixture
def three(tmp_path):
    """Three snapshots of ann and bob; bob is not in March."""
    for month, day in enumerate(MONTHS, start=1):
        rows = [("ann", 0, month, True, f"a{month}"), ("bob", 0, 10 * month, None, None)]
        for view in ("one", "two"):
            write(tmp_path / view, day, rows[: 1 if month == 3 else 2])
    return Repository(tmp_path, dt.timedelta(days=27))


def own_way(job):
    """Whether the job is ours and its shorter way finds an answer."""
    return type(job).__name__ == "SnapshotJob" and job._answer() is not None


ANN = ("ann", moment(MONTHS[0]))
TWICE = [("ann", 5, 7, True, ""), ("ann", 9, 8, False, ""), ("ann", 1, 9, None, "")]
EARLIER = moment(MONTHS[0], -24)


@pytest.mark.parametrize(
    ("rows", "at", "options", "asked", "short"),
    [
        (None, None, {}, [ANN, ("bob", moment(MONTHS[2]))], True),
        (None, None, {}, [ANN] * 5000 + [("nobody", moment(MONTHS[1]))] * 5000, True),
        (None, None, {}, [("ann", moment(dt.date(2020, 1, 1)))], True),
        (None, None, {"full_feature_names": True}, [ANN], False),
        (TWICE, None, {}, [ANN, ("bob", moment(MONTHS[0]))], False),
        ([("ann", 0, 7, True, "")], EARLIER, {}, [ANN], False),
    ],
    ids=["usual", "many", "before", "full names", "a key twice", "another date"],
)
def test_the_short_way_is_taken_where_its_answer_is_feasts(three, rows, at, options, asked, short):
    if rows is not None:
        write(three.folder / "one", MONTHS[0], rows, at=at)
    job, ours = three.historical(OURS, asked, **options)
    assert own_way(job) is short
    assert ours == three.historical(FEASTS, asked, **options)[1]
    assert len(ours[1]) == len(asked)


@pytest.mark.parametrize("day", [MONTHS[0], dt.date(2020, 1, 1)], ids=["short", "feasts"])
def test_a_feature_that_no_snapshot_in_reach_has_is_null(three, day):
    for path in sorted((three.folder / "one").glob("*.parquet"))[:2]:
        pq.write_table(pq.read_table(path).drop_columns(["number"]), path)
    _, (schema, rows) = three.historical(OURS, [("ann", moment(day))])
    assert rows[0][2] is None
    assert schema.field("number").type == pa.int64()


def test_a_view_without_a_snapshot_is_null_in_every_row(three):
    for path in (three.folder / "two").glob("*.parquet"):
        path.unlink()
    for options in ({}, {"filter_by_created_timestamp": True}):
        _, (schema, rows) = three.historical(OURS, [ANN, ("bob", moment(MONTHS[1]))], **options)
        assert [row[2:] for row in rows] == [(1, True, None), (20, None, None)]
        assert schema.field("word").type == pa.string()


def test_no_snapshot_out_of_reach_is_opened(three):
    for view in ("one", "two"):
        for day in (dt.date(2023, 12, 31), dt.date(2024, 4, 30)):
            (three.folder / view / f"{day}.parquet").write_bytes(b"no Parquet at all")
    asked = [("ann", moment(MONTHS[0])), ("ann", moment(MONTHS[2]))]
    job, (_, rows) = three.historical(OURS, asked)
    assert own_way(job)
    assert [row[2] for row in rows] == [1, 3]
    _, (_, rows) = three.historical(OURS, asked, filter_by_created_timestamp=True)
    assert [row[2] for row in rows] == [1, 3]
    with pytest.raises(Exception, match=r"Parquet|magic"):
        three.historical(FEASTS, asked)


def test_materializing_a_month_opens_that_months_snapshot_only(three):
    for view in ("one", "two"):
        for day in (MONTHS[0], dt.date(2024, 4, 30)):
            (three.folder / view / f"{day}.parquet").write_bytes(b"no Parquet at all")
    store = three.store(OURS)
    store.materialize(moment(MONTHS[1], -1), moment(MONTHS[1]), disable_event_timestamp=False)
    online = store.get_online_features(
        ["one:number", "two:word"], [{"key": "ann"}, {"key": "bob"}]
    ).to_dict()
    assert online["number"] == [2, 20]
    assert online["word"] == ["a2", None]


def test_a_period_without_an_entity_frame_reads_its_snapshots(three):
    store = three.store(OURS)
    view = store.get_feature_view("one")
    (three.folder / "one" / f"{MONTHS[0]}.parquet").write_bytes(b"no Parquet at all")
    job = store._get_provider().offline_store.pull_all_from_table_or_query(
        config=store.config, data_source=view.batch_source, join_key_columns=["key"],
        feature_name_columns=["number"], timestamp_field="event_timestamp",
        created_timestamp_column="created_timestamp", start_date=moment(MONTHS[1]), end_date=moment(MONTHS[2]),
    )  # fmt: skip
    assert sorted(job.to_arrow()["number"].to_pylist()) == [2, 3, 20]


@pytest.mark.parametrize("lacking", [MONTHS[:1], MONTHS[:2], MONTHS])
def test_a_feature_that_a_snapshot_lacks_is_missing_as_if_every_value_were_null(three, lacking):
    for day in lacking:
        path = three.folder / "one" / f"{day}.parquet"
        pq.write_table(pq.read_table(path).drop_columns(["flag"]), path)
    asked = [(key, moment(day)) for key in ("ann", "bob") for day in MONTHS]
    job, (schema, rows) = three.historical(OURS, asked)
    assert own_way(job)
    for day in lacking:
        path = three.folder / "one" / f"{day}.parquet"
        table = pq.read_table(path)
        null = pa.nulls(len(table), pa.bool_())
        pq.write_table(table.append_column("flag", null), path)
    assert (schema, rows) == three.historical(FEASTS, asked)[1]
