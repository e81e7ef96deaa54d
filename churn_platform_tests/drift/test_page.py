"""The page says in words what moved; the plot shows it at 700 pixels."""

import io

import numpy as np
import pytest

from churn_platform.base.errors import DataError
from churn_platform.drift.report import NO_FIGURES, PLOTTED, drift_plot_png, page
from churn_platform.drift.result import ColumnDrift, DriftResult

MOVED = ColumnDrift(
    "rebuffers", "wasserstein", 0.205, 0.1, True, "normed Wasserstein 0.205 is above 0.1", 0.0, 0.0
)
QUIET = ColumnDrift(
    "hours", "wasserstein", 0.0887, 0.1, False, "normed Wasserstein 0.0887 is below 0.1", 0.0, 0.0
)
EMPTY = ColumnDrift("plan", None, None, 0.1, True, "100% null, was 0%; new <b>", 0.0, 1.0)


def _result(*columns, target=0.0239, prediction=None):
    return DriftResult(columns, 7043, 6000, 0.05, target, 0.05, prediction, 0.1)


def _page(result, month="2024-02-29"):
    return page(
        NO_FIGURES,
        result,
        month=month,
        reference_months=["2023-12-31", "2024-01-31"],
        shown="from all rows.",
    )


def _words(*columns, **changes):
    return _page(_result(*columns, **changes))


def test_the_page_opens_with_the_result_in_words():
    html = _words(MOVED, QUIET)
    assert "<h1>2024-02-29: drift detected</h1>" in html
    assert "6,000 rows of 2024-02-29 against 7,043 rows of 2023-12-31, 2024-01-31" in html
    assert "1 of 2 features drifted: 50%, allowed 5%." in html
    assert "<li><strong>rebuffers</strong>: normed Wasserstein 0.205 is above 0.1</li>" in html
    assert "<strong>hours</strong>" not in html
    assert (
        "Target drift (difference of the churn rates): 0.0239 is below its threshold of 0.05."
        in html
    )
    assert "probabilities): not measured, one side has none." in html
    assert "Evidently's figures, from all rows." in html
    assert "<title>Drift 2024-02-29</title>" in html.partition("</head>")[0]


def test_a_quiet_month_says_so_and_lists_nothing():
    html = _words(QUIET)
    assert "<h1>2024-02-29: no drift</h1>" in html
    assert "Drifted features" not in html
    assert "Left out" not in html


def test_moved_predictions_alone_are_drift_and_the_page_says_so():
    html = _words(QUIET, prediction=0.3)
    assert "<h1>2024-02-29: drift detected</h1>" in html
    assert "0.3 reaches its threshold of 0.1." in html


def test_columns_that_evidently_cannot_take_are_named_with_why():
    left_out = _words(EMPTY, QUIET).partition("Left out of the figures below")[2]
    assert "<strong>plan</strong>: 100% null, was 0%; new &lt;b&gt;" in left_out


def test_nothing_on_the_page_is_taken_for_html():
    assert "<script>" not in _page(_result(EMPTY), month="<script>")
    assert "new <b>" not in _words(EMPTY)


def test_a_page_without_a_place_for_the_words_is_an_error():
    with pytest.raises(DataError, match="no <body"):
        page(
            "<html><head></head></html>",
            _result(QUIET),
            month="m",
            reference_months=["r"],
            shown="",
        )


def _pixels(*columns):
    from matplotlib import image

    return image.imread(io.BytesIO(drift_plot_png(_result(*columns))))


def _red_rows(pixels):
    return np.flatnonzero(((pixels[:, :, 0] > 0.7) & (pixels[:, :, 1] < 0.3)).any(axis=1))


def test_the_plot_is_700_pixels_wide_and_shows_drifted_columns_in_red():
    assert _pixels(MOVED, QUIET).shape[1] == 700
    assert 10 < len(_red_rows(_pixels(MOVED, QUIET))) < 40
    assert len(_red_rows(_pixels(QUIET))) == 0


def test_the_plot_of_columns_without_a_distance_and_of_a_hundred_columns_stays_readable():
    assert _pixels(EMPTY).shape[1] == 700
    assert _pixels(*[QUIET] * 100).shape == _pixels(*[QUIET] * PLOTTED).shape
