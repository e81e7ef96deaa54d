"""Any version of a home: released ones on disk, refused ones in MLflow's registry."""

import datetime as dt

from churn_platform.promotion.promotions import released
from churn_platform.training.candidate import Candidate
from churn_platform.training.registry import ModelRegistry
from churn_platform.training.releases import Releases
from churn_platform.training.version_contracts import VersionContracts


class Versions:
    """The versions of one home; each is read and verified once."""

    def __init__(
        self, releases: Releases, registry: ModelRegistry, contracts: VersionContracts
    ) -> None:
        self.releases = releases
        self._registry = registry
        self.contracts = contracts
        self._known = dict[int, Candidate]()
        self.released = set(releases.versions())

    @property
    def in_production(self) -> int | None:
        """The number of the version in production; None before the first promotion."""
        pointer = self.releases.pointer()
        return None if pointer is None else pointer.version

    def production(self) -> Candidate | None:
        """The version in production, from its release; None before the first promotion."""
        number = self.in_production
        return None if number is None else self.load(number)

    def load(self, version: int) -> Candidate:
        """A version, its files verified.

        Raises:
            UsageError: there is no such version.
            IntegrityError: a file was changed.
        """
        if version not in self._known:
            if version in self.released or version == self.in_production:
                self._known[version] = released(self.releases, version)
            else:
                self._known[version] = self._registry.load(version)
        return self._known[version]

    def why_not_scored(self, version: int) -> str:
        """Why the version cannot score under the contract in use; empty if it can.

        Raises:
            UsageError: there is no such version.
            IntegrityError: a file was changed.
        """
        return self.contracts.why_not(self.load(version).card)

    def why_not_comparable(self, version: int, month: dt.date) -> str:
        """Why the labels of a month do not judge a version that can score; empty if they do."""
        if self.contracts.predicts(self.load(version).card, month):
            return ""
        return (
            f"Not comparable: the labels of {month} define churn in another way than those that"
            f" version {version} was trained on."
        )
