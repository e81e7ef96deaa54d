"""The contract of each version: what it reads and predicts, whatever the contract in use became."""

import datetime as dt
from collections.abc import Collection
from functools import cached_property

from churn_platform.base.errors import ContractError, DataError, IntegrityError
from churn_platform.contract.model import Contract
from churn_platform.contract.views import (
    for_version,
    learned_features,
    of_version,
    why_not_readable,
    with_versions,
)
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
            except (ContractError, DataError, IntegrityError, OSError):
                continue
        return found

    @cached_property
    def reading(self) -> Contract:
        """The contract in use with the features of all released versions; the contract itself
        if it has all of them.
        """
        versions = [contract for _, contract in sorted(self.released.items())]
        return with_versions(self._contract, versions)

    def own(self, card: ModelCard | ReleaseManifest) -> Contract:
        """What a version reads and predicts (`of_version`).

        Raises:
            ContractError: the version is of an earlier platform, which did not record it, and
                the contract in use has other features.
        """
        if isinstance(card, ModelCard) and card.contract is not None:
            return Contract.model_validate(card.contract)
        names = {feature.name for feature in card.features}
        as_of = card.as_of if isinstance(card, ModelCard) else card.training_as_of
        found = of_version(self._contract, dt.date.fromisoformat(as_of), names)
        if set(found.features) != names or found.model_hash != card.contract_hash:
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
        return for_version(with_versions(self.reading, [version]), version)

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
