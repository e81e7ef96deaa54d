"""An erased customer is in no score and no logged answer of a shadow either."""

import datetime as dt

import pandas as pd

from churn_platform.experiments.month import experiments_record
from churn_platform.monitoring.prediction_log import files, tidy
from churn_platform_tests.contacts_business import without_labels
from churn_platform_tests.maintenance.test_erasure import erase, places
from churn_platform_tests.small_business import MARCH, deliver, monthly, open_home
from churn_platform_tests.system.trusted_home import verification


def test_scores_changes_and_log_lose_the_customer_and_the_home_verifies(february_copy):
    home = february_copy
    home.experiments.start_shadow(1, None, "Ann", "To see it.")
    home.experiments.start_shadow(None, "hours < 3", "Ann", "To see it.")
    deliver(home, MARCH, without_labels(MARCH))
    monthly(home, MARCH)
    home = open_home(home.folder)
    changes = home.reports / "2024-03-31" / "shadows.csv"
    key = pd.read_csv(changes)["member"].iloc[0]
    scores = home.records.frame("shadow_scores", MARCH)
    log = home.shadows / "2024-04-02" / "one.parquet"
    log.parent.mkdir(parents=True)
    scores.rename(columns={"hours < 3": "score"}).to_parquet(log, index=False)
    before = experiments_record(home.records, MARCH)
    assert {
        "lake/derived/shadow_scores/2024-03-31.parquet",
        "shadows/2024-04-02/one.parquet",
    } < set(places(home, key))
    found = erase(home, key)
    assert places(home, key) == []
    assert (found.rows["shadows"], found.unread) == (1, [])
    home = open_home(home.folder)
    assert len(home.records.frame("shadow_scores", MARCH)) == len(scores) - 1
    assert home.records.broken("shadow_scores", MARCH) is None
    assert experiments_record(home.records, MARCH).shadows == before.shadows
    assert verification(home, deep=True)["breaks"] == []


def test_the_shadow_log_is_next_to_the_prediction_log(february):
    assert february.shadows == february.folder / "shadows"
    folder = february.with_settings(prediction_log=february.folder / "log").shadows
    assert folder == february.folder / "log" / "shadows"


def test_old_logs_of_shadows_are_tidied_with_those_of_predictions(january_copy):
    home = january_copy
    today = home.now().date()
    for days in (1, 30, 500):
        day = home.shadows / str(today - dt.timedelta(days=days))
        day.mkdir(parents=True)
        pd.DataFrame({"member": ["a"], "score": [days]}).to_parquet(day / f"{days}.parquet")
    home.month.performance(dt.date(2024, 1, 31))
    names = sorted(path.name for path in home.shadows.iterdir())
    assert names == [f"{today - dt.timedelta(days=30)}.parquet", str(today - dt.timedelta(days=1))]
    assert len(files(home.shadows)) == 2
    tidy(home.shadows, today, 0)
