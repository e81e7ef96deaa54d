"""The training dataset: which rows train, which rows are the holdout, and their digests."""

import datetime as dt
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from churn_platform.base.digests import frame_digest, key_hashes
from churn_platform.base.errors import IntegrityError
from churn_platform.contract.model import Contract
from churn_platform.features.customer_sample import CustomerSample
from churn_platform.lake.tables import canonical_dtypes
from churn_platform.lake.window import Window

AS_OF = "as_of"
LABEL = "label"
HOLDOUT = "holdout"
WEIGHT = "label_weight"
"""How many customers the label stands for; 0 for customers assigned to be contacted. Only if
the contract names contacts.
"""
OUTSIDE = "contacted_outside_a_plan"
"""Whether a contact that no plan knew may have changed the label. Only with `WEIGHT`."""
Hashes = np.ndarray[Any, np.dtype[np.uint64]]
Mask = np.ndarray[Any, np.dtype[np.bool_]]
Floats = np.ndarray[Any, np.dtype[np.float64]]


def in_holdout(entities: Iterable[object], salt: str, fraction: float) -> Mask:
    """Whether each entity is in the holdout, permanently: sha256(salt + entity) < fraction.

    Returns:
        (entities,) booleans that depend only on salt and entity.
    """
    hashes = key_hashes(entities, salt)
    limit = int(fraction * 2**64)
    if limit < 2**64:
        return hashes < np.uint64(limit)
    return np.ones(len(hashes), dtype=bool)


def entity_hashes(entities: Iterable[object]) -> Hashes:
    """The first 64 bits of each entity's sha256, sorted and unique, to be intersected."""
    return np.unique(key_hashes(entities))


def trained_on(entities: pd.Series, hashes: Hashes) -> Mask:
    """Which of the entities (rows,) are among the hashed training entities."""
    return np.isin(key_hashes(entities), hashes)


@dataclass(frozen=True)
class Origin:
    """What a dataset was read from: the knowledge time (ISO, UTC) and digests of the tables."""

    known_at: str
    tables: Mapping[str, str]
    """`<table> <as_of>` -> digest of its content."""


@dataclass(frozen=True)
class TrainingDataset:
    """Features as known at scoring, with matured labels.

    `frame` has the columns entity, as_of, features, carried, label, holdout; with contacts also
    label_weight and contacted_outside_a_plan.
    """

    frame: pd.DataFrame
    window: Window
    digest: str
    origin: Origin | None = None
    sample: CustomerSample | None = None
    """None if every labelled customer is in it."""

    def training_rows(self) -> pd.DataFrame:
        """The rows a candidate is fitted on: none whose label a contact may have changed."""
        return self._rows(self.window.training, holdout=False)

    def newest_rows(self) -> pd.DataFrame:
        """The training rows of the newest month: pooled months would hide a recent leak."""
        return self._rows(self.window.training[-1:], holdout=False)

    def holdout_rows(self) -> pd.DataFrame:
        """The rows that both models are scored on."""
        return self._rows(self.window.holdout, holdout=True)

    def forward_rows(self) -> pd.DataFrame:
        """The rows that the same recipe would have been fitted on one month earlier."""
        return self._rows(self.window.forward, holdout=False)

    def _rows(self, months: tuple[dt.date, ...], *, holdout: bool) -> pd.DataFrame:
        return self.frame[self.chosen(months, holdout=holdout)].reset_index(drop=True)

    def chosen(self, months: tuple[dt.date, ...], *, holdout: bool) -> pd.Series:
        """Which rows (rows,) of these months train, or are the holdout."""
        frame = self.frame
        chosen = frame[AS_OF].isin([m.isoformat() for m in months]) & (frame[HOLDOUT] == holdout)
        if WEIGHT in frame:
            weights = frame[WEIGHT].to_numpy(dtype=float)
            outside = frame[OUTSIDE].to_numpy(dtype=bool)
            chosen &= label_counts(weights, outside, holdout=holdout)
        return chosen

    def labelled(self, months: tuple[dt.date, ...]) -> int:
        """How many customers of these months have a label, whether they were sampled or not."""
        named = [month.isoformat() for month in months]
        if self.sample is not None:
            return sum(self.sample.labelled[month] for month in named)
        return int(self.frame[AS_OF].isin(named).sum())


def label_counts(weights: Floats, outside: Mask, *, holdout: bool) -> Mask:
    """Which labels (rows,) train, or are the holdout, by what contacts did to them."""
    counts: Mask = weights > 0
    if not holdout:
        # In the holdout they are named as a doubt: without them production's own list would be
        # missing.
        counts &= ~outside
    return counts


def row_weights(rows: pd.DataFrame) -> Floats | None:
    """The weights of a dataset's rows (rows,); None if all count alike."""
    return rows[WEIGHT].to_numpy(dtype=float) if WEIGHT in rows else None


def assemble(
    contract: Contract, spine: pd.DataFrame, joined: pd.DataFrame, window: Window
) -> TrainingDataset:
    """Join the feature store's answer to the spine, row by row.

    Args:
        contract: the contract.
        spine: (rows,) the request: entity, as_of (ISO date), label, carried columns; with
            contacts also the weights of the labels.
        joined: the answer of the feature store in any order: entity, as_of, features.
        window: the months.

    Raises:
        IntegrityError: the answer has other rows than the request.
    """
    key = [contract.entity.column, AS_OF]
    if len(joined) != len(spine) or joined.duplicated(key).any():
        raise IntegrityError(
            f"The feature store returned {len(joined)} rows for {len(spine)}"
            f" ({int(joined.duplicated(key).sum())} repeated): the join cannot be trusted."
        )
    answered = joined[[*key, *contract.features]].astype(canonical_dtypes(contract))
    if all((answered[name].to_numpy() == spine[name].to_numpy()).all() for name in key):
        frame = pd.concat([spine.reset_index(drop=True), answered[list(contract.features)]], axis=1)
    else:
        frame = spine.merge(answered, on=key, how="inner", validate="one_to_one")
    if len(frame) != len(spine):
        raise IntegrityError(
            f"The feature store returned {len(spine) - len(frame)} of {len(spine)} rows for"
            " other customers or months: the join cannot be trusted."
        )
    policy = contract.policy.training
    frame[LABEL] = frame[LABEL].astype(bool)
    frame[HOLDOUT] = in_holdout(frame[contract.entity.column], policy.salt, policy.holdout_fraction)
    weighed = [name for name in (WEIGHT, OUTSIDE) if name in spine]
    frame = frame[
        [*key, *contract.features, *contract.carried, LABEL, HOLDOUT, *weighed]
    ].sort_values(key, ignore_index=True)
    return TrainingDataset(frame, window, frame_digest(frame))
