"""What a monthly report says: questions, answers, and the records that each figure was read from.

A report contains no key of a customer: the rows of the list are added when a page is made.
"""

from string import Formatter
from typing import Literal, get_args

from pydantic import Field

from churn_platform.base.stored import Stored
from churn_platform.contract.policy import Audience
from churn_platform.reports.monthly.words import dated, money, percent, shortened, whole

AUDIENCES: tuple[Audience, ...] = get_args(Audience)
Sources = dict[str, str]
"""What was read, such as `campaign_effect/2024-02-29` -> its digest."""


class Figure(Stored):
    """A figure of a sentence.

    Attributes:
        name: what it is; also its place in the sentence.
        text: as the page shows it.
        value: the figure itself.
        about: the feature, version or month that it is of, if its name does not say it.
        interval: its confidence interval, if it has one.
    """

    name: str
    text: str
    value: float
    about: str | None = None
    interval: tuple[float, float] | None = None


class Sentence(Stored):
    """A sentence with its figures, and what they were read from.

    Attributes:
        text: the sentence, with `{name}` where a figure stands if it has figures.
        sources: record -> digest.
    """

    text: str
    figures: tuple[Figure, ...] = ()
    sources: Sources = Field(default_factory=dict)

    @property
    def parts(self) -> list[str | Figure]:
        """The texts and figures of the sentence, in order."""
        if not self.figures:
            return [self.text]
        by_name = {figure.name: figure for figure in self.figures}
        parts = list[str | Figure]()
        for text, name, _, _ in Formatter().parse(self.text):
            parts.append(text)
            if name is not None:
                parts.append(by_name[name])
        return parts

    @property
    def plain(self) -> str:
        """The sentence as people read it."""
        return "".join(part if isinstance(part, str) else part.text for part in self.parts)


class Point(Stored):
    """One month of a trend; without a value where it is not known."""

    as_of: str
    value: float | None = None
    interval: tuple[float, float] | None = None
    estimated: bool = False
    """Whether labels are still to come."""
    sources: Sources = Field(default_factory=dict)


class Trend(Stored):
    """A figure over the months, oldest first."""

    name: str
    title: str
    unit: Literal["share", "auc"]
    points: tuple[Point, ...]
    chance: float | None = None
    """The value of a guess, drawn as a line."""

    @property
    def known(self) -> tuple[Point, ...]:
        """The months whose value is known."""
        return tuple(point for point in self.points if point.value is not None)

    def text(self, value: float) -> str:
        """A value as people read it."""
        if self.unit == "share":
            return percent(value)
        return f"{value:.3f}"

    def written(self, point: Point) -> str:
        """The value of a month, with its interval and whether it is an estimate."""
        if point.value is None:
            return "not known"
        said = self.text(point.value)
        if point.interval is not None:
            low, high = point.interval
            said += f", between {self.text(low)} and {self.text(high)}"
        return f"{said} (estimated)" if point.estimated else said


class IntervalLine(Stored):
    """An estimate and its interval, drawn on a line with 0."""

    name: str
    value: float
    low: float
    high: float
    title: str
    shown: bool
    """Whether the interval leaves out 0."""
    sources: Sources = Field(default_factory=dict)


class Answer(Stored):
    """A question that its reader has, and the answer."""

    question: str
    sentences: tuple[Sentence, ...]
    trend: Trend | None = None
    span: IntervalLine | None = None
    customers: bool = False
    """Whether the list of the month follows."""


class MonthlyReport(Stored):
    """The record of the step `monthly_report`.

    Attributes:
        business: the contract's name.
        pages: audience -> sha256 of its page.
        renderer: digest of what made the pages; another version of the platform makes others.
        receipt: the newest receipt when it was written.
    """

    snapshot: str = ""
    inputs: str = ""
    as_of: str
    business: str
    team: tuple[Answer, ...]
    manager: tuple[Answer, ...]
    approver: tuple[Answer, ...]
    pages: dict[Audience, str] = Field(default_factory=dict)
    renderer: str = ""
    receipt: int = 0

    @property
    def content(self) -> "MonthlyReport":
        """What it says, without when and how it was written."""
        return self.model_copy(update={"pages": {}, "renderer": "", "receipt": 0})

    def answers(self, audience: Audience) -> tuple[Answer, ...]:
        """The answers for one audience."""
        return {"team": self.team, "manager": self.manager, "approver": self.approver}[audience]


def said(text: str, sources: Sources | None = None) -> Sentence:
    """A sentence without figures of its own."""
    return Sentence(text=text, sources=sources or {})


def quoted(text: str, sources: Sources) -> Sentence:
    """A sentence that a record holds, with its dates written for people."""
    return Sentence(text=shortened(dated(text)), sources=sources)


def literal(text: str) -> str:
    """A text that may hold braces, as part of a sentence with figures."""
    return text.replace("{", "{{").replace("}", "}}")


def count(name: str, value: float, shown: float | None = None, zero: str = "none") -> Figure:
    """A number of customers or months.

    Args:
        name: what it is.
        value: the number.
        shown: what the text shows instead, such as the number without its sign.
        zero: the word for 0; "no" where a noun follows.
    """
    text = whole(value if shown is None else shown)
    return Figure(name=name, text=zero if text == "0" else text, value=value)


def share(name: str, value: float, about: str | None = None) -> Figure:
    """A share as a percentage."""
    return Figure(name=name, text=percent(value), value=value, about=about)


def amount(name: str, value: float, shown: float | None = None) -> Figure:
    """An amount of money; `shown` as in `count`."""
    return Figure(name=name, text=money(value if shown is None else shown), value=value)


def auc(name: str, value: float, about: str | None = None) -> Figure:
    """An AUC as engineers write it."""
    return Figure(name=name, text=f"{value:.3f}", value=value, about=about)
