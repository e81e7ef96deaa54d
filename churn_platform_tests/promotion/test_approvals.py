"""Approving and rejecting: one word of a person, bound to exactly what was judged, kept with name and reason."""

import threading

import pytest

from churn_platform.base.errors import ContractError, HomeBusy, IntegrityError, UsageError
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
    with pytest.raises((IntegrityError, UsageError)) as said:
        home.approvals.approve(2, *ANN)
    assert any(
        told in str(said.value)
        for told in ("not the file that was judged", "recorded when", "no version 2")
    )
    (lapse,) = home.ledger.receipts("approval lapsed")
    assert lapse.reason == "The digest of version 2 is no longer what was judged."
    with pytest.raises(UsageError, match="no longer what was judged"):
        home.approvals.reject(2, *ANN)
    with pytest.raises((IntegrityError, UsageError)):
        home.approvals.approve(2, *ANN, override=True)
    assert done(home)[-1][1] == "version 1"
    assert home.releases.pointer().version == home.registry.alias(PRODUCTION) == 1
    assert verification(home, deep=True)["breaks"]


def test_an_approved_candidate_is_in_production_in_the_name_of_who_approved_it(
    february_pending_copy,
):
    home = february_pending_copy
    decision = home.decisions.newest()
    said = home.approvals.approve(2, *ANN)
    assert said == "Version 2 is in production, approved by Ann: Looks right to me."
    home = open_home(home.folder)
    assert home.releases.pointer().version == home.registry.alias(PRODUCTION) == 2
    (approval,) = home.ledger.receipts("approval")
    (request,) = home.ledger.receipts("approval requested")
    assert (approval.actor, approval.subject, approval.before, approval.after, approval.reason) == (
        "Ann", "version 2", "version 1", "version 2", "Looks right to me.",
    )  # fmt: skip
    assert approval.evidence["request"] == request.digest
    assert approval.evidence["decision"] == request.evidence["decision"] == decision.digest
    assert approval.evidence["candidate"] == decision.candidate_digest
    assert approval.evidence["policy"] == home.contract.policy_hash
    assert (approval.evidence["override"], approval.evidence["against"], approval.evidence["login"]) == (
        False, None, "tester",
    )  # fmt: skip
    promoted = home.ledger.receipts("promotion done")[-1]
    assert (promoted.actor, promoted.reason) == ANN
    assert promoted.evidence["approval"] == approval.digest
    assert promoted.evidence["activate_at"] == home.releases.pointer().activate_at
    assert home.ledger.state().pending is None
    assert home.progress().next_step().kind == "scores"


def test_without_a_name_or_a_reason_nothing_is_approved(february_pending_copy):
    for by, reason in (("", "why"), (" \t", "why"), ("Ann", ""), ("Ann", "\n ")):
        for act in ("approve", "reject"):
            with pytest.raises(UsageError, match="--by and --reason must not be empty"):
                getattr(february_pending_copy.approvals, act)(2, by, reason)
    for act in ("approve", "reject"):
        with pytest.raises(UsageError, match=r"--by Ren\\udce9 is not UTF-8"):
            getattr(february_pending_copy.approvals, act)(2, "Ren\udce9", "why")
    assert february_pending_copy.releases.pointer().version == 1


def test_approving_twice_says_who_did_it(february_pending_copy):
    february_pending_copy.approvals.approve(2, *ANN)
    for act in ("approve", "reject"):
        with pytest.raises(
            UsageError,
            match=r"^Version 2 is already in production: Ann approved it at .* UTC \(Looks right to me\.\)\.$",
        ):
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
    winner = "Ann" if "approved by Ann" in won else "Bob"
    assert won == f"Version 2 is in production, approved by {winner}: At once."
    assert lost.startswith(f"Version 2 is already in production: {winner} approved it at ")
    assert [actor for _, _, actor in done(home)] == ["tester", winner]


def test_a_rejected_candidate_is_not_asked_for_again_nor_promoted_by_itself(february_pending_copy):
    home = february_pending_copy
    said = home.approvals.reject(2, "Bob", "Not before the campaign.")
    assert (
        said == "Version 2 is rejected by Bob, production stays as it is: Not before the campaign."
    )
    for act in ("approve", "reject"):
        with pytest.raises(
            UsageError, match=r"^Version 2 was rejected by Bob at .* UTC: Not before the campaign\."
        ):
            getattr(home.approvals, act)(2, *ANN)
    home.decision_maker.decide(FEBRUARY, "manual")
    outcome = home.decision_maker.carry_out()
    assert outcome.sentence.startswith("Kept version 1: Version 2 was rejected by Bob at ")
    assert len(home.ledger.receipts("approval requested")) == 1
    home = with_policy(home)
    home.decision_maker.decide(FEBRUARY, "manual")
    assert home.decisions.newest().approved
    assert home.decision_maker.carry_out().sentence.startswith(
        "Kept version 1: Version 2 was rejected by Bob at "
    )
    assert home.releases.pointer().version == 1
    assert open_home(home.folder).decisions.unfinished() is None


def test_a_rejection_may_be_overridden_by_name(february_pending_copy):
    home = february_pending_copy
    home.approvals.reject(2, "Bob", "No.")
    said = home.approvals.approve(2, "Ann", "We talked.", override=True)
    assert said.startswith(
        "Version 2 is in production, approved by Ann, overriding the decision (Version 2 was reject"
    )
    assert home.ledger.state().overridden[2].by == "Ann"


def test_a_refused_decision_passes_only_with_an_override_and_its_reason_is_kept(
    february_decided_copy,
):
    home = refused(february_decided_copy)
    decision = home.decisions.newest()
    with pytest.raises(UsageError) as error:
        home.approvals.approve(2, *ANN)
    assert str(error.value) == (
        f"Version 2 was refused: {decision.reason} With --override and a reason it is promoted all the same."
    )
    assert home.releases.pointer().version == 1
    said = home.approvals.approve(2, "Ann", "The board wants it.", override=True)
    assert said == (
        "Version 2 is in production, approved by Ann, overriding the decision "
        f"(Version 2 was refused: {decision.reason}): The board wants it."
    )
    home = open_home(home.folder)
    assert home.releases.pointer().version == home.registry.alias(PRODUCTION) == 2
    (approval,) = home.ledger.receipts("approval")
    assert (approval.evidence["override"], approval.evidence["against"]) == (
        True, f"Version 2 was refused: {decision.reason}",
    )  # fmt: skip
    assert home.ledger.receipts("promotion done")[-1].evidence["override"] is True


def test_a_rejection_needs_a_candidate_that_waits(february_decided_copy):
    home = refused(february_decided_copy)
    with pytest.raises(UsageError, match=r"^Version 2 does not wait for an approval\."):
        home.approvals.reject(2, "Bob", "No.")


def test_unknown_versions_and_production_itself_are_named(february_pending_copy):
    with pytest.raises(
        UsageError, match=r"^There is no decision on version 9; versions decided on: 1, 2\."
    ):
        february_pending_copy.approvals.approve(9, *ANN)
    with pytest.raises(
        UsageError, match=r"^Version 1 is already in production: tester promoted it at "
    ):
        february_pending_copy.approvals.approve(1, *ANN, override=True)


def test_a_request_lapses_when_the_policy_changes(february_pending_copy):
    home = with_policy(february_pending_copy, mode="approval", delta=0.02)
    with pytest.raises(
        UsageError,
        match=r"^The request to approve version 2 lapsed at .* UTC: The policy has changed since the decision\. With",
    ):
        home.approvals.approve(2, *ANN)
    (lapsed,) = home.ledger.receipts("approval lapsed")
    assert (lapsed.subject, lapsed.reason) == (
        "version 2",
        "The policy has changed since the decision.",
    )
    with pytest.raises(UsageError, match="lapsed at"):
        home.approvals.reject(2, *ANN)
    assert len(home.ledger.receipts("approval lapsed")) == 1
    assert home.releases.pointer().version == 1


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


def test_a_request_lapses_when_the_data_it_was_judged_on_is_remade(february_pending_copy):
    home = february_pending_copy
    record = home.records.read("training_dataset", FEBRUARY)
    home.records.write("training_dataset", FEBRUARY, record | {"digest": "0" * 64})
    with pytest.raises(UsageError, match=r"The data that version 2 was judged on has changed\."):
        home.approvals.approve(2, *ANN)


def test_a_request_lapses_when_its_decision_is_edited(february_pending_copy):
    home = february_pending_copy
    path = max((home.folder / "ledger" / "decisions").glob("*.json"))
    path.write_text(path.read_text().replace('"attempt": 1', '"attempt": 2'))
    with pytest.raises(UsageError, match=r"The decision on version 2 has changed\."):
        home.approvals.approve(2, *ANN)


def test_a_model_that_was_tampered_with_is_not_approved_even_with_an_override(
    february_pending_copy,
):
    home = february_pending_copy
    for path in (home.folder / "artifacts").rglob("model.skops"):
        path.write_bytes(path.read_bytes()[:-1])
    for override in (False, True):
        with pytest.raises(
            IntegrityError, match="does not match the digest recorded when it was registered"
        ):
            home.approvals.approve(2, *ANN, override=override)
    assert home.releases.pointer().version == 1


def test_a_model_of_another_contract_is_not_approved_even_with_an_override(february_pending_copy):
    import yaml

    home = february_pending_copy
    declared = yaml.safe_load(home.contract_path.read_text())
    declared["feature_views"].pop("visits_fv")
    home.contract_path.write_text(yaml.safe_dump(declared))
    with pytest.raises(ContractError, match="Version 2 was trained under another contract"):
        open_home(home.folder).approvals.approve(2, *ANN, override=True)


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
        with pytest.raises(
            HomeBusy,
            match=r"^`churn run` of tester \(process \d+, since 20.*\) has held .* for 0 sec",
        ):
            february_pending_copy.approvals.approve(2, *ANN)
    finally:
        over.set()
        holder.join()


@pytest.mark.parametrize("step", [*STEPS])
def test_an_approval_that_was_cut_off_is_completed_once(february_pending_copy, monkeypatch, step):
    home = february_pending_copy
    with monkeypatch.context() as patch:
        patch.setattr(*STEPS[step](home))
        with pytest.raises(PowerCut):
            home.approvals.approve(2, *ANN)
    home = open_home(home.folder)
    home.promotions.recover()
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
    with pytest.raises(UsageError, match="Version 2 is already in production: Ann approved it"):
        home.approvals.approve(2, "Bob", "Again.")


def test_an_approval_that_was_cut_off_does_not_outlive_its_policy(
    february_pending_copy, monkeypatch
):
    home = february_pending_copy
    with monkeypatch.context() as patch:
        patch.setattr(*STEPS["intent"](home))
        with pytest.raises(PowerCut):
            home.approvals.approve(2, *ANN)
    home = with_policy(home, mode="approval", delta=0.02)
    assert (
        "cannot be completed: The policy has changed since the decision"
        in home.promotions.recover()
    )
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
    outcome = home.decision_maker.carry_out()
    assert outcome.sentence.startswith(
        "No model is in production: Version 1 passed and waits for an approval until "
    )
    assert (home.releases.pointer(), home.registry.alias(CANDIDATE)) == (None, 1)
    assert home.approvals.approve(1, *ANN).startswith("Version 1 is in production, approved by Ann")
    assert home.releases.pointer().previous_version is None
