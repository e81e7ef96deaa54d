"""The stack, started once for all tests of this folder; the logs of every service are shown when one fails."""

import os
import shutil
from pathlib import Path

import pytest

from churn_platform_tests.stack.native import Native


@pytest.fixture(scope="session")
def stack(real_data, tmp_path_factory):
    """Every service of docker/compose.yaml but Grafana, healthy."""
    native = Native(tmp_path_factory.mktemp("stack"))
    try:
        native.up()
        yield native
    finally:
        native.down()


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    """Add the end of all logs to a failure, and keep the logs where CHURN_STACK_LOGS names a folder."""
    outcome = yield
    report = outcome.get_result()
    native = item.funcargs.get("stack") if hasattr(item, "funcargs") else None
    if native is None or not report.failed:
        return
    report.sections.append(("logs of the stack", native.last_lines(40)))
    if kept := os.environ.get("CHURN_STACK_LOGS"):
        shutil.copytree(native.folder / "logs", Path(kept), dirs_exist_ok=True)
