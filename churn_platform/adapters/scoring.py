"""Scores a month of a home by the model in production and writes the ranked list as Parquet and CSV."""

import datetime as dt
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from churn_platform.adapters.files import replacing, sha256_file
from churn_platform.adapters.home import Home
from churn_platform.adapters.ledger.state_receipts import record_stand_down
from churn_platform.adapters.progress import Progress
from churn_platform.adapters.promotion.promoting import production_candidate
from churn_platform.core.candidate import Candidate
from churn_platform.core.scoring import Mask, Outcomes, decile_floors, list_note, outcomes, rank, reasons
from churn_platform.core.snapshot import feature_frame
from churn_platform.core.training_dataset import trained_on


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


def score_month(home: Home, as_of: dt.date) -> Scored | None:
    """Rank the customers of a month who can still leave; None (and a record of that) before there is a model.

    The list of the newest month follows what is known: customers whose labels arrive later leave it. The list of an
    older month stays as it was while its features do: late labels do not change it to rank by hindsight.
    """
    progress = Progress(home)
    features = home.lake.feature_digest(as_of)
    record: dict[str, object] = {**progress.made_from(as_of), "features": features}
    kept = home.records.read("scores", as_of) if as_of < progress.published[-1] else None
    if kept is not None and kept["version"] is not None and kept["features"] == features:
        home.records.write("scores", as_of, kept | record)
        return _kept(home, as_of, kept)
    production = production_candidate(home)
    if production is None or production.version is None:
        home.records.write("scores", as_of, record | {"version": None, "stand_down": None, "customers": 0})
        return None
    tables = home.lake.tables(as_of)
    rows, key = feature_frame(home.contract, tables), home.contract.entity.column
    known = outcomes(rows[key], _labels(home, tables))
    trained = pd.Series(_trained_on(production, as_of, rows[key], known), index=rows[key])
    ranked = rank(home.contract, rows, production.model, known.already_left)
    stand_down, note = progress.stand_down(), list_note(home.contract, as_of, known)
    ranked = ranked.assign(
        trained_on=trained.loc[ranked[key]].to_numpy(),
        as_of=as_of.isoformat(),
        version=production.version,
        stand_down=stand_down is not None,
    )
    listed, csv = _listed(home, ranked, rows, production), list_file(home, as_of)
    for path in (csv, csv.with_suffix(".parquet")):
        with replacing(path) as temporary:
            listed.to_csv(temporary, index=False) if path.suffix == ".csv" else listed.to_parquet(
                temporary, index=False
            )
    at_risk = ranked[~ranked["already_left"]]
    contacts = int((at_risk["probability"] >= production.model.threshold).sum())
    already_left = len(ranked) - len(at_risk)
    record |= {"version": production.version, "stand_down": stand_down, "customers": len(ranked), "contacts": contacts}
    record |= {"already_left": already_left, "list_note": note, "list_hash": home.contract.list_hash}
    record |= {"decile_floors": decile_floors(ranked), "list": sha256_file(csv.with_suffix(".parquet"))}
    home.records.write("scores", as_of, record, ranked)
    record_stand_down(home)
    return Scored(len(ranked), production.version, stand_down, contacts, listed, csv, already_left, note)


def list_file(home: Home, as_of: dt.date) -> Path:
    """The month's ranked list as CSV; the same list as Parquet is next to it."""
    return home.reports / as_of.isoformat() / "at_risk.csv"


def _labels(home: Home, tables: dict[str, pd.DataFrame]) -> pd.Series | None:
    """The labels of the month that have been delivered, as booleans by customer; None before that."""
    contract = home.contract
    if contract.label_table not in tables:
        return None
    found = tables[contract.label_table].dropna(subset=[contract.label.column])
    return found.set_index(contract.entity.column)[contract.label.column].astype(float).astype(bool)


def _trained_on(production: Candidate, as_of: dt.date, keys: pd.Series, known: Outcomes) -> Mask:
    """Which customers' rows of this month trained the model that scores them."""
    if as_of.isoformat() not in production.passport.get("months", ()):
        return np.zeros(len(keys), dtype=bool)
    return known.known & trained_on(keys, production.training_entities)


def _listed(home: Home, ranked: pd.DataFrame, rows: pd.DataFrame, production: Candidate) -> pd.DataFrame:
    """The top of the ranking with reasons."""
    policy, key = home.contract.policy.scoring, home.contract.entity.column
    top = ranked[~ranked["already_left"]].head(policy.listed).drop(columns="already_left")
    top = top.astype({"rank": "int64", "decile": "int64"})
    chosen = rows.set_index(key).loc[top[key]].reset_index()
    return pd.concat([top, reasons(home.contract, chosen, production.model, policy.reasons)], axis=1)


def _kept(home: Home, as_of: dt.date, record: dict[str, Any]) -> Scored:
    """What was scored when the month was the newest."""
    csv = list_file(home, as_of)
    listed = pd.read_parquet(csv.with_suffix(".parquet"))
    customers, version, contacts = record["customers"], record["version"], record["contacts"]
    already_left, note = record.get("already_left"), record.get("list_note")
    return Scored(customers, version, record["stand_down"], contacts, listed, csv, already_left, note)
