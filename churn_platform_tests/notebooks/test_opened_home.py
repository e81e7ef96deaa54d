"""The Python API: what it returns is what the home recorded, and what is not there is one sentence."""

import datetime as dt
import gc
import hashlib
import json

import numpy as np
import pandas as pd
import pytest

import churn_platform as churn
from churn_platform.features.training_dataset import row_weights
from churn_platform.ledger.version_acts import VersionBlocked
from churn_platform_tests.notebooks.asking import ask_everything
from churn_platform_tests.placed_homes import cleared, placed
from churn_platform_tests.small_business import FEBRUARY, JANUARY, MARCH


def opened(home):
    return churn.open(home.folder)


def test_the_training_dataset_says_what_each_row_is_used_for(february):
    frame = opened(february).training_dataset()
    dataset = february.training_datasets.load(FEBRUARY)
    assert list(frame.columns[:2]) == ["member", "as_of"]
    assert {*february.contract.features, "label", "holdout", "weight", "part"} < {*frame.columns}
    assert frame["as_of"].dtype == "datetime64[ns]"
    assert (frame["weight"] == 1).all()
    rows = {"training": dataset.training_rows(), "holdout": dataset.holdout_rows()}
    for part, expected in rows.items():
        assert frame.loc[frame["part"] == part, "member"].tolist() == expected["member"].tolist()


def test_weights_of_the_training_dataset_are_corrected_for_contacts(worked):
    frame = opened(worked).training_dataset(MARCH)
    dataset = worked.training_datasets.load(MARCH)
    holdout = frame[frame["part"] == "holdout"]
    assert holdout["weight"].tolist() == row_weights(dataset.holdout_rows()).tolist()
    assert (frame.loc[frame["part"] == "training", "weight"] > 1).any()
    assert (frame.loc[frame["weight"] == 0, "part"] == "").all()


def test_the_model_predicts_what_the_release_promises(february):
    model = opened(february).model()
    manifest = february.releases.manifest(2)
    golden = pd.DataFrame([dict(one.features) for one in manifest.golden])
    probabilities = model.predict_proba(golden)
    assert probabilities.shape == (len(golden), 2)
    assert probabilities[:, 1] == pytest.approx([one.probability for one in manifest.golden])
    assert (probabilities.sum(axis=1) == 1).all()
    assert model.features == [feature.name for feature in manifest.features]
    assert (model.version, model.threshold) == (2, manifest.threshold)
    assert model.card == february.releases.card(2).as_json()


def test_reasons_and_contributions_keep_the_index_of_the_frame(february):
    home = opened(february)
    rows = home.features().sample(5, random_state=1)
    model = home.model()
    assert model.reasons(rows, count=2).shape == (5, 2)
    assert model.reasons(rows).index.equals(rows.index)
    pushes = model.contributions(rows)
    assert list(pushes.columns) == model.features
    assert pushes.index.equals(rows.index)
    listed = home.scores().dropna(subset="reason_1").head(3)
    again = model.reasons(home.features(listed["member"]))
    assert again["reason_1"].tolist() == listed["reason_1"].tolist()


def test_an_earlier_version_is_read_from_its_release(february):
    home = opened(february)
    rows = home.features(as_of=JANUARY)
    assert home.model(1).card["as_of"] == "2024-01-31"
    assert not np.allclose(home.model(1).predict_proba(rows), home.model(2).predict_proba(rows))


def test_a_version_without_a_release_is_read_from_the_store_without_mlflow(february_decided):
    model = opened(february_decided).model(2)
    assert model.card == february_decided.registry.load(2).card.as_json()


def test_a_changed_file_of_a_version_without_a_release_is_refused(february_decided_copy):
    folder = february_decided_copy.folder / "artifacts" / "models"
    cards = [path for path in folder.rglob("passport.json") if '"2024-02-29"' in path.read_text()]
    cards[0].write_text("{}")
    with pytest.raises(churn.ChurnError) as refused:
        opened(february_decided_copy).model(2)
    assert refused.value.code == "MODEL_CHANGED"


def test_scores_are_those_of_the_record_with_the_reasons_of_the_list(february):
    scores = opened(february).scores()
    recorded = february.records.frame("scores", FEBRUARY)
    assert scores["member"].tolist() == recorded["member"].tolist()
    assert scores["probability"].tolist() == recorded["probability"].tolist()
    assert scores["reason_1"].notna().sum() == february.contract.policy.scoring.listed


def test_features_come_in_the_order_of_the_keys(february):
    rows = opened(february).features(["m00007", "m00002", "m00007"], as_of="2024-01-31")
    assert rows["member"].tolist() == ["m00007", "m00002", "m00007"]
    assert (rows["as_of"] == pd.Timestamp(JANUARY)).all()
    assert set(february.contract.features) < set(rows.columns)


def test_a_month_may_be_text_a_date_or_a_timestamp(february):
    home = opened(february)
    found = [
        home.snapshot("visits", month)
        for month in ("2024-01-31", JANUARY, pd.Timestamp(JANUARY), dt.datetime(2024, 1, 31))
    ]
    for frame in found[1:]:
        pd.testing.assert_frame_equal(found[0], frame)


def test_the_tables_have_one_row_per_month_version_and_receipt(february):
    home = opened(february)
    months = home.months()
    assert months["as_of"].dt.date.tolist() == [JANUARY, FEBRUARY]
    assert months["decision"].tolist() == ["promoted", "promoted"]
    assert months["churners"].tolist() == [
        february.lake.classes(month).churners for month in (JANUARY, FEBRUARY)
    ]
    assert (months["churn_rate"] == months["churners"] / months["customers"]).all()
    performance = home.performance()
    measured = february.performance_history.all()
    assert list(
        zip(performance["as_of"].dt.strftime("%Y-%m-%d"), performance["version"], strict=True)
    ) == [(one.as_of, one.version) for one in measured]
    history = home.history()
    assert history["digest"].tolist() == [one.digest for one in february.ledger.receipts()]
    assert home.history("decision")["subject"].tolist() == ["version 1", "version 2"]


def test_the_decision_and_the_status_are_those_of_the_terminal(february):
    home = opened(february)
    decision = home.decision("2024-02-29")
    assert decision.record == february.status.decision("2024-02-29").model_dump(mode="json")
    assert (decision.decision, decision.version, decision.production_version) == ("promoted", 2, 1)
    assert decision.criteria["code"].is_monotonic_increasing
    assert json.dumps(home.status()) == json.dumps(february.status.now().as_json())


def test_the_plan_and_the_effect_are_those_that_were_registered(worked):
    home = opened(worked)
    plan = home.contact_plan(FEBRUARY)
    pd.testing.assert_frame_equal(plan.drop(columns="as_of"), worked.contact_plans.rows(FEBRUARY))
    effect = home.effect()
    recorded = worked.campaigns.newest().effect
    assert effect.loc[0, ["group", "assigned"]].tolist() == ["all customers", recorded.assigned]
    assert effect.loc[0, "low"] == recorded.effect.interval.low
    assert len(effect) == 1 + len(recorded.by_slice) + len(recorded.by_action)
    assert not effect.loc[effect["group"] == "action", "randomised"].any()


@pytest.mark.parametrize(
    ("ask", "code"),
    [
        (lambda home: home.features(["nobody"]), "CUSTOMER_UNKNOWN"),
        (lambda home: home.features(as_of="2023-01-31"), "MONTH_UNKNOWN"),
        (lambda home: home.features(as_of="31.01.2024"), "DATE_INVALID"),
        (lambda home: home.snapshot("invoices"), "TABLE_UNKNOWN"),
        (lambda home: home.training_dataset("2023-01-31"), "MONTH_UNKNOWN"),
        (lambda home: home.decision("2023-01-31"), "DECISION_MISSING"),
        (lambda home: home.scores("2023-01-31"), "MONTH_NOT_SCORED"),
        (lambda home: home.model(9), "VERSION_UNKNOWN"),
        (lambda home: home.model().predict_proba(home.features()[["hours"]]), "COLUMN_MISSING"),
        (lambda home: home.contact_plan(), "CONTACTS_NOT_DECLARED"),
        (lambda home: home.effect(), "CONTACTS_NOT_DECLARED"),
        (lambda home: home.drift(), "NOT_MEASURED"),
        (lambda home: home.plot.drift(), "NOT_MEASURED"),
    ],
)
def test_what_is_not_there_is_one_sentence_with_a_code(february, ask, code):
    with pytest.raises(churn.ChurnError) as refused:
        ask(opened(february))
    assert refused.value.code == code
    assert "\n" not in str(refused.value)


def test_no_home_and_another_layout_are_refused_at_once(tmp_path, february_copy):
    with pytest.raises(churn.ChurnError) as refused:
        churn.open(tmp_path / "nothing")
    assert refused.value.code == "HOME_MISSING"
    (february_copy.folder / "home.json").write_text('{"layout": 99}')
    with pytest.raises(churn.ChurnError) as refused:
        opened(february_copy)
    assert refused.value.code == "HOME_LAYOUT_UNKNOWN"


def test_a_damaged_file_has_the_code_of_the_terminal(february_copy):
    path = february_copy.records.path("scores", FEBRUARY, ".parquet")
    path.write_bytes(b"PAR1 and no more")
    with pytest.raises(churn.ChurnError) as refused:
        opened(february_copy).scores()
    assert refused.value.code == "TABLE_FILE_UNREADABLE"
    path = february_copy.records.path("training_dataset", FEBRUARY, ".parquet")
    frame = pd.read_parquet(path)
    frame.assign(label=~frame["label"]).to_parquet(path, index=False)
    with pytest.raises(churn.ChurnError) as refused:
        opened(february_copy).training_dataset()
    assert refused.value.code == "INTEGRITY_BROKEN"


def test_a_home_before_its_first_month_answers(tmp_path, small_contract):
    from churn_platform_tests.small_business import make_home

    home = opened(make_home(tmp_path / "home"))
    assert len(home.months()) == len(home.performance()) == len(home.history()) == 0
    for ask, code in (
        (home.model, "NO_PRODUCTION"),
        (home.features, "MONTH_UNKNOWN"),
        (home.training_dataset, "LABELS_NOT_MATURED"),
        (home.scores, "MONTH_NOT_SCORED"),
        (home.plot.performance, "NOT_MEASURED"),
        (home.plot.churn_rate, "LABELS_NOT_MATURED"),
    ):
        with pytest.raises(churn.ChurnError) as refused:
            ask()
        assert refused.value.code == code


def test_the_home_is_named_as_in_the_terminal(february, monkeypatch, tmp_path):
    monkeypatch.setenv("CHURN_HOME", str(february.folder))
    assert churn.open().folder == february.folder
    profile = tmp_path / "profile"
    profile.write_text(f"CHURN_HOME={february.folder}\nAWS_SECRET=x\n")
    monkeypatch.delenv("CHURN_HOME")
    monkeypatch.setenv("CHURN_PROFILE", str(profile))
    assert churn.open().folder == february.folder


def test_two_homes_are_open_at_once(january, february):
    one = opened(january)
    other = opened(february)
    assert [len(home.months()) for home in (one, other, one)] == [1, 2, 1]
    assert [home.model().version for home in (one, other, one)] == [1, 2, 1]


def test_what_a_later_run_records_is_seen(january_copy):
    home = opened(january_copy)
    before = len(home.history())
    january_copy.ledger.append(VersionBlocked(version=1, actor="tester", reason="to be seen"))
    assert len(home.history()) == before + 1


def tree(folder):
    """Every path with its kind, time of change and content."""
    return {
        str(path.relative_to(folder)): (
            path.lstat().st_mode,
            path.lstat().st_mtime_ns,
            hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else "",
        )
        for path in [folder, *folder.rglob("*")]
    }


@pytest.mark.parametrize("name", ["february", "worked"])
def test_reading_everything_changes_nothing_while_a_run_holds_the_home(name, request, monkeypatch):
    home = request.getfixturevalue(name)
    monkeypatch.setenv("CHURN_LOCK_SECONDS", "0")
    with home.exclusive("a run"):
        before = tree(home.folder)
        asked = ask_everything(opened(home))
        after = tree(home.folder)
    assert {"status", "scores", "plot.calibration", "plot.effect"} < asked
    assert after == before


def test_a_damaged_home_is_shown_with_its_sentence(february_copy):
    home = opened(february_copy)
    assert "version 2, trained on 2024-02-29" in home._repr_html_()
    (february_copy.folder / "releases" / "production").write_text("{}")
    assert "version 2" not in home._repr_html_()


def test_files_that_are_only_at_the_place_are_read_without_a_write_into_the_home(
    february, tmp_path
):
    home = cleared(placed(february, tmp_path / "home", tmp_path / "place"))
    before = sorted(home.folder.rglob("*"))
    api = opened(home)
    assert api.snapshot("members", JANUARY).equals(opened(february).snapshot("members", JANUARY))
    assert api.features().equals(opened(february).features())
    assert api.status()["lake"] == home.lake_uri
    assert sorted(home.folder.rglob("*")) == before
    fetched = api._fetched
    assert len(list(fetched.rglob("*.parquet"))) >= 3
    del api
    gc.collect()
    assert not fetched.exists()
