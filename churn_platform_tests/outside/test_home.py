"""A home and its commands: keys of `--json`, exit codes, files, receipts, metrics, MLflow."""

import csv
import hashlib
import json
import sqlite3
import zipfile
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from churn_platform_tests.outside import inside
from churn_platform_tests.outside.frozen import check, metric_names, pattern, shape
from churn_platform_tests.outside.life import live
from churn_platform_tests.small_business import copied

FORGETTABLE = (".db-shm", ".db-wal", ".lock", "contract.schema.json")
GENESIS = "0" * 64


@pytest.fixture(scope="module")
def life(february_pending, tmp_path_factory):
    """A copy of `february_pending` after a life of commands. Read only."""
    home = copied(february_pending, tmp_path_factory.mktemp("life") / "home")
    return live(home.folder, tmp_path_factory.mktemp("elsewhere"))


def test_keys_of_answers(life):
    check("command_json", {name: shape(*answers) for name, answers in life.answers.items()})


def test_exit_codes(life):
    check("exit_codes", life.codes)


def test_names_of_files(life):
    check("home_files", sorted(_kinds(life.folder)))


def test_keys_of_json_and_columns_of_tables(life):
    check(
        "home_contents",
        {kind: _content(files) for kind, files in _kinds(life.folder).items() if _content(files)},
    )


def _kinds(folder: Path) -> dict[str, list[Path]]:
    """The files of a home by name without dates, numbers and ids; without MLflow's own."""
    found = defaultdict(list)
    for file in sorted(folder.rglob("*")):
        name = file.relative_to(folder).as_posix()
        if file.is_file() and not name.startswith("artifacts/") and not name.endswith(FORGETTABLE):
            found[pattern(name)].append(file)
    return found


def _content(files: list[Path]) -> Any:
    if files[0].suffix == ".parquet":
        return _columns(*files)
    if files[0].suffix == ".csv" and "drops" not in files[0].parts:
        headers = {tuple(next(csv.reader(file.open(encoding="utf-8")))) for file in files}
        return [list(header) for header in sorted(headers)]
    if files[0].suffix == ".json" or files[0].name == "production":
        depth = 2 if "reports" in files[0].parts else 4  # a report holds Evidently's own
        return shape(*(json.loads(file.read_text(encoding="utf-8")) for file in files), depth=depth)
    return None


def _columns(*files: Path) -> list[str]:
    schemas = [pq.read_schema(file) for file in files]
    return sorted({f"{field.name}: {field.type}" for schema in schemas for field in schema})


def test_receipts(life, sound):
    by_act = defaultdict(list)
    for folder in (life.folder, sound.folder, *life.others):
        for line in _lines(folder):
            receipt = json.loads(line)
            by_act[receipt["act"]].append(receipt)
    found = {
        act: {
            "subject": sorted({pattern(one["subject"]) for one in receipts}),
            "before": sorted({pattern(one["before"] or "null") for one in receipts}),
            "after": sorted({pattern(one["after"] or "null") for one in receipts}),
            "evidence": shape(*(one["evidence"] for one in receipts), depth=4),
        }
        for act, receipts in by_act.items()
    }
    keys = list(json.loads(_lines(life.folder)[0]))
    check("receipts", {"acts": found, "keys": keys})


def test_a_receipt_is_a_line_of_canonical_json_that_ends_with_its_digest(life):
    previous = GENESIS
    for number, line in enumerate(_lines(life.folder), start=1):
        receipt = json.loads(line)
        digest = receipt.pop("digest")
        body = json.dumps(receipt, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        assert hashlib.sha256(body.encode()).hexdigest() == digest
        assert line == f'{body[:-1]},"digest":"{digest}"}}'.encode()
        assert (receipt["sequence"], receipt["previous"]) == (number, previous)
        previous = digest


def _lines(folder: Path) -> list[bytes]:
    return (folder / "ledger" / "receipts.jsonl").read_bytes().splitlines()


def test_names_in_mlflow(life):
    store = sqlite3.connect(life.folder / "mlflow.db")

    def names(table: str, column: str = "key") -> list[str]:
        rows = store.execute(f"SELECT DISTINCT {column} FROM {table}")
        # The estimator's own parameters are scikit-learn's.
        return sorted(name for (name,) in rows if not name.startswith(("estimator.", "mlflow.")))

    found = {
        "experiments": names("experiments", "name"),
        "registered models": names("registered_models", "name"),
        "aliases": names("registered_model_aliases", "alias"),
        "metrics": names("metrics"),
        "parameters": names("params"),
        "tags of a run": names("tags"),
        "tags of a version": names("model_version_tags"),
    }
    artifacts = life.folder / "artifacts"
    found["artifacts"] = sorted(
        {
            pattern(file.relative_to(artifacts).as_posix())
            for file in artifacts.rglob("*")
            if file.is_file()
        }
    )
    store.close()
    check("mlflow_names", found)


def test_classes_of_ours_that_stored_models_name(life, served):
    found: set[str] = set()
    for model in (f for home in (life, served) for f in home.folder.glob("releases/*/model.skops")):
        with zipfile.ZipFile(model) as archive:
            found |= set(_classes(json.loads(archive.read("schema.json"))))
    check(
        "model_classes",
        sorted(name for name in found if name.startswith("churn_platform.")),
    )


def _classes(value: Any) -> Iterator[str]:
    """Every class that a part of a skops schema names."""
    parts = value if isinstance(value, list) else []
    if isinstance(value, dict):
        parts = list(value.values())
        if "__module__" in value:
            yield f"{value['__module__']}.{value['__class__']}"
    for part in parts:
        yield from _classes(part)


def test_metrics_of_a_home(life, february_pending):
    homes = (life.folder, february_pending.folder)
    families = [family for home in homes for family in inside.metrics_of_home(home)]
    check("metrics_of_a_home", metric_names(families))
