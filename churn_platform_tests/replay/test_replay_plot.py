"""The picture of a replay: a PNG, or a page that needs nothing else."""

import pytest

from churn_platform.base.errors import UsageError
from churn_platform.replay.replay_plot import check_target, replay_png, write_plot
from churn_platform.replay.result import Replay, ReplayedMonth


def made(name, aucs, decisions, mean=0.7):
    months = tuple(
        ReplayedMonth(as_of=f"2024-0{n}-28", version=1, auc=auc, decision=decision, reason="why")
        for n, (auc, decision) in enumerate(zip(aucs, decisions, strict=True), start=1)
    )
    return Replay(name, months, (), mean)


REPLAYS = [
    made("this policy", [None, 0.8, 0.6, 0.8], ["promoted", None, "promoted", "refused"]),
    made("<never>", [None, 0.8, 0.6, 0.5], ["promoted", None, None, None]),
]


def test_a_png_is_drawn_with_months_that_were_not_measured_and_without_any():
    assert replay_png(REPLAYS).startswith(b"\x89PNG")
    assert replay_png([made("nothing", [None], [None], None)]).startswith(b"\x89PNG")
    assert replay_png(REPLAYS) != replay_png(REPLAYS[:1])


def test_the_suffix_chooses_picture_or_page(tmp_path):
    write_plot(REPLAYS, tmp_path / "a.png")
    assert (tmp_path / "a.png").read_bytes() == replay_png(REPLAYS)
    write_plot(REPLAYS, tmp_path / "a.html")
    page = (tmp_path / "a.html").read_text(encoding="utf-8")
    assert "data:image/png;base64," in page
    assert "&lt;never&gt;" in page
    assert "<never>" not in page
    assert "http" not in page


@pytest.mark.parametrize("name", ["a", "a.pdf", "a.txt"])
def test_another_suffix_is_refused_before_anything_is_computed(tmp_path, name):
    with pytest.raises(UsageError, match="names no picture"):
        check_target(tmp_path / name)


def test_a_folder_that_is_not_there_is_named(tmp_path):
    with pytest.raises(UsageError, match="There is no folder"):
        check_target(tmp_path / "none" / "a.png")
