"""Axes for the plots of a home, made without pyplot: nothing outside of the figure changes."""

import io
import textwrap
from collections.abc import Sequence

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

INK = "#1f2937"
QUIET = "#6b7280"
FAINT = "#d1d5db"
BLUE = "#0072b2"
ORANGE = "#d55e00"
"""Blue and orange of Okabe and Ito (2008), which differ with every kind of colour blindness."""
WIDTH = 7.0
HEIGHT = 4.0
TITLE_CHARACTERS = 66
NARROW_CHARACTERS = 48
"""Where names are left of the axis."""
MOST_MONTHS = 8
"""Labels of months that fit below the axis."""


class ShownAxes(Axes):
    """Axes that a notebook shows as their picture when they are the last line of a cell."""

    def _repr_png_(self) -> bytes:
        content = io.BytesIO()
        figure = self.get_figure(root=True)
        if figure is not None:
            figure.savefig(content, format="png", dpi=110)
        return content.getvalue()


def axes_for(ax: Axes | None, height: float = HEIGHT) -> Axes:
    """The axes to draw on: those that were given, or those of a new figure."""
    if ax is None:
        figure = Figure(figsize=(WIDTH, height), layout="constrained")
        ax = figure.add_subplot(axes_class=ShownAxes)
    return ax


def finish(ax: Axes, title: str, x: str, y: str) -> Axes:
    """Write the title, a sentence, and the labels; without what carries no information."""
    wrapped = "\n".join(textwrap.wrap(title, TITLE_CHARACTERS if y else NARROW_CHARACTERS))
    ax.set_title(wrapped, loc="left", fontsize=11, color=INK)
    ax.set_xlabel(x, color=QUIET, fontsize=9)
    ax.set_ylabel(y, color=QUIET, fontsize=9)
    ax.spines[["top", "right"]].set_visible(False)
    ax.spines[["left", "bottom"]].set_color(FAINT)
    ax.tick_params(colors=QUIET, labelsize=9, length=3)
    return ax


def month_ticks(ax: Axes, months: Sequence[pd.Timestamp]) -> None:
    """Name the months at 0, 1, ...: all of them, or as many as fit."""
    step = -(-len(months) // MOST_MONTHS)
    # From the newest back, so that the newest is always named.
    places = list(range(len(months)))[::-1][::step][::-1]
    ax.set_xticks(places, [f"{months[place]:%Y-%m-%d}" for place in places])
    ax.set_xlim(-0.5, len(months) - 0.5)


def percent_ticks(axis: Axis) -> None:
    """Show the shares of an axis as percentages."""
    axis.set_major_formatter(PercentFormatter(1.0, decimals=0))
