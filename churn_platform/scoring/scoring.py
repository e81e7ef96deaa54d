"""Scores a month of a home by the model in production and writes the ranked list as Parquet and
CSV.
"""

import datetime as dt
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from churn_platform.base.files import replacing, sha256_file
from churn_platform.features.training_dataset import trained_on
from churn_platform.lake.tables import feature_frame
from churn_platform.lake.window import Months
from churn_platform.monitoring.stand_down import PerformanceRecords, record_stand_down
from churn_platform.promotion.promotions import production_candidate
from churn_platform.scoring.ranking import (
    Mask,
    Outcomes,
    decile_floors,
    list_note,
    outcomes,
    rank,
    reasons,
)
from churn_platform.services import Services
from churn_platform.training.candidate import Candidate
from churn_platform.training.release import why_not_scored


@dataclass(frozen=True)
class Scored:
    """What was scored and where it is."""

    customers: int
    version: int
    stand_down: str | None
    contacts: int
    listed: pd.DataFrame
    csv: Path
    already_left: int | None = None
    """None in records of earlier versions of the platform, which did not know."""
    list_note: str | None = None


def score_month(home: Services, as_of: dt.date) -> Scored | None:
    """Rank the customers of a month who can still leave; None (and a record of that) where no
    version can.

    The list of the newest month follows what is known: customers whose labels arrive later
    leave it. The list of an older month stays as it was while its features do: late labels do
    not change it to rank by hindsight. So does a list that the version in production cannot
    make again, because the contract has changed since its training.
    """
    months = Months(home.lake, home.contract)
    made_from = {**months.made_from(as_of), "features": home.lake.feature_digest(as_of)}
    manifest = home.releases.production()
    if manifest is None:
        why_not = ""
    else:
        why_not = why_not_scored(manifest, home.contract.model_hash)
    kept = home.records.read("scores", as_of)
    if kept is not None and _stays(
        kept, made_from, newest=as_of == months.published[-1], why_not=why_not
    ):
        home.records.write("scores", as_of, kept | made_from)
        return _kept(home, as_of, kept)
    production = None if why_not else production_candidate(home.releases)
    if production is None or production.version is None:
        unscored = {"version": None, "stand_down": None, "customers": 0}
        reason = {"not_scored": why_not} if why_not else {}
        home.records.write("scores", as_of, made_from | unscored | reason)
        return None
    rows = feature_frame(home.contract, home.lake.tables(as_of))
    known = outcomes(rows[home.contract.entity.column], _labels(home, as_of))
    stand_down = PerformanceRecords(home).stand_down()
    ranked = _ranked(home, as_of, rows, production, known).assign(stand_down=stand_down is not None)
    listed = _listed(home, ranked, rows, production)
    csv = _write_list(home, as_of, listed)
    at_risk = ranked[~ranked["already_left"]]
    scored = Scored(
        customers=len(ranked),
        version=production.version,
        stand_down=stand_down,
        contacts=int((at_risk["probability"] >= production.model.threshold).sum()),
        listed=listed,
        csv=csv,
        already_left=len(ranked) - len(at_risk),
        list_note=list_note(home.contract, as_of, known),
    )
    home.records.write("scores", as_of, made_from | _record(home, scored, ranked), ranked)
    record_stand_down(home)
    return scored


def list_file(home: Services, as_of: dt.date) -> Path:
    """The month's ranked list as CSV; the same list as Parquet is next to it."""
    return home.reports / as_of.isoformat() / "at_risk.csv"


def _stays(kept: dict[str, Any], made_from: dict[str, str], *, newest: bool, why_not: str) -> bool:
    """Whether the month's list stays as it was made."""
    if kept["version"] is None or kept["features"] != made_from["features"]:
        return False
    return not newest or bool(why_not)


def _labels(home: Services, as_of: dt.date) -> pd.Series | None:
    """The newest delivered labels of the month as booleans by customer; None while there are
    none.
    """
    entry = home.lake.entries(as_of).get(home.contract.label_table)
    if entry is None:
        return None
    return home.lake.read_labels(home.lake.folder / entry.file)


def _ranked(
    home: Services, as_of: dt.date, rows: pd.DataFrame, production: Candidate, known: Outcomes
) -> pd.DataFrame:
    """Every customer of the month in the order of the list, with the month, the version and the
    training rows.
    """
    key = home.contract.entity.column
    ranked = rank(home.contract, rows, production.model, known.already_left)
    trained = pd.Series(_trained_on(production, as_of, rows[key], known), index=rows[key])
    return ranked.assign(
        trained_on=trained.loc[ranked[key]].to_numpy(),
        as_of=as_of.isoformat(),
        version=production.version,
    )


def _write_list(home: Services, as_of: dt.date, listed: pd.DataFrame) -> Path:
    """Write the list as CSV and Parquet; the path of the CSV file."""
    csv = list_file(home, as_of)
    with replacing(csv) as temporary:
        listed.to_csv(temporary, index=False)
    with replacing(csv.with_suffix(".parquet")) as temporary:
        listed.to_parquet(temporary, index=False)
    return csv


def _record(home: Services, scored: Scored, ranked: pd.DataFrame) -> dict[str, Any]:
    """What is recorded of a scored month besides what it was made from."""
    return {
        "version": scored.version,
        "stand_down": scored.stand_down,
        "customers": scored.customers,
        "contacts": scored.contacts,
        "already_left": scored.already_left,
        "list_note": scored.list_note,
        "list_hash": home.contract.list_hash,
        "decile_floors": decile_floors(ranked),
        "list": sha256_file(scored.csv.with_suffix(".parquet")),
    }


def _trained_on(production: Candidate, as_of: dt.date, keys: pd.Series, known: Outcomes) -> Mask:
    """Which customers' rows of this month trained the model that scores them."""
    if as_of.isoformat() not in production.card.months:
        return np.zeros(len(keys), dtype=bool)
    return known.known & trained_on(keys, production.training_entities)


def _listed(
    home: Services, ranked: pd.DataFrame, rows: pd.DataFrame, production: Candidate
) -> pd.DataFrame:
    """The top of the ranking with reasons."""
    policy = home.contract.policy.scoring
    key = home.contract.entity.column
    top = ranked[~ranked["already_left"]].head(policy.listed).drop(columns="already_left")
    top = top.astype({"rank": "int64", "decile": "int64"})
    chosen = rows.set_index(key).loc[top[key]].reset_index()
    return pd.concat(
        [top, reasons(home.contract, chosen, production.model, policy.reasons)], axis=1
    )


def _kept(home: Services, as_of: dt.date, record: dict[str, Any]) -> Scored:
    """What was scored when the list was made."""
    csv = list_file(home, as_of)
    return Scored(
        customers=record["customers"],
        version=record["version"],
        stand_down=record["stand_down"],
        contacts=record["contacts"],
        listed=pd.read_parquet(csv.with_suffix(".parquet")),
        csv=csv,
        already_left=record.get("already_left"),
        list_note=record.get("list_note"),
    )
