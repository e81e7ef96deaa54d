"""The home: its layout, which contract it uses, and that one run at a time holds it."""

import json
import subprocess
import sys

import pytest

from churn_platform.base.errors import ContractError, HomeBusy, WrongLayout
from churn_platform.base.home import FOLDERS, LAYOUT, VERSION_FILE
from churn_platform.contract.reading import SCHEMA_FILE, default_contract_path, shipped_schema
from churn_platform.maintenance.dagster_config import EMBEDDED
from churn_platform_tests.small_business import make_home, open_home

HOLD = """
import sys, time
from filelock import FileLock
with FileLock(sys.argv[1]):
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def held(tmp_path):
    """Another process that holds the home in `tmp_path`; the process."""
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path / "home.lock")], stdout=subprocess.PIPE
    )
    assert holder.stdout.readline() == b"held\n"
    yield holder
    holder.kill()
    holder.wait()


def test_opening_a_home_reads_nothing_and_writes_nothing(tmp_path):
    home = open_home(tmp_path / "home")
    assert (
        home.lake.folder,
        home.releases.folder,
        home.ledger.folder,
        home.feature_store.folder,
    ) == (
        home.folder / "lake",
        home.folder / "releases",
        home.folder / "ledger",
        home.folder / "feast",
    )
    assert home.registry.tracking_uri == f"sqlite:///{home.folder}/mlflow.db"
    assert home.drops == home.folder / "drops"
    assert home.reports == home.folder / "reports"
    assert list(tmp_path.iterdir()) == []


def test_creating_makes_every_folder_once_and_leaves_what_is_yours(tmp_path):
    home = open_home(tmp_path / "home")
    home.create()
    assert sorted(path.name for path in home.folder.iterdir()) == sorted(
        [*FOLDERS, VERSION_FILE, SCHEMA_FILE]
    )
    configuration = home.folder / "dagster" / "dagster.yaml"
    assert configuration.read_text() == EMBEDDED
    configuration.write_text("mine: true\n")
    (home.folder / SCHEMA_FILE).write_text("an older version's")
    home.create()
    assert configuration.read_text() == "mine: true\n"
    assert (home.folder / SCHEMA_FILE).read_text(encoding="utf-8") == shipped_schema()


def test_the_contract_is_the_settings_then_the_homes_then_the_packages(tmp_path):
    home = open_home(tmp_path / "bare")
    assert home.contract_path == default_contract_path()
    home = make_home(tmp_path / "home")
    assert home.contract_path == home.folder / "contract.yaml"
    assert home.contract.name == "gym"
    named = open_home(home.folder, contract=default_contract_path())
    assert named.contract.name == "streamflow"
    with pytest.raises(ContractError, match=r"nowhere\.yaml: there is no such contract"):
        _ = open_home(home.folder, contract=tmp_path / "nowhere.yaml").contract


def test_holding_the_home_nests_in_one_process_and_ends(tmp_path):
    home = open_home(tmp_path)
    with home.exclusive(), open_home(tmp_path).exclusive():
        pass
    with home.exclusive():
        pass


def test_a_home_held_by_another_process_is_busy_with_a_sentence(tmp_path, held):
    home = open_home(tmp_path, lock_seconds=0.2)
    with (
        pytest.raises(
            HomeBusy, match=rf"^Another run has held {tmp_path} for 0 seconds: wait for it"
        ),
        home.exclusive(),
    ):
        pytest.fail("two runs held one home")


def test_who_finds_a_home_held_is_told_by_whom_since_when_and_for_what(tmp_path):
    code = (
        "import sys, time; from pathlib import Path; from churn_platform.services import Services\n"
        "from churn_platform.base.settings import Settings\n"
        "home = Services(Settings(home=Path(sys.argv[1]), actor='ann'))\n"
        "with home.exclusive('`churn run`'): print('held', flush=True); time.sleep(120)"
    )
    holder = subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE)
    assert holder.stdout.readline() == b"held\n"
    said = rf"^`churn run` of ann \(process {holder.pid}, since 20.*\) has held {tmp_path} for 0 seconds: wait for it"
    try:
        with pytest.raises(HomeBusy, match=said), open_home(tmp_path).exclusive("another", 0.1):
            pytest.fail("two runs held one home")
    finally:
        holder.kill()
        holder.wait()
    with open_home(tmp_path).exclusive("another", 0.1):
        assert (tmp_path / "home.holder").read_text().startswith("another of tester ")
    assert not (tmp_path / "home.holder").exists()


def test_a_killed_process_holds_the_home_no_longer(tmp_path, held):
    held.kill()
    held.wait()
    with open_home(tmp_path, lock_seconds=0.2).exclusive():
        assert (tmp_path / "home.lock").exists()


def test_whether_a_home_is_free_is_answered_without_waiting(tmp_path, held):
    assert not open_home(tmp_path).is_free()
    held.kill()
    held.wait()
    assert open_home(tmp_path).is_free()


def test_a_home_carries_the_number_of_its_layout_and_one_without_has_the_first(tmp_path):
    home = make_home(tmp_path / "home")
    assert json.loads((home.folder / VERSION_FILE).read_text()) == {"layout": LAYOUT}
    (home.folder / VERSION_FILE).unlink()
    home.check_layout()
    assert LAYOUT == 1


@pytest.mark.parametrize("said", ['{"layout": 2}', "{}", "[]", '{"layout": "1"}'])
def test_a_home_of_another_layout_is_refused_and_left_as_it_is(tmp_path, said):
    home = make_home(tmp_path / "home")
    (home.folder / VERSION_FILE).write_text(said)
    for touch in (home.check_layout, home.create):
        with pytest.raises(
            WrongLayout, match="knows layout 1 and 2 only: use the version that wrote it"
        ):
            touch()
    assert (home.folder / VERSION_FILE).read_text() == said
