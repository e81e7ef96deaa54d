"""The plots of a home. Each draws on `ax`, or on a new figure, and returns the axes."""

import math
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from churn_platform.base.errors import DataError
from churn_platform.base.text import Month, counted
from churn_platform.notebooks.axes import (
    BLUE,
    FAINT,
    INK,
    ORANGE,
    QUIET,
    axes_for,
    finish,
    month_ticks,
    percent_ticks,
)
from churn_platform.notebooks.datasets import (
    holdout_calibration,
    recorded_drift,
    recorded_effect,
)
from churn_platform.notebooks.reading import reading
from churn_platform.notebooks.tables import (
    drift_table,
    effect_table,
    months_table,
    performance_table,
)

if TYPE_CHECKING:
    from churn_platform.services import Services

MOST_COLUMNS = 20
Z = 1.96
"""Of a 95% interval."""


class HomePlots:
    """The plots of one home: `home.plot`. Each title is the sentence that the plot shows."""

    def __init__(self, services: "Callable[[], Services]") -> None:
        self._services = services

    @reading
    def performance(self, ax: Axes | None = None) -> Axes:
        """AUC of production on the labels of each month, and what was estimated before them.

        Raises:
            DataError: nothing was measured yet.
        """
        frame = performance_table(self._services().records)
        realised = frame[frame["auc"].notna() & (frame["state"] == "production")]
        others = frame[frame["auc"].notna() & (frame["state"] != "production")]
        estimated = frame[frame["estimated_auc"].notna()]
        if realised.empty and estimated.empty:
            raise DataError(
                "No performance was measured yet: labels must mature after a promotion.",
                code="NOT_MEASURED",
            )
        months = sorted({*realised["as_of"], *others["as_of"], *estimated["as_of"]})
        place = {month: number for number, month in enumerate(months)}
        ax = axes_for(ax)
        ax.axhline(0.5, color=FAINT, lw=1, zorder=0)
        if not others.empty:
            places = others["as_of"].map(place)
            ax.scatter(places, others["auc"], s=16, color=FAINT, label="other versions")
        _points(ax, realised["as_of"].map(place) - 0.06, realised, "auc", BLUE, "o", "on labels")
        _points(
            ax,
            estimated["as_of"].map(place) + 0.06,
            estimated,
            "estimated",
            ORANGE,
            "D",
            "estimated before labels",
        )
        before = None
        for row in realised.to_dict("records"):
            if row["version"] != before:
                ax.annotate(
                    f"version {row['version']}", (place[row["as_of"]] - 0.06, row["auc_high"]),
                    xytext=(0, 4), textcoords="offset points", ha="center", fontsize=8, color=INK,
                )  # fmt: skip
            before = row["version"]
        month_ticks(ax, months)
        ax.margins(y=0.15)
        if not estimated.empty or not others.empty:
            ax.legend(frameon=False, fontsize=8, labelcolor=QUIET)
        return finish(ax, _performance_title(realised, estimated), "Month (as_of)",
                      "AUC (0.5 is chance)")  # fmt: skip

    @reading
    def churn_rate(self, ax: Axes | None = None) -> Axes:
        """The share of each month's customers who left, by the labels as they arrived.

        Raises:
            DataError: no labels arrived yet.
        """
        frame = months_table(self._services())
        known = frame[frame["churn_rate"].notna()]
        if known.empty:
            raise DataError("No labels have arrived yet.", code="LABELS_NOT_MATURED")
        months = list(frame["as_of"])
        place = {month: number for number, month in enumerate(months)}
        ax = axes_for(ax)
        ax.plot(known["as_of"].map(place), known["churn_rate"], "o-", color=BLUE, lw=2)
        newest = known.iloc[-1]
        ax.annotate(
            f"{newest['churn_rate']:.1%}", (place[newest["as_of"]], newest["churn_rate"]),
            xytext=(0, 8), textcoords="offset points", ha="center", fontsize=9, color=INK,
        )  # fmt: skip
        month_ticks(ax, months)
        ax.set_ylim(0, known["churn_rate"].max() * 1.25)
        percent_ticks(ax.yaxis)
        title = (
            f"{newest['churn_rate']:.1%} of the customers of {newest['as_of']:%Y-%m-%d} left:"
            f" {newest['churners']:,}"
        )
        return finish(ax, title, "Month (as_of)", "Customers who left")

    @reading
    def drift(self, as_of: Month | None = None, ax: Axes | None = None) -> Axes:
        """How far each feature of a month has moved from the training data of production.

        Raises:
            UsageError, DataError: as `home.drift`.
        """
        found = recorded_drift(self._services(), as_of)
        frame = drift_table(found.result)
        features = frame[frame["kind"] == "feature"]
        shown = pd.concat([features.head(MOST_COLUMNS), frame[frame["kind"] != "feature"]])
        times = shown["distance"] / shown["threshold"]
        ax = axes_for(ax, height=max(2.4, 0.9 + 0.24 * len(shown)))
        places = range(len(shown))[::-1]
        colours = [ORANGE if drifted else BLUE for drifted in shown["drifted"]]
        ax.barh(places, times.fillna(0), color=colours, height=0.6)
        ax.axvline(1, color=QUIET, lw=1, ls="--")
        for at, distance, reason in zip(places, shown["distance"], shown["reason"], strict=True):
            if math.isnan(distance):
                ax.text(0.03, at, reason or "not measured", va="center", fontsize=8, color=QUIET)
        ax.set_yticks(places, shown["column"])
        moved = int(features["drifted"].sum())
        title = (
            f"{moved} of {counted(len(features), 'feature')} of {found.as_of} moved beyond the"
            f" threshold since version {found.version} was trained"
        )
        return finish(ax, title, "Distance from the training data (1 is the threshold)", "")

    @reading
    def calibration(
        self,
        version: int | None = None,
        as_of: Month | None = None,
        ax: Axes | None = None,
    ) -> Axes:
        """Predicted probabilities and what came of them, on holdout customers.

        Args:
            version: the version; the one in production by default.
            as_of: the month of the training dataset; the newest by default. Customers that the
                version was trained on are left out.
            ax: the axes to draw on.

        Raises:
            UsageError, DataError: as `home.model` and `home.training_dataset`.
        """
        found = holdout_calibration(self._services(), version, as_of)
        bins = found.bins
        rows = bins["rows"]
        expected = (bins["predicted"] * rows).sum() / rows.sum()
        observed = (bins["observed"] * rows).sum() / rows.sum()
        ax = axes_for(ax, height=4.6)
        top = min(1.0, 1.08 * max(bins["predicted"].max(), bins["observed"].max()))
        ax.plot([0, top], [0, top], color=FAINT, lw=1, zorder=0)
        ax.text(
            0.99, 0.03, "on the line: predicted = observed",
            transform=ax.transAxes, ha="right", fontsize=8, color=QUIET,
        )  # fmt: skip
        error = None
        if not found.weighted:  # the rows of weighted groups stand for fewer than they count
            ends = [_wilson(*group) for group in zip(bins["observed"], rows, strict=True)]
            error = np.abs(np.array(ends) - bins[["observed"]].to_numpy()).T
        ax.errorbar(
            bins["predicted"], bins["observed"], yerr=error, fmt="o", color=BLUE, lw=1.2, ms=6
        )
        percent_ticks(ax.xaxis)
        percent_ticks(ax.yaxis)
        ax.set_xlim(0, None)
        ax.set_ylim(0, None)
        expects = f"Version {found.version} expects {expected:.1%} of the holdout to leave"
        title = f"{expects}; {observed:.1%} left"
        return finish(ax, title, "Predicted probability, in ten groups", "Share who left")

    @reading
    def effect(self, ax: Axes | None = None) -> Axes:
        """What contacting was worth: the share of customers it kept, overall and by group.

        Raises:
            UsageError, DataError: as `home.effect`.
        """
        record = recorded_effect(self._services())
        frame = effect_table(record)
        known = frame[frame["prevented"].notna()]
        ax = axes_for(ax, height=max(2.2, 1.1 + 0.28 * len(known)))
        ax.axvline(0, color=FAINT, lw=1, zorder=0)
        places = range(len(known))[::-1]
        for at, row in zip(places, known.to_dict("records"), strict=True):
            filled = BLUE if row["randomised"] else "white"
            ax.plot([row["low"], row["high"]], [at, at], color=BLUE, lw=1.5, zorder=1)
            ax.plot(row["prevented"], at, "o", color=BLUE, mfc=filled, ms=7, zorder=2)
        names = [
            f"{group}: {value}" if value else group
            for group, value in zip(known["group"].tolist(), known["value"].tolist(), strict=True)
        ]
        ax.set_yticks(places, names)
        ax.set_ylim(-0.6, len(known) - 0.4)
        percent_ticks(ax.xaxis)
        x = "Share of the list kept by contacting"
        if not known["randomised"].all():
            x += "\n(hollow: the team chose whom, so only a comparison)"
        return finish(ax, record.verdict, x, "")


def _points(
    ax: Axes,
    places: pd.Series,
    rows: pd.DataFrame,
    name: str,
    colour: str,
    marker: str,
    label: str,
) -> None:
    if rows.empty:
        return
    value = "auc" if name == "auc" else f"{name}_auc"
    ends = rows[[f"{name}_low", f"{name}_high"]].sub(rows[value], axis=0).abs()
    ax.errorbar(
        places, rows[value], yerr=ends.T.to_numpy(), fmt=marker, color=colour, lw=1.2, ms=6,
        mfc=colour if marker == "o" else "white", label=label,
    )  # fmt: skip


def _performance_title(realised: pd.DataFrame, estimated: pd.DataFrame) -> str:
    if realised.empty:
        newest = estimated.iloc[-1]
        return (
            f"Version {newest['version']} is estimated to reach an AUC of"
            f" {newest['estimated_auc']:.2f} on {newest['as_of']:%Y-%m-%d}"
        )
    newest = realised.iloc[-1]
    return (
        f"Version {newest['version']} reached an AUC of {newest['auc']:.2f} on the labels of"
        f" {newest['as_of']:%Y-%m-%d}"
    )


def _wilson(rate: float, count: float) -> tuple[float, float]:
    """The 95% interval of a rate (Wilson 1927)."""
    middle = (rate + Z**2 / (2 * count)) / (1 + Z**2 / count)
    half = Z / (1 + Z**2 / count) * math.sqrt(rate * (1 - rate) / count + Z**2 / (4 * count**2))
    return middle - half, middle + half
