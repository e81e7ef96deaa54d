"""Plots: real PNG files, drawn without a display and without leaving figures open."""

import base64
import struct

import numpy as np
import pytest

from churn_platform.evaluation.plots import candidate_plots, markdown_image

LABELS = np.arange(400) % 3 == 0
PROBABILITIES = np.clip(0.3 + 0.2 * LABELS + np.random.default_rng(1).normal(0, 0.1, 400), 0, 1)


def size(png):
    """Width and height in pixels, from the PNG's header."""
    assert png[:8] == b"\x89PNG\r\n\x1a\n"
    return struct.unpack(">II", png[16:24])


def test_a_candidate_has_three_plots_of_one_size():
    plots = candidate_plots(LABELS, PROBABILITIES)
    assert {name: size(png) for name, png in plots.items()} == dict.fromkeys(
        ("roc", "calibration", "lift"), (550, 440)
    )


@pytest.mark.parametrize("rows", [12, 400])
def test_constant_probabilities_and_few_rows_are_drawn_too(rows):
    assert len(candidate_plots(LABELS[:rows], np.full(rows, 0.25))) == 3


def test_an_image_in_markdown_is_the_png_itself():
    found = markdown_image(b"\x89PNG", "ROC")
    assert found.startswith("![ROC](data:image/png;base64,")
    assert found.endswith(")")
    assert base64.b64decode(found.split("base64,")[1][:-1]) == b"\x89PNG"
