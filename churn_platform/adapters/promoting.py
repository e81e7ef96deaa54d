"""Carries out a decision: alias, release, pointer and receipts, in an order that any kill leaves repairable.

Belongs here: the sequence intent -> alias -> release -> pointer -> done. Does not: whether to promote
(`core/promotion.py`).
"""

import datetime as dt

import pandas as pd

from churn_platform.adapters.home import Home
from churn_platform.adapters.model_registry import PRODUCTION
from churn_platform.core.candidate import FILES, Candidate, candidate_of
from churn_platform.core.digest import digest_of
from churn_platform.core.promotion import Decision
from churn_platform.core.serving_form import serving_files

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


def promote(home: Home, decision: Decision, sample: pd.DataFrame) -> None:
    """Put the approved version into production; doing it again completes what is missing.

    Args:
        home: the home.
        decision: an approved decision whose `allows` was asked.
        sample: (rows, features) rows for the golden predictions.
    """
    version = decision.candidate_version
    candidate = home.registry.load(version)
    pointer = home.releases.pointer()
    # Not the pointer's: when a kill is completed it has already moved.
    before = None if decision.production_version is None else f"version {decision.production_version}"
    receipt = {
        "actor": home.settings.who,
        "subject": f"version {version}",
        "before": before,
        "after": f"version {version}",
        "reason": decision.reason,
        "evidence": {"decision": decision_digest(decision), "candidate": decision.candidate_digest},
    }
    intent = home.ledger.append(act="promotion intent", **receipt)  # type: ignore[arg-type]
    home.registry.set_alias(PRODUCTION, version)
    files = {**home.registry.files(version), **serving_files(candidate.model)}
    home.releases.publish(version, files, _manifest(home, candidate, sample))
    if pointer is None or pointer.version != version:
        activate_at = (home.now() + ACTIVATION_DELAY).isoformat()
        home.releases.point(version, ledger_head=intent.digest, activate_at=activate_at, as_of=decision.as_of)
    done = home.ledger.append(act="promotion done", **receipt)  # type: ignore[arg-type]
    home.registry.anchor(version, done.digest)


def keep(home: Home, decision: Decision, why: str) -> None:
    """Record that production stays as it is, and take back the alias of a promotion that was cut off and lapsed."""
    pointer = home.releases.pointer()
    if pointer is not None and home.registry.alias(PRODUCTION) not in (None, pointer.version):
        home.registry.set_alias(PRODUCTION, pointer.version)
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
