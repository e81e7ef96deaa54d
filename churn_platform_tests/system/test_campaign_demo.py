"""The business of `churn demo --scenario campaign`: it works each plan, and continues where it was interrupted."""

import datetime as dt
import json

import pandas as pd
import pytest

from churn_platform.base.files import read_json
from churn_platform.cli.campaign import WorkedCampaign
from churn_platform.cli.demo import begin_simulation, read_truth
from churn_platform.contract.reading import default_contract_path, read_contract
from churn_platform.simulator import CAMPAIGN, CampaignTruth
from churn_platform_tests.small_business import open_home
from churn_platform_tests.system.test_demo import churn

USERS = 120
MONTHS = 3


class Business:
    """A campaign in a folder whose plans are made here, with what was asked in which order."""

    def __init__(self, folder):
        self.folder = folder
        if read_truth(folder) is None:
            begin_simulation(folder, CAMPAIGN, default_contract_path(), users=USERS, seed=1)
        self.contract = read_contract(folder / "contract.yaml")
        self.happened = []

    def plan(self, as_of):
        self.happened.append(f"plan {as_of}")
        if as_of.month == 1:
            return None
        keys = pd.read_csv(self.folder / as_of.isoformat() / "users.csv")["user_id"]
        arms = ["contact"] * 10 + ["untouched"] * 5 + ["explore"] * 3
        arms += ["below"] * (len(keys) - len(arms))
        return pd.DataFrame({"user_id": keys, "arm": arms})

    def live(self, stop=None):
        campaign = WorkedCampaign(self.contract, self.folder, CAMPAIGN, USERS, MONTHS, 1, self.plan)
        for arrival in campaign.arrivals():
            self.happened.append(str(arrival.folder.relative_to(self.folder)))
            assert (arrival.folder / "_SUCCESS").exists()
            if self.happened[-1] == stop:
                break
        return self


def contents(folder):
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


@pytest.fixture(scope="module")
def lived(tmp_path_factory):
    return Business(tmp_path_factory.mktemp("campaign")).live()


def test_a_list_is_worked_after_its_drop_and_the_labels_of_the_month_before(lived):
    assert lived.happened == [
        "2024-01-31", "plan 2024-01-31",
        "2024-02-29", "labels/2024-01-31", "plan 2024-02-29",
        "2024-03-31", "labels/2024-02-29", "plan 2024-03-31",
    ]  # fmt: skip


def test_the_truth_has_every_month_and_every_delivery(lived):
    truth = read_truth(lived.folder)
    assert all(isinstance(month, CampaignTruth) for month in truth.months)
    counts = [tuple(len(arm) for arm in month.assignment) for month in truth.months]
    assert counts == [(0, 0, 0), (10, 5, 3), (10, 5, 3)]
    assert [one.folder for one in truth.deliveries] == [
        name for name in lived.happened if not name.startswith("plan")
    ]
    assert read_json(lived.folder / "truth.json") == truth.as_json()


def test_contacts_and_labels_follow_from_the_plan(lived):
    truth = read_truth(lived.folder).months[1]
    contacts = pd.read_csv(lived.folder / "2024-03-31" / "contacts.csv")
    assert set(contacts["user_id"]) == {*truth.contact, *truth.explore, *truth.reached}
    labels = pd.read_csv(lived.folder / "labels" / "2024-02-29" / "labels.csv")
    assert set(labels.loc[labels["churn_label"], "user_id"]) == truth.left
    assert pd.read_csv(lived.folder / "2024-02-29" / "contacts.csv").empty


@pytest.mark.parametrize("stop", ["2024-02-29", "labels/2024-01-31", "2024-03-31"])
def test_an_interrupted_business_continues_with_the_same_bytes(lived, tmp_path, stop):
    Business(tmp_path).live(stop)
    if stop == "2024-03-31":  # cut off while it wrote
        (tmp_path / stop / "_SUCCESS").unlink()
        (tmp_path / stop / "users.csv").write_text("half")
    before = read_truth(tmp_path).months
    again = Business(tmp_path).live()
    assert contents(tmp_path) == contents(lived.folder)
    planned = [name for name in again.happened if name.startswith("plan")]
    assert len(planned) == MONTHS - len(before)


@pytest.mark.slow
def test_the_demo_works_the_plan_of_each_month_and_shows_what_is_true(tmp_path):
    asked = ("demo", "--scenario", "campaign", "--users", "1500", "--months", "3", "--json")
    told = churn(*asked, home=tmp_path)
    assert told.code == 0, told.err
    home = open_home(tmp_path)
    january, february, march = read_truth(tmp_path / "simulated").months
    assert january.assignment == ((), (), ())
    for truth in (february, march):
        rows = home.contact_plans.rows(truth.as_of).set_index("user_id")["arm"]
        for arm in ("contact", "untouched", "explore"):
            assert set(getattr(truth, arm)) == set(rows.index[rows == arm])
        assert truth.contact
        assert truth.untouched
    contacts = home.lake.tables(dt.date(2024, 3, 31))["contacts"]
    assert {*february.contact, *february.explore} <= set(contacts["user_id"])
    rows = {row["month"]: row for row in json.loads(told.out)["story"]}
    worked = rows["2024-02-29"]
    assert worked["naive_auc"] < worked["true_auc"]
    assert (worked["saved"], worked["assigned"]) == (february.saved, 225)
    assert rows["2024-01-31"]["assigned"] == 0
    before = [receipt.digest for receipt in home.ledger.receipts()]
    again = churn(*asked, home=tmp_path)
    assert json.loads(again.out)["story"] == json.loads(told.out)["story"]
    assert [receipt.digest for receipt in open_home(tmp_path).ledger.receipts()] == before
