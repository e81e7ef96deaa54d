"""The check-up: sound on a sound home, and for each thing that can break the state, what it found and a remedy."""

import socket
import sqlite3

import pytest

from churn_platform.training.registry import PRODUCTION
from churn_platform_tests.small_business import JANUARY, make_home, open_home


def found(home):
    """State and finding of each check by name."""
    return {check["check"]: (check["state"], check["found"]) for check in home.checkup.run()}


def states(home):
    return {
        check["check"]: check["state"] for check in home.checkup.run() if check["state"] != "ok"
    }


@pytest.fixture
def port():
    """A port that something listens on."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        yield server.getsockname()[1]


def test_a_sound_home_has_nothing_to_mend(january):
    home, said = january, found(january)
    assert {
        name: state for name, (state, _) in said.items() if name not in ("port", "disk")
    } == dict.fromkeys(
        (
            "python",
            "libraries",
            "write access",
            "contract",
            "drops",
            "lake",
            "ledger",
            "production",
            "alerts",
        ),
        "ok",
    )
    assert said["contract"][1] == f"gym: 4 features, {home.folder}/contract.yaml"
    assert said["lake"][1] == "1 months"
    assert said["ledger"][1] == f"{home.ledger.head().sequence} receipts, chain valid"
    assert said["production"][1] == "version 1: release, digests and alias agree"
    assert said["drops"][1] == f"1 in {home.drops}"


def test_every_check_that_is_not_well_names_a_remedy(january_copy):
    (january_copy.folder / "mlflow.db").unlink()
    (january_copy.folder / "contract.yaml").write_text("name: 7")
    for check in open_home(january_copy.folder).checkup.run():
        assert set(check) == {"check", "state", "found", "remedy"}
        assert bool(check["remedy"]) == (check["state"] != "ok")


def test_a_home_that_is_not_there_yet_is_no_error(tmp_path):
    home = open_home(tmp_path / "deep" / "home")
    assert "error" not in {check["state"] for check in home.checkup.run()}
    assert not home.folder.exists()


def test_a_taken_port_is_a_warning_with_the_way_out(tmp_path, port):
    home = make_home(tmp_path / "home")
    taken = open_home(home.folder, ui_port=port)
    (check,) = [check for check in taken.checkup.run() if check["check"] == "port"]
    assert (check["state"], check["found"]) == ("warn", f"127.0.0.1:{port} is taken")
    assert "CHURN_UI_PORT" in check["remedy"]


@pytest.mark.parametrize("name", ["model.skops", "passport.json", "manifest.json"])
def test_a_tampered_release_is_an_error_that_names_the_file(january_copy, name):
    path = january_copy.releases.folder / "1" / name
    path.write_bytes(path.read_bytes() + b" ")
    state, said = found(january_copy)["production"]
    assert state == "error"
    assert f"release 1 was changed: {name}" in said


def test_a_cut_ledger_is_found_by_its_anchor(january_copy):
    lines = january_copy.ledger.file.read_bytes().splitlines(keepends=True)
    january_copy.ledger.file.write_bytes(b"".join(lines[:2]))
    state, said = found(january_copy)["ledger"]
    assert state == "error"
    assert "the tail was cut or rewritten" in said


def test_a_changed_receipt_is_found(january_copy):
    content = january_copy.ledger.file.read_bytes()
    january_copy.ledger.file.write_bytes(
        content.replace(b'"actor":"tester"', b'"actor":"nobody"', 1)
    )
    state, said = found(january_copy)["ledger"]
    assert (state, said) == ("error", "receipt 1: receipt 1 does not match its digest")


def test_a_lake_file_that_is_gone_is_named(january_copy):
    (path,) = (january_copy.lake.folder / "visits").rglob("*.parquet")
    path.unlink()
    assert found(january_copy)["lake"] == ("error", "files are missing: 2024-01-31 visits")


def test_a_broken_contract_is_an_error_and_the_other_checks_still_run(january_copy):
    (january_copy.folder / "contract.yaml").write_text("name: [gym")
    home = open_home(january_copy.folder)
    said = found(home)
    assert said["contract"][0] == "error"
    assert f"{home.folder}/contract.yaml: not YAML" in said["contract"][1]
    assert said["ledger"][0] == said["drops"][0] == "ok"
    assert len(said) >= 10


def test_a_file_that_is_no_json_any_more_is_an_error_and_no_traceback(january_copy):
    (january_copy.lake.folder / "snapshots" / "2024-01-31.json").write_text('{"as_of": ')
    assert found(january_copy)["lake"][0] == "error"
    january_copy.releases.pointer_file.write_text("{")
    assert found(january_copy)["production"][0] == "error"


def test_an_alias_that_says_otherwise_is_an_error(january_copy):
    client = january_copy.registry._client()
    client.delete_registered_model_alias("gym_churn", PRODUCTION)
    assert found(january_copy)["production"] == (
        "error",
        "the pointer names version 1, MLflow's alias None",
    )


def test_a_store_of_mlflow_that_is_broken_is_an_error(january_copy):
    with sqlite3.connect(january_copy.folder / "mlflow.db") as database:
        database.execute("DROP TABLE registered_model_aliases")
    state, said = found(open_home(january_copy.folder))["production"]
    assert state == "error"
    assert "mlflow.db cannot be read" in said


def test_a_drop_half_taken_in_is_a_warning(january_copy):
    (january_copy.drops / JANUARY.isoformat() / "_INCOMING").touch()
    assert found(january_copy)["drops"] == ("warn", "partly ingested: 2024-01-31")


def test_what_is_wrong_is_the_only_thing_that_is_not_well(january_copy):
    before = states(january_copy)
    (path,) = (january_copy.lake.folder / "visits").rglob("*.parquet")
    path.unlink()
    assert states(january_copy) == before | {"lake": "error"}
