"""`churn init --from-drop` and `churn contract check` as people and programs meet them."""

import json
import shutil
import zipfile
from pathlib import Path

import jsonschema
import pandas as pd
import pytest
import yaml

from churn_platform.alerting.dagster_ui import free_port
from churn_platform.base.settings import Settings
from churn_platform.cli.contract import make_home
from churn_platform.contract.policy import TrainingPolicy
from churn_platform.contract.reading import default_contract_path, read_contract
from churn_platform.drafting.columns import LISTED, OFTEN
from churn_platform.drafting.tables import LIMIT
from churn_platform.services import Services
from churn_platform.training.mlflow_server import MARKER
from churn_platform_tests.cli.conftest import wrong
from churn_platform_tests.drafted_businesses import MONTH
from churn_platform_tests.small_business import DECLARED, FEBRUARY, JANUARY, deliver, month_tables
from churn_platform_tests.small_business import make_home as make_small_home

DOCS = Path(__file__).parents[2] / "docs"
SHIPPED = default_contract_path().read_text(encoding="utf-8")


@pytest.fixture
def gym(tmp_path):
    """A month of the gym and its contract's file, without a home."""
    folder = tmp_path / "delivered"
    folder.mkdir()
    for name, table in month_tables(JANUARY, 60).items():
        table.to_csv(folder / f"{name}.csv", index=False)
    (tmp_path / "gym.yaml").write_text(yaml.safe_dump(DECLARED, sort_keys=False))
    return folder


def test_a_draft_is_shown_on_one_screen_with_the_commands_to_type_next(churn, phone, tmp_path):
    home = tmp_path / "My Home"
    drop = phone / MONTH.isoformat()
    code, out, err = churn("init", "--from-drop", phone, home=home)
    assert (code, err) == (0, "")
    for fact in (
        f"Drafted {home}/contract.yaml", "Entity   customer_id", "Label    customer_base.Churned",
        "status_code", "alone predicts churn, AUC 1.00", '6 places marked "# confirm"',
        f"churn ingest {drop} --as-of {MONTH} --home '{home}'",
        f"churn contract check {drop} --home '{home}'", f"churn run --home '{home}'",
    ):  # fmt: skip
        assert fact in out
    contract = read_contract(home / "contract.yaml")
    assert (contract.name, contract.model_name) == ("my_home", "my_home_churn")
    code, out, _ = churn("contract", "check", "--home", home)
    assert (code, "Nothing would fail." in out) == (0, True)
    code, out, _ = churn("contract", "check", drop, "--home", home)
    assert (code, "customer_base.Churned" in out) == (0, True)
    assert churn("ingest", drop, "--as-of", MONTH, home=home)[0] == 0
    code, schema, err = churn("contract", "schema")
    assert (code, err) == (0, "")
    for text in (home / "contract.yaml").read_text(encoding="utf-8"), SHIPPED:
        head = text.splitlines()[:2]
        assert schema == (home / head[0].partition("$schema=")[2]).read_text(encoding="utf-8")
        jsonschema.Draft7Validator(json.loads(schema)).validate(yaml.safe_load(text))
        assert (DOCS / head[1].partition("docs/")[2].partition(",")[0]).exists()


def test_a_draft_as_json_has_the_fields_of_the_screen(churn, laundry, tmp_path):
    code, out, err = churn("init", "--from-drop", laundry, "--json", home=tmp_path / "home")
    assert (code, err) == (0, "")
    found = json.loads(out)
    facts = {
        "entity": "client_no",
        "label": "gone.has_left",
        "cadence": "week",
        "as_of": "2024-01-14",
    }
    assert found.items() >= facts.items()
    features = {row["table"]: row["features"] for row in found["tables"]}
    assert features == {"clients": 3, "orders": 2, "gone": 0}
    assert {row["column"] for row in found["left_out"]} == {"note", "moved_on"}
    assert found["confirm"] == len(found["doubts"]) + 1  # the costs
    assert 0.2 < found["churn_rate"] < 0.4


def test_key_label_and_date_can_be_given(churn, phone, tmp_path):
    shutil.copytree(phone / MONTH.isoformat(), tmp_path / "files")
    given = ["--entity", "Customer ID", "--label", "Customer Base.E-mail Bills", "--as-of", MONTH]
    home = tmp_path / "home"
    code, out, _ = churn("init", "--from-drop", tmp_path / "files", *given, "--json", home=home)
    found = json.loads(out)
    assert (code, found["label"]) == (0, "customer_base.e_mail_bills")
    assert found["as_of"] == MONTH.isoformat()
    assert "entity" not in {doubt["where"] for doubt in found["doubts"]}


def test_a_wide_table_shows_some_of_what_is_left_out_and_says_how_many_more(churn, tmp_path):
    table = pd.DataFrame({"id": range(50), "churn": [1, 0] * 25, "fee": range(3, 53)})
    (tmp_path / "drop").mkdir()
    table.assign(**{f"c{n}": 1 for n in range(20)}).to_parquet(tmp_path / "drop" / "t.parquet")
    _, out, _ = churn("init", "--from-drop", tmp_path / "drop", home=tmp_path / "home")
    assert "and 8 more, in the contract" in out
    assert "--as-of DATE" in out


def test_an_existing_contract_is_never_overwritten(churn, phone, tmp_path):
    home = tmp_path / "home"
    _, out, _ = churn("init", "--json", home=home)
    assert json.loads(out)["contract"] == str(home / "contract.yaml")
    found = churn("init", "--from-drop", phone, home=home)
    assert wrong(found, home / "contract.yaml") == "CONTRACT_EXISTS"
    assert (home / "contract.yaml").read_text(encoding="utf-8") == SHIPPED
    assert (home / "contract.schema.json").exists()


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


def test_files_that_are_gathered_elsewhere_are_named_as_they_were_given(churn, gym, tmp_path):
    home = make_small_home(tmp_path / "home")
    payments = tmp_path / "payments.csv"
    payments.write_text("member,amount\nm00001,3\n")
    february = tmp_path / "export" / FEBRUARY.isoformat()
    february.mkdir(parents=True)
    with zipfile.ZipFile(tmp_path / "payments.zip", "w") as archive:
        archive.write(payments, "payments.csv")
    shutil.copy(tmp_path / "payments.zip", february)
    checked = ("contract", "check", "--home", home.folder)
    for named in (payments, tmp_path / "payments.zip", february):
        found = churn("ingest", named, "--as-of", JANUARY, home=home)
        assert wrong(found, named, "members.csv") == "DROP_MISSING"
        assert wrong(churn(*checked, named), named, "members.csv") == "DROP_MISSING"
    # A folder of drops of which one is another business's.
    found = churn(*checked, tmp_path / "export")
    assert wrong(found, february, "members.csv") == "DROP_MISSING"
    shutil.copytree(february, tmp_path / "months" / FEBRUARY.isoformat())
    shutil.copytree(february, tmp_path / "months" / JANUARY.isoformat())
    found = churn("contract", "update", "--from-drop", tmp_path / "months", home=home)
    assert wrong(found, tmp_path / "months") == "USAGE_INVALID"


def test_a_check_of_nothing_is_wrong_use(churn, gym, tmp_path):
    found = churn("contract", "check", tmp_path / "x", "--contract", tmp_path / "gym.yaml")
    assert wrong(found, tmp_path / "x") == "DROP_MISSING"
    assert (
        "there is no such contract"
        in churn("contract", "check", "--contract", tmp_path / "x.yaml")[1]
    )


def test_the_how_to_page_shows_what_a_user_sees(churn, laundry, tmp_path):
    page = (DOCS / "your-own-tables.md").read_text(encoding="utf-8")
    shutil.copytree(laundry, tmp_path / "laundry")
    _, out, _ = churn("init", "--from-drop", "laundry", "--home", "my_home")
    shown = "Drafted" + page.partition("```\nDrafted")[2].partition("```")[0]
    assert [line.rstrip() for line in out.splitlines()[1:]] == shown.splitlines()[1:]
    contract = (tmp_path / "my_home" / "contract.yaml").read_text()
    for line in page.partition("```yaml\n")[2].partition("```")[0].splitlines():
        assert line in contract.splitlines()
    assert f"above {LIMIT} it is a leak" in page
    assert f"at most {LISTED}, each seen {OFTEN} times" in page


def test_the_example_of_the_page_on_your_own_model_passes_its_check(churn, tmp_path):
    page = (DOCS / "your-own-model.md").read_text(encoding="utf-8")
    code = page.partition("```python\n")[2].partition("```")[0]
    given = [part.partition("```")[0] for part in page.split("```yaml\n")[1:]]
    (tmp_path / "my_models").mkdir()
    (tmp_path / "my_models" / "churn.py").write_text(code)
    own, library = [part for part in given if "estimator:" in part][:2]
    policies = [yaml.safe_load(text)["policy"]["training"] for text in (own, library)]
    assert TrainingPolicy.model_validate(policies[1]).estimator == "xgboost:XGBClassifier"
    policy = {**DECLARED["policy"], "training": policies[0]}
    path = tmp_path / "gym.yaml"
    path.write_text(yaml.safe_dump({**DECLARED, "policy": policy}, sort_keys=False))
    exit_code, out, _ = churn("contract", "check", "--contract", path)
    assert (exit_code, "gives XGBClassifier, reasons by TreeSHAP" in out) == (0, True)


@pytest.fixture
def changed_gym(tmp_path):
    """A gym with a published January, and the files of a February with a renamed value and header."""
    home = make_small_home(tmp_path / "home")
    home.contract_history.record()
    deliver(home, JANUARY, month_tables(JANUARY, 60))
    home.ingestion.publish(JANUARY)
    frames = month_tables(FEBRUARY, 60)
    frames["members"]["plan"] = frames["members"]["plan"].replace({"basic": "standard"})
    frames["visits"] = frames["visits"].rename(columns={"hours": "Hours"})
    folder = tmp_path / "february"
    folder.mkdir()
    for name, frame in frames.items():
        frame.to_csv(folder / f"{name}.csv", index=False)
    return home, folder


def test_a_refused_drop_is_accepted_after_the_command_that_it_names(churn, answer, changed_gym):
    home, folder = changed_gym
    code, _, err = churn("ingest", folder, "--as-of", FEBRUARY, home=home)
    assert code == 1
    assert "'standard' is new in" in err
    command = f"churn contract update --from-drop {folder} --as-of {FEBRUARY} --home {home.folder}"
    assert command in err
    text = (home.folder / "contract.yaml").read_text()
    shown = answer("contract", "update", *command.split()[3:7], home=home)
    assert (shown["written"], shown["remaining"], shown["refused"]) == (False, [], [])
    assert {change["where"] for change in shown["changes"]} == {
        "tables.members.columns.plan.renamed",
        "tables.visits.columns.hours.sources",
    }
    assert len(shown["confirm"]) == 2
    assert (home.folder / "contract.yaml").read_text() == text
    code, out, _ = churn(*command.split()[1:7], "--yes", home=home)
    assert (code, f"churn contract update --undo --home {home.folder}" in out) == (0, True)
    assert churn("ingest", folder, "--as-of", FEBRUARY, home=home)[0] == 0
    code, out, _ = churn("contract", "update", "--undo", "--yes", home=home)
    assert code == 0
    assert (home.folder / "contract.yaml").read_text() == text


def test_proposals_are_left_out_and_the_faults_that_remain_are_shown(churn, changed_gym):
    home, folder = changed_gym
    update = ("contract", "update", "--from-drop", folder, "--as-of", FEBRUARY)
    code, out, _ = churn(*update, "--skip", "tables.visits", home=home)
    assert code == 0
    assert "--skip tables.members.columns.plan.renamed" in out
    assert "'hours'" in out.partition("These faults remain:")[2]
    code, out, _ = churn(*update, home=home)
    assert "These faults remain" not in out
    assert "Nothing was written" in out


@pytest.mark.parametrize(
    ("options", "code"),
    [
        (("--undo", "--skip", "x"), "OPTIONS_CONFLICT"),
        (("--as-of", "2024-02-29"), "OPTIONS_CONFLICT"),
        (("--skip", "tables"), "OPTIONS_CONFLICT"),
        (("--undo",), "USAGE_INVALID"),
    ],
)
def test_options_that_do_not_go_together_are_refused(churn, changed_gym, options, code):
    assert wrong(churn("contract", "update", *options, home=changed_gym[0])) == code


@pytest.fixture
def published(tmp_path):
    """A home with January, under the recorded contract."""
    home = make_small_home(tmp_path / "home")
    home.contract_history.record()
    deliver(home, JANUARY, month_tables(JANUARY, 60))
    home.ingestion.publish(JANUARY)
    return home


def test_an_update_shows_its_changes_and_writes_them_when_agreed(
    churn, answer, published, tmp_path
):
    february = tmp_path / "february"
    february.mkdir()
    for name, table in month_tables(FEBRUARY, 60).items():
        if name == "visits":
            table["classes"] = range(len(table))
        table.to_csv(february / f"{name}.csv", index=False)
    update = ("contract", "update", "--from-drop", february, "--as-of", FEBRUARY)
    before = published.contract_path.read_text(encoding="utf-8")
    code, out, err = churn(*update, home=published)
    assert (code, err, "visits.classes" in out) == (0, "", True)
    assert published.contract_path.read_text(encoding="utf-8") == before
    assert answer(*update, "--yes", home=published)["written"]
    assert (
        read_contract(published.contract_path).tables["visits"].columns["classes"].since == FEBRUARY
    )
    assert answer("contract", "diff", home=published)["changes"] == []
    changes = answer("contract", "diff", JANUARY, home=published)["changes"]
    assert changes[0]["where"] == "tables.visits.columns.classes"


def test_a_refused_change_is_not_recorded(churn, answer, published):
    text = published.contract_path.read_text(encoding="utf-8")
    edited = yaml.safe_load(text)
    edited["tables"]["visits"]["columns"]["classes"] = {"dtype": "integer"}
    published.contract_path.write_text(yaml.safe_dump(edited, sort_keys=False))
    code, _, err = churn("contract", "update", "--yes", home=published)
    assert (code, "[CONTRACT_CHANGED]" in err, "visits.classes" in err) == (1, True, True)
    assert len(answer("contract", "diff", home=published)["refused"]) == 1
    assert len(published.ledger.receipts("contract changed")) == 1


def test_a_month_that_was_never_published_has_no_contract_to_compare_with(churn, tmp_path):
    home = make_small_home(tmp_path / "home")
    assert wrong(churn("contract", "diff", JANUARY, home=home)) == "MONTH_UNKNOWN"


def test_an_estimator_of_the_contract_is_tried(churn, gym, tmp_path, monkeypatch):
    own = tmp_path / "gym_models.py"
    own.write_text(
        "from sklearn.ensemble import GradientBoostingClassifier\n\n"
        "def build(trees=5): return GradientBoostingClassifier(n_estimators=trees)\n"
    )
    path = tmp_path / "gym.yaml"

    def checked(entry, **parameters):
        training = {"estimator": entry, "parameters": parameters}
        policy = {**DECLARED["policy"], "training": training}
        path.write_text(yaml.safe_dump({**DECLARED, "policy": policy}, sort_keys=False))
        code, out, _ = churn("contract", "check", "--contract", path, "--json")
        lines = json.loads(out)["lines"]
        return code, [one for one in lines if one["where"].startswith("policy.training")]

    code, [line] = checked("gym_models:build", trees=3)
    assert (code, line["state"], "code" in line) == (0, "ok", False)
    assert "GradientBoostingClassifier" in line["says"]
    code, [line] = checked("gym_models:build", tree=3)
    assert (code, line["state"], line["code"]) == (1, "fail", "ESTIMATOR_PARAMETER_UNKNOWN")
    own.write_text("class Own: pass\n\ndef build(): return Own()\n")
    code, [line] = checked("gym_models:build")
    assert (code, line["code"]) == (1, "ESTIMATOR_INVALID")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "lonely_models.py").write_text("from sklearn.naive_bayes import GaussianNB\n")
    monkeypatch.chdir(elsewhere)
    code, [line, note] = checked("lonely_models:GaussianNB")
    assert (code, line["state"], note["state"]) == (0, "ok", "note")
