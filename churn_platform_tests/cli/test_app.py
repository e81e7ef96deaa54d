"""The `churn` command as people and programs meet it: options, exit codes, one sentence for what is wrong, clean JSON.

Every command runs through `main()`, in this process; the homes are those of a small business.
"""

import datetime as dt
import errno
import socket
import subprocess
import sys
import time

import pytest
import typer
import yaml
from rich.console import Console

from churn_platform.alerting.dagster_ui import free_port
from churn_platform.base.errors import DataError
from churn_platform.cli.app import app
from churn_platform.cli.status import show_status
from churn_platform.contract.reading import default_contract_path
from churn_platform.ingestion.drop import find_drops
from churn_platform_tests.cli.conftest import failed, wrong
from churn_platform_tests.small_business import (
    DECLARED,
    FEBRUARY,
    JANUARY,
    deliver,
    make_home,
    month_tables,
    open_home,
)
from churn_platform_tests.test_docs import commands

READING = [
    ("status",),
    ("history",),
    ("decision",),
    ("scores",),
    ("explain", "m00001"),
    ("doctor",),
]
HOLD = "import sys, time, filelock\nwith filelock.FileLock(sys.argv[1]): print('held', flush=True); time.sleep(120)"


def files_of(folder) -> dict[str, int]:
    return {
        str(p.relative_to(folder)): p.stat().st_mtime_ns for p in folder.rglob("*") if p.is_file()
    }


def with_contract(home, **changes):
    (home.folder / "contract.yaml").write_text(
        yaml.safe_dump({**DECLARED, **changes}, sort_keys=False)
    )
    return home


def test_without_a_command_the_help_is_shown(churn):
    _, out, err = churn()
    assert "Commands:" in out + err


# Wrong use: exit code 2 and one sentence


@pytest.mark.parametrize("command", [*READING, ("run",)], ids=lambda command: command[0])
def test_without_a_home_a_command_says_how_to_make_one(churn, tmp_path, command):
    if command == ("doctor",):
        assert (
            churn(*command, home=tmp_path / "no")[0] == 0
        )  # what is wrong before there is a home, too
    else:
        found = churn(*command, home=tmp_path / "no")
        assert wrong(found, tmp_path / "no", "churn init") == "HOME_MISSING"
    assert list(tmp_path.iterdir()) == []


def test_the_home_is_the_option_else_the_variable_else_the_folder_here(churn, environ, tmp_path):
    assert wrong(churn("status"), tmp_path / "churn_home") == "HOME_MISSING"
    environ.setenv("CHURN_HOME", str(tmp_path / "mine"))
    assert wrong(churn("status"), tmp_path / "mine") == "HOME_MISSING"
    found = churn("status", home=tmp_path / "other")
    assert wrong(found, tmp_path / "other") == "HOME_MISSING"


@pytest.mark.parametrize("date", ["2024-13-01", "31.01.2024", "january", ""])
def test_a_date_that_is_none_is_named_with_the_form_it_should_have(churn, january, tmp_path, date):
    asked = [("ingest", tmp_path, "--as-of", date)]
    if date:
        asked += [("run", "--as-of", date), ("decision", date)]
        asked += [("explain", "m00001", "--as-of", date)]
    for command in asked:
        found = churn(*command, home=tmp_path / "home" if command[0] == "ingest" else january)
        assert wrong(found, repr(date), "2024-01-31") == "DATE_INVALID"


@pytest.mark.parametrize(
    ("arguments", "facts", "code"),
    [
        ("run --as-of 2024-01-31 --all", ("--as-of", "--all"), "OPTIONS_CONFLICT"),
        ("history --at 2024-01-31 --last 1", ("--at",), "OPTIONS_CONFLICT"),
        ("explain nobody", ("'nobody'", "2024-01-31", "member"), "CUSTOMER_UNKNOWN"),
        (
            "explain m00001 --as-of 2024-02-29",
            ("2024-02-29", "2024-01-31"),
            "MONTH_NOT_SCORED",
        ),
        ("decision 2024-02-29", ("2024-02-29", "2024-01-31"), "DECISION_MISSING"),
        ("verify --anchor abc", (" 12 ",), "USAGE_INVALID"),
        ("history --act coup", ("'coup'",), "ACT_UNKNOWN"),
        ("alert", ("CHURN_ALERT_URLS",), "ALERTS_NOT_CONFIGURED"),
    ],
)
def test_wrong_use_is_one_sentence_with_its_facts(churn, january, arguments, facts, code):
    assert wrong(churn(*arguments.split(), home=january), *facts) == code


def test_a_folder_without_tables_or_no_folder_is_not_taken_in_and_leaves_no_home(churn, tmp_path):
    (tmp_path / "empty").mkdir()
    for folder, fact in (("empty", "users.csv"), ("nowhere", "nowhere")):
        found = churn("ingest", folder, "--as-of", "2024-01-31", home=tmp_path / "home")
        assert wrong(found, folder, fact) == "DROP_MISSING"
    assert [path.name for path in tmp_path.iterdir()] == ["empty"]


def test_before_the_first_run_there_is_nothing_to_tell(churn, tmp_path):
    home = make_home(tmp_path / "home")
    assert wrong(churn("decision", home=home)) == "DECISION_MISSING"
    for command in (("scores",), ("explain", "m00001")):
        assert wrong(churn(*command, home=home), "churn run") == "MONTH_NOT_SCORED"


@pytest.mark.parametrize(
    "arguments",
    [
        ("fly",),
        ("status", "--colour"),
        ("ingest",),
        ("explain",),
        ("demo", "--months", "0"),
        ("demo", "--users", "10"),
        ("scores", "--top", "0"),
        ("ui", "--port", "70000"),
        ("ui", "--port", "here"),
    ],
    ids=" ".join,
)
def test_an_argument_that_cannot_be_is_wrong_use(churn, tmp_path, arguments):
    code, out, err = churn(*arguments)
    assert (code, out) == (2, "")
    assert "Error: " in err
    assert list(tmp_path.iterdir()) == []


def test_a_variable_that_cannot_be_read_is_wrong_use(churn, environ, tmp_path):
    environ.setenv("CHURN_UI_PORT", "soon")
    found = churn("status", home=tmp_path)
    assert wrong(found, "CHURN_UI_PORT", "'soon'") == "SETTING_INVALID"


@pytest.mark.parametrize("remedy", ["--port", "CHURN_REPORTS_PORT"])
def test_the_ui_on_a_taken_port_names_it_and_the_way_out(churn, environ, tmp_path, remedy):
    with socket.socket() as taken, socket.socket() as probe:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        probe.bind(("127.0.0.1", 0))
        ports = {"--port": taken.getsockname()[1], "CHURN_REPORTS_PORT": probe.getsockname()[1]}
        probe.close()
        if remedy == "CHURN_REPORTS_PORT":
            ports = dict(zip(ports, reversed(ports.values()), strict=True))
        environ.setenv("CHURN_REPORTS_PORT", str(ports["CHURN_REPORTS_PORT"]))
        found = churn("ui", "--port", ports["--port"], home=tmp_path / "home")
    assert wrong(found, ports[remedy], remedy) == "PORT_TAKEN"


# Help


@pytest.mark.parametrize("name", sorted(commands()))
def test_every_command_and_option_is_explained_in_a_phrase_of_at_most_80_characters(name):
    command = typer.main.get_command(app)
    for part in name.split():
        command = command.commands[part]
    for text in (command.help, *(parameter.help for parameter in command.params)):
        phrase = " ".join(text.split())
        assert len(phrase) <= 80
        assert phrase[0].isupper()
        assert phrase.split()[0] not in {"A", "An", "The", "Only", "What", "Who", "Why", "Whether"}


# Errors: exit code 1 and a sentence that says what to do


@pytest.mark.parametrize(
    "command",
    [("status",), ("scores",), ("explain", "m00001"), ("run",), ("ui",), ("init",)],
    ids=" ".join,
)
def test_a_broken_contract_is_named_with_its_line(churn, january_copy, command):
    contract = january_copy.folder / "contract.yaml"
    contract.write_text(contract.read_text().replace("delivery_days: 5", "delivery_days: soon"))
    line = contract.read_text().splitlines().index("delivery_days: soon") + 1
    found = churn(*command, home=january_copy)
    facts = (f"{contract}:{line}: delivery_days: ", "'soon'")
    assert failed(found, *facts) == "CONTRACT_INVALID"


def test_a_contract_that_is_not_there_is_named(churn, environ, january, tmp_path):
    environ.setenv("CHURN_CONTRACT", "mine.yaml")
    assert failed(churn("status", home=january), "mine.yaml: ") == "CONTRACT_MISSING"


def test_a_tampered_release_is_an_error_of_every_command_that_needs_its_model(
    churn, answer, january_copy
):
    for path in (january_copy.folder / "releases" / "1").glob("model.*"):
        path.write_bytes(path.read_bytes() + b" ")
    found = churn("explain", "m00001", home=january_copy)
    assert failed(found, "release 1 ", "model.") == "MODEL_CHANGED"
    checks = {check["check"]: check for check in answer("doctor", home=january_copy, code=1)}
    assert checks["production"]["state"] == "error"
    assert "release 1 was changed" in checks["production"]["found"]
    assert checks["production"]["remedy"]


def test_a_tampered_ledger_is_an_error_of_its_history(churn, answer, january_copy):
    receipts = january_copy.ledger.file
    receipts.write_text(receipts.read_text().replace("tester", "tempter", 1))
    failed(churn("history", home=january_copy), f"{receipts}, line 1: ")
    checks = {check["check"]: check for check in answer("doctor", home=january_copy, code=1)}
    assert (checks["ledger"]["state"], checks["ledger"]["remedy"]) == (
        "error",
        "restore ledger/ from a backup",
    )


@pytest.mark.parametrize(
    ("file", "command"),
    [
        ("lake/derived/scores/2024-01-31.json", "scores"),
        ("lake/snapshots/2024-01-31.json", "status"),
        ("ledger/decisions/000001.json", "decision"),
    ],
)
def test_a_file_that_is_no_json_any_more_is_named(churn, january_copy, file, command):
    (january_copy.folder / file).write_text("{")
    found = churn(command, home=january_copy)
    assert failed(found, january_copy.folder / file) == "INTEGRITY_BROKEN"


def test_a_contract_with_other_features_leaves_the_list_and_its_explanations_as_they_were(
    churn, answer, january_copy
):
    views = {**DECLARED["feature_views"]}
    before = answer("explain", "m00001", home=january_copy)
    del views["visits_fv"]
    with_contract(january_copy, feature_views=views)
    assert answer("explain", "m00001", home=january_copy) == before
    found = answer("scores", home=january_copy)
    assert (found["outdated"], found["not_scored"]) == (None, None)
    assert churn("status", home=january_copy)[0] == 0


def test_a_contract_without_what_the_version_reads_is_said_and_not_guessed_at(churn, january_copy):
    views = {"members_fv": DECLARED["feature_views"]["members_fv"]}
    tables = {name: table for name, table in DECLARED["tables"].items() if name != "visits"}
    with_contract(january_copy, feature_views=views, tables=tables)
    found = churn("explain", "m00001", home=january_copy)
    assert failed(found, "Version 1", "2024-01-31", "'visits'") == "CONTRACT_CHANGED"
    assert churn("scores", home=january_copy)[0] == 0, "the list is a file that needs no model"
    assert churn("status", home=january_copy)[0] == 0


def test_a_report_that_was_deleted_is_named(churn, january_copy):
    path = january_copy.reports / "2024-01-31" / "at_risk.parquet"
    path.unlink()
    assert failed(churn("scores", home=january_copy), path) == "SYSTEM_FAILED"


def test_a_home_that_cannot_be_a_folder_is_named(churn, tmp_path):
    (tmp_path / "file").write_text("")
    found = churn("init", home=tmp_path / "file" / "home")
    assert failed(found, tmp_path / "file") == "SYSTEM_FAILED"


def test_a_home_that_another_process_holds_is_an_error(churn, environ, january_copy):
    environ.setenv("CHURN_LOCK_SECONDS", "0")
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(january_copy.folder / "home.lock")], stdout=subprocess.PIPE
    )
    assert holder.stdout.readline() == b"held\n"
    found = churn("run", home=january_copy)
    holder.kill()
    holder.wait()
    assert failed(found, january_copy.folder, "0 seconds") == "HOME_BUSY"


def test_a_run_that_fails_ends_with_the_drops_faults(churn, tmp_path):
    home = make_home(tmp_path / "home")
    (deliver(home, JANUARY) / "leavers.csv").write_text("member,has_left\nm00000,perhaps\n")
    found = churn("run", home=home)
    facts = ("2024-01-31", "(2 faults)", "\n  - leavers.csv: ", "perhaps")
    assert failed(found, *facts) == "DROP_REFUSED"


def test_a_run_that_fails_says_the_warnings_of_its_month(churn, february_copy, monkeypatch):
    tables = month_tables(FEBRUARY)
    deliver(february_copy, FEBRUARY, tables | {"visits": tables["visits"].iloc[30:]})

    def fails(*_, **__):
        raise DataError("The join broke.")

    monkeypatch.setattr("churn_platform.features.feature_store.FeatureStore.apply", fails)
    found = churn("run", home=february_copy)
    assert failed(found, "The join broke.") == "DATA_UNSUITABLE"
    assert "2024-02-29 TABLE_LACKS_CUSTOMERS" in found[2]


def test_ctrl_c_is_said_in_a_sentence_with_its_own_exit_code(churn, january, environ):
    def interrupted(_):
        raise KeyboardInterrupt

    environ.setattr("churn_platform.reports.status.Status.now", interrupted)
    code, out, err = churn("status", home=january)
    assert (code, out, err.count("\n")) == (130, "", 1)


# Making a home, taking a drop in


def test_init_makes_a_home_with_a_contract_to_edit_and_leaves_yours_alone(churn, tmp_path):
    home = tmp_path / "home"
    code, out, err = churn("init", home=home)
    assert (code, err) == (0, "")
    assert out.startswith(f"Home ready at {home}, with the StreamFlow contract in contract.yaml")
    assert (home / "contract.yaml").read_text() == default_contract_path().read_text()
    assert {"drops", "lake", "feast", "artifacts", "releases", "ledger", "reports", "dagster"} <= {
        p.name for p in home.iterdir()
    }

    own = (home / "contract.yaml").read_text().replace("delta: 0.01", "delta: 0.02")
    (home / "contract.yaml").write_text(own)
    before = files_of(home)
    code, out, _ = churn("init", home=home)
    assert code == 0
    assert "with your contract in contract.yaml" in out
    after = files_of(home)
    assert {name for name in after if after[name] != before.get(name)} <= {
        "mlflow.db",
        "mlflow.lock",
    }
    assert (home / "contract.yaml").read_text() == own


def test_init_takes_the_contract_of_the_variable_but_no_broken_one(churn, environ, tmp_path):
    mine = tmp_path / "mine.yaml"
    environ.setenv("CHURN_CONTRACT", str(mine))
    mine.write_text("name: gym\n")
    failed(churn("init", home=tmp_path / "home"))
    assert not (tmp_path / "home" / "contract.yaml").exists()
    mine.write_text(yaml.safe_dump(DECLARED, sort_keys=False))
    _, out, _ = churn("init", home=tmp_path / "home")
    assert f"with {mine} in contract.yaml" in out
    assert (tmp_path / "home" / "contract.yaml").read_text() == mine.read_text()


@pytest.fixture
def delivered(tmp_path):
    """A folder with January's files, outside any home."""
    elsewhere = make_home(tmp_path / "elsewhere")
    return deliver(elsewhere, JANUARY).rename(tmp_path / "delivered")


def test_ingest_takes_a_sound_drop_in_and_says_what_is_next(churn, delivered, tmp_path):
    home = make_home(tmp_path / "home")
    code, out, err = churn("ingest", delivered, "--as-of", "2024-01-31", home=home)
    target = home.drops / "2024-01-31"
    assert (code, err) == (0, "")
    assert (
        out == f"The drop of 2024-01-31 is valid. Its files are in {target}. Next: `churn run`.\n"
    )
    assert {path.name for path in target.iterdir()} == {
        "members.csv",
        "visits.csv",
        "leavers.csv",
        "_SUCCESS",
    }
    assert (target / "visits.csv").read_bytes() == (delivered / "visits.csv").read_bytes()


def test_ingest_of_broken_files_names_every_fault_and_leaves_nothing(churn, delivered, tmp_path):
    home = make_home(tmp_path / "home")
    (delivered / "visits.csv").unlink()
    members = month_tables(JANUARY)["members"]
    members.loc[3, "months"] = -7
    members.loc[4, "plan"] = "golden"
    members.to_csv(delivered / "members.csv", index=False)
    month_tables(JANUARY)["leavers"].drop(columns="has_left").to_csv(
        delivered / "leavers.csv", index=False
    )
    found = churn("ingest", delivered, "--as-of", "2024-01-31", home=home)
    page = home.reports / "2024-01-31" / "drop.html"
    assert failed(found, "2024-01-31", "(4 faults)", f"{page} [") == "DROP_REFUSED"
    faults = found[2].splitlines()
    assert len(faults) == 6
    assert "golden" in page.read_text()
    for word in ("table 'visits'", "-7", "golden", "has_left"):
        assert len([fault for fault in faults[1:-1] if word in fault]) == 1, word
    assert list(home.drops.iterdir()) == []


def test_ingest_says_how_many_rows_are_put_aside_and_where_the_reasons_are(
    churn, delivered, tmp_path
):
    home = make_home(tmp_path / "home")
    members = month_tables(JANUARY)["members"]
    members.loc[3, "months"] = -7
    members.to_csv(delivered / "members.csv", index=False)
    code, out, err = churn("ingest", delivered, "--as-of", "2024-01-31", home=home)
    assert (code, err) == (0, "")
    assert out.splitlines() == [
        f"The drop of 2024-01-31 is usable. Its files are in {home.drops / '2024-01-31'}. Next: `churn run`.",
        f"1 row quarantined: members 1. Reasons: {home.reports / '2024-01-31' / 'drop.html'}",
    ]


@pytest.mark.parametrize(
    ("number", "said"),
    [(errno.ENOSPC, "DISK_FULL"), (errno.EROFS, "FILE_SYSTEM_READ_ONLY")],
)
def test_a_disk_that_takes_nothing_is_said_in_a_sentence_and_no_drop_is_left(
    churn, delivered, tmp_path, environ, number, said
):
    def refuse(*_, **__):
        raise OSError(number, "whatever the system says", "whatever file")

    home = make_home(tmp_path / "home")
    with environ.context() as patch:
        patch.setattr("shutil.copyfile", refuse)
        assert failed(churn("ingest", delivered, "--as-of", "2024-01-31", home=home)) == said
    assert find_drops(home.drops, home.contract) == []
    assert churn("ingest", delivered, "--as-of", "2024-01-31", home=home)[0] == 0


# Answers as JSON


def test_explain_and_scores_agree(answer, january):
    found = answer("scores", "--top", 3, home=january)
    assert (found["as_of"], found["version"], found["customers"]) == ("2024-01-31", 1, 1500)
    assert [row["rank"] for row in found["listed"]] == [1, 2, 3]
    assert len(answer("scores", home=january)["listed"]) == 20
    first = found["listed"][0]
    explained = answer("explain", first["member"], home=january)
    assert explained["probability"] == pytest.approx(first["probability"], abs=1e-12)
    assert explained["reasons"][0] == first["reason_1"]
    assert answer("explain", first["member"], "--as-of", "2024-01-31", home=january) == explained


def test_decision_is_the_newest_or_the_months(answer, february_decided):
    newest, first = (
        answer("decision", home=february_decided),
        answer("decision", "2024-01-31", home=february_decided),
    )
    assert (newest["as_of"], first["as_of"]) == ("2024-02-29", "2024-01-31")
    assert [first, newest] == answer("status", home=february_decided)["decisions"]


def test_verify_says_what_holds_and_the_head_to_keep(churn, answer, january, environ):
    environ.setenv("CHURN_API_PORT", "1")
    found = answer("verify", "--deep", home=january)
    assert (found["verified"], found["breaks"]) == (True, [])
    head = january.ledger.head()
    assert found["head"] == {"sequence": head.sequence, "digest": head.digest}
    assert answer("verify", "--anchor", head.digest, home=january)["verified"]
    code, out, _ = churn("verify", home=january)
    assert (code, f"Head: receipt {head.sequence}, {head.digest}" in out) == (0, True)


def test_verify_ends_with_one_and_names_the_first_break(churn, answer, january_copy, environ):
    environ.setenv("CHURN_API_PORT", "1")
    file = january_copy.ledger.file
    file.write_bytes(file.read_bytes()[:200] + b"#" + file.read_bytes()[201:])
    found = answer("verify", home=january_copy, code=1)
    assert found["first_break"].startswith(f"{file}, line 1: receipt 1 does not match its digest")
    code, out, _ = churn("verify", home=january_copy)
    assert (code, out.split("\n")[0][:12]) == (1, "First break:")


def test_verify_ends_with_one_and_words_of_its_own_while_mlflow_is_away(churn, january, environ):
    environ.setenv("CHURN_API_PORT", "1")
    environ.setenv("CHURN_MLFLOW_URI", f"http://127.0.0.1:{free_port()}")
    code, out, err = churn("verify", home=january)
    assert (code, err) == (1, "")
    assert "unseen not verified: MLflow at http://127.0.0.1:" in " ".join(out.split())
    assert "broken" not in out.lower()


def test_reproduce_makes_a_version_again_and_ends_with_one_when_it_cannot(
    churn, answer, january_copy
):
    found = answer("reproduce", 1, home=january_copy)
    assert (found["reproduced"], found["changed"]) == (True, [])
    assert "Version 1 is reproduced" in churn("reproduce", 1, home=january_copy)[1]
    for path in (january_copy.folder / "lake" / "visits").rglob("*.parquet"):
        path.unlink()
    code, out, _ = churn("reproduce", 1, home=january_copy)
    assert (code, "is not reproduced" in out, "visits of 2024-01-31" in " ".join(out.split())) == (
        1,
        True,
        True,
    )
    assert wrong(churn("reproduce", 7, home=january_copy), "version 7") == "VERSION_UNKNOWN"


def test_history_is_filtered_and_says_so_when_nothing_is_left(churn, answer, january):
    found = answer(
        "history", "--act", "promotion", "--version", 1, "--by", "Tester", "--last", 2, home=january
    )
    assert [receipt["act"] for receipt in found] == ["promotion intent", "promotion done"]
    assert answer("history", "--until", "2024-01-31", home=january) == []
    assert churn("history", "--until", "2024-01-31", home=january)[1] == "No receipt matches.\n"


def test_history_fits_a_hundred_columns_with_every_reason_whole(january, capsys):
    from churn_platform.cli.ledger import _show_receipts

    receipts = [receipt.model_dump(mode="json") for receipt in january.ledger.receipts()]
    _show_receipts(Console(width=100, highlight=False), receipts, filtered=False)
    out = capsys.readouterr().out
    assert max(map(len, out.splitlines())) <= 100
    flat = " ".join(out.split())
    for receipt in receipts:
        assert " ".join(receipt["reason"].split()) in flat


def test_history_shows_every_change_of_a_contract_on_a_line_of_its_own(churn, january_copy):
    january_copy.run_start.complete()
    members = dict(DECLARED["tables"]["members"]["columns"])
    for name in ("spring", "summer"):
        members[name] = {"dtype": "integer", "nullable": True, "since": "2024-02-29"}
    changed = with_contract(
        january_copy, tables=DECLARED["tables"] | {"members": {"columns": members}}
    )
    _, out, _ = churn("status", home=changed)
    assert "members.spring" in out
    assert "`churn contract update`" in out
    open_home(changed.folder).run_start.complete()
    _, out, _ = churn("history", "--act", "contract changed", "--last", 1, home=changed)
    [spring, summer] = [line for line in out.splitlines() if line.startswith("      column")]
    assert "members.spring" in spring
    assert "members.summer" in summer
    _, out, _ = churn("status", home=changed)
    [line] = [line for line in out.splitlines() if line.startswith("Contract ")]
    assert "after 2024-01-31" in line


def test_history_at_an_instant_tells_what_was_in_production(churn, answer, january):
    since = january.releases.pointer().activate_at
    activated = dt.datetime.fromisoformat(since)
    time.sleep(
        max(0.0, (activated - dt.datetime.now(dt.UTC)).total_seconds())
    )  # until then it lies in the future
    found = answer("history", "--at", since, home=january)
    assert (found["version"], found["since"]) == (1, since)
    code, out, _ = churn("history", "--at", since, home=january)
    assert code == 0
    assert "Version 1 was in production: tester put it there" in out
    assert "`churn decision 2024-01-31`" in out
    assert answer("history", "--at", "2024-01-15", home=january)["version"] is None


def test_a_second_run_has_nothing_to_do(churn, answer, january_copy):
    found = answer("run", home=january_copy)
    assert found["ran"] == []
    assert found["months"] == ["2024-01-31"]
    code, out, _ = churn("run", home=january_copy)
    assert code == 0
    assert out.startswith("Nothing to do.\n")


def test_a_refusal_is_a_sound_run_with_exit_code_0_and_clean_json(answer, february_decided_copy):
    home = with_contract(
        february_decided_copy,
        policy={**DECLARED["policy"], "promotion": {"min_holdout_churners": 30, "delta": 0.9}},
    )
    found = answer("run", "--all", home=home)
    [ran] = found["ran"]
    assert (ran["job"], ran["as_of"]) == ("retraining", "2024-02-29")
    newest = found["decisions"][-1]
    assert newest["decision"] == "refused"
    assert newest["findings"][0]["outcome"] == "fail"
    assert found["production"]["version"] == 1
    assert open_home(home.folder).releases.pointer().version == 1


# Answers for people


@pytest.mark.parametrize("command", READING, ids=lambda command: command[0])
def test_what_a_person_reads_holds_what_the_json_holds(churn, answer, february_decided, command):
    code, out, err = churn(*command, home=february_decided)
    assert (code, err) == (0, "")
    found = answer(*command, home=february_decided)
    expected = {
        "status": lambda: [
            "2 months, 2024-01-31 to 2024-02-29",
            "version 1 (logistic_regression)",
            "promoted",
            "first",
        ],
        "history": lambda: ["drop accepted", "promotion done", "tester"],
        "decision": lambda: (
            [f["code"] for f in found["findings"]] + ["version 2 against version 1", "promoted"]
        ),
        "scores": lambda: [
            f"{found['listed'][0]['probability']:.3f}",
            found["listed"][0]["member"],
            "1,500 customers",
        ],
        "explain": lambda: [
            f"probability {found['probability']:.3f}",
            *found["reasons"],
            "gym_churn version 1",
        ],
        "doctor": lambda: [check["check"] for check in found],
    }
    for words in expected[command[0]]():
        assert words in out, words


def test_reading_changes_nothing(answer, january_copy):
    before = files_of(january_copy.folder)
    for command in READING:
        answer(*command, home=january_copy)
    after = files_of(january_copy.folder)
    assert {name for name in {*before, *after} if before.get(name) != after.get(name)} <= {
        "mlflow.db",
        "mlflow.lock",
    }


def status_of(**found):
    """What `churn status` shows of a home with nothing else to show."""
    console = Console(width=200, record=True)
    empty = dict.fromkeys(
        ("production", "newest_list", "next", "pending", "quarantine", "proposal")
    )
    contract = {"changed_at": None, "changes": [], "pending": [], "refused": []}
    empty["contract_changes"] = contract
    lists = {name: [] for name in ("months", "decisions", "alerts", "answered", "warnings")}
    show_status(console, {"contract": "gym", "home": "here", "reason": "Nothing.", "blocked": {}}
                | empty | lists | found)  # fmt: skip
    return console.export_text()


def test_what_the_api_answered_is_shown_with_its_performance():
    one = {
        "version": 2, "as_of": "2024-01-31", "customers": 1500, "rows": 371, "distance": 0.31,
        "moved": True, "metrics": {"auc": 0.8125},
    }  # fmt: skip
    unknown = one | {"metrics": None, "note": "Nothing is known.", "moved": False}
    said = status_of(answered=[one, unknown])
    about = "version 2 to 1,500 customers of 2024-01-31:"
    known = "AUC 0.812 on 371 matured labels, 0.31 away from its training data"
    assert f"{about} {known}" in said
    assert f"{about} Nothing is known.\n" in said


@pytest.mark.parametrize(
    ("months", "span"),
    [
        ([], "no month yet"),
        (["2024-01-31"], "1 month, 2024-01-31\n"),
        (["2024-01-31", "2024-02-29"], "2 months, 2024-01-31 to 2024-02-29"),
    ],
)
def test_the_span_of_the_months_is_shown(months, span):
    assert f"Months      {span}" in status_of(months=months)


def test_ingest_without_a_folder_reads_the_tables_of_the_contract_from_their_database(
    churn, environ, tmp_path
):
    from churn_platform_tests.databases import store

    found = churn("ingest", "--as-of", "2024-01-31", home=make_home(tmp_path / "files"))
    assert wrong(found) == "DROP_MISSING"
    source = {"url": "${CRM_URL}", "as_of_column": "valid_on"}
    tables = {n: {**t, "source": {**source, "table": n}} for n, t in DECLARED["tables"].items()}
    home = make_home(tmp_path / "home", {**DECLARED, "tables": tables})
    found = churn("ingest", "--as-of", "2024-01-31", home=home)
    assert wrong(found, "tables.members.source.url", "CRM_URL") == "SETTING_MISSING"
    url = f"sqlite:///{tmp_path / 'crm.db'}"
    store(url, JANUARY, month_tables(JANUARY, 60))
    environ.setenv("CRM_URL", url)
    code, out, err = churn("ingest", "--as-of", "2024-01-31", home=home)
    assert (code, err) == (0, "")
    assert (
        out
        == f"The drop of 2024-01-31 is valid. Its files are in {home.drops / '2024-01-31'}. Next: `churn run`.\n"
    )
    assert home.ingestion.publish(JANUARY).rows == {"members": 60, "visits": 60, "leavers": 60}
    found = churn("ingest", "--as-of", "2024-02-29", home=home)
    assert failed(found, "tables.members.source", "2024-02-29") == "SOURCE_FAILED"
