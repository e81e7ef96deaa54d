"""Approving and rejecting: one word of a person, bound to exactly what was judged, kept with name and reason."""

import threading

import pytest
import yaml

from churn_platform.base.errors import ContractError, HomeBusy, IntegrityError, UsageError
from churn_platform.base.provenance import provenance
from churn_platform.training.registry import CANDIDATE, PRODUCTION
from churn_platform.training.release import MODEL_FILE
from churn_platform_tests.promotion.test_promotions import STEPS, PowerCut, cut_at_receipt
from churn_platform_tests.small_business import FEBRUARY, JANUARY, candidate, open_home, with_policy
from churn_platform_tests.system.trusted_home import exchange_model, verification

ANN = ("Ann", "Looks right to me.")


def done(home):
    """Every move of production."""
    return [(r.act, r.subject, r.actor) for r in home.ledger.state().changes]


def refused(home):
    """The home with its newest decision refused, production 1."""
    home = with_policy(home, delta=0.9)
    home.decision_maker.decide(FEBRUARY, "performance")
    home.decision_maker.carry_out()
    return open_home(home.folder)


def damage(home):
    [stored] = [
        path for path in (home.folder / "artifacts").rglob(MODEL_FILE)
        if path.read_bytes() == home.registry.files(2)[MODEL_FILE]
    ]  # fmt: skip
    stored.write_bytes(stored.read_bytes() + b"junk")


def delete(home):
    home.registry._client().delete_model_version(home.registry.model_name, "2")


@pytest.mark.parametrize("change", [lambda home: exchange_model(home, 2, 1), damage, delete])
def test_a_model_that_was_exchanged_damaged_or_deleted_is_not_promoted_and_its_request_lapses(
    february_pending_copy, change
):
    home = february_pending_copy
    change(home)
    for override in (False, True):
        with pytest.raises((IntegrityError, UsageError)):
            home.approvals.approve(2, *ANN, override=override)
    with pytest.raises(UsageError, match="no longer what was judged"):
        home.approvals.reject(2, *ANN)
    assert len(home.ledger.receipts("approval lapsed")) == 1
    assert done(home)[-1][1] == "version 1"
    assert home.releases.pointer().version == home.registry.alias(PRODUCTION) == 1
    assert verification(home, deep=True)["breaks"]


def test_an_approved_candidate_is_in_production_in_the_name_of_who_approved_it(
    february_pending_copy,
):
    home = february_pending_copy
    decision = home.decisions.newest()
    assert "Version 2 is in production" in home.approvals.approve(2, *ANN)
    home = open_home(home.folder)
    assert home.releases.pointer().version == home.registry.alias(PRODUCTION) == 2
    (approval,) = home.ledger.receipts("approval")
    (request,) = home.ledger.receipts("approval requested")
    assert (approval.actor, approval.subject, approval.before, approval.after, approval.reason) == (
        "Ann", "version 2", "version 1", "version 2", "Looks right to me.",
    )  # fmt: skip
    bound = {name: request.evidence[name] for name in ("dataset", "as_of")}
    assert approval.evidence == provenance() | bound | {
        "request": request.digest, "decision": decision.digest, "candidate": decision.candidate_digest,
        "policy": home.contract.policy_hash, "override": False, "against": None, "login": "tester",
    }  # fmt: skip
    promoted = home.ledger.receipts("promotion done")[-1]
    assert (promoted.actor, promoted.reason) == ANN
    assert promoted.evidence["approval"] == approval.digest
    assert promoted.evidence["activate_at"] == home.releases.pointer().activate_at
    assert home.ledger.state().pending is None
    assert home.progress().next_step().kind == "scores"


def test_without_a_name_or_a_reason_nothing_is_approved(february_pending_copy):
    signatures = [("", "why"), (" \t", "why"), ("Ann", ""), ("Ann", "\n "), ("Ren\udce9", "why")]
    for act in (february_pending_copy.approvals.approve, february_pending_copy.approvals.reject):
        for signature in signatures:
            with pytest.raises(UsageError) as refused:
                act(2, *signature)
            assert refused.value.code == "TEXT_INVALID"
    assert february_pending_copy.releases.pointer().version == 1


def test_approving_twice_says_who_did_it(february_pending_copy):
    february_pending_copy.approvals.approve(2, *ANN)
    for act in ("approve", "reject"):
        with pytest.raises(UsageError, match=r"Version 2 .*Ann approved it .*Looks right to me"):
            getattr(open_home(february_pending_copy.folder).approvals, act)(2, "Bob", "Me too.")
    assert len(done(february_pending_copy)) == 2


def test_of_two_approvals_at_once_one_wins_and_the_other_says_who_did(february_pending_copy):
    home, said = february_pending_copy, []

    def try_it(name):
        try:
            said.append(open_home(home.folder).approvals.approve(2, name, "At once."))
        except UsageError as error:
            said.append(str(error))

    threads = [threading.Thread(target=try_it, args=(name,)) for name in ("Ann", "Bob")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    won, lost = sorted(said, key=lambda one: "already" in one)
    [_, (_, _, winner)] = done(home)
    assert f"approved by {winner}: At once." in won
    assert f"{winner} approved it" in lost


def test_a_rejected_candidate_is_not_asked_for_again_nor_promoted_by_itself(february_pending_copy):
    home = february_pending_copy
    home.approvals.reject(2, "Bob", "Not before the campaign.")
    for act in (home.approvals.approve, home.approvals.reject):
        with pytest.raises(UsageError, match=r"rejected by Bob at .*: Not before the campaign\."):
            act(2, *ANN)
    for mode in ("approval", "automatic"):
        home = with_policy(home, mode=mode)
        home.decision_maker.decide(FEBRUARY, "manual")
        said = home.decision_maker.carry_out().sentence
        assert said.startswith("Kept version 1: Version 2 was rejected by Bob")
    assert home.decisions.newest().approved
    assert len(home.ledger.receipts("approval requested")) == 1
    assert home.releases.pointer().version == 1
    assert open_home(home.folder).decisions.unfinished() is None


def test_a_rejection_may_be_overridden_by_name(february_pending_copy):
    home = february_pending_copy
    home.approvals.reject(2, "Bob", "No.")
    home.approvals.approve(2, "Ann", "We talked.", override=True)
    assert home.ledger.state().overridden[2].by == "Ann"


def test_a_refused_decision_passes_only_with_an_override_and_its_reason_is_kept(
    february_decided_copy,
):
    home = refused(february_decided_copy)
    decision = home.decisions.newest()
    with pytest.raises(UsageError, match="--override") as error:
        home.approvals.approve(2, *ANN)
    assert decision.reason in str(error.value)
    with pytest.raises(UsageError, match="does not wait"):
        home.approvals.reject(2, "Bob", "No.")
    assert home.releases.pointer().version == 1
    said = home.approvals.approve(2, "Ann", "The board wants it.", override=True)
    assert f"overriding the decision (Version 2 was refused: {decision.reason})" in said
    home = open_home(home.folder)
    assert home.releases.pointer().version == home.registry.alias(PRODUCTION) == 2
    (approval,) = home.ledger.receipts("approval")
    assert (approval.evidence["override"], approval.evidence["against"]) == (
        True, f"Version 2 was refused: {decision.reason}",
    )  # fmt: skip
    assert home.ledger.receipts("promotion done")[-1].evidence["override"] is True


def test_unknown_versions_and_production_itself_are_named(february_pending_copy):
    with pytest.raises(UsageError, match=r"version 9; versions decided on: 1, 2\."):
        february_pending_copy.approvals.approve(9, *ANN)
    with pytest.raises(UsageError, match=r"Version 1 .*tester promoted it"):
        february_pending_copy.approvals.approve(1, *ANN, override=True)


def test_a_request_lapses_when_a_newer_candidate_comes(february_pending_copy):
    home = february_pending_copy
    assert candidate(home, FEBRUARY, "other code") == 3
    with pytest.raises(UsageError, match=r"lapsed at .*: Version 3 is the candidate now\."):
        home.approvals.approve(2, *ANN)
    home.decision_maker.decide(FEBRUARY, "manual")
    assert "version 3" in home.decision_maker.carry_out().sentence.lower()
    assert home.ledger.state().pending.version == 3
    assert len(home.ledger.receipts("approval lapsed")) == 1
    assert home.approvals.approve(3, *ANN).startswith("Version 3 is in production")


def other_policy(home):
    return with_policy(home, mode="approval", delta=0.02)


def other_data(home):
    record = home.records.read("training_dataset", FEBRUARY)
    home.records.write("training_dataset", FEBRUARY, record | {"digest": "0" * 64})
    return home


def edited_decision(home):
    path = max((home.folder / "ledger" / "decisions").glob("*.json"))
    path.write_text(path.read_text().replace('"attempt": 1', '"attempt": 2'))
    return home


@pytest.mark.parametrize(
    ("change", "fact"),
    [(other_policy, "policy"), (other_data, "data that version 2"), (edited_decision, "decision on version 2")],
)  # fmt: skip
def test_a_request_lapses_once_with_what_it_was_bound_to(february_pending_copy, change, fact):
    home = change(february_pending_copy)
    for act in (home.approvals.approve, home.approvals.reject):
        with pytest.raises(UsageError, match=f"lapsed at .*{fact}"):
            act(2, *ANN)
    (lapsed,) = home.ledger.receipts("approval lapsed")
    assert fact in lapsed.reason
    assert home.releases.pointer().version == 1


def test_a_candidate_is_approved_after_its_feature_was_taken_out_of_the_contract(
    february_pending_copy,
):
    home = february_pending_copy
    declared = yaml.safe_load(home.contract_path.read_text())
    declared["feature_views"].pop("visits_fv")
    home.contract_path.write_text(yaml.safe_dump(declared))
    open_home(home.folder).approvals.approve(2, *ANN)
    assert open_home(home.folder).releases.pointer().version == 2


def test_a_candidate_whose_column_is_gone_is_not_approved_even_with_an_override(
    february_pending_copy,
):
    home = february_pending_copy
    declared = yaml.safe_load(home.contract_path.read_text())
    declared["feature_views"]["members_fv"]["features"].remove("has_app")
    del declared["tables"]["members"]["columns"]["has_app"]
    home.contract_path.write_text(yaml.safe_dump(declared))
    with pytest.raises(ContractError, match=r"Version 2 could not serve\..*members\.has_app"):
        open_home(home.folder).approvals.approve(2, *ANN, override=True)
    assert open_home(home.folder).releases.pointer().version == 1


def test_a_home_that_a_run_holds_is_said_with_the_run(february_pending_copy, monkeypatch):
    from churn_platform.promotion import promotions

    monkeypatch.setattr(promotions, "PATIENCE", 0.1)
    held, over = threading.Event(), threading.Event()

    def hold():
        with open_home(february_pending_copy.folder).exclusive("`churn run`"):
            held.set()
            over.wait()

    holder = threading.Thread(target=hold)
    holder.start()
    held.wait()
    try:
        with pytest.raises(HomeBusy, match=r"`churn run` of tester \(process \d+"):
            february_pending_copy.approvals.approve(2, *ANN)
    finally:
        over.set()
        holder.join()


# The first, a middle and the last step: test_promotions.py tries all.
@pytest.mark.parametrize("step", ["intent", "pointer", "done"])
def test_an_approval_that_was_cut_off_is_completed_once(february_pending_copy, monkeypatch, step):
    home = february_pending_copy
    with monkeypatch.context() as patch:
        patch.setattr(*STEPS[step](home))
        with pytest.raises(PowerCut):
            home.approvals.approve(2, *ANN)
    open_home(home.folder).promotions.recover()
    home = open_home(home.folder)
    assert home.releases.pointer().version == home.registry.alias(PRODUCTION) == 2
    assert done(home) == [
        ("promotion done", "version 1", "tester"),
        ("promotion done", "version 2", "Ann"),
    ]
    assert (
        len(home.ledger.receipts("approval"))
        == len(home.ledger.receipts("promotion intent")) - 1
        == 1
    )
    assert home.promotions.recover() is None


def test_an_approval_that_was_cut_off_does_not_outlive_its_policy(
    february_pending_copy, monkeypatch
):
    home = february_pending_copy
    with monkeypatch.context() as patch:
        patch.setattr(*STEPS["intent"](home))
        with pytest.raises(PowerCut):
            home.approvals.approve(2, *ANN)
    home = with_policy(home, mode="approval", delta=0.02)
    assert "cannot be completed: The policy" in home.promotions.recover()
    assert home.releases.pointer().version == 1
    assert open_home(home.folder).promotions.recover() is None
    assert len(home.ledger.receipts("approval lapsed")) == 1


def test_killed_before_the_answer_is_written_nothing_was_answered(
    february_pending_copy, monkeypatch
):
    home = february_pending_copy
    for act, receipt in (("approve", "approval"), ("reject", "rejection")):
        with monkeypatch.context() as patch:
            patch.setattr(*cut_at_receipt(home, receipt))
            with pytest.raises(PowerCut):
                getattr(home.approvals, act)(2, *ANN)
    assert open_home(home.folder).promotions.recover() is None
    assert home.ledger.state().pending.version == 2


def test_the_first_model_waits_for_an_approval_too(january_decided_copy):
    home = with_policy(january_decided_copy, mode="approval")
    home.decision_maker.decide(JANUARY, "first")
    assert "Version 1 passed and waits" in home.decision_maker.carry_out().sentence
    assert (home.releases.pointer(), home.registry.alias(CANDIDATE)) == (None, 1)
    home.approvals.approve(1, *ANN)
    assert home.releases.pointer().previous_version is None
