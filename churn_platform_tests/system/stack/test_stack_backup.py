"""The three files of docs/stack.md's backup make the stack again: a new database, new volumes, and the loop goes on.

Between `test_stack.py` and `test_stack_faults.py`, on the same start of every service: what follows lives in what was
restored. It costs more than a minute, most of it starting services again, so only CHURN_STACK_BACKUP=1 asks for it.
"""

import json
import os
import signal
import subprocess

import pytest

from churn_platform_tests.real_months import JANUARY
from churn_platform_tests.system.stack.asking import MINUTES, drop, predict, promoted, runs
from churn_platform_tests.system.stack.native import POSTGRES, PROGRAMS

pytestmark = [
    pytest.mark.stack,
    pytest.mark.skipif(
        not os.environ.get("CHURN_STACK_BACKUP"), reason="CHURN_STACK_BACKUP=1 asks for it"
    ),
]
STOPPED = ("dagster-daemon", "dagster-webserver", "dagster-code", "exporter", "api", "mlflow")
VOLUMES = {"home": "home.tar.gz", "mlflow": "mlflow.tar.gz"}


@pytest.fixture(scope="module", autouse=True)
def january_done(stack, opened):
    """The first month is in production, also when this file is run alone."""
    if not promoted(opened(), 1, JANUARY):
        drop(stack, JANUARY)
        stack.wait(
            "version 1 is in production", 8 * MINUTES, lambda: promoted(opened(), 1, JANUARY)
        )


def postgres(stack, program, *words, **options):
    """A program of Postgres as `docker compose exec postgres` runs it."""
    where = ["-h", "127.0.0.1", "-p", str(stack.port("postgres", 5432)), "-U", "churn"]
    password = {"PGPASSWORD": stack.environment("postgres")["POSTGRES_PASSWORD"]}
    return subprocess.run([POSTGRES / program, *where, *words], env=password, check=True, **options)


def tar(stack, *words):
    subprocess.run(["tar", "-C", stack.folder, *words], check=True)


def test_a_stack_made_anew_from_its_backup_agrees_and_serves(stack, opened):
    before, version, made = (
        runs(stack),
        opened().registry.alias("production"),
        stack.folder / "backup",
    )
    made.mkdir()
    for name in STOPPED:
        stack.stop(name)
    with (made / "postgres.sql").open("wb") as dump:
        postgres(stack, "pg_dumpall", stdout=dump)
    for volume, file in VOLUMES.items():
        tar(stack, "-czf", made / file, volume)
        (stack.folder / volume).rename(stack.folder / f"{volume}.lost")
    stack.stop("postgres", signal.SIGINT)
    (stack.folder / "postgres").rename(stack.folder / "postgres.lost")

    stack.start("postgres")
    stack.until_healthy("postgres")
    postgres(
        stack, "psql", "-d", "postgres", "-q", "-f", made / "postgres.sql", capture_output=True
    )
    for file in VOLUMES.values():
        tar(stack, "-xzf", made / file)
    took = stack.wait("everything is back", 4 * MINUTES, lambda: back(stack))
    stack.figures["seconds_restored_stack"] = round(took)
    assert runs(stack) == before
    assert opened().registry.alias("production") == version
    churn = [PROGRAMS / "churn", "verify", "--deep", "--json"]
    said = subprocess.run(
        churn,
        env=stack.environment("dagster-code"),
        cwd=stack.home,
        capture_output=True,
        check=False,
    )
    assert json.loads(said.stdout)["breaks"] == []
    stack.wait("the API answers", MINUTES, lambda: predict(stack).status_code == 200)


def back(stack):
    """Start what was stopped, in the order in which it is needed; whether all of it is healthy."""
    for name in reversed(STOPPED):
        if stack.processes[name].poll() is not None:
            stack.start(name)
        stack.until_healthy(name)
    return True
