"""How near earlier estimates were to what the labels showed later, and whether estimates are
shown: computed from the records of the months each time.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from churn_platform.base.stored import Stored
from churn_platform.base.text import counted
from churn_platform.monitoring.estimated_month import EstimatedMonth, EstimatedValue
from churn_platform.monitoring.performance import PerformanceRecord, VersionPerformance

LEVEL = 0.95
FEWEST_CONFORMAL = 19
"""Checked months from which a 95% split-conformal interval is finite."""
RECENT = 3
MISSES = 2
HITS_TO_RETURN = 3


class CheckedMonth(Stored):
    """An estimated AUC and what the labels showed later. A hit is within the interval that
    held when the estimate was made.
    """

    as_of: str
    version: int
    estimated: float
    realised: float
    hit: bool
    broken: bool
    """Whether it fell short by more than the width of the interval at promotion: what drives
    churn has changed.
    """

    @property
    def miss(self) -> float:
        """Realised less estimated."""
        return self.realised - self.estimated


@dataclass(frozen=True)
class TrackRecord:
    """The checked months, oldest first, and why estimates are withdrawn, if they are."""

    months: tuple[CheckedMonth, ...] = ()
    withdrawn: str | None = None

    @classmethod
    def of(cls, records: Iterable[PerformanceRecord]) -> "TrackRecord":
        """From the performance records of some months, oldest first.

        Estimates are withdrawn when two of the last three miss, or one falls short by more than
        the width of the interval at promotion. They return after three hits in a row.
        """
        estimates: dict[str, EstimatedMonth] = {}
        realised: dict[tuple[str, int | None], VersionPerformance] = {}
        for record in records:
            if record.estimated is not None and record.estimated.auc is not None:
                estimates[record.estimated.as_of] = record.estimated
            for entry in record.evaluated:
                realised[(entry.as_of, entry.version)] = entry
        months = list[CheckedMonth]()
        withdrawn = None
        since = 0
        for as_of in sorted(estimates):
            one = estimates[as_of]
            checked = _checked(one, realised.get((as_of, one.version)), months)
            if checked is None:
                continue
            months.append(checked)
            last = months[max(since, len(months) - RECENT) :]
            if withdrawn is None:
                withdrawn = _why_withdrawn(last)
                if withdrawn is not None:
                    since = len(months)
            elif len(last) == HITS_TO_RETURN and all(month.hit for month in last):
                withdrawn = None
                since = len(months)
        return cls(tuple(months), withdrawn)

    @property
    def largest_miss(self) -> float | None:
        """How far off the worst estimate was; None before the first check."""
        return max((abs(month.miss) for month in self.months), default=None)

    @property
    def half_width(self) -> float | None:
        """Of the split-conformal 95% interval of the next estimate; None before 19 months."""
        return _conformal(self.months)

    @property
    def sentence(self) -> str:
        """How many months were checked and how far off they were."""
        if self.largest_miss is None:
            return "No estimate has been checked by labels yet."
        said = (
            f"Checked on {counted(len(self.months), 'month')}, off by at most"
            f" {self.largest_miss:.3f} in AUC."
        )
        if self.half_width is not None:
            said += f" 95% of months are expected to be off by at most {self.half_width:.3f}."
        return said


def _checked(
    one: EstimatedMonth, entry: VersionPerformance | None, earlier: Sequence[CheckedMonth]
) -> CheckedMonth | None:
    """An estimate next to the realised figure; None where there is none that counts."""
    if one.auc is None or entry is None or entry.metrics is None or entry.metrics.inverted:
        return None
    realised = entry.metrics.auc
    low, high = one.auc.interval
    half = _conformal(earlier)
    if half is not None:
        low, high = one.auc.value - half, one.auc.value + half
    elif entry.contacts is not None:
        # The interval is of the labels of all customers. Corrected labels are of fewer.
        own = (entry.metrics.auc_interval[1] - entry.metrics.auc_interval[0]) / 2
        low = one.auc.value - math.hypot(one.auc.value - low, own)
        high = one.auc.value + math.hypot(high - one.auc.value, own)
    width = one.promoted_interval[1] - one.promoted_interval[0]
    return CheckedMonth(
        as_of=one.as_of,
        version=one.version,
        estimated=one.auc.value,
        realised=realised,
        hit=low <= realised <= high,
        broken=realised - one.auc.value < -width,
    )


def _conformal(months: Sequence[CheckedMonth]) -> float | None:
    """Half width of the split-conformal interval (Vovk et al. 2005) from the misses of earlier
    months. Months in which what drives churn changed are left out: they are not exchangeable
    with the others.
    """
    misses = sorted(abs(month.miss) for month in months if not month.broken)
    if len(misses) < FEWEST_CONFORMAL:
        return None
    return misses[math.ceil((len(misses) + 1) * LEVEL) - 1]


def _why_withdrawn(last: Sequence[CheckedMonth]) -> str | None:
    """Why estimates are withdrawn after the last of these months; None if they are not."""
    newest = last[-1]
    if newest.broken:
        return (
            f"Withdrawn: on {newest.as_of} the labels showed an AUC of {newest.realised:.3f},"
            f" where {newest.estimated:.3f} was estimated. What drives churn has changed, which"
            " no estimate can see."
        )
    misses = [month for month in last if not month.hit]
    if len(misses) < MISSES:
        return None
    named = " and ".join(
        f"{month.as_of} ({month.estimated:.3f} estimated, {month.realised:.3f} realised)"
        for month in misses
    )
    return f"Withdrawn: the labels of {named} did not confirm the estimates."


class ShownEstimate(Stored):
    """The newest estimate as people see it. One that is withdrawn shows no figures."""

    as_of: str
    version: int
    auc: EstimatedValue | None = None
    brier: EstimatedValue | None = None
    churn_rate: EstimatedValue | None = None
    contacts: int | None = None
    hits: EstimatedValue | None = None
    value: EstimatedValue | None = None
    unit: str | None = None
    fell: bool = False
    """Whether the customers of the month lower the AUC below that of the promotion."""
    promoted_interval: tuple[float, float]
    """Of the AUC at the promotion."""
    checked_months: int
    largest_miss: float | None
    conformal_interval: tuple[float, float] | None = None
    """Of the AUC, from 19 checked months on."""
    checked: tuple[CheckedMonth, ...] = ()
    """What was estimated and what labels showed later, oldest first."""
    withdrawn: str | None = None
    note: str | None = None
    sentence: str

    @classmethod
    def of(cls, records: Sequence[PerformanceRecord]) -> "ShownEstimate | None":
        """The estimate of the newest record, if it has one.

        Args:
            records: of all months, oldest first.
        """
        one = records[-1].estimated if records else None
        if one is None:
            return None
        track = TrackRecord.of(records)
        names = ("auc", "brier", "churn_rate", "contacts", "hits", "value", "unit")
        figures: dict[str, object] = dict.fromkeys((*names, "conformal_interval"))
        figures["fell"] = False
        if track.withdrawn is None and one.auc is not None:
            figures |= {name: getattr(one, name) for name in (*names, "fell")}
            if track.half_width is not None:
                half = track.half_width
                figures["conformal_interval"] = (one.auc.value - half, one.auc.value + half)
        return cls(
            as_of=one.as_of,
            version=one.version,
            promoted_interval=one.promoted_interval,
            checked_months=len(track.months),
            checked=track.months,
            largest_miss=track.largest_miss,
            withdrawn=track.withdrawn,
            note=one.note,
            sentence=_sentence(one, track),
            **figures,
        )


def _sentence(one: EstimatedMonth, track: TrackRecord) -> str:
    head = f"Estimated before labels, version {one.version} on {one.as_of}:"
    if track.withdrawn is not None:
        return f"{head} nothing. {track.withdrawn} It returns after 3 months that confirm it."
    if one.auc is None:
        return f"{head} nothing. {one.note}"
    parts = [f"AUC {_ranged(one.auc, '.3f')}"]
    if one.churn_rate is not None:
        parts.append(f"churn rate {_ranged(one.churn_rate, '.1%')} without contacts")
    if one.hits is not None:
        parts.append(f"{_ranged(one.hits, ',.0f')} churners among {one.contacts:,} contacts")
    if one.value is not None:
        unit = "saved customers" if one.unit == "customers" else "in money"
        parts.append(f"worth {_ranged(one.value, ',.0f')} {unit}")
    return f"{head} {', '.join(parts)}. {track.sentence}"


def _ranged(figure: EstimatedValue, form: str) -> str:
    low, high = figure.interval
    return f"{figure.value:{form}} [{low:{form}}, {high:{form}}]"
