"""One version of the model: what it reads, what it predicts, and why."""

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from churn_platform.base.errors import UsageError
from churn_platform.contract.model import Contract
from churn_platform.scoring.ranking import reasons
from churn_platform.training.candidate import Candidate


class OpenedModel:
    """A fitted model, its files verified.

    Attributes:
        version: Its number.
        features: The columns that it reads, in order.
        threshold: The probability from which a customer is predicted to churn.
        card: The model card: what it was made from and what it measured on the holdout.
    """

    def __init__(self, version: Candidate, contract: Contract) -> None:
        self._version = version
        self._contract = contract
        self.version = version.version
        self.features = [name for name, _ in version.model.features]
        self.threshold = version.model.threshold
        self.card: dict[str, Any] = version.card.as_json()

    @property
    def metrics(self) -> dict[str, Any]:
        """What it measured on the holdout: `metrics` of the card."""
        return dict(self.card["metrics"])

    def predict_proba(self, frame: pd.DataFrame) -> NDArray[np.float64]:
        """The probabilities (rows, 2) of staying and of churning, as scikit-learn gives them.

        Args:
            frame: (rows, columns) with at least `features`, as `home.features` returns them.

        Raises:
            UsageError: the frame lacks a column.
            DataError: a value cannot be read as the number or boolean that it should be.
        """
        churn = self._version.model.probability(self._read(frame))
        return np.column_stack([1 - churn, churn])

    def contributions(self, frame: pd.DataFrame) -> pd.DataFrame:
        """How far each feature moves each row's log-odds of churning, (rows, features).

        Raises:
            UsageError, DataError: as `predict_proba`.
        """
        return self._version.model.contributions(self._read(frame)).set_axis(frame.index)

    def reasons(self, frame: pd.DataFrame, count: int = 3) -> pd.DataFrame:
        """The strongest reasons of each row in the contract's words, (rows, count).

        Raises:
            UsageError, DataError: as `predict_proba`.
        """
        rows = self._read(frame).reset_index(drop=True)
        found = reasons(self._contract, rows, self._version.model, count)
        return found.set_axis(frame.index)

    def _read(self, frame: pd.DataFrame) -> pd.DataFrame:
        missing = [name for name in self.features if name not in frame.columns]
        if missing:
            raise UsageError(
                f"The frame has no column {', '.join(missing)}, which version {self.version}"
                " reads. `home.features()` returns every column.",
                code="COLUMN_MISSING",
            )
        return frame[self.features]

    def __repr__(self) -> str:
        return f"<version {self.version}: {', '.join(self._facts().values())}>"

    def _repr_html_(self) -> str:
        facts = self._facts() | {
            "Threshold": f"{self.threshold:.3f}",
            "Features": ", ".join(self.features),
        }
        shown = pd.Series({"Version": self.version, **facts}, dtype=object).to_frame()
        return shown.to_html(header=False, border=0)

    def _facts(self) -> dict[str, str]:
        """What is known of it: an imported version was not measured on the holdout."""
        months = ", ".join(self.card["months"]) or "unknown months"
        facts = {"Algorithm": str(self.card["algorithm"]), "Training": f"trained on {months}"}
        auc = self.metrics.get("auc")
        if auc is not None:
            facts["Performance"] = f"AUC {auc:.3f} on the holdout"
        return facts
