"""The snapshot asset: what it shows of a delivery, and what it shows when it refuses one."""

import dagster as dg
import pandas as pd
import pytest

from churn_platform.defs.ingestion import snapshot
from churn_platform_tests.api_client import with_contract
from churn_platform_tests.small_business import (
    CUSTOMERS,
    DECLARED,
    FEBRUARY,
    JANUARY,
    deliver,
    make_home,
    month_tables,
    open_home,
)


@pytest.fixture
def home(tmp_path):
    made = make_home(tmp_path / "home")
    deliver(made, JANUARY)
    return made


def test_the_first_delivery_shows_its_tables_and_rows(home, shown):
    values = shown(home, JANUARY, snapshot)
    assert values["delivery"] == "first"
    assert values["changed tables"] == "members, visits, leavers"
    assert "| members | 1,500 |" in values["rows"]
    assert values["dagster/row_count"] == CUSTOMERS
    assert values["digest"] == home.lake.digest(JANUARY)
    assert [d.kind for d in home.lake.deliveries(JANUARY)] == ["first"]


def test_a_change_of_the_contract_is_shown_with_the_next_delivery(home, shown):
    assert shown(home, JANUARY, snapshot)["contract"] == "as at the delivery before"
    spring = {"dtype": "integer", "nullable": True, "since": "2024-02-29"}
    members = DECLARED["tables"]["members"]["columns"] | {"spring": spring}
    home = with_contract(home, tables=DECLARED["tables"] | {"members": {"columns": members}})
    tables = month_tables(FEBRUARY)
    deliver(home, FEBRUARY, tables | {"members": tables["members"].assign(spring=1)})
    changed = shown(home, FEBRUARY, snapshot)["contract"]
    assert "members.spring" in changed
    assert changed.startswith("- ")


def test_a_correction_stands_beside_what_was_delivered_before(home, shown):
    shown(home, JANUARY, snapshot)
    visits = home.drops / "2024-01-31" / "visits.csv"
    visits.write_text(visits.read_text().replace(",8.", ",9."))
    values = shown(home, JANUARY, snapshot)
    assert (values["delivery"], values["changed tables"]) == ("correction", "visits")
    assert "| 1 | " in values["deliveries"]
    assert "| correction | visits |" in values["deliveries"]


def test_a_broken_drop_fails_with_every_fault_and_publishes_nothing(home, materialize):
    folder = home.drops / "2024-01-31"
    (folder / "visits.csv").unlink()
    members = folder / "members.csv"
    members.write_text(members.read_text().replace("basic", "free"))
    result = materialize(home, JANUARY, snapshot, raising=False)
    [event] = result.get_step_failure_events()
    failure = event.step_failure_data.user_failure_data
    assert failure.description.startswith(
        "The drop of 2024-01-31 is refused, nothing was published (3 faults):"
    )
    assert len(failure.metadata["faults"].value.splitlines()) == 3
    assert "visits" in failure.metadata["faults"].value
    assert "free" in failure.metadata["faults"].value
    assert open_home(home.folder).lake.months() == []


def test_a_month_without_a_drop_is_named(home, materialize):
    result = materialize(home, "2024-03-31", snapshot, raising=False)
    [event] = result.get_step_failure_events()
    assert "There is no drop of 2024-03-31" in str(event.step_failure_data.error)


@pytest.fixture
def faulty(tmp_path):
    """A home whose January has two faulty rows and a repeated one."""
    made = make_home(tmp_path / "home")
    tables = {name: table.astype(object) for name, table in month_tables(JANUARY).items()}
    tables["visits"].loc[[3, 7], "hours"] = ["-1", "many|few"]
    tables["visits"] = pd.concat([tables["visits"], tables["visits"][:1]])
    deliver(made, JANUARY, tables)
    return made


def checks(result):
    return {found.check_name: found for found in result.get_asset_check_evaluations()}


def test_a_sound_drop_passes_its_check(home, materialize):
    found = checks(materialize(home, JANUARY, snapshot))["no_row_quarantined"]
    assert found.passed
    assert {name: value.value for name, value in found.metadata.items()} == {
        "as_of": "2024-01-31",
        "quarantined": "none",
    }


def test_rows_put_aside_are_a_warning_and_the_run_is_green(faulty, materialize):
    result = materialize(faulty, JANUARY, snapshot)
    assert result.success
    found = checks(result)["no_row_quarantined"]
    assert (found.passed, found.severity) == (False, dg.AssetCheckSeverity.WARN)
    assert found.metadata["quarantined"].value == "2 rows quarantined: visits 2."
    assert found.metadata["page"].value.endswith("/2024-01-31/drop.html")


def test_the_rows_of_each_table_are_shown_with_the_worst_reasons(faulty, shown):
    lines = shown(faulty, JANUARY, snapshot)["rows"].splitlines()
    assert lines[2] == "| members | 1,500 | 0 | 0 |  |"
    assert lines[3].startswith("| visits | 1,498 | 2 | 1 | visits.csv, column 'hours': ")
    assert "'many\\|few' in row 8" in lines[3]


def test_a_refusal_links_to_its_page(home, materialize):
    (home.drops / "2024-01-31" / "visits.csv").unlink()
    with pytest.raises(dg.Failure) as caught:
        materialize(home, JANUARY, snapshot)
    assert caught.value.allow_retries is False
    assert caught.value.metadata["page"].value.endswith("/2024-01-31/drop.html")
