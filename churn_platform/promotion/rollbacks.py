"""Rollbacks: production goes to a version that was in production before, and the version that
is left is blocked.
"""

from dataclasses import dataclass

from churn_platform.base.errors import ChurnError, IntegrityError, UsageError
from churn_platform.base.home import Home
from churn_platform.base.text import ended
from churn_platform.contract.model import Contract
from churn_platform.ledger.receipts import version_of
from churn_platform.ledger.state import ProductionState, moment
from churn_platform.ledger.store import LedgerStore
from churn_platform.ledger.version_acts import PromotionDone, RollbackIntent, VersionUnblocked
from churn_platform.promotion.approvals import Approvals
from churn_platform.promotion.promotions import Promotions, signed
from churn_platform.training.registry import ModelRegistry
from churn_platform.training.release import Pointer
from churn_platform.training.releases import Releases


@dataclass(frozen=True)
class Rollbacks:
    """Rolls production back, and unblocks versions."""

    home: Home
    contract: Contract
    ledger: LedgerStore
    releases: Releases
    registry: ModelRegistry
    promotions: Promotions
    approvals: Approvals

    def roll_back(self, by: str, reason: str, to: int | None = None) -> str:
        """Put a version that was in production before back into production; describes what was
        done.

        The version that is left is blocked if the other is an earlier one; a blocked version
        that is put back is unblocked.

        Args:
            by: the name of the person.
            reason: why, for the ledger.
            to: the version; by default the one that was in production before the present one
                was promoted.

        Raises:
            UsageError: nothing is in production, there is no earlier version, or `to` never was
                in production.
            IntegrityError: its release is damaged or missing; production has not changed.
            HomeBusy: a run holds the home.
        """
        by, reason = signed(by, reason)
        with self.promotions.acting(f"the rollback by {by}"):
            state = self.ledger.state()
            pointer = self.releases.read_pointer()
            if pointer is None:
                raise UsageError(
                    "No model is in production: there is nothing to roll back.",
                    code="NO_PRODUCTION",
                )
            left = pointer.version
            target = _target(state, left, to)
            self._check_release(target, pointer)
            planned = _planned(state, target, left, by, reason)
            self.promotions.carry_out(planned)
            self.approvals.record_lapse()
        said = (
            f"Version {target} is in production again in place of version {left}, by {by}:"
            f" {ended(reason)}"
        )
        if planned.blocks is not None:
            said += (
                f" Version {left} is blocked: it is not promoted by itself until `churn unblock"
                f" {left}`."
            )
        if planned.unblocks is not None:
            who = state.blocked[target]
            said += (
                f" Version {target} is no longer blocked ({who.by} blocked it at {moment(who.at)})."
            )
        return said

    def unblock(self, version: int, by: str, reason: str) -> str:
        """Let a version that was rolled back be promoted again; describes what was done.

        Raises:
            UsageError: the version is not blocked.
            HomeBusy: a run holds the home.
        """
        by, reason = signed(by, reason)
        with self.promotions.acting(f"the unblocking of version {version} by {by}"):
            blocked = self.ledger.state().blocked
            if version not in blocked:
                names = ", ".join(map(str, sorted(blocked))) or "none"
                raise UsageError(
                    f"Version {version} is not blocked; blocked versions: {names}.",
                    code="VERSION_NOT_BLOCKED",
                )
            login = self.home.settings.who
            self.ledger.append(
                VersionUnblocked(version=version, actor=by, reason=reason, login=login)
            )
        return f"Version {version} is no longer blocked: {ended(reason)}"

    def _check_release(self, target: int, pointer: Pointer) -> None:
        """Refuse, before production changes, what a server would refuse afterwards, or MLflow
        could not name.

        Raises:
            IntegrityError: the release is damaged or missing, or the registry has no such
                version.
        """
        from churn_platform.training.release_loading import load_release

        if target not in self.releases.versions():
            raise IntegrityError(
                f"The release of version {target} is missing in {self.releases.folder}: nothing"
                " was rolled back. Put it back from a backup, or roll back to another version"
                " with --to.",
                code="RELEASE_MISSING",
            )
        try:
            load_release(self.releases, self.contract, target, pointer)
        except (ChurnError, OSError, ValueError, KeyError) as error:
            raise IntegrityError(
                f"Nothing was rolled back, for version {target} could not serve: {error}",
                code="MODEL_UNREADABLE",
            ) from error
        if not self.registry.has(target):
            raise IntegrityError(
                f"Nothing was rolled back, for {self.registry.model_name} has no version"
                f" {target} in MLflow any more: restore mlflow.db from a backup, or roll back to"
                " another version with --to.",
                code="MODEL_UNREADABLE",
            )


def _target(state: ProductionState, left: int, to: int | None) -> int:
    """The version to go to from the one that is left.

    Raises:
        UsageError: there is none, or it was never in production.
    """
    promoted = state.promotions
    target: int | None
    if to is not None:
        target = to
    elif left in promoted:
        target = version_of(promoted[left].before)
    else:
        target = None
    if target is None:
        raise UsageError(
            f"Version {left} is the first in production. There is no earlier version to roll"
            " back to.",
            code="VERSION_NOT_PROMOTED",
        )
    if target == left:
        raise UsageError(
            f"Version {target} is already in production.", code="VERSION_IN_PRODUCTION"
        )
    if target not in promoted:
        names = ", ".join(str(version) for version in sorted(promoted))
        raise UsageError(
            f"Version {target} was never in production, so there is nothing to roll back to;"
            f" versions that were: {names}. `churn approve {target}` promotes a candidate.",
            code="VERSION_NOT_PROMOTED",
        )
    return target


def _planned(
    state: ProductionState, target: int, left: int, by: str, reason: str
) -> RollbackIntent:
    promoted = state.promotions
    back = left in promoted and promoted[target].sequence < promoted[left].sequence
    made_by = PromotionDone.of(promoted[target])
    return RollbackIntent(
        version=target,
        before=left,
        after=target,
        actor=by,
        reason=reason,
        decision=made_by.decision,
        candidate=made_by.candidate,
        as_of=made_by.as_of,
        blocks=left if back else None,
        unblocks=target if target in state.blocked else None,
    )
