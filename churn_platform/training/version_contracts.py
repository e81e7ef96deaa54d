"""The contract of each version: what it reads and predicts, whatever the contract in use became."""

import datetime as dt
from collections.abc import Collection, Mapping
from functools import cached_property

from pydantic import ValidationError

from churn_platform.base.errors import ChurnError, ContractError
from churn_platform.contract.model import Contract
from churn_platform.contract.views import (
    ended_features,
    for_version,
    learned_features,
    of_version,
    why_not_readable,
    with_features,
    with_version,
    with_versions,
)
from churn_platform.ledger.receipts import first_fault
from churn_platform.training.release import ModelCard, ReleaseManifest
from churn_platform.training.releases import Releases


class VersionContracts:
    """The contracts of the versions of one home.

    Args:
        contract: the contract in use.
        releases: the released versions, whose features stay available.
    """

    def __init__(self, contract: Contract, releases: Releases) -> None:
        self._contract = contract
        self._releases = releases

    @cached_property
    def released(self) -> dict[int, Contract]:
        """What each released version reads; without damaged releases, which verification
        reports.
        """
        found = {}
        for version in self._releases.versions():
            try:
                found[version] = self.own(self._releases.card(version))
            except (ChurnError, OSError):
                continue
        return found

    @cached_property
    def reading(self) -> Contract:
        """The contract in use with the features of all released versions that can score; the
        contract itself if it has all of them.
        """
        return with_versions(self._contract, [own for _, own in sorted(self.released.items())])

    def own(self, card: ModelCard | ReleaseManifest) -> Contract:
        """What a version reads and predicts (`of_version`).

        Raises:
            ContractError: the contract in its model card is damaged; or the version is of an
                earlier platform, which recorded none, and the tables of the contract in use
                lack its features.
        """
        features = {feature.name: feature.dtype for feature in card.features}
        if isinstance(card, ModelCard) and card.contract is not None:
            return _recorded(card.contract, features)
        as_of = card.as_of if isinstance(card, ModelCard) else card.training_as_of
        try:
            wide = with_features(self._contract, features)
            found = of_version(wide, dt.date.fromisoformat(as_of), features)
        except ValidationError:
            found = None
        if found is None or found.model_hash != card.contract_hash:
            raise ContractError(
                "The version was trained under another contract, which its model card does not"
                " record: put the entity, features and label of that contract back.",
                code="CONTRACT_CHANGED",
            )
        return found

    def of_candidate(
        self, as_of: dt.date, matured: Collection[dt.date], trained_until: dt.date
    ) -> Contract:
        """The contract in use with the features that a candidate learns from.

        Args:
            as_of: the month that the candidate is made in.
            matured: the months with matured labels.
            trained_until: the newest training month, which defines churn.
        """
        if not self._contract.boundaries:
            return self._contract
        features = learned_features(self._contract, as_of, matured)
        version = of_version(self._contract, trained_until, features)
        return for_version(self.reading, version)

    def of(self, card: ModelCard | ReleaseManifest) -> Contract:
        """The contract in use with the features, words and label of a version.

        Raises:
            ContractError: the version cannot score under the contract in use.
        """
        version = self.own(card)
        why_not = why_not_readable(self._contract, version)
        if why_not:
            raise ContractError(
                f"The version cannot score: {why_not}.",
                code="CONTRACT_CHANGED",
            )
        try:
            return for_version(with_version(self.reading, version), version)
        except ValidationError as error:
            raise ContractError(
                f"The version cannot score: {first_fault(error)}.", code="CONTRACT_CHANGED"
            ) from None

    def predicts(self, card: ModelCard | ReleaseManifest, month: dt.date) -> bool:
        """Whether a month's labels define churn as those that a version was trained on.

        Raises:
            ContractError: as `own`.
        """
        if not self._contract.boundaries:
            return True
        return self.own(card).label.same_churn(self._contract.label.at(month))

    def ended(self, card: ModelCard | ReleaseManifest, as_of: dt.date) -> tuple[str, ...]:
        """The features of a version whose columns have ended by a month; none of a version
        that cannot score.
        """
        if not self._contract.boundaries:
            return ()
        try:
            return ended_features(self.of(card), as_of)
        except ContractError:
            return ()

    def not_read(self, card: ModelCard | ReleaseManifest) -> tuple[str, ...]:
        """The features of the contract in use that a version does not read."""
        read = self.own(card).features
        return tuple(feature for feature in self._contract.features if feature not in read)

    def why_not(self, card: ModelCard | ReleaseManifest) -> str:
        """Why a version cannot score under the contract in use; empty if it can."""
        try:
            self.of(card)
        except ContractError as error:
            return str(error)
        return ""

    def why_not_scored(self) -> str:
        """Why the version in production does not score the months, as a sentence; empty if it
        does, and before the first promotion.
        """
        pointer = self._releases.pointer()
        if pointer is None:
            return ""
        why_not = self.why_not(self._releases.card(pointer.version))
        if not why_not:
            return ""
        return (
            f"Version {pointer.version} is in production and cannot score. {why_not} Put it back,"
            " or type `churn retrain --reason TEXT` and `churn run`."
        )


def _recorded(written: Mapping[str, object], features: Mapping[str, str]) -> Contract:
    """The contract in a model card, if it has the features of the model.

    Raises:
        ContractError: it cannot be read, or has other features.
    """
    try:
        found = Contract.model_validate(written)
    except ValidationError as error:
        raise ContractError(
            f"The contract in the model card cannot be read ({first_fault(error)}): put the"
            " release back from a backup, or use the version of the platform that wrote it.",
            code="MODEL_UNREADABLE",
        ) from None
    dtypes = {name: column.dtype for name, column in found.features.items()}
    if dtypes != features:
        raise ContractError(
            f"The contract in the model card has the features {dtypes} and the model has"
            f" {dict(features)}: put the release back from a backup.",
            code="MODEL_UNREADABLE",
        )
    return found
