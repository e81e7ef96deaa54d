"""A home out of its backup works where it is put, and what does not verify is put nowhere."""

import json
import os
import signal

import pytest

from churn_platform.base.errors import IntegrityError, UsageError
from churn_platform.maintenance.backup import INSIDE
from churn_platform_tests.maintenance.test_backup import rewritten
from churn_platform_tests.small_business import (
    FEBRUARY,
    JANUARY,
    candidate,
    deliver,
    monthly,
    open_home,
)


@pytest.fixture
def archive(january, tmp_path):
    january.backup.write(tmp_path / "a.zip")
    return tmp_path / "a.zip"


def test_a_restored_home_explains_as_the_first_did_and_goes_on_where_it_stood(
    january, archive, tmp_path
):
    home = open_home(tmp_path / "new" / "home")
    home.backup.restore(archive)
    home = open_home(home.folder)
    assert home.progress().next_step() is None, "nothing is to be processed a second time"
    assert home.status.explain("m00001", None) == january.status.explain("m00001", None)
    assert home.registry.load(1).digest == january.registry.load(1).digest
    deliver(home, FEBRUARY)
    monthly(home, FEBRUARY)
    assert home.registry.load(candidate(home, FEBRUARY)).version == 2
    assert open_home(january.folder).registry.alias("candidate") == 1, (
        "the first home is another one"
    )


def test_the_receipt_says_what_was_restored_from_where_and_the_chain_holds(
    january, archive, tmp_path
):
    home = open_home(tmp_path / "home")
    home.backup.restore(archive)
    receipt = home.ledger.receipts("home restored")[0]
    assert (receipt.before, receipt.after) == (str(january.folder), str(home.folder))
    assert receipt.evidence["head"] == january.ledger.head().digest == receipt.previous
    assert home.ledger.verify(home.releases.pointer().ledger_head) is None


def test_a_restore_goes_to_an_empty_folder_and_over_no_home(archive, january_copy, tmp_path):
    (tmp_path / "empty").mkdir()
    open_home(tmp_path / "empty").backup.restore(archive)
    assert (tmp_path / "empty" / "ledger").is_dir()
    before = sorted(january_copy.folder.rglob("*"))
    with pytest.raises(UsageError, match="is not empty"):
        january_copy.backup.restore(archive)
    assert sorted(january_copy.folder.rglob("*")) == before


def flipped(said, members):
    name = f"{INSIDE}lake/snapshots/{JANUARY}.json"
    members[name] = members[name].replace(b"first", b"tirst")


def cut_ledger(said, members):
    """A ledger whose last receipt is gone, with a digest that fits: the chain holds in itself."""
    import hashlib

    name = "ledger/receipts.jsonl"
    content = b"\n".join(members[INSIDE + name].splitlines()[:-1]) + b"\n"
    members[INSIDE + name] = content
    said["files"][name] |= {"sha256": hashlib.sha256(content).hexdigest(), "size": len(content)}


def changed_release(said, members):
    import hashlib

    name = "releases/1/model.skops"
    content = members[INSIDE + name] + b" "
    members[INSIDE + name] = content
    said["files"][name] |= {"sha256": hashlib.sha256(content).hexdigest(), "size": len(content)}


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (flipped, "does not match its digest"),
        (cut_ledger, "is damaged at receipt"),
        (changed_release, "release 1 was changed"),
    ],
)
def test_what_does_not_verify_is_put_nowhere(archive, tmp_path, change, says):
    rewritten(archive, change)
    with pytest.raises(IntegrityError, match=says):
        open_home(tmp_path / "home").backup.restore(archive)
    assert [path.name for path in tmp_path.iterdir()] == ["a.zip"]


def test_a_restore_that_is_killed_leaves_no_home_and_the_next_one_clears_up(archive, tmp_path):
    if (child := os.fork()) == 0:
        open_home(tmp_path / "home").backup.restore(
            archive, lambda name, _: name.startswith("mlflow") and die()
        )
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
    assert not (tmp_path / "home").exists()
    assert len(list(tmp_path.iterdir())) == 2
    open_home(tmp_path / "home").backup.restore(archive)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.zip", "home"]
    assert json.loads((tmp_path / "home" / "home.json").read_text()) == {"layout": 1}


def die():
    os.kill(os.getpid(), signal.SIGKILL)
