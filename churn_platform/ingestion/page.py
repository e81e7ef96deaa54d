"""The page about one drop for whoever made its files: `reports/<as_of>/drop.html`."""

from collections.abc import Sequence
from html import escape
from pathlib import Path

from churn_platform.base.files import write_text
from churn_platform.ingestion.faults import Fault, percent
from churn_platform.ingestion.validation import ValidatedDrop, ValidatedTable
from churn_platform.lake.month_comparison import change_sentence
from churn_platform.services import Services

REFUSED = "#c0392b"
ASIDE = "#b7791f"
_STYLE = """
body{margin:0;background:#f4f5f6;color:#222;font:16px/1.5 system-ui,sans-serif}
main{max-width:76rem;margin:1.5rem auto;padding:0 1rem}
section{background:#fff;border:1px solid #ddd;border-radius:6px;padding:1rem 1.5rem;margin:0 0 1rem;overflow-x:auto}
section.head{border-left:6px solid %s}
h1{font-size:1.5rem;margin:0 0 .5rem}h2{font-size:1.1rem;margin:0 0 .5rem}p{margin:.3rem 0}
table{border-collapse:collapse;width:100%%}
th,td{text-align:left;padding:.4rem 1rem .4rem 0;border-bottom:1px solid #eee;vertical-align:top}
tr:last-child td{border-bottom:0}
th{color:#5b6670;font-weight:600;font-size:.85rem;white-space:nowrap}td.n,th.n{text-align:right}
code{font:.85em ui-monospace,monospace;background:#f0f1f2;border-radius:3px;padding:.1rem .3rem}
.refuses,.aside{color:#fff;border-radius:3px;padding:.1rem .45rem;font-size:.8rem;white-space:nowrap}
.rows{white-space:nowrap}.refuses{background:#c0392b}.aside{background:#b7791f}.dim{color:#5b6670}
"""


def show_drop(home: Services, found: ValidatedDrop) -> Path | None:
    """Write the page of a drop that has faults or warnings, else remove an older one; where it
    is.
    """
    path = home.reports / found.as_of.isoformat() / "drop.html"
    try:
        files = any(
            table.report.faults or table.report.duplicates for table in found.tables.values()
        )
        lacking = found.comparison is not None and found.comparison.lacking
        if found.refusals or files or found.warnings or lacking:
            write_text(path, page(found))
            return path
        path.unlink(missing_ok=True)
    except OSError:  # read only or full: what it shows is said in the message, too
        return None
    return None


def page(found: ValidatedDrop) -> str:
    """The page, self-contained."""
    colour = REFUSED if found.refusals else ASIDE
    files = [_file(table) for table in found.tables.values() if table.report.faults]
    drop = _section("The drop", [(fault, True) for fault in found.of_the_drop])
    body = "".join([_head(found), _compared(found), _files(found), drop, *files])
    return (
        '<!DOCTYPE html><html lang="en"><head><meta charset="UTF-8"><title>Drop'
        f" {found.as_of}</title>"
        '<meta name="viewport"'
        f' content="width=device-width"><style>{_STYLE % colour}</style></head>'
        f"<body><main>{body}</main></body></html>"
    )


def _head(found: ValidatedDrop) -> str:
    aside = found.quarantined_sentence
    if found.refusals:
        many = len(found.sentences)
        title = f"{found.as_of}: drop refused"
        said = (
            "Nothing was published, and the files stay where they are. Here"
            f" {'are' if many > 1 else 'is'} all"
            f" {f'{many} faults' if many > 1 else 'there is'}: fix the files and deliver them"
            " again."
        )
    else:
        title = f"{found.as_of}: drop accepted{', with quarantined rows' if aside else ''}"
        if aside:
            said = (
                f"{aside} They are left out of this month and kept, with row number and"
                f" reasons, in <code>quarantine/{found.as_of}/</code>; to correct them, deliver"
                " the complete table again."
            )
        else:
            said = "Nothing was quarantined. Rows that repeat another one exactly were dropped."
    return f'<section class="head"><h1>{title}</h1><p>{said}</p></section>'


def _compared(found: ValidatedDrop) -> str:
    """The drop next to the months before: warnings, and customers that a table lacks with the
    first of their keys.
    """
    comparison = found.comparison
    if comparison is None or not (found.warnings or comparison.lacking):
        return ""
    change = change_sentence(comparison.as_dict())
    said = [change] if change else []
    said += [f"{warning.code}: {warning.sentence}" for warning in found.warnings]
    for table, lacks in comparison.lacking.items():
        first = ", ".join(repr(key) for key in lacks.examples)
        said.append(
            f"{table} lacks {lacks.count:,} of the month's {comparison.count:,} customers,"
            f" first {first}."
        )
    return f"<section><h2>Compared</h2>{''.join(f'<p>{escape(sentence)}</p>' for sentence in said)}</section>"


def _files(found: ValidatedDrop) -> str:
    rows = []
    for name, table in found.tables.items():
        report, faulty = table.report, len(table.report.faulty)
        if faulty:
            share = f' <span class="dim">({percent(faulty / report.rows)})</span>'
        else:
            share = ""
        read = f"{report.rows:,}" if report.rows else "not read"
        cells = (f"{read}", f"{report.duplicates:,}", f"{faulty:,}{share}")
        figures = "".join(f'<td class="n">{cell}</td>' for cell in cells)
        rows.append(
            f"<tr><td><code>{escape(report.file)}</code></td><td>{escape(name)}</td>{figures}</tr>"
        )
    if not rows:
        return ""
    allowed = percent(next(iter(found.tables.values())).report.allowed)
    head = "<th>file</th><th>table</th>" + "".join(
        f'<th class="n">{word}</th>'
        for word in ("rows", "exact duplicates", f"faulty rows (allowed {allowed})")
    )
    return f"<section><h2>Files</h2><table><tr>{head}</tr>{''.join(rows)}</table></section>"


def _file(table: ValidatedTable) -> str:
    report = table.report
    shown = [(fault, True) for fault in report.refusals] + [
        (fault, False) for fault in report.worst_first
    ]
    return _section(report.file, shown)


def _section(title: str, shown: Sequence[tuple[Fault, bool]]) -> str:
    if not shown:
        return ""
    of = "column" if shown[0][0].file else "table"
    head = "".join(
        f"<th>{word}</th>" for word in ("", of, "what is wrong", "rows", "found", "what to do")
    )
    rows = "".join(_fault(fault, refuses=refuses) for fault, refuses in shown)
    return f"<section><h2>{escape(title)}</h2><table><tr>{head}</tr>{rows}</table></section>"


def _fault(fault: Fault, *, refuses: bool) -> str:
    if refuses:
        mark = '<span class="refuses">refuses</span>'
    else:
        mark = '<span class="aside">faulty rows</span>'
    name = fault.column or ("" if fault.file else fault.table)
    column = f"<code>{escape(name)}</code>" if name else ""
    examples = " ".join(f"<code>{escape(repr(example))}</code>" for example in fault.examples)
    rows = f'<span class="rows">{fault.shown_rows}</span>'
    cells = (mark, column, escape(fault.problem), rows, examples, escape(fault.remedy))
    return f"<tr>{''.join(f'<td>{cell}</td>' for cell in cells)}</tr>"
