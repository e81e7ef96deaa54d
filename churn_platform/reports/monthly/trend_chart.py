"""Draws trends and intervals as the lines of inline SVGs, as wide as a phone."""

import math
from dataclasses import dataclass

from churn_platform.reports.monthly.figures import IntervalLine, Point, Trend
from churn_platform.reports.monthly.words import short_month, whole

WIDTH, HEIGHT = 360.0, 170.0
LEFT, RIGHT, TOP, BOTTOM = 46.0, 30.0, 12.0, 26.0
EMPTY_SPAN = 0.02
"""Span of the axis where all values are equal."""
STEPS = (1.0, 2.0, 2.5, 5.0, 10.0)
"""Distances of two ticks, times a power of ten."""
MOST_LABELS = 4
SPAN_LEFT, SPAN_RIGHT = 24.0, 336.0


@dataclass(frozen=True)
class Mark:
    """One month of the chart, in pixels."""

    x: float
    y: float
    low: float | None
    high: float | None
    label: str
    point: Point


@dataclass(frozen=True)
class Tick:
    """A labelled place on an axis, in pixels."""

    place: float
    label: str


@dataclass(frozen=True)
class Line:
    """A line through neighbouring months; dashed where it leads to an estimate."""

    points: str
    dashed: bool


@dataclass(frozen=True)
class Chart:
    """A chart: marks, the lines between them, ticks of both axes, and where a guess would be."""

    marks: tuple[Mark, ...]
    lines: tuple[Line, ...]
    y_ticks: tuple[Tick, ...]
    x_ticks: tuple[Tick, ...]
    chance: float | None
    estimated: bool
    """Whether a mark is an estimate."""
    uncertain: bool
    """Whether a mark has an interval."""
    said: str
    """What the picture shows, for readers who do not see it."""


@dataclass(frozen=True)
class SpanChart:
    """An interval on a line with 0, in pixels."""

    low: float
    high: float
    value: float
    zero: float
    ends: tuple[Tick, ...]


def chart_of(trend: Trend) -> Chart | None:
    """The chart of a trend; None while fewer than two months are known."""
    known = [(point, point.value) for point in trend.points if point.value is not None]
    if len(known) < 2:  # noqa: PLR2004 - one point is no trend
        return None
    values = [value for _, value in known]
    values += [end for point, _ in known for end in point.interval or ()]
    if trend.chance is not None:
        values.append(trend.chance)
    low, high, step = axis(min(values), max(values))

    def place(value: float) -> float:
        return TOP + (high - value) / (high - low) * (HEIGHT - TOP - BOTTOM)

    width = (WIDTH - LEFT - RIGHT) / (len(trend.points) - 1)
    marks: dict[int, Mark] = {}
    for position, point in enumerate(trend.points):
        if point.value is None:
            continue
        ends = [place(end) for end in point.interval or ()]
        marks[position] = Mark(
            x=LEFT + position * width,
            y=place(point.value),
            low=max(ends, default=None),
            high=min(ends, default=None),
            label=trend.written(point),
            point=point,
        )
    first, last = known[0][0], known[-1][0]
    said = f"{trend.title}: {short_month(first.as_of)} {trend.written(first)}"
    return Chart(
        marks=tuple(marks.values()),
        lines=_lines(marks),
        y_ticks=tuple(
            Tick(place(low + number * step), _tick(low + number * step, trend))
            for number in range(round((high - low) / step) + 1)
        ),
        x_ticks=_months(trend, width),
        chance=None if trend.chance is None else place(trend.chance),
        estimated=any(point.estimated for point, _ in known),
        uncertain=any(point.interval for point, _ in known),
        said=f"{said}; {short_month(last.as_of)} {trend.written(last)}.",
    )


def span_chart(span: IntervalLine) -> SpanChart:
    """The picture of an interval."""
    least = min(span.low, 0.0)
    most = max(span.high, 0.0)
    width = (most - least) or 1.0

    def place(value: float) -> float:
        return SPAN_LEFT + (value - least) / width * (SPAN_RIGHT - SPAN_LEFT)

    ends = [Tick(place(0.0), "0")]
    for value in (span.low, span.high):
        far = abs(place(value) - place(0.0)) > 30  # noqa: PLR2004 - pixels of a label
        if far:
            ends.append(Tick(place(value), f"{'+' if value > 0 else ''}{whole(value)}"))
    return SpanChart(place(span.low), place(span.high), place(span.value), place(0.0), tuple(ends))


def axis(low: float, high: float) -> tuple[float, float, float]:
    """The ends of an axis at round numbers, and the distance of its ticks."""
    wide = max(high - low, EMPTY_SPAN)
    if high - low < EMPTY_SPAN:
        low = (low + high - EMPTY_SPAN) / 2
        low = max(low, 0.0) if high >= 0 else low
        high = low + EMPTY_SPAN
    power: float = 10.0 ** math.floor(math.log10(wide / 3))
    step = next(power * size for size in STEPS if power * size >= wide / 3 * (1 - 1e-9))
    return math.floor(low / step + 1e-9) * step, math.ceil(high / step - 1e-9) * step, step


def _lines(marks: dict[int, Mark]) -> tuple[Line, ...]:
    """A line for every two neighbouring months that are known: a gap stays a gap."""
    lines = []
    for position, mark in marks.items():
        before = marks.get(position - 1)
        if before is None:
            continue
        points = f"{before.x:.1f},{before.y:.1f} {mark.x:.1f},{mark.y:.1f}"
        lines.append(Line(points, mark.point.estimated or before.point.estimated))
    return tuple(lines)


def _months(trend: Trend, width: float) -> tuple[Tick, ...]:
    every = -(-len(trend.points) // MOST_LABELS)
    newest = len(trend.points) - 1
    return tuple(
        Tick(LEFT + position * width, short_month(point.as_of))
        for position, point in enumerate(trend.points)
        if (newest - position) % every == 0 and (position or len(trend.points) <= MOST_LABELS)
    )


def _tick(value: float, trend: Trend) -> str:
    if trend.unit == "auc":
        return f"{value:z.2f}"
    return f"{100 * value:z.3g}%"
