"""Scores a month on a home: the production model over the snapshot, the list as Parquet and CSV.

Belongs here: the I/O round `core/scoring.py`. Does not: ranks and reasons.
"""

import datetime as dt
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from churn_platform.adapters.files import replacing
from churn_platform.adapters.home import Home
from churn_platform.adapters.progress import Progress
from churn_platform.adapters.promoting import production_candidate
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
    """Rank every customer of a month; None (and a record that says so) before there is a production model."""
    progress = Progress(home)
    record: dict[str, object] = dict(progress.made_from(as_of))
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
    csv = home.reports / as_of.isoformat() / "at_risk.csv"
    for path in (csv, csv.with_suffix(".parquet")):
        with replacing(path) as temporary:
            listed.to_csv(temporary, index=False) if path.suffix == ".csv" else listed.to_parquet(
                temporary, index=False
            )
    contacts = int((ranked["probability"] >= production.model.threshold).sum())
    record |= {"version": production.version, "stand_down": stand_down, "customers": len(ranked), "contacts": contacts}
    record["decile_floors"] = decile_floors(ranked)
    home.records.write("scores", as_of, record, ranked)
    return Scored(len(ranked), production.version, stand_down, contacts, listed, csv)
