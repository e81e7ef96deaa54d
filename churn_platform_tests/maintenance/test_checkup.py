"""The check-up: nothing to report for a valid home, and a finding with a remedy for each fault."""

import socket
import sqlite3

import pytest

from churn_platform.training.registry import PRODUCTION
from churn_platform_tests.small_business import JANUARY, make_home, open_home

CHECKS = ("python", "libraries", "write access", "contract", "drops", "lake", "ledger", "production", "alerts")  # fmt: skip


def found(home):
    """State and finding of each check by name."""
    checks = open_home(home.folder).checkup.run()
    return {check["check"]: (check["state"], check["found"]) for check in checks}


def test_a_valid_home_needs_nothing(january):
    checks = found(january)
    assert {name: checks[name][0] for name in CHECKS} == dict.fromkeys(CHECKS, "ok")
    assert set(checks) == {*CHECKS, "port", "disk"}
    receipts = january.ledger.head().sequence
    for name, fact in (
        ("contract", f"gym: 4 features, {january.folder}/contract.yaml"),
        ("lake", "1 months"),
        ("ledger", f"{receipts} receipts"),
        ("production", "version 1"),
        ("drops", f"1 in {january.drops}"),
    ):
        assert fact in checks[name][1]


def test_every_check_with_a_fault_names_a_remedy(january_copy):
    (january_copy.folder / "mlflow.db").unlink()
    (january_copy.folder / "contract.yaml").write_text("name: 7")
    for check in open_home(january_copy.folder).checkup.run():
        assert set(check) == {"check", "state", "found", "remedy"}
        assert bool(check["remedy"]) == (check["state"] != "ok")


def test_a_home_that_does_not_exist_yet_is_no_error(tmp_path):
    home = open_home(tmp_path / "deep" / "home")
    assert "error" not in {check["state"] for check in home.checkup.run()}
    assert not home.folder.exists()


def test_a_taken_port_is_a_warning_with_the_setting_to_change(tmp_path):
    home = make_home(tmp_path / "home")
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        checks = open_home(home.folder, ui_port=port).checkup.run()
    [check] = [check for check in checks if check["check"] == "port"]
    assert (check["state"], check["found"]) == ("warn", f"127.0.0.1:{port} is taken")
    assert "CHURN_UI_PORT" in check["remedy"]


def append(*parts):
    """Add a byte to a file of the home."""

    def change(home):
        path = home.folder.joinpath(*parts)
        path.write_bytes(path.read_bytes() + b" ")

    return change


def write(text, *parts):
    return lambda home: home.folder.joinpath(*parts).write_text(text)


def cut_ledger(home):
    lines = home.ledger.file.read_bytes().splitlines(keepends=True)
    home.ledger.file.write_bytes(b"".join(lines[:2]))


def change_receipt(home):
    content = home.ledger.file.read_text()
    home.ledger.file.write_text(content.replace('"actor":"tester"', '"actor":"nobody"', 1))


def remove_table(home):
    [path] = (home.lake.folder / "visits").rglob("*.parquet")
    path.unlink()


def remove_alias(home):
    home.registry._client().delete_registered_model_alias("gym_churn", PRODUCTION)


def break_mlflow(home):
    with sqlite3.connect(home.folder / "mlflow.db") as database:
        database.execute("DROP TABLE registered_model_aliases")


def begin_ingest(home):
    (home.drops / JANUARY.isoformat() / "_INCOMING").touch()


FAULTS = {
    "a model": (append("releases", "1", "model.skops"), "production", "error", "release 1 was changed: model.skops"),
    "a passport": (append("releases", "1", "passport.json"), "production", "error", "release 1 was changed: passport.json"),
    "a manifest": (append("releases", "1", "manifest.json"), "production", "error", "release 1 was changed: manifest.json"),
    "a cut ledger": (cut_ledger, "ledger", "error", "the tail was cut or rewritten"),
    "a changed receipt": (change_receipt, "ledger", "error", "receipt 1"),
    "a missing table": (remove_table, "lake", "error", "2024-01-31 visits"),
    "a broken contract": (write("name: [gym", "contract.yaml"), "contract", "error", "contract.yaml: not YAML"),
    "a broken month": (write('{"as_of": ', "lake", "snapshots", "2024-01-31.json"), "lake", "error", "2024-01-31.json"),
    "a broken pointer": (write("{", "releases", "production"), "production", "error", "production"),
    "no alias": (remove_alias, "production", "error", "the pointer names version 1, MLflow's alias None"),
    "a broken MLflow": (break_mlflow, "production", "error", "mlflow.db cannot be read"),
    "a half ingested drop": (begin_ingest, "drops", "warn", "2024-01-31"),
}  # fmt: skip


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_is_named_and_the_checks_of_other_things_stay_ok(january_copy, name):
    change, check, state, fact = FAULTS[name]
    before = found(january_copy)
    change(january_copy)
    after = found(january_copy)
    assert after[check][0] == state
    assert fact in after[check][1]
    same = set(after) - {check, "lake", "ledger", "production", "disk", "port"}
    assert {one: after[one] for one in same} == {one: before[one] for one in same}
