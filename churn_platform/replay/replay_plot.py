"""The picture of a replay: AUC a month of every policy, its promotions marked; a PNG, or a page
with its table.
"""

import base64
import io
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from churn_platform.base.errors import UsageError
from churn_platform.base.files import replacing
from churn_platform.replay.result import Replay

COLOURS = ("#2563eb", "#9ca3af", "#d97706", "#059669", "#db2777", "#7c3aed", "#0891b2")
INK = "#1f2937"
SUFFIXES = (".png", ".html")
COLUMNS = (
    "policy",
    "mean AUC",
    "promotions",
    "false promotions",
    "missed promotions",
    "right",
    "wrong",
    "open",
)


def check_target(target: Path) -> None:
    """Say at once that a picture cannot be written there.

    Raises:
        UsageError: the suffix is neither .png nor .html, or the folder is not there.
    """
    if target.suffix.lower() not in SUFFIXES:
        raise UsageError(
            f"{target} names no picture: end it with .png, or with .html for a page with the table."
        )
    if not target.absolute().parent.is_dir():
        raise UsageError(
            f"There is no folder {target.absolute().parent}: make it, or write the picture"
            " elsewhere."
        )


def write_plot(replays: Sequence[Replay], target: Path) -> None:
    """Draw the replay into `target`, atomically; errors as `check_target`."""
    check_target(target)
    png = replay_png(replays)
    with replacing(target) as temporary:
        if target.suffix.lower() == ".png":
            temporary.write_bytes(png)
        else:
            temporary.write_text(_page(replays, png), encoding="utf-8")


def replay_png(replays: Sequence[Replay]) -> bytes:
    """One line a policy; a dot where a model was promoted, from which the next month is served."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 5), layout="constrained")
    axes = figure.subplots()
    for number, one in enumerate(replays):
        colour = COLOURS[number % len(COLOURS)]
        at = [index for index, month in enumerate(one.months) if month.auc is not None]
        aucs = [month.auc for month in one.months if month.auc is not None]
        if one.mean_auc is None:
            mean = ""
        else:
            mean = f", mean AUC {one.mean_auc:.3f}"
        dashes = ("-", "--", ":", "-.")[number % 4]
        width = 3 if number == 0 else 2
        axes.plot(at, aucs, color=colour, label=f"{one.name}{mean}", ls=dashes, lw=width)
        worth = dict(zip(at, aucs, strict=True))
        moved = [i for i in worth if one.months[i].decision == "promoted"]
        axes.plot(moved, [worth[i] for i in moved], "o", color=colour, ms=8, mec="white", zorder=3)
    months = [month.as_of for month in replays[0].months]
    step = max(1, len(months) // 12)
    axes.set_xticks(range(0, len(months), step), months[::step], rotation=40, ha="right")
    axes.axhline(0.5, color=INK, lw=0.8, alpha=0.5)
    axes.set_ylabel("AUC on the month's customers", color=INK)
    axes.set_title(
        "The same months under other policies (a dot: a new model is promoted)",
        color=INK,
        fontsize=11,
    )
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110)
    return buffer.getvalue()


def _page(replays: Sequence[Replay], png: bytes) -> str:
    table = pd.DataFrame([_cells(one) for one in replays], columns=COLUMNS)
    image = base64.b64encode(png).decode()
    return (
        '<!doctype html><html lang="en"><meta'
        ' charset="utf-8"><title>Replay</title><style>body{font:16px'
        " sans-serif;max-width:1000px;margin:2em"
        " auto;color:#1f2937}img{max-width:100%}td,th{padding:.3em"
        ' 1em;text-align:left}</style><h1>Replay</h1><img alt="AUC a month of every policy"'
        f' src="data:image/png;base64,{image}">{table.to_html(index=False, border=0)}</html>\n'
    )


def _cells(one: Replay) -> tuple[str | int, ...]:
    counts = one.totals
    mean = "-" if one.mean_auc is None else f"{one.mean_auc:.3f}"
    return (
        one.name,
        mean,
        one.promotions,
        counts.needless,
        counts.missed,
        counts.right,
        counts.wrong,
        counts.open,
    )
