"""The monthly list while a canary runs: the arms of the servers, each customer by its version."""

import datetime as dt

import numpy as np
import pandas as pd
import pytest

from churn_platform.contacts.plan import ASSIGNED
from churn_platform.experiments.assignment import arm_of
from churn_platform.lake.tables import feature_frame
from churn_platform.promotion.promotions import released
from churn_platform.scoring.ranking import decile_floors, reasons
from churn_platform.serving.score_history import ScoreHistory
from churn_platform.training.model import ChurnModel
from churn_platform_tests.contacts.contacted_gym import deliver_april
from churn_platform_tests.small_business import (
    APRIL,
    CUSTOMERS,
    FEBRUARY,
    monthly,
    open_home,
)
from churn_platform_tests.system.trusted_home import verification

ANN = ("Ann", "To see it.")
STEPS = (0.25, 0.5)


@pytest.fixture
def canary(february_copy):
    """Version 1 as a canary of version 2, before the list is made again."""
    february_copy.experiments.start_canary(1, STEPS, dt.timedelta(days=1), *ANN)
    return open_home(february_copy.folder)


def scored(home):
    return home.records.frame("scores", FEBRUARY).set_index("member")


def step(home):
    return open_home(home.folder).progress().next_step()


def test_every_customer_is_scored_by_the_version_of_its_arm(canary):
    canary.scoring.score(FEBRUARY)
    found = scored(canary)
    running = canary.experiments.state().canary
    arms = [arm_of(key, running.salt, running.experiment, running.share) for key in found.index]
    assert found["arm"].tolist() == arms
    assert 300 < arms.count("canary") < 450
    assert found["version"].tolist() == [1 if arm == "canary" else 2 for arm in arms]
    rows = feature_frame(canary.contract, canary.lake.tables(FEBRUARY))
    for version in (1, 2):
        own = rows[rows["member"].isin(found.index[found["version"] == version])]
        expected = released(canary.releases, version).model.probability(own)
        np.testing.assert_array_equal(found.loc[own["member"], "probability"], expected)
    staying = found[~found["already_left"].astype(bool)]
    assert staying["rank"].tolist() == list(range(1, len(staying) + 1))
    assert staying["probability"].is_monotonic_decreasing


def test_the_record_has_what_draws_the_arms_again(canary):
    canary.scoring.score(FEBRUARY)
    running = canary.experiments.state().canary
    record = canary.records.read("scores", FEBRUARY)
    found = scored(canary)
    assert record["version"] == 2
    # January's version is worse than chance in February, which its customers alone show.
    assert "AUC 0.465" in record["canary"].pop("stand_down")
    assert record["stand_down"] is None
    assert found["stand_down"].tolist() == (found["version"] == 1).tolist()
    assert record["canary"] == {
        "experiment": running.experiment,
        "salt": running.salt,
        "version": 1,
        "share": 0.25,
        "customers": int((found["arm"] == "canary").sum()),
    }
    assert record["decile_floors"] == decile_floors(found.reset_index())
    thresholds = {n: released(canary.releases, n).model.threshold for n in (1, 2)}
    staying = found[~found["already_left"].astype(bool)]
    above = staying["probability"] >= staying["version"].map(thresholds)
    assert record["contacts"] == above.sum()


def test_the_list_has_reasons_and_marks_of_each_customers_version(canary):
    listed = canary.scoring.score(FEBRUARY).listed
    assert set(listed["version"]) == {1, 2}
    rows = feature_frame(canary.contract, canary.lake.tables(FEBRUARY)).set_index("member")
    for version, own in listed.groupby("version"):
        model = released(canary.releases, version).model
        pushes = model.contributions(rows.loc[own["member"]].reset_index())
        raises = pushes.to_numpy()[
            np.arange(len(own)), pushes.abs().to_numpy().argmax(axis=1)
        ] > 0  # fmt: skip
        assert own["reason_1"].str.contains("raises").tolist() == raises.tolist()
    csv = pd.read_csv(canary.reports / "2024-02-29" / "at_risk.csv")
    assert csv[["version", "arm"]].equals(listed[["version", "arm"]])


def test_serving_shows_a_canarys_decile_by_the_floors_of_the_list(canary):
    canary.scoring.score(FEBRUARY)
    history = ScoreHistory(canary.folder, canary.contract)
    standing = history.standing()
    found = scored(canary)
    own = found[(found["arm"] == "canary") & found["decile"].notna()].head(50)
    assert [standing.decile(1, p) for p in own["probability"]] == own["decile"].tolist()
    assert standing.decile(3, 0.5) is None
    [first] = [one for one in history.ranked() if one.arm == "canary"][:1]
    assert first.as_json("member").items() >= {"version": 1, "arm": "canary"}.items()
    newest = history.customer(found.index[found["arm"] == "canary"][0])[-1]
    assert (newest.as_of, newest.version) == ("2024-02-29", 1)


def test_start_raise_and_end_make_the_newest_list_outdated(canary):
    before = (canary.reports / "2024-02-29" / "at_risk.csv").read_bytes()
    newest = canary.status.newest_list()
    assert "canary of version 1" in newest.outdated
    assert (step(canary).kind, step(canary).as_of) == ("scores", FEBRUARY)
    canary.scoring.score(FEBRUARY)
    canary.month.experiments(FEBRUARY)
    assert step(canary) is None
    assert canary.status.newest_list().outdated is None
    first = scored(canary)["arm"]
    canary.experiments.raise_canary(*ANN)
    assert step(canary).kind == "scores"
    open_home(canary.folder).scoring.score(FEBRUARY)
    second = scored(canary)["arm"].loc[first.index]
    assert (second == "canary").sum() > (first == "canary").sum()
    assert (second[first == "canary"] == "canary").all()
    canary.experiments.end_canary(*ANN)
    assert step(canary).kind == "scores"
    open_home(canary.folder).scoring.score(FEBRUARY)
    open_home(canary.folder).month.experiments(FEBRUARY)
    assert step(canary) is None
    assert "canary" not in canary.records.read("scores", FEBRUARY)
    assert (canary.reports / "2024-02-29" / "at_risk.csv").read_bytes() == before


@pytest.mark.parametrize("fault", ["raises", "nan"])
def test_production_scores_whom_the_canary_cannot(canary, monkeypatch, fault):
    """A canary that fails never fails a list, nor makes it again without end."""
    plain = ChurnModel.probability
    weights = released(canary.releases, 1).model.threshold

    def fails(self, rows):
        found = plain(self, rows)
        if self.threshold != weights:
            return found
        if fault == "raises":
            raise RuntimeError("no answer")
        found[::2] = np.nan
        return found

    expected = canary.scoring.score(FEBRUARY).record.canary.customers
    monkeypatch.setattr(ChurnModel, "probability", fails)
    record = open_home(canary.folder).scoring.score(FEBRUARY).record
    open_home(canary.folder).month.experiments(FEBRUARY)
    found = scored(canary)
    assert found["probability"].between(0, 1).all()
    answered = (found["version"] == 1).sum()
    assert record.canary.customers == answered
    assert answered == (0 if fault == "raises" else expected // 2)
    assert (found["arm"] == "canary").sum() == expected
    assert record.canary.note
    assert verification(open_home(canary.folder), deep=True)["verified"]
    assert step(canary) is None


def test_a_shadow_is_compared_with_production_on_every_customer(canary):
    """Also with the version that answers some of them: else it would be compared with itself."""
    canary.scoring.score(FEBRUARY)
    canary.shadow_scoring.score(FEBRUARY)
    month = canary.shadow_monitor.scored_month(FEBRUARY, "version 1")
    rows = feature_frame(canary.contract, canary.lake.tables(FEBRUARY)).set_index("member")
    rows = rows.loc[month.customers.keys].reset_index()
    assert len(rows) == CUSTOMERS
    for version, scores in ((2, month.customers.production), (1, month.customers.shadow)):
        expected = released(canary.releases, version).model.probability(rows)
        np.testing.assert_allclose(scores, expected, rtol=0, atol=1e-9)


def test_verify_draws_the_arms_again(canary):
    canary.scoring.score(FEBRUARY)
    assert verification(open_home(canary.folder), deep=True)["verified"]
    record = canary.records.read("scores", FEBRUARY)
    forged = {**record, "canary": {**record["canary"], "salt": "another"}}
    canary.records.write("scores", FEBRUARY, forged, canary.records.frame("scores", FEBRUARY))
    found = verification(open_home(canary.folder), deep=True)
    assert not found["verified"]
    assert any("in another arm" in str(one) for one in found["findings"])
    assert len(scored(canary)) == CUSTOMERS


def test_a_customer_is_explained_by_its_version(canary):
    canary.scoring.score(FEBRUARY)
    found = scored(canary)
    for arm, version in (("canary", 1), ("production", 2)):
        key = found.index[found["arm"] == arm][0]
        explained = open_home(canary.folder).status.explain(key, None)
        assert explained.model.version == version
        expected = found.loc[key, "probability"]
        assert explained.probability == pytest.approx(expected, rel=1e-12)


def test_a_contact_plan_has_the_reasons_of_each_customers_version(contacted_copy):
    home = contacted_copy
    other = 1
    home.experiments.start_canary(other, (0.5,), dt.timedelta(days=1), *ANN)
    deliver_april(home)
    home = open_home(home.folder)
    monthly(home, APRIL)
    plan = home.contact_plans.rows(APRIL)
    listed = plan[plan["arm"].isin(ASSIGNED)].set_index("member")
    versions = home.records.frame("scores", APRIL).set_index("member")["version"][listed.index]
    production = home.releases.pointer().version
    assert set(versions) == {production, other}
    rows = feature_frame(home.contract, home.lake.tables(APRIL)).set_index("member")
    rows = rows.loc[listed.index].reset_index()
    said = {
        version: reasons(home.contract, rows, released(home.releases, version).model, 3)
        for version in (production, other)
    }
    assert not said[production].equals(said[other])
    for place, version in enumerate(versions):
        expected = said[version].iloc[place].tolist()
        assert listed.iloc[place][["reason_1", "reason_2", "reason_3"]].tolist() == expected
    # Who works through the list does not see arms of models.
    csv = pd.read_csv(home.reports / str(APRIL) / "contact_list.csv")
    assert {"arm", "version"}.isdisjoint(csv.columns)
