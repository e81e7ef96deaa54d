"""The page of a drop with its faults and warnings."""

from pathlib import Path

from churn_platform.base.files import write_text
from churn_platform.base.pages import render
from churn_platform.base.text import percent
from churn_platform.ingestion.validation import ValidatedDrop

TEMPLATE = Path(__file__).with_name("drop.html.j2")


def write_page(reports: Path, found: ValidatedDrop) -> Path | None:
    """Write the page of a drop that has faults or warnings, or remove an older page.

    Returns:
        Where the page is; None where there is nothing to show, or the disk is full or read-only.
    """
    path = reports / found.as_of.isoformat() / "drop.html"
    of_files = [table.report for table in found.tables.values()]
    faulty = any(report.faults or report.duplicates or report.later for report in of_files)
    lacking = found.comparison is not None and found.comparison.lacking
    try:
        if found.refusals or faulty or found.warnings or lacking:
            write_text(path, page(found))
            return path
        path.unlink(missing_ok=True)
    except OSError:  # the message to the person contains the same faults
        return None
    return None


def page(found: ValidatedDrop) -> str:
    """The page, self-contained."""
    return render(TEMPLATE, drop=found, comparison=found.comparison, percent=percent)
