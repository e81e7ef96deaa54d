"""Which published months a record is made from, and which months a candidate trains on."""

import datetime as dt
from collections.abc import Mapping

from churn_platform.base.digests import digest_of
from churn_platform.contract.model import Contract
from churn_platform.lake.lake import Lake
from churn_platform.lake.window import Classes, Window, choose_window, matured_months


class Months:
    """The published months of one lake at one moment; make a new one after every step."""

    def __init__(self, lake: Lake, contract: Contract) -> None:
        self.lake = lake
        self.contract = contract
        self.published = lake.months()
        self.labelled = lake.labelled()

    def window(self, as_of: dt.date) -> Window | None:
        """The months a candidate of this month is made from; None while no labels have matured."""
        return choose_window(self._classes(as_of), self.contract.policy)

    def left_out(self, as_of: dt.date) -> dict[str, str]:
        """The matured months that no candidate of this month is made from, each with the
        reason.
        """
        reasons = {
            month: classes.why_not_trained(month) for month, classes in self._classes(as_of).items()
        }
        return {month.isoformat(): why for month, why in reasons.items() if why is not None}

    def matured(self, as_of: dt.date) -> list[dt.date]:
        """Months up to `as_of` whose labels have been delivered and had matured by the newest
        published month.
        """
        newest = self.published[-1] if self.published else as_of
        known = matured_months(self.published, self.labelled, self.contract, newest)
        return [month for month in known if month <= as_of]

    def inputs(self, as_of: dt.date) -> str:
        """Digest of every snapshot that the month's records are made from."""
        return inputs_digest({month: self.lake.digest(month) for month in self.input_months(as_of)})

    def input_months(self, as_of: dt.date) -> list[dt.date]:
        """The published months that the month's records are made from."""
        window = self.window(as_of)
        months = {as_of, *(window.months if window else ())}
        return [month for month in sorted(months) if month in self.published]

    def made_from(self, as_of: dt.date) -> dict[str, str]:
        """What a record of the month was made from: its own snapshot, and all of its inputs."""
        return {"snapshot": self.lake.digest(as_of), "inputs": self.inputs(as_of)}

    def _classes(self, as_of: dt.date) -> dict[dt.date, Classes]:
        return {month: self.lake.classes(month) for month in self.matured(as_of)}


def inputs_digest(snapshots: Mapping[dt.date, str]) -> str:
    """Digest of the snapshots that records are made from: month -> digest of its snapshot."""
    return digest_of({month.isoformat(): digest for month, digest in snapshots.items()})
