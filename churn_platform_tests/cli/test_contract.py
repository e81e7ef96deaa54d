"""`churn init --from-drop` and `churn contract check` as people and programs meet them."""

import json
import shutil
from pathlib import Path

import jsonschema
import pandas as pd
import pytest
import yaml

from churn_platform.alerting.dagster_ui import free_port
from churn_platform.base.settings import Settings
from churn_platform.cli.contract import make_home
from churn_platform.contract.reading import default_contract_path, read_contract
from churn_platform.drafting.columns import LISTED, OFTEN
from churn_platform.drafting.tables import LIMIT
from churn_platform.services import Services
from churn_platform.training.mlflow_server import MARKER
from churn_platform_tests.cli.conftest import wrong
from churn_platform_tests.drafted_businesses import MONTH, deliver_laundry, deliver_phone
from churn_platform_tests.small_business import DECLARED, JANUARY, month_tables


@pytest.fixture(scope="module")
def phone(tmp_path_factory):
    return deliver_phone(tmp_path_factory.mktemp("phone"))


@pytest.fixture(scope="module")
def laundry(tmp_path_factory):
    return deliver_laundry(tmp_path_factory.mktemp("laundry"))


@pytest.fixture
def gym(tmp_path):
    """A month of the gym and its contract's file, without a home."""
    folder = tmp_path / "delivered"
    folder.mkdir()
    for name, table in month_tables(JANUARY, 60).items():
        table.to_csv(folder / f"{name}.csv", index=False)
    (tmp_path / "gym.yaml").write_text(yaml.safe_dump(DECLARED, sort_keys=False))
    return folder


def test_a_draft_is_told_on_one_screen_with_what_to_type_next(churn, phone, tmp_path):
    home = tmp_path / "My Home"
    code, out, err = churn("init", "--from-drop", phone, home=home)
    assert (code, err) == (0, "")
    for said in (
        f"Drafted {home}/contract.yaml", "Entity   customer_id", "Label    customer_base.Churned",
        "status_code", "alone predicts churn, AUC 1.00", '6 places marked "# confirm"',
        f"churn ingest {phone / MONTH.isoformat()} --as-of {MONTH} --home '{home}'",
        f"churn contract check {phone / MONTH.isoformat()} --home '{home}'", f"churn run --home '{home}'",
    ):  # fmt: skip
        assert said in out
    contract = read_contract(home / "contract.yaml")
    assert (contract.name, contract.model_name) == ("my_home", "my_home_churn")
    assert (home / "mlflow.db").exists()


def test_an_editor_finds_the_schema_that_the_head_of_a_contract_names(churn, phone, tmp_path):
    for home, more in ((tmp_path / "drafted", ("--from-drop", phone)), (tmp_path / "plain", ())):
        churn("init", *more, home=home)
        head = (home / "contract.yaml").read_text(encoding="utf-8").splitlines()[:2]
        schema = home / head[0].removeprefix("# yaml-language-server: $schema=")
        code, out, err = churn("contract", "schema")
        assert (code, err, out) == (0, "", schema.read_text(encoding="utf-8"))
        declared = yaml.safe_load((home / "contract.yaml").read_text(encoding="utf-8"))
        jsonschema.Draft7Validator(json.loads(out)).validate(declared)
        page = head[1].partition("docs/")[2].partition(",")[0]
        assert (Path(__file__).parents[2] / "docs" / page).exists()


def test_what_it_says_to_type_next_works(churn, phone, tmp_path):
    home = tmp_path / "home"
    churn("init", "--from-drop", phone, home=home)
    code, out, _ = churn("contract", "check", "--home", home)
    assert (code, "Nothing would fail." in out) == (0, True)
    code, out, _ = churn("contract", "check", phone, "--home", home)
    assert (code, "customer_base.Churned" in out) == (0, True)
    assert churn("ingest", phone / MONTH.isoformat(), "--as-of", MONTH, home=home)[0] == 0


def test_a_draft_as_json_is_clean_and_holds_what_the_screen_holds(churn, laundry, tmp_path):
    code, out, err = churn("init", "--from-drop", laundry, "--json", home=tmp_path / "home")
    assert (code, err) == (0, "")
    found = json.loads(out)
    assert (found["entity"], found["label"], found["cadence"]) == (
        "client_no",
        "gone.has_left",
        "week",
    )
    assert found["as_of"] == "2024-01-14"
    assert {row["table"]: row["features"] for row in found["tables"]} == {
        "clients": 3,
        "orders": 2,
        "gone": 0,
    }
    assert {row["column"] for row in found["left_out"]} == {"note", "moved_on"}
    assert found["confirm"] == len(found["doubts"]) + 1  # the costs
    assert 0.2 < found["churn_rate"] < 0.4


def test_key_label_and_date_can_be_told(churn, phone, tmp_path):
    shutil.copytree(phone / MONTH.isoformat(), tmp_path / "files")
    told = ["--entity", "Customer ID", "--label", "Customer Base.E-mail Bills", "--as-of", MONTH]
    code, out, _ = churn(
        "init", "--from-drop", tmp_path / "files", *told, "--json", home=tmp_path / "home"
    )
    found = json.loads(out)
    assert (code, found["label"], found["as_of"]) == (
        0,
        "customer_base.e_mail_bills",
        MONTH.isoformat(),
    )
    assert "entity" not in {doubt["where"] for doubt in found["doubts"]}


def test_a_wide_table_shows_some_of_what_is_left_out_and_says_how_many_more(churn, tmp_path):
    table = pd.DataFrame({"id": range(50), "churn": [1, 0] * 25, "fee": range(3, 53)})
    (tmp_path / "drop").mkdir()
    table.assign(**{f"c{n}": 1 for n in range(20)}).to_parquet(tmp_path / "drop" / "t.parquet")
    _, out, _ = churn("init", "--from-drop", tmp_path / "drop", home=tmp_path / "home")
    assert "and 8 more, in the contract" in out
    assert "--as-of DATE" in out


def test_a_contract_that_is_there_is_never_overwritten(churn, phone, tmp_path):
    home = tmp_path / "home"
    churn("init", home=home)
    kept = (home / "contract.yaml").read_text()
    found = churn("init", "--from-drop", phone, home=home)
    assert wrong(found, home / "contract.yaml") == "CONTRACT_EXISTS"
    assert (home / "contract.yaml").read_text() == kept == default_contract_path().read_text()


def test_a_contract_that_a_variable_names_would_hide_the_draft(churn, environ, phone, tmp_path):
    environ.setenv("CHURN_CONTRACT", str(default_contract_path()))
    found = churn("init", "--from-drop", phone, home=tmp_path / "home")
    assert wrong(found, "CHURN_CONTRACT") == "CONTRACT_EXISTS"
    assert not (tmp_path / "home").exists()


@pytest.mark.parametrize(
    ("columns", "code"),
    [
        ({"fee": [1.5] * 40, "churn": [1, 0] * 20}, "KEY_NOT_FOUND"),
        ({"id": range(40), "fee": range(40)}, "LABEL_NOT_FOUND"),
    ],
)
def test_a_draft_that_cannot_be_made_is_one_sentence_and_leaves_no_home(
    churn, tmp_path, columns, code
):
    (tmp_path / "drop").mkdir()
    pd.DataFrame(columns).to_csv(tmp_path / "drop" / "t.csv", index=False)
    found = churn("init", "--from-drop", tmp_path / "drop", home=tmp_path / "home")
    assert wrong(found) == code
    assert not (tmp_path / "home").exists()
    (tmp_path / "none").mkdir()
    found = churn("init", "--from-drop", tmp_path / "none", home=tmp_path / "home")
    assert wrong(found, tmp_path / "none") == "DROP_MISSING"


def test_what_tells_a_draft_something_needs_a_draft(churn, tmp_path):
    for option in ("--entity", "--label", "--as-of"):
        found = churn("init", option, "2024-01-31", home=tmp_path / "home")
        assert wrong(found, "--from-drop") == "OPTIONS_CONFLICT"


def test_a_home_is_made_while_mlflow_is_away_and_the_first_run_asks_it(tmp_path):
    """In containers the API waits for the home: it must not wait for MLflow with it."""
    address = f"http://127.0.0.1:{free_port()}"
    home = Services(Settings(home=tmp_path / "home", mlflow_uri=address))
    assert address in make_home(home).says
    assert (home.folder / "contract.yaml").exists()
    assert not (home.folder / MARKER).exists()
    assert not (home.folder / "mlflow.db").exists()


def test_init_without_a_drop_answers_json_too(churn, tmp_path):
    _, out, _ = churn("init", "--json", home=tmp_path / "home")
    assert json.loads(out)["contract"] == str(tmp_path / "home" / "contract.yaml")


def test_a_contract_is_checked_by_its_file_without_a_home(churn, gym, tmp_path):
    code, out, err = churn("contract", "check", "--contract", tmp_path / "gym.yaml")
    assert (code, err) == (0, "")
    assert out.splitlines()[0] == str(tmp_path / "gym.yaml")
    assert "ok    label     leavers.has_left, known at its as_of" in out
    assert not (tmp_path / "churn_home").exists()


def test_a_contracts_faults_are_lines_with_file_and_line_and_exit_code_1(churn, gym, tmp_path):
    broken = (tmp_path / "gym.yaml").read_text().replace("dtype: boolean", "dtype: bool")
    (tmp_path / "gym.yaml").write_text(broken)
    code, out, err = churn("contract", "check", "--contract", tmp_path / "gym.yaml")
    assert (code, err) == (1, "")
    assert [line.split()[0] for line in out.splitlines()[1:3]] == ["fail", "fail"]
    number = 1 + next(n for n, line in enumerate(broken.splitlines()) if "dtype: bool" in line)
    assert f"gym.yaml:{number}: tables.members.columns.has_app.dtype" in out
    assert out.splitlines()[-1].startswith("2 faults")


def test_a_drop_is_checked_line_by_line_and_a_fault_is_exit_code_1(churn, gym, tmp_path):
    arguments = ("contract", "check", gym, "--contract", tmp_path / "gym.yaml")
    code, out, _ = churn(*arguments)
    assert (code, out.splitlines()[-1]) == (0, "Nothing would fail.")
    assert any(line.split()[:3] == ["ok", "members.plan", "category"] for line in out.splitlines())
    (gym / "members.csv").unlink()
    code, out, _ = churn(*arguments)
    assert (code, out.splitlines()[-1].split(":")[0]) == (1, "1 fault")
    code, out, err = churn(*arguments, "--json")
    found = json.loads(out)
    assert (code, err, found["ok"]) == (1, "", False)
    assert [line["where"] for line in found["lines"] if line["state"] == "fail"] == ["members"]


def test_a_check_of_nothing_is_wrong_use(churn, gym, tmp_path):
    found = churn("contract", "check", tmp_path / "x", "--contract", tmp_path / "gym.yaml")
    assert wrong(found, tmp_path / "x") == "DROP_MISSING"
    assert (
        "there is no such contract"
        in churn("contract", "check", "--contract", tmp_path / "x.yaml")[1]
    )


def test_the_how_to_page_shows_what_a_user_sees(churn, laundry, tmp_path):
    page = (Path(__file__).parents[2] / "docs" / "your-own-tables.md").read_text(encoding="utf-8")
    shutil.copytree(laundry, tmp_path / "laundry")
    _, out, _ = churn("init", "--from-drop", "laundry", "--home", "my_home")
    shown = "Drafted" + page.partition("```\nDrafted")[2].partition("```")[0]
    assert [line.rstrip() for line in out.splitlines()[1:]] == shown.splitlines()[1:]
    contract = (tmp_path / "my_home" / "contract.yaml").read_text()
    for line in page.partition("```yaml\n")[2].partition("```")[0].splitlines():
        assert line in contract.splitlines()
    assert f"above {LIMIT} it is a leak" in page
    assert f"at most {LISTED}, each seen {OFTEN} times" in page
