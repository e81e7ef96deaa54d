"""Drops of one log that overlap: each event counts once, and by the latest delivery of its id."""

import datetime as dt

import pytest

from churn_platform.base.settings import Settings
from churn_platform.services import Services

CONTRACT = """
name: shop
model_name: shop_churn
entity: {column: customer}
tables:
  visits:
    kind: events
    time: day
    id: number
    columns: {day: {dtype: date}, number: {dtype: string}, spent: {dtype: integer}}
    windows:
      visits_60d: {aggregate: count, window: 60d}
      spent_60d: {aggregate: sum, of: spent, window: 60d}
feature_views:
  visiting: {table: visits, features: [visits_60d, spent_60d]}
label:
  no_event: {table: visits, within: 30d, population: {table: visits, window: 60d}}
"""
JANUARY, FEBRUARY = dt.date(2024, 1, 31), dt.date(2024, 2, 29)
FIRST = ["a,2024-01-20,1,5", "b,2024-01-25,2,7"]


@pytest.fixture
def home(tmp_path):
    (tmp_path / "contract.yaml").write_text(CONTRACT)
    settings = Settings(home=tmp_path / "home", contract=tmp_path / "contract.yaml")

    def publish(as_of, *rows):
        folder = tmp_path / "home" / "drops" / str(as_of)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "visits.csv").write_text("\n".join(["customer,day,number,spent", *rows]) + "\n")
        opened = Services(settings)
        return opened.ingestion.publish(as_of), opened

    return publish


def windows(opened, as_of):
    rows = opened.lake.tables(as_of)["visits"]
    return {row.customer: (row.visits_60d, row.spent_60d) for row in rows.itertuples()}


def test_an_event_that_two_drops_deliver_counts_once(home):
    home(JANUARY, *FIRST)
    _, opened = home(FEBRUARY, *FIRST, "a,2024-02-10,3,1")
    assert windows(opened, FEBRUARY) == {"a": (2, 6.0), "b": (1, 7.0)}
    assert len(opened.lake.tables(FEBRUARY)["visits_events"]) == 1
    assert opened.lake.quarantines(FEBRUARY)["visits_events"].duplicates == 2


def test_an_id_with_other_values_corrects_the_earlier_drop_and_its_month(home):
    home(JANUARY, *FIRST)
    _, opened = home(FEBRUARY, "b,2024-01-25,2,70", "a,2024-02-10,3,1")
    assert windows(opened, JANUARY) == {"a": (1, 5.0), "b": (1, 70.0)}
    assert windows(opened, FEBRUARY) == {"a": (2, 6.0), "b": (1, 70.0)}
    # The earlier drop, delivered again, does not undo it.
    _, opened = home(JANUARY, *FIRST, "c,2024-01-26,9,3")
    assert windows(opened, JANUARY) == {"a": (1, 5.0), "b": (1, 70.0), "c": (1, 3.0)}


def test_the_same_drop_again_changes_nothing(home):
    home(JANUARY, *FIRST)
    _, opened = home(FEBRUARY, "b,2024-01-25,2,70")
    digests = [opened.lake.digest(month) for month in (JANUARY, FEBRUARY)]
    publication, opened = home(FEBRUARY, "b,2024-01-25,2,70")
    assert publication.kind == "unchanged"
    assert [opened.lake.digest(month) for month in (JANUARY, FEBRUARY)] == digests


def test_a_kill_after_the_earlier_drop_was_corrected_leaves_the_drop_due(home, monkeypatch):
    _, opened = home(JANUARY, *FIRST)
    from churn_platform.events.derived_tables import DerivedTables

    def killed(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(DerivedTables, "of_drop", killed)
        with pytest.raises(KeyboardInterrupt):
            home(FEBRUARY, "b,2024-01-25,2,70")
    assert opened.lake.months() == [JANUARY]
    _, opened = home(FEBRUARY, "b,2024-01-25,2,70")
    assert windows(opened, JANUARY) == {"a": (1, 5.0), "b": (1, 70.0)}
