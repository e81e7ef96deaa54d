"""Moves production: release, alias, pointer and receipts, in an order that any kill leaves repairable.

Belongs here: the one sequence intent -> release -> alias -> pointer -> done of promotions and rollbacks, and its
recovery. Does not: whether to promote (`core/promotion.py`, `adapters/deciding.py`).
"""

import datetime as dt

import pandas as pd

from churn_platform.adapters.home import Home
from churn_platform.adapters.model_registry import PRODUCTION
from churn_platform.adapters.provenance import provenance
from churn_platform.adapters.training_data import load_training_dataset
from churn_platform.core.candidate import FILES, Candidate, candidate_of
from churn_platform.core.digest import digest_of
from churn_platform.core.ledger import Receipt
from churn_platform.core.moves import Move, named, open_intent
from churn_platform.core.promotion import Decision
from churn_platform.core.serving_form import serving_files
from churn_platform.errors import DataError, IntegrityError, UsageError

GOLDEN_ROWS = 5
ACTIVATION_DELAY = dt.timedelta(seconds=2)
"""All serving workers load the release first and change over at one instant."""


def production_candidate(home: Home) -> Candidate | None:
    """The model in production, from its release, every file verified; None before the first promotion."""
    pointer = home.releases.pointer()
    return None if pointer is None else released(home, pointer.version)


def released(home: Home, version: int) -> Candidate:
    """A released version, every file verified. MLflow is not asked.

    Raises:
        IntegrityError: a file of the release was changed.
    """
    home.releases.verify(version)
    return candidate_of({name: home.releases.path(version, name).read_bytes() for name in FILES}, version)


def decision_digest(decision: Decision) -> str:
    """The digest by which receipts name a decision."""
    return digest_of(decision.model_dump(mode="json"))


def find_decision(home: Home, digest: str) -> Decision | None:
    """The decision of this digest, as it stands in the home; None when there is none, or it was changed."""
    known = (Decision.model_validate(record) for record in reversed(home.records.decisions()))
    return next((decision for decision in known if decision_digest(decision) == digest), None)


def promote(home: Home, decision: Decision) -> Receipt:
    """Put the approved version into production; doing it again completes what is missing.

    Args:
        home: the home.
        decision: an approved decision whose `allows` was asked.
    """
    evidence = {"decision": decision_digest(decision), "candidate": decision.candidate_digest, "as_of": decision.as_of}
    before = decision.production_version
    version, who = decision.candidate_version, home.settings.who
    return move(home, Move("promotion", version, before, who, decision.reason, evidence))


def move(home: Home, planned: Move) -> Receipt:
    """Move production; every step is idempotent, so that the same move again completes what a kill left.

    Returns:
        The receipt that it is done.

    Raises:
        IntegrityError: the model or its release was changed; nothing has moved.
    """
    intent = open_intent(home.ledger.receipts())
    if intent is None or Move.of(intent) != planned:
        intent = home.ledger.append(act=f"{planned.kind} intent", **planned.receipt())  # type: ignore[arg-type]
    publish(home, planned)
    return _finish(home, planned, intent)


def publish(home: Home, planned: Move) -> None:
    """Have the version's release on the disk, verified, and its receipt in the ledger, once."""
    version = planned.version
    if version in home.releases.versions():
        manifest = home.releases.verify(version)
    else:
        candidate, dataset = home.registry.load(version), load_training_dataset(home, month_of(planned))
        if dataset is None:
            raise DataError(f"There is no training dataset of {planned.as_of}: its release needs golden predictions.")
        files = {**home.registry.files(version), **serving_files(candidate.model)}
        manifest = home.releases.publish(version, files, _manifest(home, candidate, dataset.training_rows()))
    if manifest.candidate_digest != planned.evidence["candidate"]:
        raise IntegrityError(
            f"Version {version} is not what its decision was about: its digest is {manifest.candidate_digest[:12]}."
        )
    known = {receipt.subject for receipt in home.ledger.receipts("release published")}
    if f"version {version}" not in known:
        home.ledger.append(
            actor=home.settings.who,
            act="release published",
            subject=f"version {version}",
            after=f"version {version}",
            reason=f"The release that serving loads, for the {planned.kind} of version {version}.",
            evidence={
                "candidate": manifest.candidate_digest,
                "manifest": digest_of(manifest.model_dump(mode="json")),
                "files": dict(manifest.files),
            },
        )


def recover(home: Home) -> str | None:
    """Complete the move that a kill cut off; void it when it cannot be completed and the pointer has not moved.

    Returns:
        What was done, in a sentence; None when nothing had been cut off.

    Raises:
        IntegrityError: a store cannot be read; nothing was changed.
    """
    intent = open_intent(home.ledger.receipts())
    if intent is None:
        return None
    planned, pointer = Move.of(intent), home.releases.pointer()
    moved = pointer is not None and pointer.version == planned.version
    why_not = None if moved else _why_not(home, planned, None if pointer is None else pointer.version)
    what = f"The {planned.kind} of version {planned.version} was cut off"
    if why_not is None:
        _finish(home, planned, intent)
        said = f"{what} {'after' if moved else 'before'} the pointer moved: it was completed."
    else:
        _void(home, planned, intent, why_not)
        said = f"{what} before the pointer moved, and cannot be completed: {why_not}"
    standing = home.releases.pointer()
    home.ledger.append(
        actor=home.settings.who,
        act="recovery",
        subject=f"version {planned.version}",
        before=named(planned.before),
        after=None if standing is None else f"version {standing.version}",
        reason=said,
        evidence={"intent": intent.digest},
    )
    return said


def restore_alias(home: Home) -> None:
    """Have MLflow's alias say what the pointer says: the pointer is what is in production.

    Somebody may have moved the alias by hand, and deleting a version deletes its alias in silence.
    """
    pointer = home.releases.pointer()
    if pointer is None:
        home.registry.remove_alias(PRODUCTION)
    elif home.registry.alias(PRODUCTION) != pointer.version:
        home.registry.set_alias(PRODUCTION, pointer.version)


def keep(home: Home, decision: Decision, why: str) -> None:
    """Record that production stays as it is."""
    pointer = home.releases.pointer()
    kept = "no model" if pointer is None else f"version {pointer.version}"
    home.ledger.append(
        actor=home.settings.who,
        act="production kept",
        subject=kept,
        before=kept,
        after=kept,
        reason=why,
        evidence={"decision": decision_digest(decision), "candidate": decision.candidate_digest},
    )


def _finish(home: Home, planned: Move, intent: Receipt) -> Receipt:
    """Alias, pointer and the last receipt; the release stands."""
    home.registry.set_alias(PRODUCTION, planned.version)
    pointer = home.releases.pointer()
    if pointer is None or pointer.version != planned.version:
        activate_at = (home.now() + ACTIVATION_DELAY).isoformat()
        pointer = home.releases.point(
            planned.version, ledger_head=intent.digest, activate_at=activate_at, as_of=planned.as_of
        )
    receipt = planned.receipt(intent=intent.digest, activate_at=pointer.activate_at, **provenance())
    done = home.ledger.append(act=f"{planned.kind} done", **receipt)  # type: ignore[arg-type]
    home.registry.anchor(planned.version, done.digest)
    return done


def _why_not(home: Home, planned: Move, production: int | None) -> str | None:
    """None when a move that was cut off still holds and its release stands now; else the sentence why not."""
    home.registry.alias(PRODUCTION)  # a store that cannot be read is no reason to give the move up: it raises
    try:
        why_not = _lapsed(home, planned, production) if planned.kind == "promotion" else None
        if why_not is None:
            publish(home, planned)
    except (DataError, IntegrityError, UsageError) as error:
        return str(error)
    return why_not


def _lapsed(home: Home, planned: Move, production: int | None) -> str | None:
    decision = find_decision(home, str(planned.evidence["decision"]))
    if decision is None:
        return "Its decision is not in the home any more: decide again."
    digest = home.registry.load(planned.version).digest
    return decision.allows(planned.version, digest, home.contract.policy_hash) or decision.lapsed(production)


def _void(home: Home, planned: Move, intent: Receipt, why: str) -> None:
    """Take the alias back and record that production did not move."""
    restore_alias(home)
    pointer = home.releases.pointer()
    kept = None if pointer is None else f"version {pointer.version}"
    home.ledger.append(
        actor=home.settings.who,
        act=f"{planned.kind} void",  # type: ignore[arg-type]
        subject=f"version {planned.version}",
        before=kept,
        after=kept,
        reason=why,
        evidence={**planned.evidence, "intent": intent.digest},
    )


def month_of(planned: Move) -> dt.date:
    """The month that the version was trained on."""
    return dt.date.fromisoformat(planned.as_of)


def _manifest(home: Home, candidate: Candidate, sample: pd.DataFrame) -> dict[str, object]:
    passport = candidate.passport
    rows = sample[[feature["name"] for feature in passport["features"]]].head(GOLDEN_ROWS)
    probabilities = candidate.model.probability(rows)
    values = rows.astype(object).where(rows.notna(), None).to_dict("records")
    golden = [{"features": v, "probability": float(p)} for v, p in zip(values, probabilities, strict=True)]
    return {
        "model_name": passport["model_name"],
        "algorithm": passport["algorithm"],
        "features": passport["features"],
        "threshold": passport["threshold"],
        "contract_hash": passport["contract_hash"],
        "training_as_of": passport["as_of"],
        "training_months": passport["months"],
        "metrics": passport["metrics"],
        "golden": golden,
        "candidate_digest": candidate.digest,
        "created_at": home.now().isoformat(),
    }
