"""The ranked list: who can still leave, their ranks and deciles, and the reasons of the listed
ones.
"""

import datetime as dt
from dataclasses import dataclass

import numpy as np
import pandas as pd

from churn_platform.contract.model import ColumnCost, Contract
from churn_platform.evaluation.costs import RowCosts
from churn_platform.evaluation.statistics import BoolArray, FloatArray
from churn_platform.scoring.reasons import sentence
from churn_platform.training.model import ChurnModel
from churn_platform.training.scorer import seen

REASON = "reason_{}"
DECILES = 10


@dataclass(frozen=True)
class Outcomes:
    """What the labels of the scored month say at scoring, one entry per customer (rows,)."""

    known: BoolArray
    already_left: BoolArray

    @property
    def complete(self) -> bool:
        """Whether the label of every customer is known."""
        return bool(self.known.all())


def outcomes(keys: pd.Series, labels: pd.Series | None) -> Outcomes:
    """Who can still leave, and who has already left: the one rule of every list, rank, decile
    and count.

    A customer has already left when the label of the scored month is known and positive. Labels
    of other months do not count: a customer of this month's snapshot who left earlier has come
    back.

    Args:
        keys: (rows,) the scored customers.
        labels: booleans by customer; None while the month has no labels.
    """
    if labels is None:
        nobody = np.zeros(len(keys), dtype=bool)
        return Outcomes(nobody, nobody)
    return Outcomes(
        keys.isin(labels.index).to_numpy(),
        keys.isin(labels.index[labels.to_numpy()]).to_numpy(),
    )


def list_note(contract: Contract, as_of: dt.date, found: Outcomes) -> str | None:
    """A sentence for a list of the past: the outcome of every customer is known. None for any
    other list.
    """
    if not found.complete:
        return None
    if found.already_left.all():
        return f"Every customer of {as_of} has already left, so the list is empty."
    if contract.label.period == "before":
        return None
    return (
        f"Every outcome of {as_of} is already known, so this list describes the past. Deliver a"
        " month without labels to list customers who can still leave. If the label marks who"
        " had left by the as_of, set `period: before` in the contract's label."
    )


def rank(
    contract: Contract,
    rows: pd.DataFrame,
    probability: FloatArray,
    already_left: BoolArray | None = None,
) -> pd.DataFrame:
    """Every customer, the most urgent first; customers who have already left come last, without
    rank and decile.

    Args:
        contract: the contract.
        rows: (customers, entity + features) of one snapshot.
        probability: (customers,) of churn.
        already_left: (customers,) who can no longer leave; no one by default.

    Returns:
        (customers,) entity, probability, already_left, rank from 1, decile 1 (highest risk) to
        10. Where the cost of a missed churner differs from customer to customer also
        expected_loss, probability times cost, and the rank is by it; else the rank is by
        probability. The decile is by probability in both cases. Ties are ranked by entity, so
        the list is the same on every run.
    """
    key = contract.entity.column
    scored = pd.DataFrame({key: rows[key], "probability": probability})
    order = ["probability"]
    if isinstance(contract.costs.missed_churner, ColumnCost):
        scored["expected_loss"] = scored["probability"] * RowCosts.of(contract.costs, rows).missed
        order = ["expected_loss", "probability"]
    scored["already_left"] = False if already_left is None else already_left
    ascending = [True, *[False] * len(order), True]
    scored = scored.sort_values(
        ["already_left", *order, key], ascending=ascending, ignore_index=True
    )
    staying = int((~scored["already_left"]).sum())
    scored["rank"] = pd.Series(np.arange(1, staying + 1), dtype="Int64").reindex(scored.index)
    by_risk = scored.head(staying).sort_values(["probability", key], ascending=[False, True]).index
    deciles = pd.Series(
        np.arange(staying) * DECILES // max(staying, 1) + 1, index=by_risk, dtype="Int64"
    )
    scored["decile"] = deciles.reindex(scored.index)
    return scored[[*(name for name in scored if name != "already_left"), "already_left"]]


def decile_floors(ranked: pd.DataFrame) -> list[float]:
    """The lowest probability in each of the deciles 9 to 1, ascending; empty for fewer than ten
    customers.

    Serving finds a customer's decile with them, without the complete list.
    """
    lowest = ranked.groupby("decile")["probability"].min()
    if len(lowest) < DECILES:
        return []
    return lowest.drop(DECILES).sort_values().tolist()


def reasons(contract: Contract, rows: pd.DataFrame, model: ChurnModel, count: int) -> pd.DataFrame:
    """The strongest reasons of each row in the contract's words.

    Args:
        contract: the contract.
        rows: (rows, features).
        model: the model.
        count: reasons a row.

    Returns:
        (rows, count) sentences named reason_1.., strongest first, indexed like `rows`.
    """
    names = [REASON.format(n + 1) for n in range(min(count, len(contract.features)))]
    if rows.empty:
        return pd.DataFrame(columns=names, index=rows.index, dtype=object)
    pushes = model.contributions(rows)
    order = np.argsort(-pushes.abs().to_numpy(), axis=1, kind="stable")[:, :count]
    features = list(pushes.columns)
    strengths = pushes.to_numpy()
    # Column by column: a row of a mixed frame is built anew at each `iloc`, 0.6 ms.
    values = [rows[name].astype(object).where(rows[name].notna(), None).array for name in features]
    known = [model.categories.get(name) for name in features]

    def reason(i: int, j: int) -> str:
        value = values[j][i]
        trained = seen(known[j], value)
        return sentence(
            contract.features[features[j]], features[j], value, strengths[i, j], seen=trained
        )

    sentences = [[reason(i, j) for j in chosen] for i, chosen in enumerate(order)]
    return pd.DataFrame(sentences, index=rows.index, columns=names)
