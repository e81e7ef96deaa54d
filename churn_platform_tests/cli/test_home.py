"""The commands over a whole home as people meet them: what they say, exit codes, JSON."""

import json

import pytest

from churn_platform_tests.cli.conftest import failed, wrong
from churn_platform_tests.cli.test_app import READING


def test_a_home_is_backed_up_restored_elsewhere_and_answers_the_same(
    churn, answer, january, tmp_path
):
    before = answer("explain", "m00001", home=january)
    code, out, err = churn("backup", "a.zip", home=january)
    assert code == 0
    assert "and read back, " in out
    assert err.startswith(f"Backing up {january.folder}: ")
    code, out, _ = churn("restore", "a.zip", home=tmp_path / "new")
    assert code == 0
    assert f"{tmp_path / 'new'} is the home of 20" in out
    assert answer("explain", "m00001", home=tmp_path / "new") == before
    assert answer("run", home=tmp_path / "new")["ran"] == []


def test_programs_are_told_files_bytes_and_receipts(answer, january, tmp_path):
    made = answer("backup", "a.zip", home=january)
    put = answer("restore", "a.zip", home=tmp_path / "new")
    assert {name: made[name] for name in ("files", "bytes", "receipts", "made_at")} == {
        name: put[name] for name in ("files", "bytes", "receipts", "made_at")
    }
    assert made["receipts"] == january.ledger.head().sequence


def test_what_cannot_be_done_is_one_sentence(churn, january, tmp_path):
    (tmp_path / "a.zip").write_text("no zip")
    assert wrong(churn("backup", "a.zip", home=january), "a.zip") == "TARGET_EXISTS"
    new = tmp_path / "new"
    assert wrong(churn("restore", "b.zip", home=new), "b.zip") == "BACKUP_MISSING"
    assert wrong(churn("restore", "a.zip", home=january)) == "HOME_NOT_EMPTY"
    assert failed(churn("restore", "a.zip", home=new), "a.zip") == "BACKUP_DAMAGED"
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize(
    "command",
    [*READING, ("run",), ("ui",), ("serve",), ("init",), ("backup", "a.zip")],
    ids=" ".join,
)
def test_a_home_of_another_layout_is_said_by_every_command(churn, january_copy, command):
    (january_copy.folder / "home.json").write_text(json.dumps({"layout": 7}))
    found = churn(*command, home=january_copy)
    assert failed(found, january_copy.folder, "layout 7", "layout 1") == "HOME_LAYOUT_UNKNOWN"


def test_a_forgotten_customer_is_unknown_and_the_loop_has_nothing_to_do(
    churn, answer, january_copy
):
    code, out, _ = churn("forget", "m00001", "--by", "ann", home=january_copy)
    assert code == 0
    assert ": drops 3, lake " in out
    assert "backups" in out
    assert wrong(churn("explain", "m00001", home=january_copy), "'m00001'") == "CUSTOMER_UNKNOWN"
    for customer in ("m00001", "nobody"):
        found = churn("forget", customer, "--by", "ann", home=january_copy)
        assert wrong(found, "member") == "CUSTOMER_UNKNOWN"
    assert answer("run", home=january_copy)["ran"] == []
    told = answer("forget", "m00002", "--by", "ann", home=january_copy)
    assert told["rows"]["drops"] == 3


def test_forgetting_names_who_asks(churn, january_copy):
    code, out, err = churn("forget", "m00001", home=january_copy)
    assert (code, out) == (2, "")
    assert "Missing option '--by'" in err


def test_doctor_repairs_says_what_and_a_second_time_has_nothing_to_do(churn, answer, january_copy):
    path = january_copy.releases.folder / "1" / "passport.json"
    path.write_bytes(path.read_bytes() + b" ")
    assert churn("doctor", home=january_copy)[0] == 1
    code, out, _ = churn("doctor", "--fix", home=january_copy)
    assert (code, out.splitlines()[0]) == (
        0,
        "Repaired: Release 1: passport.json restored from the registry.",
    )
    found = answer("doctor", "--fix", home=january_copy)
    assert found["repairs"] == []
    assert {check["check"] for check in found["checks"]} >= {"ledger", "production"}


def test_what_doctor_cannot_repair_ends_with_an_error_and_the_command_that_helps(
    churn, january_copy
):
    (january_copy.drops / "2024-01-31" / "_INCOMING").touch()
    code, out, _ = churn("doctor", "--fix", home=january_copy)
    assert code == 1
    assert out.startswith(
        "NOT repaired: The drop of 2024-01-31 is partly ingested: run `churn ingest DIR --as-of 2024-01-31`"
    )
