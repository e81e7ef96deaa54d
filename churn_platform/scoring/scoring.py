"""Scores a month with the model in production and writes the ranked list as Parquet and CSV."""

import datetime as dt
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
from pydantic import Field

from churn_platform.base.files import replacing, sha256_file
from churn_platform.base.stored import Stored
from churn_platform.base.text import counted, percent
from churn_platform.contacts.labels import CorrectedLabels
from churn_platform.contract.model import Contract
from churn_platform.evaluation.statistics import BoolArray
from churn_platform.experiments.assignment import CANARY, PRODUCTION, canary_keys
from churn_platform.experiments.state import Canary
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


class ScoredCanary(Stored):
    """The canary whose version scored the customers of its arm; with it the arms can be drawn
    again.
    """

    experiment: str
    salt: str
    version: int
    share: float
    customers: int
    """Customers whom its version scored."""
    note: str | None = None
    """Why its version scored none or fewer of its arm."""
    stand_down: str | None = None
    """Why its version stands down."""

    @property
    def sentence(self) -> str:
        """Whom it scored, and what is wrong with that."""
        said = (
            f"Version {self.version}, a canary, scored {counted(self.customers, 'customer')}: its"
            f" share is {percent(self.share)}."
        )
        notes = [note for note in (self.note, self.stand_down) if note]
        return " ".join([said, *notes])


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
    canary: ScoredCanary | None = None
    """The canary that ran, only while one did."""


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
    canary: Callable[[], Canary | None]
    """The canary that runs, after what is due of it was done."""

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
        reason = self.stand_down.reason()
        arms = [ScoredArm.of(production, contract, as_of, rows, known, stands_down=bool(reason))]
        canary = self.canary()
        scored_canary = None
        if canary is not None:
            scored_canary = self._add_arm(arms, canary, as_of, rows[key])
        customers = pd.concat([arm.customers for arm in arms])
        # The last arm that scored a customer answers for it.
        customers = customers[~customers.index.duplicated(keep="last")].loc[rows[key]]
        scored = rank(
            contract, rows, customers["probability"].to_numpy(dtype=float), known.already_left
        )
        customers = customers.loc[scored[key]]
        scored = scored.assign(
            trained_on=customers["trained_on"].to_numpy(dtype=bool),
            as_of=as_of.isoformat(),
            version=customers["version"].to_numpy(),
            stand_down=customers["stand_down"].to_numpy(dtype=bool),
        )
        if canary is not None:
            drawn = canary_keys(scored[key], canary.salt, canary.experiment, canary.share)
            own = arms[0].customers.loc[scored[key], "probability"]
            scored = scored.assign(
                arm=np.where(drawn, CANARY, PRODUCTION),
                production_probability=own.to_numpy(dtype=float),
            )
        listed = self._listed(contract, scored, arms)
        csv = self._write_list(as_of, listed)
        at_risk = scored[~scored["already_left"]]
        threshold = customers.loc[at_risk[key], "threshold"].to_numpy()
        record = ScoresRecord(
            **made_from,
            version=production.version,
            stand_down=reason,
            customers=len(scored),
            contacts=int((at_risk["probability"].to_numpy() >= threshold).sum()),
            already_left=len(scored) - len(at_risk),
            list_note=list_note(contract, as_of, known),
            list_hash=contract.list_hash,
            decile_floors=tuple(decile_floors(scored)),
            list_digest=sha256_file(csv.with_suffix(".parquet")),
        )
        if scored_canary is not None:
            record = record.model_copy(update={"canary": scored_canary})
        self.records.write("scores", as_of, record.as_json(), scored)
        self.stand_down.record()
        return ScoredMonth(record, listed, csv)

    def _add_arm(
        self, arms: list["ScoredArm"], canary: Canary, as_of: dt.date, customers: pd.Series
    ) -> ScoredCanary:
        """Add the arm of a canary. Production scores the customers whom its version cannot."""
        scored = ScoredCanary(
            experiment=canary.experiment,
            salt=canary.salt,
            version=canary.version,
            share=canary.share,
            customers=0,
        )
        try:
            version = self.versions().load(canary.version)
            contract = self.version_contracts.of(version.card)
            rows = feature_frame(contract, self.lake.tables(as_of))
            keys = rows[contract.entity.column]
            chosen = canary_keys(keys, canary.salt, canary.experiment, canary.share)
            rows = rows[chosen & keys.isin(customers).to_numpy()].reset_index(drop=True)
            known = outcomes(rows[contract.entity.column], self._labels(as_of))
            stand_down = self.stand_down.reason_of(canary.version)
            arm = ScoredArm.of(
                version, contract, as_of, rows, known, stands_down=bool(stand_down)
            ).with_valid_scores()
        except Exception as error:  # noqa: BLE001 - whatever a canary meets, production answers
            return scored.model_copy(update={"note": str(error) or type(error).__name__})
        arms.append(arm)
        update: dict[str, object] = {"customers": len(arm.customers)}
        invalid = len(rows) - len(arm.customers)
        if invalid:
            update["note"] = f"Its score of {counted(invalid, 'customer')} was not a probability."
        if stand_down:
            update["stand_down"] = stand_down
        return scored.model_copy(update=update)

    def _labels(self, as_of: dt.date) -> pd.Series | None:
        """The newest delivered labels of the month as booleans by customer; None while there
        are none.
        """
        entry = self.lake.entries(as_of).get(self.contract.label_table)
        if entry is None:
            return None
        return self.lake.read_labels(self.lake.path(entry), as_of)

    def _listed(
        self, contract: Contract, scored: pd.DataFrame, arms: list["ScoredArm"]
    ) -> pd.DataFrame:
        """The top of the ranking with reasons, in the words of each customer's version."""
        policy = contract.policy.scoring
        key = contract.entity.column
        top = scored[~scored["already_left"]].head(policy.listed)
        # Shadows are compared with production on all customers, whoever answered.
        hidden = [name for name in ("already_left", "production_probability") if name in top]
        top = top.drop(columns=hidden)
        top = top.astype({"rank": "int64", "decile": "int64"})
        why = pd.concat([arm.reasons(top, key) for arm in arms]).sort_index()
        return pd.concat([top, why], axis=1)

    def _write_list(self, as_of: dt.date, listed: pd.DataFrame) -> Path:
        """Write the list as CSV and Parquet; the path of the CSV file."""
        csv = list_file(self.reports, as_of)
        with replacing(csv) as temporary:
            listed.to_csv(temporary, index=False)
        with replacing(csv.with_suffix(".parquet")) as temporary:
            listed.to_parquet(temporary, index=False)
        return csv


@dataclass(frozen=True)
class ScoredArm:
    """The customers whom one version scores.

    Attributes:
        contract: What the version reads.
        rows: (customers, key + features).
        customers: (customers, probability, threshold, trained_on, version, stand_down) by key.
    """

    version: Candidate
    contract: Contract
    rows: pd.DataFrame
    customers: pd.DataFrame

    @classmethod
    def of(
        cls,
        version: Candidate,
        contract: Contract,
        as_of: dt.date,
        rows: pd.DataFrame,
        known: Outcomes,
        *,
        stands_down: bool,
    ) -> "ScoredArm":
        """Score the rows."""
        keys = rows[contract.entity.column]
        customers = pd.DataFrame(
            {
                "probability": version.model.probability(rows),
                "threshold": version.model.threshold,
                "trained_on": _trained_on(version, as_of, keys, known),
                "version": version.version,
                "stand_down": stands_down,
            },
            index=pd.Index(keys),
        )
        return cls(version, contract, rows, customers)

    def with_valid_scores(self) -> "ScoredArm":
        """Without the customers whose score is not a probability."""
        valid = self.customers["probability"].between(0, 1)
        return replace(self, customers=self.customers[valid])

    def reasons(self, top: pd.DataFrame, key: str) -> pd.DataFrame:
        """The reasons of its customers among the top of a ranking (rows,)."""
        own = top[top["version"] == self.version.version]
        chosen = self.rows.set_index(self.contract.entity.column).loc[own[key]].reset_index()
        count = self.contract.policy.scoring.reasons
        return reasons(self.contract, chosen, self.version.model, count).set_axis(own.index)


def scores_record(records: Records, as_of: dt.date) -> ScoresRecord | None:
    """The record of a month's scores; None before the month was scored."""
    fields = records.read("scores", as_of)
    if fields is None:
        return None
    return ScoresRecord.read(fields, f"The scores record of {as_of}")


def why_arms_outdated(record: ScoresRecord, canary: Canary | None) -> str:
    """Why a list was made with other arms than the canary that runs has; empty if it was not."""
    scored = record.canary
    if scored is not None and (canary is None or canary.experiment != scored.experiment):
        return f"The canary of version {scored.version}, which scored a part of it, has ended."
    if canary is None:
        return ""
    if scored is None:
        return f"The canary of version {canary.version} began after it was made."
    if scored.share != canary.share:
        return f"The canary of version {canary.version} answers {percent(canary.share)} now."
    return ""


def list_file(reports: Path, as_of: dt.date) -> Path:
    """The month's ranked list as CSV; the same list as Parquet is next to it."""
    return reports / as_of.isoformat() / "at_risk.csv"


def _trained_on(version: Candidate, as_of: dt.date, keys: pd.Series, known: Outcomes) -> BoolArray:
    """Which customers' rows of this month trained the model that scores them."""
    if as_of.isoformat() not in version.card.months:
        return np.zeros(len(keys), dtype=bool)
    return known.known & trained_on(keys, version.training_entities)
