"""Two businesses that are nothing like the shipped contract's, as the files they would deliver.

A laundry: three tables of CSV, whole numbers as keys, a drop a week, labels that are known a calendar month later, a
town that is one of 150, no group that is worth a slice.
A phone company: one wide Parquet table, headers that are no names, a label of 0.0 and 1.0, each customer's own value.
"""

import datetime as dt
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

SUNDAYS = [dt.date(2024, 1, 7) + dt.timedelta(weeks=week) for week in range(7)]
LABELLED = dt.date(2024, 1, 14)
"""The newest Sunday whose labels are known on the last one."""
MONTH = dt.date(2024, 3, 31)


def laundry_tables(as_of: dt.date, customers: int = 1200) -> dict[str, pd.DataFrame]:
    """A week of the laundry; those who order little leave, and `gone` says when and why, after the fact."""
    random = np.random.default_rng(as_of.toordinal())
    client = 100_001 + np.arange(customers)
    days = random.integers(0, 700, customers)
    orders = random.poisson(3, customers)
    left = random.random(customers) < 1 / (1 + np.exp(orders - 1.5))
    joined = [as_of - dt.timedelta(days=int(n)) for n in days]
    clients = {
        "client_no": client,
        "joined_on": joined,
        "town": [f"Town {n:03d}" for n in random.integers(0, 150, customers)],
        "service": random.choice(["wash", "wash and iron"], customers, p=[0.97, 0.03]),
        "note": [f"rings twice, door {n}" for n in random.integers(0, 10**6, customers)],
    }
    spend = pd.Series(np.round(orders * random.uniform(5, 9, customers), 2)).mask(orders == 0)
    gone = {
        "client_no": client,
        "has_left": np.where(left, "yes", "no"),
        "moved_on": [as_of + dt.timedelta(days=9) if gone else None for gone in left],
    }
    return {
        "clients": pd.DataFrame(clients),
        "orders": pd.DataFrame({"client_no": client, "orders_28d": orders, "spend_28d": spend}),
        "gone": pd.DataFrame(gone),
    }


def deliver_laundry(folder: Path, **options: object) -> Path:
    """Seven weekly drops; the labels of the last five are not known yet. `options` are pandas' for the CSV files."""
    for as_of in SUNDAYS:
        (folder / as_of.isoformat()).mkdir(parents=True)
        for name, table in laundry_tables(as_of).items():
            if name != "gone" or as_of <= LABELLED:
                table.to_csv(folder / as_of.isoformat() / f"{name}.csv", index=False, **options)
    return folder


def phone_table(customers: int = 1500) -> pd.DataFrame:
    """A month of the phone company, with four columns that are known only after churning."""
    random = np.random.default_rng(3)
    calls = random.poisson(2, customers)
    left = random.random(customers) < 1 / (1 + np.exp(2.5 - calls))
    start = pd.Timestamp(MONTH) - pd.to_timedelta(random.integers(800, 3000, customers), unit="D")
    return pd.DataFrame(
        {
            "Customer ID": [f"P{n:06d}" for n in random.permutation(customers)],
            "Contract Start": start,
            "Tariff": random.choice(["S", "M", "L"], customers),
            "E-mail Bills": random.choice([0, 1], customers),
            "Calls to Support 30d": calls,
            "Customer Value": np.round(random.gamma(3, 100, customers), 2),
            "Country": "NL",
            "Cancel Date": pd.Series(
                pd.Timestamp(MONTH) - pd.Timedelta(days=3), range(customers)
            ).where(left),
            "Win-Back Offer": np.where(left, random.uniform(5, 50, customers), np.nan),
            "Status Code": np.where(left, 3, random.choice([1, 2], customers)),
            "Next Bill": pd.Timestamp(MONTH)
            + pd.Timedelta(days=20)
            + pd.to_timedelta(calls, unit="D"),
            "Churned": left.astype(float),
        }
    )


def deliver_phone(folder: Path) -> Path:
    """One month as one wide file."""
    drop = folder / MONTH.isoformat()
    drop.mkdir(parents=True)
    phone_table().to_parquet(drop / "Customer Base.parquet", index=False)
    return folder


@pytest.fixture(scope="session")
def laundry(tmp_path_factory):
    """The drops of the laundry. Read only."""
    return deliver_laundry(tmp_path_factory.mktemp("laundry"))


@pytest.fixture(scope="session")
def phone(tmp_path_factory):
    """The drop of the phone company. Read only."""
    return deliver_phone(tmp_path_factory.mktemp("phone"))
