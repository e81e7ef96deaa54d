"""What breaks around the loop: a clear error, the model in production still answers, and the same command again goes on.

The faults are real: another process holds MLflow's store, a limit of the system refuses the write, another user may not
write, the clock stands wrong.
"""

import contextlib
import datetime as dt
import os
import resource
import shutil
import sqlite3
import tempfile
from pathlib import Path

import pytest

from churn_platform.base.errors import IntegrityError
from churn_platform.ingestion.validation import DropRefused
from churn_platform.promotion.promotions import production_candidate
from churn_platform.training.registry import PRODUCTION
from churn_platform_tests.small_business import FEBRUARY, JANUARY, copied, deliver, open_home
from churn_platform_tests.system.crash_points import ended, forked

pytestmark = pytest.mark.slow


def serving(home, version):
    """The version answers, from its release, and the ledger's chain holds."""
    fresh = open_home(home.folder)
    assert production_candidate(fresh.releases).version == version
    assert fresh.ledger.verify(fresh.releases.pointer().ledger_head) is None


def promoted_after_all(home):
    """The same command again: exactly one promotion of version 2."""
    fresh = open_home(home.folder)
    fresh.promotions.recover()
    fresh.decision_maker.carry_out()
    serving(home, 2)
    assert fresh.registry.alias(PRODUCTION) == 2
    assert [r.subject for r in fresh.ledger.receipts("promotion done")] == [
        "version 1",
        "version 2",
    ]


def test_mlflows_store_locked_by_another_process_stops_the_promotion_and_not_the_model(
    february_decided_copy,
):
    """SQLite itself waits for half a minute, and then says so."""
    home = february_decided_copy
    with contextlib.closing(
        sqlite3.connect(home.folder / "mlflow.db", isolation_level=None)
    ) as other:
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(Exception, match=r"locked|cannot be read"):
            open_home(home.folder).decision_maker.carry_out()
        serving(home, 1)
        other.execute("ROLLBACK")
    promoted_after_all(home)


def test_mlflows_store_gone_stops_the_promotion_and_not_the_model(february_decided_copy, tmp_path):
    home = february_decided_copy
    (home.folder / "mlflow.db").rename(tmp_path / "away.db")
    for act in (lambda home: home.decision_maker.carry_out(), lambda home: home.registry.prepare()):
        with pytest.raises(
            IntegrityError, match=r"mlflow\.db is missing although a version is in production"
        ):
            act(open_home(home.folder))
    assert [one.done for one in open_home(home.folder).repairs.run()] == [False], (
        "it is not guessed at"
    )
    serving(home, 1)
    assert not (home.folder / "mlflow.db").exists(), (
        "a new store would number its versions from 1 again"
    )
    (tmp_path / "away.db").rename(home.folder / "mlflow.db")
    promoted_after_all(home)


@pytest.mark.parametrize("size", [0, 1_000, 20_000])
def test_a_write_that_the_system_refuses_leaves_the_model_and_is_done_again(
    february_decided_copy, tmp_path, size
):
    """No file may grow beyond `size`: the ledger's, the release's or the pointer's write fails for real."""
    home, log = february_decided_copy, tmp_path / "log"

    def limited():
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))
        try:
            open_home(home.folder).decision_maker.carry_out()
        except Exception as error:
            if "File too large" in str(error) or "disk" in str(error) or "full" in str(error):
                os._exit(7)
            raise

    assert ended(forked(limited, log)) == 7, log.read_text()
    serving(home, 1)
    promoted_after_all(home)


def test_a_lake_that_may_not_be_written_is_named_and_nothing_was_published(january):
    if os.getuid() != 0:
        pytest.skip("only root can become another user")
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        home = copied(january, Path(folder) / "home")
        deliver(home, FEBRUARY)
        log = Path(folder) / "log"

        def stranger():
            os.setgid(65534)
            os.setuid(65534)
            with pytest.raises(PermissionError) as refused:
                open_home(home.folder).ingestion.publish(FEBRUARY)
            os._exit(7 if str(home.folder) in str(refused.value.filename) else 8)

        assert ended(forked(stranger, log)) == 7, log.read_text()
        serving(home, 1)
        assert home.lake.months() == [JANUARY]
        assert home.ingestion.publish(FEBRUARY).kind == "first"


def test_a_clock_set_back_refuses_months_ahead_of_it_and_changes_nothing(january_copy):
    home = january_copy
    deliver(home, FEBRUARY)
    back = open_home(home.folder, lambda: dt.datetime(2023, 6, 1, tzinfo=dt.UTC))
    with pytest.raises(DropRefused, match="is more than one month in the future"):
        back.ingestion.publish(FEBRUARY)
    serving(home, 1)
    assert open_home(home.folder).ingestion.publish(FEBRUARY).kind == "first"


def test_a_promotion_under_a_clock_set_back_is_in_the_ledger_in_its_order(february_decided_copy):
    home = february_decided_copy
    open_home(
        home.folder, lambda: dt.datetime(2023, 6, 1, tzinfo=dt.UTC)
    ).decision_maker.carry_out()
    serving(home, 2)
    assert open_home(home.folder).repairs.run() == []


def test_one_flipped_bit_of_a_release_is_found_before_it_serves_and_mended(february_decided_copy):
    home = february_decided_copy
    home.decision_maker.carry_out()
    path = home.releases.folder / "2" / "model.skops"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(bytes(content))
    with pytest.raises(IntegrityError, match=r"release 2 was changed: model\.skops"):
        production_candidate(open_home(home.folder).releases)
    assert [one.done for one in open_home(home.folder).repairs.run()] == [True]
    serving(home, 2)
    shutil.rmtree(home.releases.folder / "2")
    assert [one.what for one in open_home(home.folder).repairs.run()] == ["release"]
    serving(home, 2)
