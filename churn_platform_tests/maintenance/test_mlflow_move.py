"""A home moved to a real MLflow server lives there as it did: versions under their numbers, people's acts, the next month."""

import datetime as dt
import os
import signal
from pathlib import Path

import mlflow
import pytest
from mlflow.tracking import MlflowClient

from churn_platform.base.errors import IntegrityError, StoreDown, UsageError
from churn_platform.base.files import write_json
from churn_platform.features.online.upkeep import notice_lost_rows
from churn_platform.maintenance.mlflow_history import BEFORE
from churn_platform.maintenance.mlflow_move import JOURNAL
from churn_platform.training.mlflow_server import MARKER, OWNER
from churn_platform.training.registry import CANDIDATE, PRODUCTION
from churn_platform_tests.servers import PROGRAMS, Served
from churn_platform_tests.small_business import (
    FEBRUARY,
    candidate,
    copied,
    deliver,
    monthly,
    open_home,
)
from churn_platform_tests.stores import online
from churn_platform_tests.system.crash_points import Counter, ended, forked
from churn_platform_tests.system.trusted_home import verification

pytestmark = pytest.mark.slow
MARCH = dt.date(2024, 3, 31)
NAME = "gym_churn"


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    folder = tmp_path_factory.mktemp("server")
    store = [
        "--backend-store-uri",
        f"sqlite:///{folder}/store.db",
        "--artifacts-destination",
        folder / "artifacts",
    ]
    served = Served([PROGRAMS / "mlflow", "server", "--workers", "1", *store], folder / "log", folder,
        MLFLOW_DISABLE_TELEMETRY="true", MLFLOW_SERVER_ENABLE_JOB_EXECUTION="false")  # fmt: skip
    try:
        served.folder = folder
        yield served.wait("/health")
    finally:
        served.end()


@pytest.fixture(scope="module")
def lived_in(february_pending, tmp_path_factory):
    """Version 2 waits for approval; versions 3 and 5 were deleted, 4 was cut off; a sweep's runs, one of them deleted."""
    home = copied(february_pending, tmp_path_factory.mktemp("lived_in") / "home")
    client = own_store(home)
    # MLflow looks the source up in the store in use, which an earlier test has chosen.
    mlflow.set_tracking_uri(f"sqlite:///{home.folder / 'mlflow.db'}")
    for _ in range(3):
        client.create_model_version(
            NAME, client.get_model_version(NAME, "2").source, await_creation_for=0
        )
    for deleted in ("3", "5"):
        client.delete_model_version(NAME, deleted)
    client.update_registered_model(NAME, "Who leaves the gym.")
    client.update_model_version(NAME, "1", "The first one.")
    experiment = client.get_experiment_by_name(NAME).experiment_id
    sweep = client.create_run(
        experiment, start_time=1_700_000_000_000, run_name="sweep"
    ).info.run_id
    child = client.create_run(
        experiment, tags={"mlflow.parentRunId": sweep}, run_name="child"
    ).info.run_id
    for step, value in enumerate((0.5, float("nan"), float("inf"))):
        client.log_metric(child, "loss", value, timestamp=1_700_000_000_000 + step, step=step)
    client.set_terminated(child, "FAILED", 1_700_000_100_000)
    client.delete_run(child)
    client.create_run(client.create_experiment("notebook"))
    return home


def own_store(home):
    uri = f"sqlite:///{home.folder / 'mlflow.db'}"
    return MlflowClient(tracking_uri=uri, registry_uri=uri)


def to(home, server):
    return open_home(home.folder, mlflow_uri=server.url)


def at(server):
    return MlflowClient(tracking_uri=server.url, registry_uri=server.url)


def assert_still_at_home(home):
    """Nothing was switched over: the home is as sound as it was, on its own store."""
    assert (home.folder / "mlflow.db").exists()
    assert not (home.folder / MARKER).exists()
    assert open_home(home.folder).registry.alias(PRODUCTION) == 1
    assert home.ledger.receipts("home moved") == []


@pytest.fixture(scope="module")
def moved(lived_in, server, redis_server, tmp_path_factory):
    """Moved at the fourth try: killed half way, then a file changed on the server, then one in the home's own store."""
    home = copied(lived_in, tmp_path_factory.mktemp("moved") / "home")
    opened = open_home(home.folder, mlflow_uri=server.url, online_store=redis_server.new())

    def die(done, total):
        if done == total - 1:
            os.kill(os.getpid(), signal.SIGKILL)

    def change_an_artifact(done, total):
        if done == total:
            newest = max(
                (server.folder / "artifacts").rglob("roc.png"),
                key=lambda path: path.stat().st_mtime_ns,
            )
            newest.write_bytes(b"another plot")

    def write_at_home(done, total):
        if done == total:
            own_store(home).set_registered_model_tag(NAME, "noticed", "by nobody")

    at(server).create_registered_model(NAME, tags={OWNER: "an empty home, as the stack makes one"})
    log = home.folder.parent / "log"
    assert ended(forked(lambda: opened.mlflow_move.move(die), log)) == -signal.SIGKILL, (
        log.read_text()
    )
    assert_still_at_home(home)
    with pytest.raises(
        IntegrityError,
        match=r"is not what was sent \(files of run \w+\)",
    ):
        opened.mlflow_move.move(change_an_artifact)
    assert_still_at_home(home)
    with pytest.raises(IntegrityError, match=r"Another process wrote to .*mlflow\.db meanwhile"):
        opened.mlflow_move.move(write_at_home)
    assert_still_at_home(home)
    return opened, opened.mlflow_move.move()


def test_versions_keep_their_numbers_tags_aliases_and_files(moved, lived_in, server):
    _, came = moved
    assert (came.versions, came.deleted, came.left) == ([1, 2, 4], [3, 5], ["experiment notebook"])
    ours, theirs = own_store(lived_in), at(server)
    assert theirs.get_registered_model(NAME).description == "Who leaves the gym."
    for number in ("1", "2", "4"):
        before, after = (client.get_model_version(NAME, number) for client in (ours, theirs))
        run = theirs.get_run(after.run_id) if after.run_id else None
        if run is not None:
            assert run.data.tags[BEFORE] == before.run_id
        changed = {"mlflow_run": after.run_id} if "mlflow_run" in before.tags else {}
        assert after.tags == before.tags | changed
        assert (after.description or "") == (before.description or "")
    assert [
        int(theirs.get_model_version_by_alias(NAME, alias).version)
        for alias in (PRODUCTION, CANDIDATE)
    ] == [1, 2]
    loaded = mlflow.artifacts.download_artifacts(
        f"models:/{NAME}/1",
        dst_path=str(server.folder / "loaded"),
        tracking_uri=server.url,
        registry_uri=server.url,
    )
    assert (Path(loaded) / "model.skops").exists()


def test_runs_keep_names_times_params_every_step_and_their_parents(moved, lived_in, server):
    ours, theirs = own_store(lived_in), at(server)
    experiment = theirs.get_experiment_by_name(NAME).experiment_id
    both = mlflow.entities.ViewType.ALL
    known = {
        run.info.run_id: run
        for run in ours.search_runs(
            [ours.get_experiment_by_name(NAME).experiment_id], run_view_type=both
        )
    }
    copies = theirs.search_runs([experiment], run_view_type=both)
    parent = next(
        run.info.run_id
        for run in copies
        if run.info.run_name == "sweep" and run.info.lifecycle_stage == "active"
    )
    children = [run for run in copies if run.data.tags.get("mlflow.parentRunId") == parent]
    active = [
        run for run in copies if run.info.lifecycle_stage == "active"
    ]  # others are of the tries before
    newest = {run.data.tags[BEFORE]: run for run in (*active, *children)}
    assert set(newest) == set(known)
    for one, before in known.items():
        after = newest[one]
        for name in ("run_name", "status", "start_time", "end_time", "lifecycle_stage"):
            assert getattr(after.info, name) == getattr(before.info, name), (one, name)
        assert after.data.params == before.data.params
        assert set(after.data.metrics) == set(before.data.metrics)
    [child] = children
    steps = [
        (one.step, str(one.value), one.timestamp)
        for one in theirs.get_metric_history(child.info.run_id, "loss")
    ]
    known_steps = ours.get_metric_history(child.data.tags[BEFORE], "loss")
    assert steps == [(one.step, str(one.value), one.timestamp) for one in known_steps]
    assert [value for _, value, _ in steps][:2] == ["0.5", "nan"]
    model = theirs.get_logged_model(
        theirs.get_model_version(NAME, "1").source.removeprefix("models:/")
    )
    assert {metric.key: metric.value for metric in model.metrics}["auc"] == theirs.get_run(
        model.source_run_id
    ).data.metrics["auc"]
    assert [out.model_id for out in theirs.get_run(model.source_run_id).outputs.model_outputs] == [
        model.model_id
    ]


def test_one_receipt_and_the_store_of_before_is_kept(moved, lived_in):
    home, came = moved
    [receipt] = home.ledger.receipts("home moved")
    assert (receipt.before, receipt.after) == ("mlflow.db", came.server)
    assert receipt.evidence["versions"] == [1, 2, 4]
    figures = {"server", "kept", "versions", "deleted", "runs", "files", "left"}
    assert set(receipt.evidence) == figures | {"move", "store", "code", "lock"}
    assert not (home.folder / "mlflow.db").exists()
    assert not (home.folder / JOURNAL).exists()
    kept = MlflowClient(registry_uri=f"sqlite:///{home.folder / came.kept}")
    assert int(kept.get_model_version_by_alias(NAME, PRODUCTION).version) == 1
    with pytest.raises(UsageError, match="on an MLflow server already"):
        home.mlflow_move.move()
    with pytest.raises(UsageError, match="CHURN_MLFLOW_URI is not set"):
        open_home(home.folder).registry.alias(PRODUCTION)


def test_the_newest_month_is_in_the_online_store_of_the_settings(moved):
    home, _ = moved
    assert home.feature_store.online_as_of() == FEBRUARY
    assert online(home.feature_store, "m00001")["months"] >= 0
    assert notice_lost_rows(home.feature_store, home.lake, home.now()) is False


def test_a_server_that_has_versions_of_that_name_is_left_alone(moved, lived_in, server, tmp_path):
    home = copied(lived_in, tmp_path / "home")
    with pytest.raises(
        UsageError, match=r"The server already has versions of gym_churn\. .* Nothing was moved\."
    ):
        to(home, server).mlflow_move.move()
    assert_still_at_home(home)
    assert len(at(server).search_model_versions(f"name='{NAME}'")) == 3


def test_people_and_the_loop_go_on_there(moved, server):
    """Last in this file: it changes the home."""
    home, _ = moved
    settings = {"mlflow_uri": home.settings.mlflow_uri, "online_store": home.settings.online_store}
    found = verification(home, deep=True, **settings)
    assert found["verified"], found["breaks"]
    assert home.reproduction.reproduce(1).reproduced
    home.approvals.approve(2, "ann", "it is the better one")
    assert int(at(server).get_model_version_by_alias(NAME, PRODUCTION).version) == 2
    open_home(home.folder, **settings).rollbacks.roll_back("ann", "it promised too much", to=1)
    assert int(at(server).get_model_version_by_alias(NAME, PRODUCTION).version) == 1
    opened = open_home(home.folder, **settings)
    deliver(opened, MARCH)
    monthly(opened, MARCH)
    assert candidate(opened, MARCH) == 6, "a number that a deleted version had is never given again"
    assert verification(home, deep=True, **settings)["verified"]


@pytest.mark.parametrize(
    ("broken", "kind", "said"),
    [
        (lambda home: (home.folder / "ledger" / "receipts.jsonl").write_text("{}\n"), IntegrityError, "The home has a fault, so nothing was moved: .*line 1"),
        (lambda home: (home.folder / "mlflow.db").unlink(), UsageError, "has no MLflow store of its own"),
        (lambda home: next((home.folder / "artifacts").rglob("model.skops")).write_bytes(b""), IntegrityError, "has a fault.*model.skops does not match"),
    ],
    ids=["ledger", "no store", "artifact"],
)  # fmt: skip
def test_what_cannot_be_moved_is_one_sentence_and_stays(broken, kind, said, january_copy, server):
    broken(january_copy)
    before = sorted(path for path in january_copy.folder.rglob("*") if path.suffix != ".lock")
    with pytest.raises(kind, match=said):
        to(january_copy, server).mlflow_move.move()
    assert (
        sorted(path for path in january_copy.folder.rglob("*") if path.suffix != ".lock") == before
    )


def test_no_server_in_the_settings_and_one_that_is_away(january):
    with pytest.raises(UsageError, match="CHURN_MLFLOW_URI is not set"):
        january.mlflow_move.move()
    with pytest.raises(StoreDown, match=r"does not answer .* Nothing was moved\."):
        open_home(january.folder, mlflow_uri="http://127.0.0.1:9").mlflow_move.move()


def test_killed_after_the_switch_the_next_command_tidies_up_once(january_copy, tmp_path):
    said = {
        "server": "http://mlflow",
        "kept": "mlflow-before.db",
        "versions": [1],
        "deleted": [],
        "runs": 1,
        "files": 12,
        "left": [],
    }
    write_json(january_copy.folder / JOURNAL, {"owner": "abc", "moved": said, "store": "0" * 64})
    write_json(january_copy.folder / MARKER, {"owner": "abc"})
    point, code = -1, None
    while code != 0:
        point += 1
        home, log = copied(january_copy, tmp_path / str(point)), tmp_path / f"{point}.log"
        code = ended(forked(lambda home=home, point=point: tidy_and_die(home, point), log))
        assert code in (0, -signal.SIGKILL), log.read_text()
        open_home(home.folder).mlflow_move.finish()
        assert open_home(home.folder).mlflow_move.finish() is None
        assert len(home.ledger.receipts("home moved")) == 1
        assert (home.folder / "mlflow-before.db").exists()
        assert home.ledger.verify(home.releases.pointer().ledger_head) is None
    assert point >= 4, "there are more points than that to die at"


def tidy_and_die(home, point):
    Counter(point).install()
    open_home(home.folder).mlflow_move.finish()
