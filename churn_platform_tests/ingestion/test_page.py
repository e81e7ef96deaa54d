"""The page about a drop: there when there is something to show, self-contained, with every fault once."""

import pandas as pd
import pytest

from churn_platform.ingestion import drop_page
from churn_platform.ingestion.drop import open_drop
from churn_platform.ingestion.drop_page import page as rendered
from churn_platform.ingestion.drop_page import write_page
from churn_platform_tests.small_business import JANUARY, deliver, month_tables


def page(found):
    """The page without line ends, which mean nothing in HTML."""
    return rendered(found).replace("\n", "")


@pytest.fixture
def found(home):
    """Judge January with some values of `hours` and extra rows of visits."""

    def judge(hours=(), again=0, drop=()):
        tables = {
            name: table for name, table in month_tables(JANUARY, 400).items() if name not in drop
        }
        if "visits" in tables:
            visits = tables["visits"].astype(object)
            visits["hours"] = [*hours, *["2"] * (400 - len(hours))]
            tables["visits"] = pd.concat([visits, visits[:again]])
        deliver(home, JANUARY, tables)
        return home.ingestion.judge(open_drop(home.drops / "2024-01-31", JANUARY, home.contract))

    return judge


def test_a_sound_drop_has_no_page_and_an_older_one_goes(home, found):
    path = home.reports / "2024-01-31" / "drop.html"
    assert write_page(home.reports, found(["-1"])) == path
    assert path.exists()
    assert write_page(home.reports, found()) is None
    assert not path.exists()


def test_an_accepted_drop_shows_what_was_put_aside_and_where(found):
    html = page(found(["-1", "<b>"]))
    assert "<title>Drop 2024-01-31</title>" in html
    assert "<h1>2024-01-31: drop accepted, with quarantined rows</h1>" in html
    assert "2 rows quarantined: visits 2." in html
    assert "<code>quarantine/2024-01-31/</code>" in html
    assert html.count('class="aside"') == 2
    assert html.count('class="refuses"') == 0
    assert "<b>" not in html
    assert "&lt;b&gt;" in html
    assert '<td class="n">2 <span class="dim">(0.5%)</span></td>' in html
    assert "allowed 1%" in html
    assert "http" not in html
    assert "<script" not in html


def test_duplicates_alone_are_shown_too(home, found):
    html = page(found([], again=3))
    assert "<h1>2024-01-31: drop accepted</h1>" in html
    assert '<td class="n">403</td><td class="n">3</td><td class="n">0</td>' in html


def test_a_refused_drop_shows_every_fault_once_those_that_refuse_first(found, tmp_path):
    refused = found(["-1"] * 9 + ["x"], drop=["members"])
    html = page(refused)
    assert "<h1>2024-01-31: drop refused</h1>" in html
    assert "4 faults" in html
    assert html.index("<code>members</code>") < html.index("10 of 400") < html.index("9 values ")
    assert html.count('class="refuses"') == 2
    assert html.count('class="aside"') == 2
    assert len(refused.faults) == 4


def test_a_file_that_could_not_be_read_says_so(home, found):
    found()
    (home.drops / "2024-01-31" / "visits.csv").write_bytes(b"PK\x03\x04")
    html = page(home.ingestion.judge(open_drop(home.drops / "2024-01-31", JANUARY, home.contract)))
    assert '<td>visits</td><td class="n">not read</td>' in html
    assert "Excel" in html


def test_a_page_that_cannot_be_written_is_no_reason_to_fail(home, found, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(drop_page, "write_text", full)
    assert write_page(home.reports, found(["-1"])) is None
