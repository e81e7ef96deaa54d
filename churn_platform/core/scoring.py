"""The ranked list: every customer with probability and decile, the listed ones with their reasons in words.

Belongs here: ranks, deciles, sentences. Does not: the model (`core/model.py`) or where the list goes.
"""

import numpy as np
import pandas as pd

from churn_platform.core.contract import Column, ColumnCost, Contract
from churn_platform.core.costs import RowCosts
from churn_platform.core.model import ChurnModel

REASON = "reason_{}"


def rank(contract: Contract, rows: pd.DataFrame, model: ChurnModel) -> pd.DataFrame:
    """Every customer, most likely to leave first.

    Args:
        contract: the contract.
        rows: (customers, entity + features) of one snapshot.
        model: the model in production.

    Returns:
        (customers,) entity, probability, rank from 1, decile 1 (highest risk) to 10; where the cost of a missed
        churner differs from customer to customer also expected_loss, probability times cost. Equal probabilities are
        ranked by entity, so the list is the same on every run.
    """
    key = contract.entity.column
    scored = pd.DataFrame({key: rows[key], "probability": model.probability(rows)})
    if isinstance(contract.costs.missed_churner, ColumnCost):
        scored["expected_loss"] = scored["probability"] * RowCosts.of(contract.costs, rows).missed
    scored = scored.sort_values(["probability", key], ascending=[False, True], ignore_index=True)
    scored["rank"] = np.arange(1, len(scored) + 1)
    scored["decile"] = (scored["rank"] - 1) * 10 // len(scored) + 1
    return scored


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
    pushes = model.contributions(rows)
    order = np.argsort(-pushes.abs().to_numpy(), axis=1, kind="stable")[:, :count]
    names, strengths = list(pushes.columns), pushes.to_numpy()
    values = [rows[name].array for name in names]  # a row of a mixed frame is built anew at each `iloc`: 0.6 ms
    sentences = [
        [sentence(contract.features[names[j]], names[j], values[j][i], strengths[i, j]) for j in chosen]
        for i, chosen in enumerate(order)
    ]
    return pd.DataFrame(sentences, index=rows.index, columns=[REASON.format(n + 1) for n in range(order.shape[1])])


def sentence(column: Column, name: str, value: object, push: float) -> str:
    """One reason: "3 failed payments in 90 days raises the risk"."""
    effect = "raises the risk" if push > 0 else "lowers the risk" if push < 0 else "does not move the risk"
    said = column.description or name.replace("_", " ")
    if pd.isna(value):  # type: ignore[call-overload]
        return f"no value for {said[:1].lower()}{said[1:]} {effect}"
    number = shown(column, value)
    phrase = column.phrase.format(value=number, s="" if number == "1" else "s") or f"{said}: {number}"
    return f"{phrase} {effect}"


def shown(column: Column, value: object) -> str:
    """A value as a person writes it: yes or no, whole numbers whole, others to one decimal."""
    if column.dtype == "boolean":
        return "yes" if value else "no"
    if column.dtype == "category":
        return str(value)
    number = float(str(value))
    if number == round(number):
        return f"{number:.0f}"
    return f"{number:.1f}" if abs(number) >= 1 else f"{number:.2g}"
