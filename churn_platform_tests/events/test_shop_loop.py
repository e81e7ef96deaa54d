"""The whole loop on logs: late events run the touched months again, a version is made again, the API
answers, and what a backup restores and an erasure leaves still verifies.
"""

import asyncio
import datetime as dt

import pandas as pd
import pytest

from churn_platform.reports.status_record import HomeStatus
from churn_platform_tests.api_client import client, running
from churn_platform_tests.logged_business import (
    LATE,
    MONTHS,
    NOW,
    deliver_shop,
    drop_of,
    shop_home,
    with_rows,
)
from churn_platform_tests.loop_steps import run
from churn_platform_tests.small_business import open_home
from churn_platform_tests.system.trusted_home import verification

pytestmark = pytest.mark.slow
JANUARY, FEBRUARY, MARCH = MONTHS[:3]


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """Three processed months; the late events of March run January and February again."""
    home = shop_home(tmp_path_factory.mktemp("loop") / "home", now=lambda: NOW)
    for as_of in (JANUARY, FEBRUARY):
        deliver_shop(home, as_of)
        assert run(home) == [f"monthly {as_of}"]
        home = open_home(home.folder, lambda: NOW)
    deliver_shop(home, MARCH, with_rows(drop_of(MARCH), "orders", *LATE))
    steps = ["monthly", "monthly", "monthly", "retraining"]
    months = [MARCH, JANUARY, FEBRUARY, MARCH]
    ran = run(home)
    # Labels of older months are news for the newest one, which is prepared once more.
    assert [one for one in ran if one != f"monthly {MARCH}"] == [
        f"{step} {month}" for step, month in zip(steps, months, strict=True) if month != MARCH
    ] + [f"retraining {MARCH}"]
    return open_home(home.folder, lambda: NOW)


def test_the_loop_ends_and_every_record_is_of_the_corrected_months(home):
    assert home.progress().next_step() is None
    for as_of in (JANUARY, FEBRUARY):
        record = home.records.read("training_dataset", as_of)
        assert record["snapshot"] == home.lake.digest(as_of)


def test_everything_verifies_and_the_version_is_made_again_bit_for_bit(home):
    found = verification(home, deep=True)
    assert (found["verified"], found["breaks"]) == (True, [])
    again = home.reproduction.reproduce(1)
    assert again.reproduced, again.sentence


def test_status_shows_what_the_logs_hold_and_doctor_that_nothing_waits(home):
    shown = home.status.now()
    assert isinstance(shown, HomeStatus)
    orders, visits = shown.as_json()["events"]
    assert (orders["table"], orders["first"], orders["last"]) == (
        "orders",
        "2023-10-01",
        str(MARCH),
    )
    assert orders["events"] == sum(len(drop_of(month)["orders"]) for month in MONTHS[:3]) + 2
    assert (orders["late"], visits["late"]) == (2, 0)
    [check] = [one for one in home.checkup.run() if one["check"] == "event tables"]
    assert check["state"] == "ok"


def test_the_list_and_the_api_speak_of_windows(home):
    listed = pd.read_csv(home.reports / str(MARCH) / "at_risk.csv")
    reasons = " ".join(listed.filter(like="reason").astype(str).to_numpy().ravel())
    assert "in 90 days" in reasons or "days since" in reasons
    key = str(listed["buyer"].iloc[0])
    newest = home.lake.tables(MARCH)["orders"].set_index("buyer")

    async def answer(server):
        async with client(server) as made:
            return (await made.post("/predict", json={"buyer": key})).json()

    with running(home) as server:
        found = asyncio.run(answer(server))
    assert found["features_as_of"] == str(MARCH)
    assert found["features_used"]["spent_90d"] == pytest.approx(newest.loc[key, "spent_90d"])
    assert found["features_used"]["orders_60d"] == newest.loc[key, "orders_60d"]


def test_a_restored_home_makes_nothing_again_and_a_forgotten_buyer_leaves_no_work(home, tmp_path):
    home.backup.write(tmp_path / "home.zip")
    restored = open_home(tmp_path / "restored", lambda: NOW + dt.timedelta(days=1))
    restored.backup.restore(tmp_path / "home.zip")
    restored = open_home(restored.folder, lambda: NOW + dt.timedelta(days=1))
    assert restored.derived.waiting() == []
    restored.erasure.erase("b0005", "ann", "asked")
    restored = open_home(restored.folder, lambda: NOW + dt.timedelta(days=1))
    assert run(restored) == []
    found = verification(restored, deep=True)
    assert (found["verified"], found["breaks"]) == (True, [])
