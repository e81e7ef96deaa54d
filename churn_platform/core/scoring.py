"""The ranked list: every customer with probability and decile, the listed ones with their reasons.

Belongs here: ranks, deciles, which reasons. Does not: their words (`core/reasons.py`), the model (`core/model.py`) or
where the list goes.
"""

import numpy as np
import pandas as pd

from churn_platform.core.contract import ColumnCost, Contract
from churn_platform.core.costs import RowCosts
from churn_platform.core.model import NONE, ChurnModel
from churn_platform.core.reasons import sentence

REASON = "reason_{}"
DECILES = 10


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
    scored["decile"] = (scored["rank"] - 1) * DECILES // len(scored) + 1
    return scored


def decile_floors(ranked: pd.DataFrame) -> list[float]:
    """The lowest probability in each of the deciles 9 to 1, ascending; empty for fewer than ten customers.

    Serving finds a customer's decile with them, without the whole list.
    """
    lowest = ranked.groupby("decile")["probability"].min()
    return [] if len(lowest) < DECILES else lowest.drop(DECILES).sort_values().tolist()


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
    # Column by column: a row of a mixed frame is built anew at each `iloc`, 0.6 ms.
    values = [rows[name].astype(object).where(rows[name].notna(), None).array for name in names]
    known = [model.categories.get(name) for name in names]

    def reason(i: int, j: int) -> str:
        value, own = values[j][i], known[j]
        seen = own is None or (NONE if value is None else str(value)) in own
        return sentence(contract.features[names[j]], names[j], value, strengths[i, j], seen=seen)

    sentences = [[reason(i, j) for j in chosen] for i, chosen in enumerate(order)]
    return pd.DataFrame(sentences, index=rows.index, columns=[REASON.format(n + 1) for n in range(order.shape[1])])
