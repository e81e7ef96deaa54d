"""The step `experiments` of a month: what the experiments of a home show."""

import datetime as dt
from dataclasses import dataclass

from pydantic import JsonValue

from churn_platform.base.stored import Stored
from churn_platform.experiments.model_tests import ModelTests
from churn_platform.experiments.shadow_monitor import ShadowFigures, ShadowMonitor
from churn_platform.lake.records import Records


class ExperimentsMonthRecord(Stored):
    """The record of the step `experiments`; a month without an experiment has none."""

    snapshot: str = ""
    inputs: str = ""
    shadows: tuple[ShadowFigures, ...] = ()
    test: dict[str, JsonValue] | None = None
    """The test of two versions, as `churn test --json` shows it; only where one was made."""


@dataclass(frozen=True)
class ExperimentsMonth:
    """Measures the experiments of one home."""

    records: Records
    shadows: ShadowMonitor
    tests: ModelTests

    def measure(self, as_of: dt.date) -> ExperimentsMonthRecord | None:
        """Measure what is tried in a month and keep the record; None where nothing is tried."""
        shadows = self.shadows.measure(as_of)
        test = self.tests.of_record(as_of)
        known = experiments_record(self.records, as_of)
        if not shadows and test is None and known is None:
            return None
        made_from = self.shadows.labels.months().made_from(as_of)
        record = ExperimentsMonthRecord(**made_from, shadows=shadows)
        if test is not None:
            record = record.model_copy(update={"test": test.as_json()})
        self.records.write("experiments", as_of, record.as_json())
        return record


def experiments_record(records: Records, as_of: dt.date) -> ExperimentsMonthRecord | None:
    """The record of a month; None where nothing was tried."""
    fields = records.read("experiments", as_of)
    if fields is None:
        return None
    return ExperimentsMonthRecord.read(fields, f"The record of the experiments of {as_of}")
