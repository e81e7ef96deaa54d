"""Reads the estimates of a home, with what labels showed later."""

import datetime as dt
from dataclasses import dataclass

from churn_platform.lake.records import Records
from churn_platform.monitoring.performance import PerformanceRecord
from churn_platform.monitoring.track_record import ShownEstimate


@dataclass(frozen=True)
class EstimateHistory:
    """The estimates of one home."""

    records: Records

    def newest(self, until: dt.date | None = None) -> ShownEstimate | None:
        """The estimate of the newest run, or of that of a month, as it was shown then; None
        where the run made none.
        """
        months = self.records.months("performance")
        known = [month for month in months if until is None or month <= until]
        return ShownEstimate.of([self._read(month) for month in known])

    def _read(self, as_of: dt.date) -> PerformanceRecord:
        fields = self.records.read("performance", as_of)
        return PerformanceRecord.read(fields, f"The performance record of {as_of}")
