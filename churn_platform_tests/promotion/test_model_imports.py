"""A model that the business has: imported, in production by a person's act, compared only on rows it cannot have seen."""

import datetime as dt
import json

import pytest

from churn_platform.base.errors import DataError, UsageError
from churn_platform.ledger.state import ProductionState
from churn_platform.promotion.model_imports import FOLDER, ModelSource
from churn_platform.training.registry import CANDIDATE, PRODUCTION
from churn_platform_tests.business_models import (
    READS,
    honest_model,
    listed,
    memorising_model,
    saved,
)
from churn_platform_tests.promotion.test_promotions import STEPS, PowerCut, cut_at, cut_at_receipt
from churn_platform_tests.shared_homes import made_once
from churn_platform_tests.small_business import (
    FEBRUARY,
    JANUARY,
    candidate,
    copied,
    deliver,
    make_home,
    monthly,
    open_home,
    with_policy,
)

ANN = {"by": "Ann", "reason": "The model that we have."}
IMPORTED = ["model imported", "promotion intent", "release published", "promotion done"]


def source(path, **said):
    return ModelSource(source=path, **ANN, **said)


@pytest.fixture(scope="session")
def models(tmp_path_factory):
    """The gym's models: path of an honest one, its customers, and one that knows both months by heart."""
    folder = tmp_path_factory.mktemp("models")
    model, keys = honest_model()
    return {
        "honest": saved(model, folder, "honest.skops"),
        "customers": listed(keys, folder),
        "count": len(keys),
        "cheat": saved(memorising_model(JANUARY, FEBRUARY), folder, "cheat.skops"),
    }


@pytest.fixture(scope="session")
def taken_over(models, tmp_path_factory):
    """A home with the gym's model as version 1, with its list; nothing was ever run. Read only."""

    def make(folder):
        home = make_home(folder)
        deliver(home, JANUARY)
        asked = source(models["honest"], trained_on=models["customers"], as_of=JANUARY)
        home.model_imports.run(asked)

    return open_home(made_once(tmp_path_factory, "taken_over", make))


@pytest.fixture(scope="session")
def trained(tmp_path_factory):
    """A home with both months and a candidate, and nothing in production. Read only."""

    def make(folder):
        home = make_home(folder)
        for month in (JANUARY, FEBRUARY):
            deliver(home, month)
            monthly(home, month)
        candidate(home, FEBRUARY)

    return open_home(made_once(tmp_path_factory, "trained_candidate", make))


def imported(trained, folder, *sources):
    """A copy of the trained home after these imports."""
    home = copied(trained, folder)
    for one in sources:
        home.model_imports.run(one)
    return open_home(home.folder)


def decided(home):
    decision = home.decision_maker.decide(FEBRUARY, "first")
    return decision, {one.code: one for one in decision.findings}


def test_the_model_is_version_1_in_production_by_the_persons_act(taken_over, models):
    home = taken_over
    pointer = home.releases.pointer()
    assert pointer.version == home.registry.alias(PRODUCTION) == 1
    assert (pointer.as_of, pointer.previous_version) == ("2024-01-31", None)
    assert home.registry.alias(CANDIDATE) is None
    receipts = [r for r in home.ledger.receipts() if r.act in IMPORTED]
    assert [r.act for r in receipts] == IMPORTED
    first, intent, *_ = receipts
    assert (first.actor, first.reason, first.subject) == (*ANN.values(), "version 1")
    assert first.evidence["customers"] == models["count"]
    assert intent.evidence["imported"] == intent.evidence["decision"] == first.digest
    assert home.ledger.verify() is None
    card = home.releases.card(1)
    assert (card.algorithm, card.months, card.metrics) == ("imported", ["2024-01-31"], {})
    assert [feature.name for feature in card.features] == ["months", "plan", "hours"]
    assert card.imported.reads == READS
    assert card.imported.libraries.keys() == {"sklearn"}


def test_the_same_model_is_the_same_version_and_is_imported_once(taken_over, models, tmp_path):
    home = copied(taken_over, tmp_path / "home")
    before = len(home.ledger.receipts())
    again = source(models["honest"], trained_on=models["customers"], as_of=JANUARY)
    assert home.model_imports.run(again).version == 1
    assert len(home.ledger.receipts()) == before
    # Another list is another version, and nothing replaces production unless asked.
    other = home.model_imports.run(source(models["honest"]))
    assert (other.version, other.in_production) == (2, False)
    assert home.releases.pointer().version == 1
    served = home.model_imports.run(source(models["honest"], serve=True))
    assert (served.version, served.in_production) == (2, True)
    state = open_home(home.folder).ledger.state()
    assert state.overridden[2].by == "Ann"
    assert 1 not in state.overridden
    home.rollbacks.roll_back("Bob", "It was better.", to=1)
    assert home.releases.pointer().version == 1


@pytest.mark.slow
def test_a_candidate_is_asked_for_until_one_was_compared(taken_over, tmp_path):
    home = copied(taken_over, tmp_path / "home")
    monthly(home, JANUARY)
    answer = open_home(home.folder).progress().retraining(JANUARY)
    assert (answer.trigger, answer.retrain) == ("first", True)
    candidate(home, JANUARY)
    decision = home.decision_maker.decide(JANUARY, "first")
    assert decision.production_auc is not None
    assert decision.trigger == "first"
    later = open_home(home.folder).progress().retraining(JANUARY)
    assert later.trigger is None


def test_customers_of_the_list_leave_the_comparison(trained, models, tmp_path):
    home = imported(
        trained, tmp_path / "home", source(models["honest"], trained_on=models["customers"])
    )
    decision, found = decided(home)
    holdout = home.training_datasets.load(FEBRUARY).holdout_rows()
    assert found["GATE004"].outcome == "pass"
    left_out = len(holdout) - int(
        found["GATE004"].detail.split("of the ")[1].split(" ")[0].replace(",", "")
    )
    assert 0.5 * len(holdout) < left_out < 0.7 * len(holdout)
    assert f"{models['count']:,} customers" in found["GATE004"].detail
    # The month is unknown: said, not a refusal.
    assert found["GATE010"].outcome == "warn"
    assert decision.decision == "promoted"
    assert 0.4 < decision.production_auc < 0.6, "January's model knows nothing of February"


def test_no_flag_shows_the_figure_of_a_model_that_has_seen_the_rows(trained, models, tmp_path):
    """It read 0.83 to 0.95 where the truth is 0.62, because most of the rows had trained it."""
    home = copied(trained, tmp_path / "home")
    for as_of, threshold in ((None, 0.5), (dt.date(2020, 1, 31), 0.5), (JANUARY, 0.2)):
        asked = source(models["cheat"], as_of=as_of, threshold=threshold, serve=True)
        version = home.model_imports.run(asked).version
        home = open_home(home.folder)
        decision, found = decided(home)
        assert (decision.production_version, decision.production_auc) == (version, None)
        assert decision.decision == "refused"
        assert found["GATE004"].outcome == "not_applicable"
    evaluated = home.performance_monitor.measure(FEBRUARY).evaluated
    assert [one.metrics for one in evaluated if one.version == version] == [None]
    # An override is a person's act, and remains possible.
    said = home.approvals.approve(1, "Ann", "We believe in it.", override=True)
    assert "overriding" in said


def test_a_list_of_strangers_proves_nothing(trained, models, tmp_path):
    import pandas as pd

    home = copied(trained, tmp_path / "home")
    for keys, fact in (
        (["x1", "x2"], "none of its 2 customers"),
        (["M00001", "m00002"], "upper and lower case"),
        ([], "names no customer"),
        (["m00001", ""], "not keys"),
    ):
        path = listed(pd.Series(keys, dtype=object), tmp_path / "lists")
        with pytest.raises(UsageError, match=fact) as refused:
            home.model_imports.run(source(models["cheat"], trained_on=path))
        assert refused.value.code == "CUSTOMER_LIST_INVALID"
    assert home.releases.pointer() is None
    assert home.ledger.receipts("model imported") == []


@pytest.mark.parametrize(
    ("trained_before", "as_of", "compared"),
    [
        (FEBRUARY, None, True),
        (dt.date(2024, 1, 1), FEBRUARY, False),  # it says itself that February trained it
    ],
)
def test_months_from_the_date_of_the_contract_on_are_unseen(
    trained, models, tmp_path, trained_before, as_of, compared
):
    home = imported(trained, tmp_path / "home", source(models["honest"], as_of=as_of))
    home = with_policy(home, incumbent_trained_before=trained_before.isoformat())
    decision, found = decided(home)
    assert (decision.production_auc is not None) == compared
    assert found["GATE004"].outcome == ("pass" if compared else "not_applicable")


CUTS = {
    "register": lambda home: cut_at(home.registry, "register"),
    "receipt": lambda home: cut_at_receipt(home, "model imported"),
    # The first, a middle and the last step: test_promotions.py tries all.
    **{name: cut for name, cut in STEPS.items() if name in ("intent", "pointer", "done")},
}


@pytest.mark.parametrize("cut", CUTS)
def test_an_import_that_was_cut_off_is_completed_by_the_next_run(
    models, tmp_path, monkeypatch, cut, taken_over
):
    home = make_home(tmp_path / "home")
    deliver(home, JANUARY)
    with monkeypatch.context() as patch:
        patch.setattr(*CUTS[cut](home))
        with pytest.raises(PowerCut):
            home.model_imports.run(source(models["honest"]))
    assert (home.folder / FOLDER).is_dir()
    home = open_home(home.folder)
    home.run_start.complete()
    assert [r.act for r in home.ledger.receipts() if r.act in IMPORTED] == IMPORTED
    assert home.releases.pointer().version == home.registry.alias(PRODUCTION) == 1
    assert not (home.folder / FOLDER).exists()
    assert home.model_imports.finish() is None


def test_an_import_that_was_cut_off_does_not_replace_what_came_into_production_since(
    taken_over, models, tmp_path, monkeypatch
):
    home = copied(taken_over, tmp_path / "home")
    with monkeypatch.context() as patch:
        patch.setattr(*cut_at_receipt(home, "promotion intent"))
        with pytest.raises(PowerCut):
            home.model_imports.run(source(models["honest"], serve=True))
    request = home.folder / FOLDER / "request.json"
    request.write_text(json.dumps(json.loads(request.read_text()) | {"production": None}))
    home = open_home(home.folder)
    home.run_start.complete()
    assert home.releases.pointer().version == 1
    assert home.ledger.state().imports.keys() == {1, 2}


def test_it_is_verified_and_cannot_be_reproduced(taken_over, tmp_path):
    found = taken_over.verification.verify(deep=True)
    assert [one.detail for one in found if one.state in ("broken", "unseen")] == []
    with pytest.raises(DataError) as refused:
        taken_over.reproduction.reproduce(1)
    assert refused.value.code == "VERSION_NOT_REPRODUCIBLE"
    for name in ("model.skops", "passport.json"):
        home = copied(taken_over, tmp_path / name)
        file = home.releases.folder / "1" / name
        file.write_bytes(file.read_bytes() + b" ")
        faults = [one for one in home.verification.verify(deep=True) if one.state == "broken"]
        assert any(name in one.detail for one in faults)


def test_forgetting_a_customer_names_the_versions_that_may_know_them(taken_over, models, tmp_path):
    home = copied(taken_over, tmp_path / "home")
    home.model_imports.run(source(models["honest"]))
    listed_key = models["customers"].read_text().split()[1]
    assert home.erasure.trained_versions(listed_key) == ([1], [2])
    assert home.erasure.trained_versions("m99999") == ([], [2])


def test_the_fold_keeps_the_import(taken_over):
    state = ProductionState.from_receipts(taken_over.ledger.receipts())
    assert state.judged_files(1) == taken_over.registry.recorded(1)
    assert state.production == 1


def test_status_says_that_no_decision_measured_it(taken_over):
    assert taken_over.status.production().auc is None
