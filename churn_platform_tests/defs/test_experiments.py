"""The asset of experiments: a sentence without one, a table with one."""

from churn_platform.defs.experiments import NOTHING, experiments
from churn_platform_tests.small_business import FEBRUARY


def test_without_a_shadow_a_note_says_so_and_nothing_is_written(february_copy, shown):
    assert shown(february_copy, FEBRUARY, experiments) == {"note": NOTHING}
    assert not (february_copy.folder / "lake" / "derived" / "experiments").exists()


def test_the_shadows_are_a_table(february_copy, shown):
    home = february_copy
    home.experiments.start_shadow(None, "hours < 3", "Ann", "To see it.")
    values = shown(home, FEBRUARY, experiments)
    assert "| hours < 3 |" in values["shadows"]
    assert "of 20 customers on the list of 2024-02-29 stay" in values["Rule hours < 3"]
    assert "Monthly lists: " in values["Rule hours < 3"]
