"""What a month's contacts would be worth if the candidate or production chose them, as a decision
records it.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd
from pydantic import BaseModel, ConfigDict

from churn_platform.contacts.profit import SaveRate, expected_maximum_profit
from churn_platform.contacts.value import (
    LEAST_CONTACTS,
    BudgetDifference,
    ContactTerms,
    value_at_budget,
    value_difference,
)
from churn_platform.evaluation.statistics import BoolArray, FloatArray, Interval, KeyArray
from churn_platform.promotion.evidence import Evidence

LEAST_CONTACTS_ALIKE = 10.0
"""Where every saved customer is worth the same, fewer effective contacts than LEAST_CONTACTS do:
95% intervals cover 96% with 13 of them in simulation, and 89% where values differ by customer.
"""


class ModelValue(BaseModel):
    """What the contacts of a month would be worth if a version chose them."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    version: int
    value: float
    """Money a month, less the cost of the contacts."""
    interval: tuple[float, float]
    effective_contacts: float
    """Effective holdout customers that the value rests on."""
    empc: float | None
    """Expected maximum profit per customer (EMPC), at the share of customers that is best."""
    empc_share: float | None
    """That share."""


class ContactValue(BaseModel):
    """The value at the budget of a decision's versions, with the terms it was computed on."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    budget: int
    """Contacts a month."""
    unit: Literal["money", "customers"]
    """Money, or saved customers where the contract gives no value of a customer."""
    contact_cost: float
    incentive: float
    save_rate: float
    """Mean share of the contacted who would have left and stay."""
    save_rate_beta: tuple[float, float]
    """The save rate is distributed as Beta with these parameters."""
    save_rate_measured: bool
    """False: Beta(6, 14), an assumption."""
    level: float
    candidate: ModelValue | None = None
    production: ModelValue | None = None
    difference: float | None = None
    """Candidate minus production, on the same customers."""
    difference_interval: tuple[float, float] | None = None
    note: str | None = None
    """Why a figure is missing."""

    def of_version(self, version: int) -> ModelValue | None:
        """The value of one of the two versions."""
        both = (self.candidate, self.production)
        return next((one for one in both if one is not None and one.version == version), None)

    @property
    def save_rate_sentence(self) -> str:
        """The save rate, and whether it is measured."""
        alpha, beta = self.save_rate_beta
        if self.save_rate_measured:
            return f"Measured save rate: {self.save_rate:.1%}, Beta({alpha:.1f}, {beta:.1f})."
        return (
            f"Assumed save rate: {self.save_rate:.0%}, Beta({alpha:g}, {beta:g}), a guess from"
            " telecom campaigns. It is replaced when the effect of 50 assigned churners is known."
        )

    @property
    def sentence(self) -> str:
        """The values and their difference, for people."""
        both = (self.candidate, self.production)
        said = [f"version {one.version} {_worth(one)}" for one in both if one is not None]
        if self.difference is not None and self.difference_interval is not None:
            low, high = self.difference_interval
            said.append(f"difference {self.difference:+,.0f} [{low:+,.0f}, {high:+,.0f}]")
        head = f"Value of {self.budget:,} contacts a month"
        if self.unit == "customers":
            head += " in saved customers (policy.contacts.value is not given)"
        sentences = [f"{head}: {', '.join(said)}." if said else f"{head}."]
        if self.note:
            sentences.append(self.note)
        return " ".join([*sentences, self.save_rate_sentence])


def _worth(one: ModelValue) -> str:
    low, high = one.interval
    said = f"{one.value:,.0f} [{low:,.0f}, {high:,.0f}]"
    if one.empc is not None:
        said += f" (EMPC {one.empc:,.2f} a customer)"
    return said


@dataclass(frozen=True, eq=False)
class BudgetTerms:
    """What a decision's rows need to be valued.

    Attributes:
        contacts: the budget, contacts a month.
        customers: customers a month, whom the holdout rows stand for.
        value: (rows,) what each customer is worth if saved.
        months: (rows,) the month of each row.
        contact_cost: of one contact.
        incentive: given to each contacted customer.
        unit: money; or saved customers, with a value of 1 and no costs.
        save_rate: the measured or assumed one.
    """

    contacts: int
    customers: float
    value: FloatArray
    months: KeyArray
    contact_cost: float
    incentive: float
    save_rate: SaveRate
    unit: Literal["money", "customers"] = "money"

    @property
    def per_contact(self) -> ContactTerms:
        """What one contact costs and achieves."""
        return ContactTerms(self.save_rate.mean, self.contact_cost, self.incentive)


def contact_value(evidence: Evidence, candidate: int, terms: BudgetTerms) -> ContactValue:
    """The value at the budget of candidate and production, on rows that neither trained on.

    The holdout is a part of the customers: the same share of it is contacted, and the result is
    scaled to all of them.

    Args:
        evidence: with scores that are probabilities.
        candidate: its version.
        terms: budget, value and costs.
    """
    rate = terms.save_rate
    empty = ContactValue(
        budget=terms.contacts,
        unit=terms.unit,
        contact_cost=terms.contact_cost,
        incentive=terms.incentive,
        save_rate=rate.mean,
        save_rate_beta=(rate.alpha, rate.beta),
        save_rate_measured=rate.measured,
        level=evidence.policy.level,
    )
    if not evidence.comparable:
        return empty.model_copy(
            update={"note": "Not measurable: too few holdout customers are new to both models."}
        )
    rows = _ValuedRows.of(evidence, terms)
    found: dict[str, object] = {"candidate": rows.of_version(candidate, evidence.candidate)}
    versions = [candidate]
    if evidence.production is not None and evidence.production_version is not None:
        versions.append(evidence.production_version)
        found["production"] = rows.of_version(versions[1], evidence.production)
        difference = rows.difference(evidence.candidate, evidence.production)
        if difference is not None:
            found["difference"] = difference.difference * rows.scale
            found["difference_interval"] = _scaled(difference.interval, rows.scale)
    both = zip(versions, (found["candidate"], found.get("production")), strict=False)
    missing = [str(version) for version, one in both if one is None]
    if missing:
        found["note"] = _too_few(" and ".join(missing), rows.least, terms.contacts)
    return empty.model_copy(update=found)


@dataclass(frozen=True, eq=False)
class _ValuedRows:
    """The rows of a decision, (rows,) arrays; `scale` customers stand behind each of them."""

    labels: BoolArray
    weights: FloatArray
    entities: KeyArray
    kept: BoolArray
    terms: BudgetTerms
    level: float
    scale: float
    least: float

    @classmethod
    def of(cls, evidence: Evidence, terms: BudgetTerms) -> "_ValuedRows":
        given = np.ones(len(evidence.labels)) if evidence.weights is None else evidence.weights
        weights = np.where(evidence.sound_rows, given, 0.0)
        # A pooled month in which no row counts would have no customers to stand for.
        kept = np.isin(terms.months, pd.unique(terms.months[weights > 0]))
        a_month = kept.sum() / pd.unique(terms.months[kept]).size
        alike = np.ptp(terms.value[weights > 0]) == 0
        return cls(
            labels=evidence.labels,
            weights=weights,
            entities=evidence.entities,
            kept=kept,
            terms=terms,
            level=evidence.policy.level,
            scale=float(terms.customers / a_month),
            least=LEAST_CONTACTS_ALIKE if alike else LEAST_CONTACTS,
        )

    def of_version(self, version: int, scores: FloatArray) -> ModelValue | None:
        """What a version's contacts would be worth; None where too few rows show it."""
        terms = self.terms
        kept = self.kept
        found = value_at_budget(
            self.labels[kept],
            (scores * terms.value)[kept],
            budget=terms.contacts / self.scale,
            value=terms.value[kept],
            terms=terms.per_contact,
            weights=self.weights[kept],
            entities=self.entities[kept],
            months=terms.months[kept],
            level=self.level,
            least_contacts=self.least,
        )
        if found is None:
            return None
        empc = None
        share = None
        if terms.unit == "money" and terms.value[self.weights > 0].any():
            profit = expected_maximum_profit(
                self.labels,
                scores,
                value=terms.value,
                incentive=terms.incentive,
                contact_cost=terms.contact_cost,
                save_rate=terms.save_rate,
                weights=self.weights,
            )
            empc = profit.profit
            share = profit.fraction
        return ModelValue(
            version=version,
            value=found.value * self.scale,
            interval=_scaled(found.interval, self.scale),
            effective_contacts=found.effective_contacts,
            empc=empc,
            empc_share=share,
        )

    def difference(self, candidate: FloatArray, production: FloatArray) -> BudgetDifference | None:
        """The candidate's value minus production's, paired by row."""
        terms = self.terms
        kept = self.kept
        return value_difference(
            self.labels[kept],
            (candidate * terms.value)[kept],
            (production * terms.value)[kept],
            budget=terms.contacts / self.scale,
            value=terms.value[kept],
            terms=terms.per_contact,
            weights=self.weights[kept],
            entities=self.entities[kept],
            months=terms.months[kept],
            level=self.level,
            least_contacts=self.least,
        )


def _scaled(interval: Interval, scale: float) -> tuple[float, float]:
    return interval.low * scale, interval.high * scale


def _too_few(versions: str, least: float, contacts: int) -> str:
    return (
        f"Not measurable for version {versions}: of the holdout, a budget of {contacts:,} reaches"
        f" fewer than {least:.0f} effective customers whose label no contact may have changed."
        " Leave more customers untouched (policy.contacts.untouched_share)."
    )
