"""Point-in-time join: 200,000 customers x 6 months x 14 features, and 1,000,000 x 6 for memory.

Peer: Feast with its own DuckDB store. Floor: plain DuckDB SQL on the same Parquet by someone
who knows that a month is one exact timestamp (an equality join; the general windowed SQL is
shown too), answered as a pandas frame.
Ours: `FeatureStore.historical`, links, registry, Feast and the frame included; imports are not
counted. All answers are compared cell by cell, nulls included.
"""

import argparse
import tempfile
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd

from benchmarks import harness
from benchmarks.business import fill, months_of
from churn_platform.base.digests import frame_digest
from churn_platform.contract.model import Contract
from churn_platform.contract.reading import default_contract_path, read_contract
from churn_platform.features.feast_repository import import_feast
from churn_platform.features.feature_store import FeatureStore
from churn_platform.lake.lake import Lake, View
from churn_platform.lake.tables import canonical_dtypes

MONTHS = 6
GOAL = 4.0
GOAL_MEGABYTES = 8_000
OURS = "ours"
FEAST = "Feast's own DuckDB store"
FLOOR = "floor: DuckDB SQL, equality"
WINDOW = "DuckDB SQL, windowed"


class _Question:
    """What every contender is given."""

    def __init__(self, folder: Path) -> None:
        self.contract: Contract = read_contract(default_contract_path())
        self.lake = Lake(folder / "lake", self.contract)
        months = self.lake.months()
        known = harness.dt.datetime(2100, 1, 1, tzinfo=harness.dt.UTC)
        self.view: View = self.lake.view(known, as_at_scoring=True)
        labels = [self.lake.labels(month, known) for month in months]
        self.spine = pd.concat(
            [
                pd.DataFrame({self.key: found.index, "as_of": month.isoformat()})
                for month, found in zip(months, labels, strict=True)
                if found is not None
            ],
            ignore_index=True,
        ).sample(frac=1, random_state=1, ignore_index=True)

    @property
    def key(self) -> str:
        return self.contract.entity.column

    def told(self, answer: pd.DataFrame) -> dict[str, Any]:
        """Rows, and a digest of every cell in one order and one dtype."""
        plain = answer[[self.key, "as_of", *self.contract.features]].astype(
            canonical_dtypes(self.contract)
        )
        ordered = plain.sort_values([self.key, "as_of"], ignore_index=True)
        return {
            "rows": len(plain),
            "nulls": int(plain.isna().sum().sum()),
            "digest": frame_digest(ordered),
        }


def _ours(options: argparse.Namespace, clock: harness.Clock) -> dict[str, Any]:
    question = _Question(options.folder)
    import_feast()
    store = FeatureStore(options.folder / "feast", question.contract)
    with clock.running():
        answer = store.historical(question.view, question.spine)
    return question.told(answer)


def _feast(options: argparse.Namespace, clock: harness.Clock) -> dict[str, Any]:
    question = _Question(options.folder)
    feast = import_feast()
    store = FeatureStore(options.folder / "feast_own", question.contract)
    store.apply(question.view)
    configuration = store.folder / "feature_store.yaml"
    kind = "churn_platform.features.offline_store.SnapshotOfflineStore"
    configuration.write_text(configuration.read_text().replace(kind, "duckdb"))
    features = [
        f"{name}:{f}"
        for name, view in question.contract.feature_views.items()
        for f in view.features
    ]
    with clock.running():
        asked = _asked(question)
        answer = (
            feast.FeatureStore(repo_path=str(store.folder))
            .get_historical_features(asked, features)
            .to_df()
        )
    return question.told(answer.assign(as_of=answer["event_timestamp"].dt.strftime("%Y-%m-%d")))


def _equality(options: argparse.Namespace, clock: harness.Clock) -> dict[str, Any]:
    return _sql(options, clock, "{view}.event_timestamp = asked.event_timestamp", windowed=False)


def _windowed(options: argparse.Namespace, clock: harness.Clock) -> dict[str, Any]:
    reach = "{view}.event_timestamp <= asked.event_timestamp"
    live = "{view}.event_timestamp + INTERVAL 27 DAY >= asked.event_timestamp"
    return _sql(options, clock, f"{reach} AND {live}", windowed=True)


def _sql(
    options: argparse.Namespace, clock: harness.Clock, within: str, *, windowed: bool
) -> dict[str, Any]:
    question = _Question(options.folder)
    key = question.key
    columns = []
    joins = ""
    for number, spec in enumerate(question.contract.feature_views.values()):
        view = f"v{number}"
        files = [str(file.path) for file in question.view[spec.table].values()]
        columns += [f"{view}.{feature}" for feature in spec.features]
        condition = f"{view}.{key} = asked.{key} AND {within.format(view=view)}"
        if not windowed:
            joins += f" LEFT JOIN read_parquet({files!r}) {view} ON {condition}"
            continue
        features = ", ".join(f"{view}.{feature}" for feature in spec.features)
        newest = (
            f"PARTITION BY asked.row ORDER BY {view}.event_timestamp DESC,"
            f" {view}.created_timestamp DESC"
        )
        joins += (
            f" LEFT JOIN (SELECT asked.row, {features} FROM asked JOIN read_parquet({files!r})"
            f" {view} ON {condition} QUALIFY row_number() OVER ({newest}) = 1) {view} USING"
            " (row)"
        )
    with clock.running(), duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        asked = _asked(question)  # noqa: F841 - DuckDB finds it by name
        connection.execute(
            "CREATE TEMP TABLE asked AS SELECT row_number() OVER () AS row, * FROM asked"
        )
        answer = connection.sql(
            f"SELECT asked.{key}, asked.event_timestamp, {', '.join(columns)} FROM asked {joins}"
        ).df()
    return question.told(answer.assign(as_of=answer["event_timestamp"].dt.strftime("%Y-%m-%d")))


def _asked(question: _Question) -> pd.DataFrame:
    moments = (
        pd.to_datetime(question.spine["as_of"]).dt.tz_localize("UTC").astype("datetime64[us, UTC]")
    )
    return pd.DataFrame({question.key: question.spine[question.key], "event_timestamp": moments})


CONTENDERS = {OURS: _ours, FEAST: _feast, FLOOR: _equality, WINDOW: _windowed}


def _report(options: argparse.Namespace) -> None:
    customers, many = (5_000, 20_000) if options.quick else (200_000, 1_000_000)
    contract = read_contract(default_contract_path())
    with tempfile.TemporaryDirectory() as folder:
        fill(Lake(Path(folder) / "lake", contract), customers, months_of(contract, MONTHS))
        measures = {name: lambda name=name: harness.run(name, folder=folder) for name in CONTENDERS}
        found = harness.in_turns(measures, 1 if options.quick else harness.ROUNDS)
    told = found[OURS][0].told
    print(f"{customers:,} customers x {MONTHS} months x {len(contract.features)} features: {told}")
    answers = {one.told["digest"] for runs in found.values() for one in runs}
    if len(answers) != 1:
        raise SystemExit(f"The answers differ: { {n: runs[0].told for n, runs in found.items()} }")
    print("The answers of all contenders are equal in every cell, nulls included.")
    harness.table(found, FLOOR)
    harness.verdict(
        "ours / floor", harness.median(found[OURS]) / harness.median(found[FLOOR]), GOAL
    )
    with tempfile.TemporaryDirectory() as folder:
        fill(Lake(Path(folder) / "lake", contract), many, months_of(contract, MONTHS))
        large = harness.run(OURS, folder=folder)
    print(
        f"{many:,} customers x {MONTHS} months: {large.told['rows']:,} rows in"
        f" {large.seconds:.1f} s"
    )
    harness.verdict("peak memory", large.megabytes, GOAL_MEGABYTES, " MB")


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)


if __name__ == "__main__":
    harness.main(CONTENDERS, _arguments, _report)
