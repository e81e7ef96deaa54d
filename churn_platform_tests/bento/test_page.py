"""The page for people, in a real browser on a real server: look up, list, search, order, download, errors, a phone."""

import csv
import time
from pathlib import Path

import httpx
import pytest

from churn_platform_tests.servers import PATIENCE, Running
from churn_platform_tests.small_business import FEBRUARY, JANUARY, copied
from churn_platform_tests.trying import run, start

pytestmark = pytest.mark.slow
CHROMIUM = Path("/usr/bin/chromium")
FLAGS = [
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
]  # fmt: skip


@pytest.fixture(scope="module")
def browser():
    """Debian's Chromium."""
    if not CHROMIUM.exists():
        pytest.skip(f"no browser at {CHROMIUM}: install Debian's chromium")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=str(CHROMIUM), args=FLAGS)
        yield started
        started.close()


@pytest.fixture(scope="module")
def server(served, tmp_path_factory):
    """A server on a copy of the gym; version 2 in production, 20 customers listed."""
    made = Running(copied(served, tmp_path_factory.mktemp("page") / "home"), "--workers", "1")
    yield made.wait()
    made.end()


@pytest.fixture(scope="module")
def url(server):
    return server.url


@pytest.fixture
def page(browser, url):
    """The page, loaded, in a window of its own; it asks nobody else and complains of nothing."""
    context = browser.new_context(viewport={"width": 1280, "height": 900}, accept_downloads=True)
    opened, complaints, asked = context.new_page(), [], []
    opened.on(
        "console",
        lambda message: complaints.append(message.text) if message.type == "error" else None,
    )
    opened.on("pageerror", lambda error: complaints.append(str(error)))
    opened.on("request", lambda request: asked.append(request.url))
    opened.goto(url)
    opened.wait_for_selector("#list tbody tr")
    yield opened
    assert [address for address in asked if not address.startswith((url, "data:", "blob:"))] == []
    assert [text for text in complaints if "404" not in text] == []
    context.close()


def keys(page):
    return page.locator("#list tbody tr button").all_inner_texts()


def test_the_model_in_production_and_the_list_are_shown(page):
    assert "version 2" in page.inner_text("#model")
    assert "20 listed of 1,500 customers" in page.inner_text("#list-note")
    assert len(keys(page)) == 20
    assert page.locator("#list tbody tr").first.locator("li").count() == 3
    assert page.locator("#stand-down").is_hidden()


def test_a_customer_of_the_list_is_looked_up_with_probability_reasons_chart_and_history(page):
    first = keys(page)[0]
    page.locator("#list tbody button").first.click()
    page.wait_for_selector(".verdict")
    assert page.inner_text("#customer h3") == first
    listed = page.locator("#list tbody tr").first.locator("td").nth(2).inner_text()
    assert page.inner_text(".verdict").startswith(listed), "the list and the answer say the same"
    assert page.locator("#customer .reasons li").count() == 3
    assert page.locator("#customer .feature").count() == 4
    assert page.locator("#customer .feature rect").count() == 4
    assert "version" in page.inner_text("#customer .history")


def test_a_list_of_the_past_says_so_and_one_who_has_left_is_not_to_be_contacted(server, page):
    scores = server.home.records.frame("scores", JANUARY)
    left = scores.loc[scores["already_left"], "member"].iloc[0]
    assert "2024-01-31" in page.inner_text("#list-warning")
    assert "500 of them have already left" in page.inner_text("#list-note")
    assert left not in keys(page)
    page.fill("#key", left)
    page.press("#key", "Enter")
    page.wait_for_selector(".verdict")
    assert page.inner_text(".verdict small") == "has already left"
    assert "had already left" in page.inner_text("#customer .history")


def test_without_costs_in_the_contract_nobody_is_told_whom_to_contact(server, page):
    assert httpx.get(f"{server.url}/model").json()["costs_given"] is False
    page.locator("#list tbody button").first.click()
    page.wait_for_selector(".verdict")
    assert page.inner_text(".verdict small") == "decile 1"
    assert "contact" not in page.inner_text("#customer")
    assert page.locator("#customer .threshold").is_hidden()
    assert page.locator("#loss-heading").is_hidden()


def test_a_key_is_typed_in_and_an_unknown_one_is_told_so(page):
    page.fill("#key", "m00001")
    page.press("#key", "Enter")
    page.wait_for_selector(".verdict")
    page.fill("#key", "nobody <b>bold</b>")
    page.click("#lookup button")
    page.wait_for_selector("#customer .error")
    assert "nobody <b>bold</b>" in page.inner_text("#customer .error"), "a text stays a text"
    assert page.locator("#customer b").count() == 0


def test_the_list_is_searched_and_ordered(page):
    ranked = keys(page)
    page.click("[data-sort=rank]")
    assert keys(page) == ranked[::-1]
    page.click("[data-sort=key]")
    assert keys(page) == sorted(ranked)
    assert page.get_attribute("th:has([data-sort=key])", "aria-sort") == "ascending"
    page.fill("#search", ranked[3])
    assert keys(page) == [ranked[3]]
    page.fill("#search", "no such customer")
    assert page.inner_text("#range") == "Nobody matches."


def test_the_list_is_downloaded_as_shown(page, tmp_path):
    page.fill("#search", "months as a member")
    shown = keys(page)
    with page.expect_download() as download:
        page.click("#download")
    download.value.save_as(tmp_path / "list.csv")
    rows = list(csv.DictReader((tmp_path / "list.csv").open(encoding="utf-8")))
    assert [row["member"] for row in rows] == shown
    assert all(0 <= float(row["probability"]) <= 1 and row["reason_1"] for row in rows)
    assert download.value.suggested_filename == "at_risk_2024-01-31.csv"


def test_on_a_phone_nothing_is_wider_than_the_screen(browser, url):
    context = browser.new_context(viewport={"width": 390, "height": 844}, color_scheme="dark")
    page = context.new_page()
    page.goto(url)
    page.wait_for_selector("#list tbody tr")
    page.locator("#list tbody button").first.click()
    page.wait_for_selector(".verdict")
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    context.close()


def test_everything_can_be_reached_by_its_name_and_by_keyboard(page):
    assert page.get_by_label("Customer key").count() == 1
    assert page.get_by_role("button", name="Look up").count() == 1
    assert page.get_by_role("heading", name="Most likely to leave").count() == 1
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.id") == "key"


def test_a_running_canary_is_one_line_below_the_model(server, page):
    assert page.is_hidden("#canary")
    start(server.home, step=2)
    deadline = time.monotonic() + PATIENCE
    while not httpx.get(f"{server.url}/model").json()["canary"] and time.monotonic() < deadline:
        time.sleep(0.1)
    page.reload()
    page.wait_for_selector("#list tbody tr")
    said = page.inner_text("#canary")
    assert "25.0%" in said
    assert "Version 3" in said
    assert "2024-02-01" in said
    run(server.home)


def test_a_refused_release_is_told_on_the_page(server, page):
    """Last: version 3 is spoiled."""
    (server.home.releases.folder / "3" / "booster.txt").write_bytes(b"changed")
    pointer = server.home.releases.pointer_file
    pointer.write_text(pointer.read_text().replace('"version": 2', '"version": 3'))
    deadline = time.monotonic() + PATIENCE
    while (
        not httpx.get(f"{server.url}/model").json()["refused_release"]
        and time.monotonic() < deadline
    ):
        time.sleep(0.1)
    page.reload()
    page.wait_for_selector("#list tbody tr")
    said = page.inner_text("#model")
    assert "version 2" in said
    assert "A newer release was refused, this one goes on: " in said
    assert "booster.txt" in said


def test_with_contacts_the_page_shows_whom_to_contact(browser, planned, tmp_path_factory):
    made = Running(copied(planned, tmp_path_factory.mktemp("contacts") / "home"), "--workers", "1")
    rows = planned.contact_plans.rows(FEBRUARY)
    one = rows.groupby("arm")["member"].first()
    try:
        opened = browser.new_page()
        opened.goto(made.wait().url)
        opened.wait_for_selector("#list tbody tr")
        assert opened.inner_text("#list-title") == "To contact"
        assert one["contact"] in keys(opened)
        assert one["untouched"] not in keys(opened)
        said = {arm: looked_up(opened, one[arm]) for arm in ("contact", "untouched", "below")}
        assert said["contact"].endswith("to contact")
        assert said["untouched"].endswith("not on the list of who to contact")
        assert said["below"].endswith("not on the list of who to contact")
    finally:
        made.end()


def looked_up(page, key):
    page.fill("#key", key)
    page.click("#lookup button")
    page.wait_for_function(
        "key => document.querySelector('#customer h3')?.textContent === key", arg=key
    )
    return page.inner_text("#customer .verdict")
