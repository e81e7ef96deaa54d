"""The monthly pages in a real browser: accessible, readable on a phone and in the dark, printed on two pages."""

import re
from pathlib import Path

import pytest

from churn_platform.reports.monthly.figures import AUDIENCES
from churn_platform.reports.monthly.pages import page as page_of
from churn_platform_tests.bento.test_page import CHROMIUM, FLAGS
from churn_platform_tests.contacts_business import LATER
from churn_platform_tests.reports.crowded_month import CUSTOMERS, crowded
from churn_platform_tests.reports.test_monthly_pages import report_of
from churn_platform_tests.small_business import copied, open_home

pytestmark = pytest.mark.slow
PHONE, DESKTOP = 360, 1280
SMALLEST_TEXT = 9.0
"""Pixels, on a phone."""
WHITE = "rgb(255, 255, 255)"
SMALLEST = """() => Math.min(...[...document.querySelectorAll('p,td,th,svg text,h1,h2')].map(one =>
    parseFloat(getComputedStyle(one).fontSize)
    * (one.ownerSVGElement ? one.ownerSVGElement.getBoundingClientRect().width / 360 : 1)))"""


@pytest.fixture(scope="module")
def browser():
    """Debian's Chromium, one for all tests."""
    if not CHROMIUM.exists():
        pytest.skip(f"no browser at {CHROMIUM}: install Debian's chromium")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=str(CHROMIUM), args=FLAGS)
        yield started
        started.close()


@pytest.fixture(scope="module")
def crowded_pages(tmp_path_factory):
    """Everything at once, with the longest names."""
    folder = tmp_path_factory.mktemp("crowded")
    report = report_of(crowded())
    found = [folder / f"{audience}.html" for audience in AUDIENCES]
    for path, audience in zip(found, AUDIENCES, strict=True):
        path.write_text(page_of(report, audience, CUSTOMERS, "contact_list.xlsx"))
    return found


@pytest.fixture(scope="module")
def pages(crowded_pages, worked, tmp_path_factory):
    """The crowded month, and one of a home whose contacts saved customers."""
    folder = copied(worked, tmp_path_factory.mktemp("worked") / "home").folder
    home = open_home(folder, lambda: LATER)
    month = home.lake.months()[-1]
    home.monthly_reports.make(month)
    return [
        *crowded_pages,
        *(home.monthly_reports.file(month, audience) for audience in AUDIENCES),
    ]


@pytest.fixture
def opened(browser):
    """Opens a page of a width and colour scheme; it asks the network for nothing."""
    contexts = []

    def open_page(path: Path, width: int, scheme: str):
        context = browser.new_context(
            viewport={"width": width, "height": 800}, color_scheme=scheme, offline=True
        )
        contexts.append(context)
        shown = context.new_page()
        asked, complaints = [], []
        shown.on("request", lambda request: asked.append(request.url))
        shown.on("console", lambda message: complaints.append(message.text))
        shown.goto(path.as_uri())
        assert asked == [path.as_uri()]
        assert complaints == []
        return shown

    yield open_page
    for context in contexts:
        context.close()


def test_axe_finds_nothing_and_nothing_is_wider_than_a_phone(opened, pages):
    for path in pages:
        look(opened(path, PHONE, "dark"), path, PHONE)


def test_axe_finds_nothing_on_a_desktop(opened, crowded_pages):
    for path in crowded_pages:
        look(opened(path, DESKTOP, "light"), path, DESKTOP)


def look(shown, path, width):
    from axe_playwright_python.sync_playwright import Axe

    found = Axe().run(shown).response["violations"]
    assert [(path.name, one["id"]) for one in found] == []
    assert shown.evaluate("document.documentElement.scrollWidth") <= width
    assert shown.evaluate(SMALLEST) >= SMALLEST_TEXT


def test_a_page_prints_on_two_sheets_at_most(opened, pages):
    for path in pages:
        shown = opened(path, DESKTOP, "dark")
        printed = shown.pdf(prefer_css_page_size=True)
        sheets = len(re.findall(rb"/Type\s*/Page\b(?!s)", printed))
        assert 1 <= sheets <= 2, (path, sheets)
        shown.emulate_media(media="print")
        assert shown.evaluate("getComputedStyle(document.body).backgroundColor") == WHITE
