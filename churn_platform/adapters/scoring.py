"""Scores a month on a home: the production model over the snapshot, the list as Parquet and CSV.

Belongs here: the I/O round `core/scoring.py`. Does not: ranks and reasons.
"""

import datetime as dt
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from churn_platform.adapters.files import replacing, sha256_file
from churn_platform.adapters.home import Home
from churn_platform.adapters.ledger.state_receipts import record_stand_down
from churn_platform.adapters.progress import Progress
from churn_platform.adapters.promotion.promoting import production_candidate
from churn_platform.core.scoring import decile_floors, rank, reasons
from churn_platform.core.snapshot import feature_frame


@dataclass(frozen=True)
class Scored:
    """What was scored and where it is."""

    customers: int
    version: int
    stand_down: str | None
    contacts: int
    listed: pd.DataFrame
    csv: Path


def score_month(home: Home, as_of: dt.date) -> Scored | None:
    """Rank every customer of a month; None (and a record that says so) before there is a production model.

    The list of an older month stays as it was while its features do: late labels are no reason to rank by hindsight.
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
    rows = feature_frame(home.contract, home.lake.tables(as_of))
    ranked = rank(home.contract, rows, production.model)
    stand_down = progress.stand_down()
    ranked = ranked.assign(as_of=as_of.isoformat(), version=production.version, stand_down=stand_down is not None)
    policy, key = home.contract.policy.scoring, home.contract.entity.column
    listed = ranked.head(policy.listed)
    chosen = rows.set_index(key).loc[listed[key]].reset_index()
    listed = pd.concat([listed, reasons(home.contract, chosen, production.model, policy.reasons)], axis=1)
    csv = list_file(home, as_of)
    for path in (csv, csv.with_suffix(".parquet")):
        with replacing(path) as temporary:
            listed.to_csv(temporary, index=False) if path.suffix == ".csv" else listed.to_parquet(
                temporary, index=False
            )
    contacts = int((ranked["probability"] >= production.model.threshold).sum())
    record |= {"version": production.version, "stand_down": stand_down, "customers": len(ranked), "contacts": contacts}
    record |= {"decile_floors": decile_floors(ranked), "list": sha256_file(csv.with_suffix(".parquet"))}
    home.records.write("scores", as_of, record, ranked)
    record_stand_down(home)
    return Scored(len(ranked), production.version, stand_down, contacts, listed, csv)


def list_file(home: Home, as_of: dt.date) -> Path:
    """The month's ranked list as CSV; the same list as Parquet is beside it."""
    return home.reports / as_of.isoformat() / "at_risk.csv"


def _kept(home: Home, as_of: dt.date, record: dict[str, Any]) -> Scored:
    """What was scored when the month was the newest."""
    csv = list_file(home, as_of)
    listed = pd.read_parquet(csv.with_suffix(".parquet"))
    return Scored(record["customers"], record["version"], record["stand_down"], record["contacts"], listed, csv)
