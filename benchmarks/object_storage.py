"""A lake on an object store against one in the home: a month of 50,000 customers is ingested,
and six such months are joined for training.

The store is SeaweedFS on this machine, a real server of the protocol of S3 in a process of its
own, whose CPU time is not counted. Ours: `Ingestion.publish` of a drop, and the point-in-time
join (`FeatureStore.historical`), once with the copies of the files in the home and once without.
Floor: the same with the lake in the home. Imports are not counted. All answers are equal.
"""

import argparse
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

import pandas as pd

from benchmarks import harness
from benchmarks.business import fill, months_of, tables_of
from churn_platform.base.digests import frame_digest
from churn_platform.base.settings import Settings, prepare_environment
from churn_platform.features.feast_repository import import_feast
from churn_platform.features.feature_store import FeatureStore
from churn_platform.services import Services
from churn_platform_tests.object_stores import BUCKET, KEY, SECRET, ObjectServer

CUSTOMERS = 50_000
QUICK_CUSTOMERS = 5_000
MONTHS = 6
GOAL = 1.7
FOLDER = "floor: the lake in the home"
WARM = "ours: on the store, copies in the home"
COLD = "ours: on the store, no copies"
KNOWN = harness.dt.datetime(2100, 1, 1, tzinfo=harness.dt.UTC)


def _open(folder: Path, lake: str = "") -> Services:
    settings = Settings(home=folder, quiet_seconds=0, actor="benchmark", lake=lake)
    prepare_environment(settings)
    return Services(settings)


def _ingest(options: argparse.Namespace, clock: harness.Clock) -> dict[str, Any]:
    """Publish the newest month, whose drop waits in the home."""
    home = _open(options.folder)
    month = months_of(home.contract, MONTHS + 1)[-1]
    home.lake.months()
    with clock.running():
        publication = home.ingestion.publish(month)
    return {"digest": publication.digest}


def _join(options: argparse.Namespace, clock: harness.Clock) -> dict[str, Any]:
    """The training rows of every month."""
    home = _open(options.folder)
    key = home.contract.entity.column
    months = months_of(home.contract, MONTHS)
    keys = pd.Series([f"c{number:09d}" for number in range(options.customers)])
    asked = [pd.DataFrame({key: keys, "as_of": month.isoformat()}) for month in months]
    spine = pd.concat(asked, ignore_index=True)
    import_feast()
    with tempfile.TemporaryDirectory() as folder:
        store = FeatureStore(Path(folder), home.contract)
        with clock.running():
            answer = store.historical(home.lake.view(KNOWN, as_at_scoring=True), spine)
    ordered = answer.sort_values([key, "as_of"], ignore_index=True)
    return {"rows": len(answer), "digest": frame_digest(ordered)}


CONTENDERS = {"ingest": _ingest, "join": _join}


def _grown(folder: Path, customers: int, lake: str = "") -> Path:
    """A home with six months, and the drop of the next."""
    home = _open(folder, lake)
    home.create()
    months = months_of(home.contract, MONTHS + 1)
    fill(home.lake, customers, months[:-1])
    drop = home.drops / months[-1].isoformat()
    drop.mkdir(parents=True)
    for name, table in tables_of(home.contract, customers, MONTHS + 1).items():
        table.to_csv(drop / f"{name}.csv", index=False)
    return folder


def _measured(name: str, grown: Path, customers: int, *, cold: bool) -> harness.Measured:
    """One contender on a copy of a home."""
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder) / "home"
        shutil.copytree(grown, home, symlinks=True)
        if cold:
            for file in (home / "lake").glob("*/as_of=*/delivery-*.parquet"):
                file.unlink()
        return harness.run(name, folder=home, customers=customers)


def _compared(name: str, homes: dict[str, Path], customers: int, rounds: int) -> None:
    print(f"\n{name}, {customers:,} customers", flush=True)
    found: dict[str, list[harness.Measured]] = {contender: [] for contender in homes}
    for _ in range(rounds):
        for contender, home in homes.items():
            cold = contender == COLD
            found[contender].append(_measured(name, home, customers, cold=cold))
    answers = {one.told["digest"] for runs in found.values() for one in runs}
    if len(answers) != 1:
        raise SystemExit(f"{name}: the answers differ: {found}")
    harness.table(found, FOLDER)
    for contender in (WARM, COLD):
        for what, field in (("CPU", "cpu"), ("time", "seconds")):
            floor = harness.median(found[FOLDER], field)
            ratio = harness.median(found[contender], field) / floor
            harness.verdict(f"{contender} / floor, {what}", ratio, GOAL)


def _report(options: argparse.Namespace) -> None:
    customers = QUICK_CUSTOMERS if options.quick else options.customers
    rounds = 1 if options.quick else harness.ROUNDS
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "store").mkdir()
        server = ObjectServer(folder / "store")
        server.start()
        login = {"AWS_ACCESS_KEY_ID": KEY, "AWS_SECRET_ACCESS_KEY": SECRET}
        os.environ.update(login, AWS_ENDPOINT_URL=server.endpoint, AWS_REGION="us-east-1")
        try:
            inside = _grown(folder / "inside", customers)
            on_store = _grown(folder / "on_store", customers, f"s3://{BUCKET}/benchmark")
            homes = {FOLDER: inside, WARM: on_store, COLD: on_store}
            _compared("ingest", homes, customers, rounds)
            _compared("join", homes, customers, rounds)
        finally:
            server.stop()


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--customers", type=int, default=CUSTOMERS, help="customers of a month")


if __name__ == "__main__":
    harness.main(CONTENDERS, _arguments, _report)
