"""Shared fixtures: the libraries' environment, and one small home a session at three stages of its life.

A home is built once and read by many tests. A test that changes one takes a `..._copy`.
"""

import contextlib
import gc
import os
import sqlite3

import pytest
from sqlalchemy import Engine, event

from churn_platform.base.settings import Settings, prepare_environment
from churn_platform.training import mlflow_server
from churn_platform_tests.drafted_businesses import laundry, phone  # noqa: F401 - fixtures
from churn_platform_tests.gym import (  # noqa: F401 - fixtures
    candidate,
    dataset_of,
    declare,
    declared,
    gym,
    month,
    streamflow,
    two_months,
)
from churn_platform_tests.object_stores import (  # noqa: F401 - fixtures
    object_server,
    running_object_server,
    s3_uri,
)
from churn_platform_tests.real_months import february_home, january_home, real_data  # noqa: F401 - fixtures
from churn_platform_tests.shared_homes import copied_store, made_once
from churn_platform_tests.stores import postgres_server, redis_server  # noqa: F401 - fixtures

MOST_PROCESSES = 4
"""Each holds about 1 GB of imported libraries."""


def pytest_addoption(parser):
    """How long a soak lasts; CI takes a short one."""
    parser.addoption(
        "--soak-seconds", type=float, default=600.0, help="length of the soak (pytest -m soak)"
    )


def pytest_xdist_auto_num_workers(config):
    """How many processes run the fast tests. The others drive servers and daemons of their own: one process."""
    if "not slow" in config.option.markexpr:
        return min(os.cpu_count() or 1, MOST_PROCESSES)
    config.option.dist = "no"
    return 0


@pytest.hookimpl(wrapper=True)
def pytest_collection():
    """Imports leave little garbage: looking for it took a quarter of the time, and later more.

    Afterwards a complete search runs every 2 million objects. By default it ran every nine tests, and took
    a quarter of a second each in a process that has loaded Dagster and MLflow: with the smaller ones 11% of the CPU.
    """
    gc.disable()
    result = yield
    gc.freeze()
    gc.set_threshold(5_000, 20, 20)
    gc.enable()
    return result


@pytest.fixture(scope="session", autouse=True)
def environment(tmp_path_factory):
    """No telemetry, no network look-ups, and no test that writes into the folder it was started in."""
    kept = dict(os.environ)
    prepare_environment(Settings(home=tmp_path_factory.mktemp("environment")))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda descriptor: None)  # nothing has to survive a power cut
        make = copied_store(tmp_path_factory, mlflow_server.client_of)
        patch.setattr(mlflow_server, "client_of", make)
        yield
    os.environ.clear()
    os.environ.update(kept)


@event.listens_for(Engine, "connect")
def _without_waiting_for_the_disk(connection, _):
    """A new MLflow store takes dozens of commits: most of the time of many tests was flushing them."""
    if isinstance(connection, sqlite3.Connection):
        with contextlib.suppress(sqlite3.Error):  # not a database: MLflow and Dagster must find out
            connection.execute("PRAGMA synchronous = OFF")


@pytest.fixture(scope="session")
def small_contract():
    """The gym: three tables, four features, two slices."""
    from churn_platform_tests.small_business import declared as small

    return small()


@pytest.fixture(scope="session")
def shop(tmp_path_factory):
    """Four published months of a shop that has nothing but logs. Read only."""
    from churn_platform_tests.logged_business import NOW, published_shop
    from churn_platform_tests.small_business import open_home

    return open_home(made_once(tmp_path_factory, "shop", published_shop), lambda: NOW)


@pytest.fixture
def shop_copy(shop, tmp_path):
    """A copy of the shop."""
    from churn_platform_tests.logged_business import copied_shop

    return copied_shop(shop, tmp_path / "shop")


@pytest.fixture(scope="session")
def january_decided(tmp_path_factory):
    """January processed, version 1 approved, nothing in production yet. Read only."""
    from churn_platform_tests.small_business import JANUARY, make_home, open_home, up_to_decision

    def make(folder):
        up_to_decision(make_home(folder), JANUARY, "first")

    return open_home(made_once(tmp_path_factory, "january_decided", make))


@pytest.fixture(scope="session")
def january(january_decided, tmp_path_factory):
    """Version 1 in production, January scored by it, nothing due. Read only."""
    from churn_platform_tests.small_business import JANUARY, copied, open_home, up_to_scores

    def make(folder):
        up_to_scores(copied(january_decided, folder), JANUARY)

    return open_home(made_once(tmp_path_factory, "january", make))


@pytest.fixture(scope="session")
def february_decided(january, tmp_path_factory):
    """February processed, version 2 approved, version 1 still in production. Read only."""
    from churn_platform_tests.small_business import FEBRUARY, copied, open_home, up_to_decision

    def make(folder):
        up_to_decision(copied(january, folder), FEBRUARY, "performance")

    return open_home(made_once(tmp_path_factory, "february_decided", make))


@pytest.fixture(scope="session")
def february_pending(february_decided, tmp_path_factory):
    """As `february_decided`, under a policy with approval: version 2 passed and waits. Read only."""
    from churn_platform_tests.small_business import FEBRUARY, copied, open_home, with_policy

    def make(folder):
        home = with_policy(copied(february_decided, folder), mode="approval")
        home.decision_maker.decide(FEBRUARY, "performance")
        home.decision_maker.carry_out()

    return open_home(made_once(tmp_path_factory, "february_pending", make))


@pytest.fixture(scope="session")
def february(february_decided, tmp_path_factory):
    """Version 2 in production after version 1, February scored by it, nothing due. Read only."""
    from churn_platform_tests.small_business import FEBRUARY, copied, open_home, up_to_scores

    def make(folder):
        up_to_scores(copied(february_decided, folder), FEBRUARY)

    return open_home(made_once(tmp_path_factory, "february", make))


@pytest.fixture(scope="session")
def sound(february_decided, tmp_path_factory):
    """Two versions that were in production, January corrected after version 1 was trained on it. Read only."""
    from churn_platform_tests.small_business import open_home
    from churn_platform_tests.system.trusted_home import whole_life

    return open_home(
        made_once(tmp_path_factory, "sound", lambda folder: whole_life(february_decided, folder))
    )


@pytest.fixture
def sound_copy(sound, tmp_path):
    """`sound`, to change."""
    from churn_platform_tests.small_business import copied

    return copied(sound, tmp_path / "home")


@pytest.fixture
def february_pending_copy(february_pending, tmp_path):
    """`february_pending`, to change."""
    from churn_platform_tests.small_business import copied

    return copied(february_pending, tmp_path / "home")


@pytest.fixture
def february_copy(february, tmp_path):
    """`february`, to change."""
    from churn_platform_tests.small_business import copied

    return copied(february, tmp_path / "home")


@pytest.fixture
def january_decided_copy(january_decided, tmp_path):
    """`january_decided`, to change."""
    from churn_platform_tests.small_business import copied

    return copied(january_decided, tmp_path / "home")


@pytest.fixture
def january_copy(january, tmp_path):
    """`january`, to change."""
    from churn_platform_tests.small_business import copied

    return copied(january, tmp_path / "home")


@pytest.fixture
def february_decided_copy(february_decided, tmp_path):
    """`february_decided`, to change."""
    from churn_platform_tests.small_business import copied

    return copied(february_decided, tmp_path / "home")


@pytest.fixture(scope="session")
def served(january, tmp_path_factory):
    """Version 2, boosted trees with a serving form, in production of the gym; January scored by it. Read only."""
    from churn_platform_tests.api_client import boosted, point, publish
    from churn_platform_tests.small_business import JANUARY, copied, open_home

    def make(folder):
        home = copied(january, folder)
        publish(home, 2, boosted(home))
        publish(home, 3, boosted(home, seed=8))
        point(home, 2)
        home.scoring.score(JANUARY)

    return open_home(made_once(tmp_path_factory, "served", make))


@pytest.fixture
def served_copy(served, tmp_path):
    """`served`, to change; without the predictions that servers of this session have logged in it."""
    import shutil

    from churn_platform_tests.small_business import copied

    home = copied(served, tmp_path / "home")
    shutil.rmtree(home.folder / "predictions", ignore_errors=True)
    return home


@pytest.fixture(scope="session")
def changed(tmp_path_factory):
    """Six months of different contracts, each with a version of its own. Read only."""
    from churn_platform_tests.changing_business import live
    from churn_platform_tests.small_business import open_home

    return open_home(made_once(tmp_path_factory, "changed", live))


@pytest.fixture
def changed_copy(changed, tmp_path):
    """`changed`, to change."""
    from churn_platform_tests.small_business import copied

    return copied(changed, tmp_path / "home")


@pytest.fixture(scope="session")
def contacted(tmp_path_factory):
    """The gym with contacts: February and March planned, February's list worked. Read only."""
    from churn_platform_tests.contacts.contacted_gym import live as made
    from churn_platform_tests.small_business import open_home

    return open_home(made_once(tmp_path_factory, "contacted", made))


@pytest.fixture
def contacted_copy(contacted, tmp_path):
    """`contacted`, to change."""
    from churn_platform_tests.small_business import copied

    return copied(contacted, tmp_path / "home")


@pytest.fixture(scope="session")
def planned(tmp_path_factory):
    """The gym with contacts: version 1 in production, and February's contact plan."""
    from churn_platform_tests.contacts_business import NOW, planned_home
    from churn_platform_tests.small_business import open_home

    folder = made_once(tmp_path_factory, "planned", planned_home)
    return open_home(folder, lambda: NOW)


@pytest.fixture(scope="session")
def to_work(tmp_path_factory):
    """The gym with contacts: February's plan before anybody has worked it. Read only."""
    from churn_platform_tests.contacts_business import NOW, home_to_work
    from churn_platform_tests.small_business import open_home

    return open_home(made_once(tmp_path_factory, "to_work", home_to_work), lambda: NOW)


@pytest.fixture(scope="session")
def worked(to_work, tmp_path_factory):
    """The gym in March: February's plan was worked, its labels are known, the effect is shown."""
    from churn_platform_tests.contacts_business import LATER, worked_home
    from churn_platform_tests.small_business import copied, open_home

    def make(folder):
        worked_home(copied(to_work, folder).folder)

    folder = made_once(tmp_path_factory, "worked", make)
    return open_home(folder, lambda: LATER)


@pytest.fixture
def worked_copy(worked, tmp_path):
    """A copy of the home with a worked plan, to change."""
    from churn_platform_tests.contacts_business import LATER
    from churn_platform_tests.small_business import copied, open_home

    return open_home(copied(worked, tmp_path / "home").folder, lambda: LATER)


@pytest.fixture
def planned_copy(planned, tmp_path):
    """A copy of the home with a contact plan, to change."""
    from churn_platform_tests.contacts_business import NOW
    from churn_platform_tests.small_business import copied, open_home

    return open_home(copied(planned, tmp_path / "home").folder, lambda: NOW)
