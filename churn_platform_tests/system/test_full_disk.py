"""`churn run` on a disk that is really full: one sentence, the old model serves, and with room again it ends well."""

import os
import re
import sys

import pytest

from churn_platform.cli.app import main
from churn_platform.promotion.promotions import production_candidate
from churn_platform_tests.small_business import FEBRUARY, copied, deliver, open_home
from churn_platform_tests.system.small_disk import full, small_disk
from churn_platform_tests.system.trusted_home import verification

pytestmark = pytest.mark.slow
LEFT = (0, 500_000)
"""Bytes that are free when the command begins."""


@pytest.fixture
def run(monkeypatch, capfd):
    """`churn run` on a home: (exit code, stderr)."""
    kept = dict(os.environ)
    for name in [name for name in kept if name.startswith(("CHURN_", "DAGSTER_HOME"))]:
        del os.environ[name]

    def churn_run(home):
        monkeypatch.setattr(sys, "argv", ["churn", "run", "--home", str(home.folder)])
        capfd.readouterr()
        with pytest.raises(SystemExit) as end:
            main()
        return end.value.code, capfd.readouterr().err

    yield churn_run
    os.environ.clear()
    os.environ.update(kept)


def test_a_full_disk_is_named_the_old_model_serves_and_with_room_the_same_command_ends_well(
    january, tmp_path, run
):
    with small_disk(tmp_path / "disk", 40) as disk:
        home = copied(january, disk / "home")
        deliver(home, FEBRUARY)
        for left in LEFT:
            with full(disk, left):
                code, said = run(home)
                assert (code, "Traceback" in said) == (1, False), (left, said)
                assert re.search("disk is full|No space left", said.splitlines()[-1]), (left, said)
                assert production_candidate(open_home(home.folder).releases).version == 1
            assert verification(open_home(home.folder))["verified"], left
        assert run(home)[0] == 0
        fresh = open_home(home.folder)
        assert fresh.releases.pointer().version == 2
        assert fresh.lake.months()[-1] == FEBRUARY
        assert verification(fresh)["verified"]
        assert [path for path in home.folder.rglob(".*.tmp") if "dagster" not in path.parts] == []
