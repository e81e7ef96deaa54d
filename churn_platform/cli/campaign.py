"""The simulated business of `churn demo --scenario campaign`: it works the plans of the home."""

import datetime as dt
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import pandas as pd

from churn_platform.base.files import write_json
from churn_platform.cli.demo import TRUTH, Arrival, read_truth, write_delivery
from churn_platform.contract.model import Contract
from churn_platform.ingestion.drop import SUCCESS
from churn_platform.simulator import (
    Assignment,
    Campaign,
    CampaignTruth,
    Delivery,
    MonthTruth,
    Scenario,
    Truth,
    assignment_of,
)


@dataclass
class WorkedCampaign:
    """A campaign that is simulated while the loop runs: each drop follows from the plan that the
    home made of the one before.
    """

    contract: Contract
    folder: Path
    scenario: Scenario
    users: int
    months: int
    seed: int
    plan: Callable[[dt.date], pd.DataFrame | None]
    """The rows of a month's plan: the key and its `arm`; None without one."""
    deliveries: list[Delivery] = field(default_factory=list)
    truths: list[MonthTruth] = field(default_factory=list)

    def arrivals(self) -> Iterator[Arrival]:
        """Write one delivery after the other; the loop has to process each before the next.

        Months that were worked before are worked again as they were, so a demo that was
        interrupted continues.
        """
        worked = self._worked_before()
        campaign = Campaign(self.contract, self.users, self.seed, scenario=self.scenario)
        labels: Delivery | None = None
        for _ in range(self.months):
            month = campaign.month()
            day = month.as_of.isoformat()
            yield self._written(Delivery(day, month.as_of, month.tables))
            if labels is not None:
                yield self._written(labels)
            if month.as_of not in worked:
                worked[month.as_of] = self._planned(month.as_of)
            done = campaign.work(*worked[month.as_of])
            self.truths.append(done.truth)
            self._write_truth()
            table = {self.contract.label_table: done.labels}
            labels = Delivery(f"labels/{day}", month.as_of, table)

    def _worked_before(self) -> dict[dt.date, Assignment]:
        known = read_truth(self.folder)
        months = () if known is None else known.months
        return {one.as_of: one.assignment for one in months if isinstance(one, CampaignTruth)}

    def _planned(self, as_of: dt.date) -> Assignment:
        rows = self.plan(as_of)
        if rows is None:
            return Assignment(())
        return assignment_of(rows, self.contract.entity.column)

    def _written(self, delivery: Delivery) -> Arrival:
        folder = self.folder.joinpath(*delivery.folder.split("/"))
        if not (folder / SUCCESS).exists():
            shutil.rmtree(folder, ignore_errors=True)  # what an interrupted demo left
            write_delivery(self.folder, delivery)
        self.deliveries.append(replace(delivery, tables={}))
        self._write_truth()
        return Arrival(folder, delivery.as_of, delivery.note)

    def _write_truth(self) -> None:
        """Write what is known by now, unless an earlier demo has written more."""
        known = read_truth(self.folder)
        if known is not None and len(known.months) > len(self.truths):
            return
        truth = Truth.of(self.scenario, self.users, self.seed, self.deliveries)
        written = truth.model_copy(update={"months": tuple(self.truths)})
        write_json(self.folder / TRUTH, written.as_json())
