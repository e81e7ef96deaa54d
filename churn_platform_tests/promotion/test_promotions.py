"""Carrying a decision out: any kill leaves a home that the next run completes to one sound state."""

import json

import pytest

from churn_platform.base.errors import IntegrityError
from churn_platform.base.provenance import provenance
from churn_platform.promotion.promotions import production_candidate, released
from churn_platform.training.registry import PRODUCTION
from churn_platform_tests.small_business import FEBRUARY, copied, open_home, with_policy


class PowerCut(Exception):
    """Raised where a process would die."""


def cut_at_receipt(home, act):
    """Die before a receipt of this act is written."""
    append = home.ledger.append

    def cut(written):
        if written.name == act:
            raise PowerCut
        return append(written)

    return home.ledger, "append", cut


def cut_at(part, method):
    def cut(*_, **__):
        raise PowerCut

    return part, method, cut


STEPS = {
    "intent": lambda home: cut_at_receipt(home, "promotion intent"),
    "release": lambda home: cut_at(home.releases, "publish"),
    "published": lambda home: cut_at_receipt(home, "release published"),
    "pointer": lambda home: cut_at(home.releases, "point"),
    "alias": lambda home: cut_at(home.registry, "set_alias"),
    "done": lambda home: cut_at_receipt(home, "promotion done"),
    "anchor": lambda home: cut_at(home.registry, "anchor"),
}
"""What the process died before."""


def killed(home, step, monkeypatch, act=lambda home: home.decision_maker.carry_out()):
    """Carry the newest decision out and die before `step`; the home as the next process finds it."""
    with monkeypatch.context() as patch:
        patch.setattr(*STEPS[step](home))
        with pytest.raises(PowerCut):
            act(home)
    return open_home(home.folder)


def receipts(home, act):
    return [(r.subject, r.before, r.after) for r in home.ledger.receipts(act)]


INSIDE = [step for step in STEPS if step not in ("intent", "anchor")]
"""The steps before which a change had begun and was not done."""
MOVED = ("alias", "done")
"""Those that follow the pointer."""


def assert_in_production(home, version, decisions):
    """Alias, pointer, release and ledger agree on one version, and nothing is left to do for the decision."""
    pointer = home.releases.pointer()
    assert (
        pointer.version
        == home.registry.alias(PRODUCTION)
        == home.releases.production().version
        == version
    )
    assert home.releases.verify(version).candidate_digest == home.registry.load(version).digest
    assert production_candidate(home.releases).digest == home.decisions.newest().candidate_digest
    assert home.ledger.verify(pointer.ledger_head) is None
    assert home.decisions.unfinished() is None
    assert len(home.records.decisions()) == decisions
    assert len(receipts(home, "decision")) == decisions


@pytest.mark.parametrize("step", ["intent", *INSIDE])
def test_killed_before_any_step_and_run_again_there_is_one_production_and_one_decision(
    february_decided_copy, monkeypatch, step
):
    home = killed(february_decided_copy, step, monkeypatch)
    assert production_candidate(home.releases).version == (2 if step in MOVED else 1)
    due = home.progress().next_step()
    assert (due.kind, due.as_of, due.trigger) == ("retraining", FEBRUARY, "performance")
    assert home.decision_maker.decide(FEBRUARY, due.trigger) == home.decisions.newest()
    home.decision_maker.carry_out()
    home = open_home(home.folder)
    assert_in_production(home, 2, decisions=2)
    assert home.releases.pointer().previous_version == 1
    assert receipts(home, "promotion done")[1:] == [("version 2", "version 1", "version 2")]
    assert receipts(home, "production kept") == []


@pytest.mark.parametrize("step", ["intent", "published", "alias"])
def test_the_first_promotion_is_completed_by_carrying_out_alone(
    january_decided_copy, monkeypatch, step
):
    home = killed(january_decided_copy, step, monkeypatch)
    assert home.decisions.unfinished() == "first"
    home.decision_maker.carry_out()
    home = open_home(home.folder)
    assert_in_production(home, 1, decisions=1)
    assert home.releases.pointer().previous_version is None
    assert receipts(home, "promotion done") == [("version 1", None, "version 1")]


def test_killed_after_the_last_receipt_nothing_is_left_to_do(february_decided_copy, monkeypatch):
    home = killed(february_decided_copy, "anchor", monkeypatch)
    assert home.promotions.recover() is None
    assert_in_production(home, 2, decisions=2)
    assert len(receipts(home, "promotion done")) == 2


@pytest.mark.parametrize("step", INSIDE)
def test_recovery_alone_completes_a_move_and_says_so_once(february_decided_copy, monkeypatch, step):
    home = killed(february_decided_copy, step, monkeypatch)
    said = home.promotions.recover()
    assert ("after the pointer" in said) == (step in MOVED)
    assert "version 2" in said
    assert "completed" in said
    home = open_home(home.folder)
    assert_in_production(home, 2, decisions=2)
    assert home.promotions.recover() is None
    (recovery,) = home.ledger.receipts("recovery")
    assert (recovery.subject, recovery.before, recovery.after, recovery.reason) == (
        "version 2", "version 1", "version 2", said,
    )  # fmt: skip
    for act in ("promotion intent", "release published", "promotion done"):
        assert [subject for subject, _, _ in receipts(home, act)] == ["version 1", "version 2"]
    assert receipts(home, "promotion void") == []


@pytest.mark.parametrize("step", INSIDE)
def test_killed_in_the_recovery_too_the_next_one_completes_it(
    february_decided_copy, monkeypatch, step
):
    home = killed(february_decided_copy, "release", monkeypatch)
    home = killed(home, step, monkeypatch, act=lambda home: home.promotions.recover())
    assert home.promotions.recover() is not None
    assert_in_production(open_home(home.folder), 2, decisions=2)
    assert len(receipts(home, "promotion done")) == len(receipts(home, "promotion intent")) == 2


@pytest.mark.parametrize("step", ["release", "pointer"])
def test_a_move_that_no_longer_holds_is_voided_while_the_pointer_has_not_moved(
    february_decided_copy, monkeypatch, step
):
    home = with_policy(killed(february_decided_copy, step, monkeypatch), delta=0.02)
    home.registry.set_alias(PRODUCTION, 2)  # as a version before 0.2 left it
    said = home.promotions.recover()
    assert "cannot be completed: The policy has changed" in said
    assert home.registry.alias(PRODUCTION) == home.releases.pointer().version == 1
    assert receipts(home, "promotion void") == [("version 2", "version 1", "version 1")]
    evidence = set(home.ledger.receipts("promotion void")[0].evidence)
    assert evidence == {"decision", "candidate", "as_of", "intent", "code", "lock"}
    assert len(receipts(home, "promotion done")) == 1
    assert home.promotions.recover() is None


def test_a_change_whose_pointer_has_moved_is_completed_whatever_changed_since(
    february_decided_copy, monkeypatch
):
    home = with_policy(killed(february_decided_copy, "done", monkeypatch), delta=0.02)
    home.promotions.recover()
    assert_in_production(home, 2, decisions=2)


def test_a_move_whose_model_was_tampered_with_is_voided(february_decided_copy, monkeypatch):
    home = killed(february_decided_copy, "release", monkeypatch)
    for path in (home.folder / "artifacts").rglob("model.skops"):
        path.write_bytes(path.read_bytes()[:-1])
    assert "cannot be completed: Version 2 of gym_churn: model.skops" in home.promotions.recover()
    assert home.registry.alias(PRODUCTION) == home.releases.pointer().version == 1


def test_a_first_promotion_that_is_voided_leaves_no_alias(january_decided_copy, monkeypatch):
    home = with_policy(killed(january_decided_copy, "pointer", monkeypatch), delta=0.02)
    home.registry.set_alias(PRODUCTION, 1)  # as a version before 0.2 left it
    home.promotions.recover()
    assert (home.registry.alias(PRODUCTION), home.releases.pointer()) == (None, None)
    assert receipts(home, "promotion void") == [("version 1", None, None)]


def test_a_store_that_cannot_be_read_gives_no_move_up(february_decided_copy, monkeypatch):
    home = killed(february_decided_copy, "release", monkeypatch)
    database = home.folder / "mlflow.db"
    kept = database.read_bytes()
    database.write_bytes(b"no database" * 1000)
    head = home.ledger.head()
    with pytest.raises(IntegrityError, match=r"mlflow\.db cannot be read"):
        open_home(home.folder).promotions.recover()
    assert home.ledger.head() == head
    database.write_bytes(kept)
    open_home(home.folder).promotions.recover()
    assert_in_production(open_home(home.folder), 2, decisions=2)


def test_the_receipts_tell_who_what_and_why_with_the_digests(january):
    intent, published, done = (
        january.ledger.receipts(act)[0]
        for act in ("promotion intent", "release published", "promotion done")
    )
    decision, pointer = january.decisions.newest(), january.releases.pointer()
    evidence = {
        "decision": decision.digest,
        "candidate": decision.candidate_digest,
        "as_of": "2024-01-31",
        **provenance(),
    }
    for receipt in (intent, done):
        signed = (receipt.actor, receipt.subject, receipt.reason)
        assert signed == ("tester", "version 1", decision.reason)
    assert intent.evidence == evidence
    end = {"intent": intent.digest, "activate_at": pointer.activate_at}
    assert done.evidence == evidence | end
    assert intent.sequence < published.sequence < done.sequence
    assert published.evidence["candidate"] == decision.candidate_digest
    assert published.evidence["files"] == january.releases.manifest(1).files
    assert pointer.ledger_head == intent.digest
    assert pointer.as_of == "2024-01-31"
    tags = january.registry._client().get_model_version("gym_churn", "1").tags
    assert tags["ledger_head"] == done.digest


def test_promoting_twice_is_one_release_and_the_pointer_does_not_move_again(january_copy):
    home = january_copy
    files = [home.releases.pointer_file, home.releases.folder / "1" / "manifest.json"]
    before = [file.read_bytes() for file in files]
    home.promotions.promote(home.decisions.newest())
    assert [file.read_bytes() for file in files] == before
    assert home.releases.versions() == [1]
    assert_in_production(home, 1, decisions=1)


def test_a_release_is_read_without_mlflow_and_never_when_it_was_changed(january_copy):
    (january_copy.folder / "mlflow.db").unlink()
    assert released(january_copy.releases, 1).version == 1
    path = january_copy.releases.path(1, "passport.json")
    path.write_text(json.dumps(json.loads(path.read_text()) | {"threshold": 0.99}))
    with pytest.raises(IntegrityError, match=r"release 1 was changed: passport\.json should be"):
        production_candidate(january_copy.releases)


@pytest.mark.parametrize(
    ("stage", "kept"), [("february_decided", "version 1"), ("january_decided", "no model")]
)
def test_keeping_production_is_a_receipt_and_moves_nothing(request, tmp_path, stage, kept):
    home = copied(request.getfixturevalue(stage), tmp_path / "home")
    before = home.releases.pointer()
    home.promotions.keep(home.decisions.newest(), "Not today.")
    (receipt,) = home.ledger.receipts("production kept")
    assert receipts(home, "production kept") == [(kept, kept, kept)]
    assert receipt.evidence["decision"] == home.decisions.newest().digest
    assert (receipt.reason, home.releases.pointer()) == ("Not today.", before)


@pytest.mark.parametrize("alias", [2, None])
def test_the_alias_is_put_back_to_what_the_pointer_names(february_decided_copy, alias):
    home = february_decided_copy
    if alias is None:
        home.registry.remove_alias(PRODUCTION)
    else:
        home.registry.set_alias(PRODUCTION, alias)
    home.promotions.restore_alias()
    assert home.registry.alias(PRODUCTION) == home.releases.pointer().version == 1


def test_without_production_there_is_no_model_and_no_alias(january_decided_copy):
    home = january_decided_copy
    assert production_candidate(home.releases) is None
    home.registry.set_alias(PRODUCTION, 1)
    home.promotions.restore_alias()
    assert home.registry.alias(PRODUCTION) is None
