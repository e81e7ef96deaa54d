"""The lake as it was after some of its deliveries."""

import datetime as dt
from collections.abc import Mapping

from churn_platform.contract.model import Contract
from churn_platform.lake.deliveries import SnapshotManifest
from churn_platform.lake.lake import Lake


class PastLake(Lake):
    """A lake with the first deliveries of each month only. It is read, never written."""

    def __init__(
        self, lake: Lake, contract: Contract, manifests: Mapping[dt.date, SnapshotManifest]
    ) -> None:
        """The manifests hold the deliveries that there were."""
        super().__init__(lake.folder, contract, lake.place)
        self._manifests = {day: one for day, one in manifests.items() if one.deliveries}

    def months(self) -> list[dt.date]:
        """Every as_of that was published then, oldest first."""
        return sorted(self._manifests)

    def _manifest(self, as_of: dt.date) -> SnapshotManifest:
        return self._manifests.get(as_of, SnapshotManifest(as_of=as_of))


def manifests_of(lake: Lake) -> dict[dt.date, SnapshotManifest]:
    """The manifest of every published month."""
    return {
        as_of: SnapshotManifest(as_of=as_of, deliveries=lake.deliveries(as_of))
        for as_of in lake.months()
    }
