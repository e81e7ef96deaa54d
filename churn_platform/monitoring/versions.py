"""Any version's candidate, wherever it is kept: released ones on disk, refused ones in MLflow's
registry.
"""

from churn_platform.promotion.promotions import released
from churn_platform.services import Services
from churn_platform.training.candidate import Candidate


class Versions:
    """The versions of one home; each is read and verified once."""

    def __init__(self, home: Services) -> None:
        self.home = home
        self._known = dict[int, Candidate]()
        self.released = set(home.releases.versions())

    def load(self, version: int) -> Candidate:
        """A version, its files verified.

        Raises:
            UsageError: there is no such version.
            IntegrityError: a file was changed.
        """
        if version not in self._known:
            here = version in self.released
            self._known[version] = (
                released(self.home.releases, version) if here else self.home.registry.load(version)
            )
        return self._known[version]

    def fits_contract(self, version: int) -> bool:
        """Whether the version reads the features of the contract as it now is."""
        return bool(self.load(version).card.contract_hash == self.home.contract.model_hash)
