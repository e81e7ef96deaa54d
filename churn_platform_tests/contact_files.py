"""Two businesses that contact customers, as the files they would deliver: an English and a German one."""

import datetime as dt
from pathlib import Path

import numpy as np
import pandas as pd

MONTHS = [dt.date(2024, 1, 31), dt.date(2024, 2, 29), dt.date(2024, 3, 31)]
LABELLED = MONTHS[1]
"""The newest month whose labels are known at the last one."""
CUSTOMERS = 400
CALLED = 60
"""Customers who are contacted in a month, some of them twice."""


def english(folder: Path, months: list[dt.date] = MONTHS, **contacts: object) -> Path:
    """Months of a newspaper: subscribers, payments, who left, and a log of calls and letters."""
    for as_of in months:
        drop = folder / as_of.isoformat()
        drop.mkdir(parents=True)
        random = np.random.default_rng(as_of.toordinal())
        ids = [f"S{n:04d}" for n in range(CUSTOMERS)]
        late = random.poisson(2, CUSTOMERS)
        left = random.random(CUSTOMERS) < 1 / (1 + np.exp(2 - late))
        pd.DataFrame(
            {
                "subscriber_id": ids,
                "edition": random.choice(["print", "digital"], CUSTOMERS),
                "late_deliveries": late,
                "no_marketing": random.choice(["yes", "no"], CUSTOMERS, p=[0.1, 0.9]),
            }
        ).to_csv(drop / "subscribers.csv", index=False)
        pd.DataFrame({"subscriber_id": ids, "articles": random.poisson(20, CUSTOMERS)}).to_csv(
            drop / "reading.csv", index=False
        )
        pd.DataFrame(
            {
                "subscriber_id": np.repeat(ids[:200], 2),
                "paid_on": as_of - dt.timedelta(days=9),
                "method": random.choice(["card", "transfer", "cash"], 400),
                "amount": random.choice([9.5, 19.0], 400),
            }
        ).to_csv(drop / "payments.csv", index=False)
        if as_of <= LABELLED:
            pd.DataFrame({"subscriber_id": ids, "churned": np.where(left, 1, 0)}).to_csv(
                drop / "churned.csv", index=False
            )
        english_contacts(as_of, ids, **contacts).to_csv(drop / "contacts.csv", index=False)
    return folder


def english_contacts(as_of: dt.date, ids: list[str], **columns: object) -> pd.DataFrame:
    """A month of the newspaper's contacts."""
    random = np.random.default_rng(as_of.toordinal() + 1)
    called = random.choice(ids, CALLED, replace=False)
    called = [*called, *called[:20]]
    n = len(called)
    rows = pd.DataFrame(
        {
            "subscriber_id": called,
            "contact_date": [as_of - dt.timedelta(days=int(d)) for d in random.integers(0, 28, n)],
            "channel": random.choice(["call", "e-mail", "letter"], n),
            "agent": random.choice(["Anna", "Ben"], n),
            "result": random.choice(["no answer", "voicemail", "accepted", "declined", ""], n),
            "cost": random.choice([1.5, 0.1], n),
            "planned": random.choice(["yes", "no"], n),
        }
    )
    return rows.assign(**columns)


def german(folder: Path) -> Path:
    """Three months of a mobile provider, in German with semicolons and decimal commas."""
    for as_of in MONTHS:
        drop = folder / as_of.isoformat()
        drop.mkdir(parents=True)
        random = np.random.default_rng(as_of.toordinal())
        ids = 10_000 + np.arange(CUSTOMERS)
        stoerungen = random.poisson(2, CUSTOMERS)
        weg = random.random(CUSTOMERS) < 1 / (1 + np.exp(2 - stoerungen))
        tables = {
            "Kunden": pd.DataFrame({
                "Kundennummer_ID": ids,
                "Tarif": random.choice(["S", "M", "L"], CUSTOMERS),
                "Störungen": stoerungen,
                "Umsatz": np.round(random.uniform(10, 50, CUSTOMERS), 2),
                "Werbeeinwilligung": random.choice(["y", "n"], CUSTOMERS),
            }),
            "churn": pd.DataFrame({"Kundennummer_ID": ids, "churn": np.where(weg, 1, 0)}),
        }  # fmt: skip
        called = random.choice(ids, CALLED, replace=False)
        called = [*called, *called[:10]]
        days = [as_of - dt.timedelta(days=int(d)) for d in random.integers(0, 28, len(called))]
        tables["Kundenkontakte"] = pd.DataFrame(
            {
                "Kundennummer_ID": called,
                "Datum": [day.strftime("%d.%m.%Y") for day in days],
                "Kontaktart": random.choice(["Anruf", "Brief"], len(called)),
                "Ergebnis": random.choice(["nicht erreicht", "Mailbox", "bleibt"], len(called)),
                "Kosten": random.choice([2.5, 0.75], len(called)),
            }
        )
        if as_of > LABELLED:
            del tables["churn"]
        for stem, table in tables.items():
            table.to_csv(drop / f"{stem}.csv", index=False, sep=";", decimal=",")
    return folder
