"""Takes the README's pictures from a home that `churn ui` shows. Needs Debian's chromium.

Usage: uv run churn ui --home HOME & uv run python docs/screenshots.py [MONTH]
"""

import sys
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

UI, REPORTS = "http://127.0.0.1:3000", "http://127.0.0.1:3001"
IMAGES = Path(__file__).parent / "images"
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]


def main(month: str) -> None:
    """Take every picture."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=FLAGS)
        page = browser.new_page(viewport={"width": 1900, "height": 820})
        take(page, f"{UI}/asset-groups", "lineage", expand=True)
        page.set_viewport_size({"width": 1500, "height": 1000})
        page.goto(f"{UI}/runs")
        run = page.locator('a[href^="/runs/"]').first.get_attribute("href", timeout=30_000)
        take(page, f"{UI}{run}", "run")
        take(page, f"{UI}/assets/promotion_decision?view=checks&checkDetail=forward_value", "gate")
        take(page, f"{REPORTS}/{month}/drift.html", "drift")
        browser.close()


def take(page: Page, url: str, name: str, *, expand: bool = False) -> None:
    """Open a page, let it settle, save it."""
    page.goto(url)
    page.wait_for_timeout(8_000)
    if expand:
        page.mouse.click(1000, 450)
        page.keyboard.press("Alt+e")
        page.wait_for_timeout(4_000)
    page.screenshot(path=str(IMAGES / f"{name}.png"))


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "2024-02-29")
