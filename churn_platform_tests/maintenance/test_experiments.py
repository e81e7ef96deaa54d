"""Homes with experiments: verified, examined, repaired, restored elsewhere, and customers erased."""

import datetime as dt
import shutil

import pytest

from churn_platform.experiments.files import (
    MEASURED,
    RUNNING_FILE,
    STOPPED_FILE,
    canary_folder,
    read_running,
)
from churn_platform_tests.experiments.answering import answer
from churn_platform_tests.small_business import open_home
from churn_platform_tests.system.trusted_home import flip, verification

ANN = ("Ann", "To see it.")
RULE = "hours < 3"


@pytest.fixture
def home(february_pending_copy):
    """Version 1 in production; version 2, which waits, a canary, and a rule a shadow."""
    experiments = february_pending_copy.experiments
    experiments.start_canary(2, (0.25, 0.5), dt.timedelta(days=1), *ANN)
    experiments.start_shadow(None, RULE, *ANN)
    return open_home(february_pending_copy.folder)


def verified(home):
    return verification(open_home(home.folder))


def checked(home):
    found = open_home(home.folder).checkup.run()
    return [(one["state"], one["found"]) for one in found if one["check"] == "experiments"]


def repairs(home):
    return [(one.what, one.done) for one in open_home(home.folder).repairs.run()]


def test_what_runs_is_verified_and_a_home_without_experiments_has_no_such_check(home, february):
    [one] = [one for one in verified(home)["findings"] if one["check"] == "experiments"]
    assert (one["state"], one["count"]) == ("holds", 2)
    assert [state for state, _ in checked(home)] == ["ok"]
    assert checked(february) == []
    assert all(one["check"] != "experiments" for one in verification(february)["findings"])


@pytest.mark.parametrize(
    "damage",
    [
        lambda file: file.unlink(),
        lambda file: file.write_text("{"),
        lambda file: file.write_text(file.read_text().replace("0.25", "0.75")),
    ],
)
def test_a_file_that_differs_from_the_ledger_is_found_and_repaired(home, damage):
    file = home.releases.folder / RUNNING_FILE
    before = read_running(home.releases.folder)
    damage(file)
    assert any(RUNNING_FILE in one for one in verified(home)["breaks"])
    assert [state for state, _ in checked(home)] == ["error"]
    assert repairs(home) == [("experiment", True)]
    assert read_running(home.releases.folder) == before
    assert verified(home)["breaks"] == []
    assert repairs(home) == []


@pytest.mark.parametrize("lost", ["manifest.json", "folder"])
def test_a_release_that_only_a_canary_needs_is_published_again_and_the_canary_goes_on(home, lost):
    folder = home.releases.folder / "2"
    if lost == "folder":
        shutil.rmtree(folder)
    else:
        flip(folder / lost)
    assert any("release 2" in one for one in verified(home)["breaks"])
    assert repairs(home) == [("release", True)]
    assert verified(home)["breaks"] == []
    assert open_home(home.folder).experiments.settle() == []
    assert read_running(home.releases.folder).canary.version == 2


def test_a_change_of_production_that_is_not_settled_yet_is_no_fault(home):
    """Every server has noticed it and answers by production."""
    home.approvals.approve(2, *ANN)
    [one] = [one for one in verified(home)["findings"] if one["check"] == "experiments"]
    assert one["state"] == "said"
    assert verified(home)["breaks"] == []
    assert [state for state, _ in checked(home)] == ["warn"]
    open_home(home.folder).experiments.settle()
    assert [state for state, _ in checked(home)] == ["ok"]


def test_a_shadow_whose_release_is_lost_for_good_is_named(home):
    home.experiments.end_canary(*ANN)
    home.experiments.start_shadow(2, None, *ANN)
    shutil.rmtree(home.releases.folder / "2")
    home.registry._client().delete_model_version(home.registry.model_name, "2")
    assert repairs(home) == [("release", False), ("experiment", False)]
    home.experiments.end_shadow("version 2", *ANN)
    assert checked(home)[0][0] == "ok"


def test_a_restored_home_keeps_its_shadows_and_ends_its_canary(home, tmp_path):
    """The servers of the canary are elsewhere, and so is what they measured."""
    answer(home)
    (home.releases.folder / STOPPED_FILE).write_text("{}")
    home.backup.write(tmp_path / "home.zip")
    restored = open_home(tmp_path / "restored")
    restored.backup.restore(tmp_path / "home.zip")
    restored = open_home(tmp_path / "restored")
    running = read_running(restored.releases.folder)
    assert running.canary is None
    assert [one.name for one in running.shadows] == [RULE]
    [ended] = restored.ledger.receipts("canary ended")
    assert (ended.evidence["outcome"], ended.sequence) == (
        "home restored", restored.ledger.head().sequence,
    )  # fmt: skip
    assert not (restored.releases.folder / STOPPED_FILE).exists()
    assert not (restored.folder / MEASURED).exists()
    assert verified(restored)["breaks"] == []
    assert read_running(home.releases.folder).canary is not None


def test_what_servers_measure_has_no_key_of_a_customer(home):
    """So an erasure has nothing to remove there."""
    answer(home, range(40))
    folder = canary_folder(home.folder, read_running(home.releases.folder).canary.experiment)
    files = list(folder.iterdir())
    assert len(files) == 2
    assert not any(b"m000" in file.read_bytes() for file in files)
    home.erasure.erase("m00003", *ANN)
    assert verified(home)["breaks"] == []
    assert read_running(home.releases.folder).canary.version == 2
