"""The page says in words what moved; the plot shows it at 700 pixels."""

import io

import numpy as np
import pytest

from churn_platform.base.errors import DataError
from churn_platform.drift.measure import Measured
from churn_platform.drift.report import NO_FIGURES, PLOTTED, drift_plot_png, page
from churn_platform_tests.drift.judged import check, judged

MOVED = (check("rebuffers"), Measured(0.205, 0.1))
QUIET = (check("hours"), Measured(0.0887, 0.1))
EMPTY = (check("plan", None, reasons=("100% null, was 0%",), note="new <b>"), None)


def _page(*columns, month="2024-02-29", html=NO_FIGURES, prediction=None):
    result = judged(*columns, target=0.0239, prediction=prediction)
    earlier = ["2023-12-31", "2024-01-31"]
    return page(html, result, month=month, reference_months=earlier, shown="from all rows.")


def test_the_page_opens_with_the_result_in_words():
    html = _page(MOVED, QUIET)
    for words in (
        "<h1>2024-02-29: drift detected</h1>",
        "6,000 rows of 2024-02-29 against 7,043 rows of 2023-12-31, 2024-01-31",
        "1 of 2 features drifted: 50%, allowed 5%.",
        "<li><strong>rebuffers</strong>: normed Wasserstein 0.205 is above 0.1</li>",
        "0.0239 is below its threshold of 0.05.",
        "probabilities): not measured",
        "Evidently's figures, from all rows.",
    ):
        assert words in html
    assert "<strong>hours</strong>" not in html
    assert "<title>Drift 2024-02-29</title>" in html.partition("</head>")[0]


def test_a_quiet_month_lists_nothing_until_the_predictions_move():
    html = _page(QUIET)
    assert "<h1>2024-02-29: no drift</h1>" in html
    assert "Drifted features" not in html
    assert "Left out" not in html
    html = _page(QUIET, prediction=0.3)
    assert "<h1>2024-02-29: drift detected</h1>" in html
    assert "0.3 reaches its threshold of 0.1." in html


def test_columns_that_evidently_cannot_take_are_named_and_no_name_is_html():
    html = _page(EMPTY, QUIET, month="<script>")
    left_out = html.partition("Left out of the figures below")[2]
    assert "<strong>plan</strong>: 100% null, was 0%; new &lt;b&gt;" in left_out
    assert "<script>" not in html
    assert "new <b>" not in html


def test_a_page_without_a_place_for_the_words_is_an_error():
    with pytest.raises(DataError, match="no <body"):
        _page(QUIET, html="<html><head></head></html>")


def _pixels(*columns):
    from matplotlib import image

    return image.imread(io.BytesIO(drift_plot_png(judged(*columns))))


def _red_rows(pixels):
    return np.flatnonzero(((pixels[:, :, 0] > 0.7) & (pixels[:, :, 1] < 0.3)).any(axis=1))


def test_the_plot_is_700_pixels_wide_and_shows_drifted_columns_in_red():
    assert _pixels(MOVED, QUIET).shape[1] == _pixels(EMPTY).shape[1] == 700
    assert 10 < len(_red_rows(_pixels(MOVED, QUIET))) < 40
    assert len(_red_rows(_pixels(QUIET))) == 0
    assert _pixels(*[QUIET] * 100).shape == _pixels(*[QUIET] * PLOTTED).shape
