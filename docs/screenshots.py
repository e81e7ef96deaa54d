"""Takes the README's pictures from a home that `churn ui` shows. Needs Debian's chromium.

Usage: uv run churn ui --home HOME & uv run python docs/screenshots.py [MONTH] [HOME_WITH_CONTACTS]
"""

import sys
from pathlib import Path

from PIL import Image
from playwright.sync_api import Page, sync_playwright

UI, REPORTS = "http://127.0.0.1:3000", "http://127.0.0.1:3001"
IMAGES = Path(__file__).parent / "images"
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]


def main(month: str, contacted: str | None = None) -> None:
    """Take every picture.

    Args:
        month: the month that is shown.
        contacted: a home whose customers were contacted, for the pages of the monthly report:
            `churn demo --scenario campaign`. Without it they are not taken.
    """
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=FLAGS)
        page = browser.new_page(viewport={"width": 2060, "height": 820})
        take(page, f"{UI}/asset-groups", "lineage", expand=True)
        page.set_viewport_size({"width": 1500, "height": 1000})
        page.goto(f"{UI}/runs")
        run = page.locator('a[href^="/runs/"]').first.get_attribute("href", timeout=30_000)
        take(page, f"{UI}{run}", "run")
        take(page, f"{UI}/assets/promotion_decision?view=checks&checkDetail=forward_value", "gate")
        take(page, f"{REPORTS}/{month}/drift.html", "drift")
        if contacted is not None:
            take_report(browser.new_page(viewport={"width": 900, "height": 700}), Path(contacted))
        browser.close()


def take_report(page: Page, home: Path) -> None:
    """Save the newest pages for the manager and the team."""
    newest = sorted((home / "reports").glob("*/report_manager.html"))[-1].parent
    for audience in ("manager", "team"):
        page.goto((newest / f"report_{audience}.html").resolve().as_uri())
        picture = IMAGES / f"report_{audience}.png"
        page.screenshot(path=str(picture), full_page=audience == "manager")
        Image.open(picture).quantize(64).save(picture, optimize=True)


def take(page: Page, url: str, name: str, *, expand: bool = False) -> None:
    """Open a page, let it settle, save it."""
    page.goto(url)
    page.wait_for_timeout(8_000)
    if expand:
        page.mouse.click(1000, 450)
        page.keyboard.press("Alt+e")
        page.wait_for_timeout(4_000)
        # The last asset is not under the buttons for the zoom.
        page.mouse.move(700, 700)
        page.mouse.down()
        page.mouse.move(676, 700, steps=8)
        page.mouse.up()
    page.screenshot(path=str(IMAGES / f"{name}.png"))


if __name__ == "__main__":
    main(*(sys.argv[1:] or ["2024-02-29"]))
