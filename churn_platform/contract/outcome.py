"""The parts of a contract about the outcome: the label, when it is known, and what errors cost."""

import datetime as dt
import re
from typing import Annotated, Any, Final, Literal, Self

from pydantic import ConfigDict, Field, model_validator

from churn_platform.base.digests import ADDED
from churn_platform.contract.columns import ContractPart, Name, Span
from churn_platform.contract.events import LENGTH, NoEvent, length_in_words, span_of

INACTIVITY: Final = {"table": "inactivity", "column": "inactive"}
"""Where the lake keeps labels that are made from a log."""


class EarlierLabel(ContractPart):
    """A definition of the label that a later one has replaced."""

    column: Name
    """Column that marked who churned. Example: `has_left`"""
    horizon: Span = Span()
    """How long after the as_of the label was known. Example: `{months: 1}`"""
    period: Literal["after", "before"] = "after"
    """As `label.period`. Example: `before`"""
    inverted: bool = False
    """As `label.inverted`. Example: `true`"""
    since: dt.date | None = None
    """The first as_of with this definition; leave it out for the first. Example: `2026-01-31`"""


def _where_or_made(schema: dict[str, Any]) -> None:
    """Let a schema ask for the label's place only where it is not made from a log."""
    schema["anyOf"] = [{"required": schema.pop("required")}, {"required": ["no_event"]}]


class Label(ContractPart):
    """Where the label is, and how long after the as_of it is known."""

    model_config = ConfigDict(json_schema_extra=_where_or_made)

    table: Name
    """Table that holds the label. Example: `labels`"""
    column: Name
    """Column that marks who churned: boolean, or 1 for churned and 0 for stayed. Example:
    `has_left`
    """
    horizon: Span = Span()
    """How long after the as_of the label is known; by default at the as_of.

    Example: `{months: 1}`
    """
    no_event: NoEvent | None = Field(default=None, json_schema_extra=ADDED)
    """An inactivity label, made from the log of an event table instead of delivered. Then `table`,
    `column` and `horizon` need not be given. Example: `{table: payments, within: 30d}`
    """
    period: Literal["after", "before"] = Field(default="after", json_schema_extra=ADDED)
    """`before`: the label marks who had left by the as_of, so the list contains the customers
    who stayed. `after`: the label is about the time after the as_of, so a fully labelled month
    is not listed. Example: `before`
    """
    inverted: bool = Field(default=False, json_schema_extra=ADDED)
    """Whether the column marks who stayed, as `is_active` does. Labels are inverted when they
    are published. Example: `true`
    """
    since: dt.date | None = Field(default=None, json_schema_extra=ADDED)
    """The first as_of with this definition of churn, if `earlier` has others. Models are not
    compared on labels of another definition. Example: `2026-07-31`
    """
    earlier: tuple[EarlierLabel, ...] = Field(default=(), json_schema_extra=ADDED)
    """The definitions before this one, oldest first.

    Example: `[{column: has_left, horizon: {months: 2}}]`
    """

    def at(self, as_of: dt.date) -> "Label":
        """The definition of a month, without the others."""
        if not self.earlier or self.since is None or as_of >= self.since:
            return self.model_copy(update={"earlier": ()})
        valid = [one for one in self.earlier if one.since is None or as_of >= one.since]
        return Label(table=self.table, **valid[-1].model_dump())

    @property
    def in_words(self) -> str:
        """Where the label is, or which events are awaited."""
        if self.no_event is None:
            return f"{self.table}.{self.column}"
        picked = f" where {self.no_event.where}" if self.no_event.where else ""
        within = length_in_words(self.no_event.within)
        return f"no event of {self.no_event.table}{picked} in {within}"

    def same_churn(self, other: "Label") -> bool:
        """Whether models of the two definitions can be compared on one month's labels; `period`
        only decides who is listed.
        """
        return self.model_copy(update={"period": other.period}) == other

    @model_validator(mode="before")
    @classmethod
    def _names_of_inactivity(cls, values: Any) -> Any:  # noqa: ANN401 - whatever a file holds
        """Fill in where the label of a log is and when it is known."""
        no_event = values.get("no_event") if isinstance(values, dict) else None
        within = no_event.get("within") if isinstance(no_event, dict) else None
        if no_event is None:
            return values
        filled = {**INACTIVITY, **values}
        if isinstance(within, str) and re.fullmatch(LENGTH, within):
            filled.setdefault("horizon", span_of(within))
        return filled

    @model_validator(mode="after")
    def _inactivity_is_after_the_as_of(self) -> Self:
        if self.no_event is None:
            return self
        if self.horizon != span_of(self.no_event.within):
            raise ValueError("horizon: the label is known after `no_event.within`, leave it out")
        if self.period == "before" or self.inverted or self.earlier:
            raise ValueError("no_event goes without period, inverted and earlier")
        return self

    @model_validator(mode="after")
    def _definitions_in_order(self) -> Self:
        if self.earlier and self.since is None:
            raise ValueError("earlier definitions need the `since` of this one")
        days = [one.since or dt.date.min for one in self.earlier] + [self.since or dt.date.min]
        if self.earlier and (self.earlier[0].since is not None or days != sorted(set(days))):
            raise ValueError(
                "earlier must be in order of `since`, the first without and each other with one"
            )
        return self


class ColumnCost(ContractPart):
    """A cost that differs from customer to customer: `times` the value of `column`."""

    column: Name
    """Number column of a feature table with the cost of each customer. It needs `min: 0` or
    more and no missing values. Example: `fee`
    """
    times: float = Field(default=1.0, gt=0)
    """Factor for the value, for example the months that a retained customer stays.

    Example: `12`
    """


Cost = Annotated[float, Field(gt=0)] | ColumnCost


class Costs(ContractPart):
    """What a wrong prediction costs, in any currency. The threshold depends only on the ratio."""

    missed_churner: Cost = 5.0
    """Cost of not contacting a churner: one number for all, or a column with each customer's
    own. Example: `{column: fee, times: 12}`
    """
    needless_contact: Cost = 1.0
    """Cost of contacting a customer who would have stayed. Example: `2.5`"""

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that the costs are read from, each once."""
        costs = (self.missed_churner, self.needless_contact)
        return tuple(dict.fromkeys(cost.column for cost in costs if isinstance(cost, ColumnCost)))
