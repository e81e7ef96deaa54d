"""Any version of a home: released ones on disk, refused ones in MLflow's registry."""

from churn_platform.contract.model import Contract
from churn_platform.promotion.promotions import released
from churn_platform.training.candidate import Candidate
from churn_platform.training.registry import ModelRegistry
from churn_platform.training.releases import Releases


class Versions:
    """The versions of one home; each is read and verified once."""

    def __init__(self, releases: Releases, registry: ModelRegistry, contract: Contract) -> None:
        self.releases = releases
        self._registry = registry
        self._contract = contract
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

    def fits_contract(self, version: int) -> bool:
        """Whether the version reads the features of the contract as it now is."""
        return bool(self.load(version).card.contract_hash == self._contract.model_hash)
