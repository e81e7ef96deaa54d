"""Scores a month with the model in production and writes the ranked list as Parquet and CSV."""

import datetime as dt
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from pydantic import Field

from churn_platform.base.files import replacing, sha256_file
from churn_platform.base.stored import Stored
from churn_platform.contacts.labels import CorrectedLabels
from churn_platform.contract.model import Contract
from churn_platform.evaluation.statistics import BoolArray
from churn_platform.features.training_dataset import trained_on
from churn_platform.lake.lake import Lake
from churn_platform.lake.records import Records
from churn_platform.lake.tables import feature_frame
from churn_platform.monitoring.stand_down import StandDown
from churn_platform.monitoring.versions import Versions
from churn_platform.scoring.ranking import (
    Outcomes,
    decile_floors,
    list_note,
    outcomes,
    rank,
    reasons,
)
from churn_platform.training.candidate import Candidate
from churn_platform.training.version_contracts import VersionContracts


class ScoresRecord(Stored):
    """The record of the step `scores`. Early versions of the platform recorded fewer fields."""

    snapshot: str = ""
    inputs: str = ""
    features: str = ""
    """Digest of the features that were scored."""
    version: int | None = None
    """The version that scored the month; None where no version could."""
    stand_down: str | None = None
    """Why that version stood down."""
    customers: int = 0
    contacts: int = 0
    """Customers at or above the threshold who can still leave."""
    already_left: int | None = None
    list_note: str | None = None
    list_hash: str | None = None
    decile_floors: tuple[float, ...] = ()
    list_digest: str | None = Field(None, alias="list")
    """Of the list's Parquet file."""
    not_scored: str | None = None
    """Why the version in production could not score the month."""


@dataclass(frozen=True)
class ScoredMonth:
    """The record of a scored month, its list, and where the list is."""

    record: ScoresRecord
    listed: pd.DataFrame
    csv: Path


@dataclass(frozen=True)
class Scoring:
    """Scores the months of one home."""

    contract: Contract
    labels: CorrectedLabels
    records: Records
    versions: Callable[[], Versions]
    stand_down: StandDown
    version_contracts: VersionContracts
    reports: Path

    @property
    def lake(self) -> Lake:
        """Published snapshots."""
        return self.labels.lake

    def score(self, as_of: dt.date) -> ScoredMonth | None:
        """Rank the customers of a month who can still leave; None, and a record of that, where
        no version can score.

        The list of the newest month follows what is known: customers whose labels arrive later
        leave it. The list of an older month stays as it was while its features do, so late
        labels do not rank it by hindsight. A list that the version in production cannot make
        again, because the contract lacks what it reads, stays as well.
        """
        months = self.labels.months()
        made_from = {
            **months.made_from(as_of),
            "features": self.lake.feature_digest(as_of),
        }
        why_not = self.version_contracts.why_not_scored()
        kept = scores_record(self.records, as_of)
        stays = why_not or as_of != months.published[-1]
        if stays and kept is not None and kept.version and kept.features == made_from["features"]:
            kept = kept.model_copy(update=made_from)
            self.records.write("scores", as_of, kept.as_json())
            csv = list_file(self.reports, as_of)
            return ScoredMonth(kept, pd.read_parquet(csv.with_suffix(".parquet")), csv)
        production = None if why_not else self.versions().production()
        if production is None or production.version is None:
            unscored = ScoresRecord(**made_from, version=None, stand_down=None, customers=0)
            if why_not:
                unscored = unscored.model_copy(update={"not_scored": why_not})
            self.records.write("scores", as_of, unscored.as_json())
            return None
        return self._score(as_of, production, made_from)

    def _score(
        self, as_of: dt.date, production: Candidate, made_from: dict[str, str]
    ) -> ScoredMonth:
        contract = self.version_contracts.of(production.card)
        key = contract.entity.column
        rows = feature_frame(contract, self.lake.tables(as_of))
        known = outcomes(rows[key], self._labels(as_of))
        stand_down = self.stand_down.reason()
        ranked = rank(contract, rows, production.model, known.already_left)
        trained = pd.Series(_trained_on(production, as_of, rows[key], known), index=rows[key])
        ranked = ranked.assign(
            trained_on=trained.loc[ranked[key]].to_numpy(),
            as_of=as_of.isoformat(),
            version=production.version,
            stand_down=stand_down is not None,
        )
        listed = self._listed(contract, ranked, rows, production)
        csv = self._write_list(as_of, listed)
        at_risk = ranked[~ranked["already_left"]]
        record = ScoresRecord(
            **made_from,
            version=production.version,
            stand_down=stand_down,
            customers=len(ranked),
            contacts=int((at_risk["probability"] >= production.model.threshold).sum()),
            already_left=len(ranked) - len(at_risk),
            list_note=list_note(contract, as_of, known),
            list_hash=contract.list_hash,
            decile_floors=tuple(decile_floors(ranked)),
            list_digest=sha256_file(csv.with_suffix(".parquet")),
        )
        self.records.write("scores", as_of, record.as_json(), ranked)
        self.stand_down.record()
        return ScoredMonth(record, listed, csv)

    def _labels(self, as_of: dt.date) -> pd.Series | None:
        """The newest delivered labels of the month as booleans by customer; None while there
        are none.
        """
        entry = self.lake.entries(as_of).get(self.contract.label_table)
        if entry is None:
            return None
        return self.lake.read_labels(self.lake.folder / entry.file, as_of)

    def _listed(
        self, contract: Contract, ranked: pd.DataFrame, rows: pd.DataFrame, production: Candidate
    ) -> pd.DataFrame:
        """The top of the ranking with reasons, in the words of the version."""
        policy = contract.policy.scoring
        key = contract.entity.column
        top = ranked[~ranked["already_left"]].head(policy.listed).drop(columns="already_left")
        top = top.astype({"rank": "int64", "decile": "int64"})
        chosen = rows.set_index(key).loc[top[key]].reset_index()
        why = reasons(contract, chosen, production.model, policy.reasons)
        return pd.concat([top, why], axis=1)

    def _write_list(self, as_of: dt.date, listed: pd.DataFrame) -> Path:
        """Write the list as CSV and Parquet; the path of the CSV file."""
        csv = list_file(self.reports, as_of)
        with replacing(csv) as temporary:
            listed.to_csv(temporary, index=False)
        with replacing(csv.with_suffix(".parquet")) as temporary:
            listed.to_parquet(temporary, index=False)
        return csv


def scores_record(records: Records, as_of: dt.date) -> ScoresRecord | None:
    """The record of a month's scores; None before the month was scored."""
    fields = records.read("scores", as_of)
    if fields is None:
        return None
    return ScoresRecord.read(fields, f"The scores record of {as_of}")


def list_file(reports: Path, as_of: dt.date) -> Path:
    """The month's ranked list as CSV; the same list as Parquet is next to it."""
    return reports / as_of.isoformat() / "at_risk.csv"


def _trained_on(
    production: Candidate, as_of: dt.date, keys: pd.Series, known: Outcomes
) -> BoolArray:
    """Which customers' rows of this month trained the model that scores them."""
    if as_of.isoformat() not in production.card.months:
        return np.zeros(len(keys), dtype=bool)
    return known.known & trained_on(keys, production.training_entities)
