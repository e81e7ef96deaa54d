"""What a training dataset records of its sample of customers, in numbers of rows."""

from churn_platform.base.stored import Stored


class SampledRows(Stored):
    """How many of the rows of one part are in the sample.

    Attributes:
        rows: Those in the sample.
        of: All, with the customers who were not drawn.
    """

    rows: int
    of: int

    @property
    def text(self) -> str:
        """Both numbers, for people."""
        if self.rows == self.of:
            return f"all {self.of:,}"
        return f"{self.rows:,} of {self.of:,}"


class CustomerSample(Stored):
    """The sample of customers of a training dataset.

    Attributes:
        max_rows: The limit of the policy, for the training rows and for the holdout rows.
        training: The training rows.
        holdout: The holdout rows.
        labelled: Month -> all customers with a label.
    """

    max_rows: int
    training: SampledRows
    holdout: SampledRows
    labelled: dict[str, int]

    @property
    def sentence(self) -> str:
        """The sample as a sentence."""
        return (
            f"Trained on {self.training.text} rows and measured on {self.holdout.text} holdout"
            f" rows: policy.training.max_rows is {self.max_rows:,}, and a hash of the key draws"
            " the customers."
        )
