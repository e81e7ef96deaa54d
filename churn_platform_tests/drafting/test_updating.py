"""The change of a contract that a month's files show."""

import datetime as dt

import numpy as np
import pandas as pd
import pytest
import yaml

from churn_platform.base.errors import UsageError
from churn_platform.drafting.updating import MonthBefore, update_for
from churn_platform_tests.contract.test_views import JULY, gym

CUSTOMERS = 400
KEYS = [f"{n:05d}" for n in range(CUSTOMERS)]
JUNE = dt.date(2026, 6, 30)


def files(keys=KEYS):
    """A drop of the gym that changes nothing."""
    rng = np.random.default_rng(0)
    return {
        "members": pd.DataFrame(
            {"member": keys, "plan": rng.choice(["basic", "plus"], len(keys)),
             "fee": rng.random(len(keys)).round(2).astype(str), "joined_on": "2024-01-01"}
        ),
        "visits": pd.DataFrame({"member": keys, "visits": rng.poisson(3, len(keys)).astype(str)}),
    }  # fmt: skip


def as_published(frames):
    """The lake's tables of a drop of the gym, before any change."""
    members = frames["members"].assign(fee=frames["members"]["fee"].astype(float))
    visits = frames["visits"].assign(visits=frames["visits"]["visits"].astype("Int64"))
    return {"members": members, "visits": visits}


BEFORE = MonthBefore(tables=as_published(files()))


def update(frames, before=BEFORE, contract=None):
    contract = contract or gym()
    text = yaml.safe_dump(contract.model_dump(mode="json", exclude_unset=True), sort_keys=False)
    return update_for(
        contract, text.replace("visits:\n", "visits:  # kept\n", 1), frames, JULY, before
    )


def test_files_as_before_propose_nothing():
    found = update(files())
    assert found.edits == ()
    assert found.contract == gym()


def test_a_new_column_becomes_a_feature_from_its_month_on():
    frames = files()
    frames["visits"]["NPS score"] = np.random.default_rng(1).integers(0, 10, CUSTOMERS).astype(str)
    found = update(frames)
    column = found.contract.tables["visits"].columns["nps_score"]
    assert (column.dtype, column.source, column.since) == ("integer", "NPS score", JULY)
    assert found.contract.feature_views["use"].features == ("visits", "nps_score")
    assert "nps_score" not in found.contract.at(JUNE).features
    assert "# kept" in found.text


def test_a_column_that_the_files_had_before_is_left_out_again():
    frames = files()
    frames["visits"]["score"] = np.random.default_rng(1).integers(0, 10, CUSTOMERS).astype(str)
    before = MonthBefore(headers={"visits": frozenset({"score"})}, tables=BEFORE.tables)
    assert update(frames, before).edits == ()


@pytest.mark.parametrize("values", [["x"] * CUSTOMERS, [f"note {n}" for n in range(CUSTOMERS)]])
def test_a_column_that_nothing_can_be_learned_from_is_left_out(values):
    frames = files()
    frames["visits"]["note"] = values
    assert update(frames).edits == ()


def test_a_column_that_is_gone_ends():
    frames = files()
    del frames["members"]["fee"]
    found = update(frames)
    assert found.contract.tables["members"].columns["fee"].until == JULY
    assert "fee" in found.contract.at(JUNE).features
    assert "fee" not in found.contract.at(JULY).features


def test_a_table_that_is_gone_ends():
    frames = files()
    del frames["visits"]
    assert update(frames).contract.tables["visits"].until == JULY


def test_a_renamed_value_keeps_its_earlier_name():
    frames = files()
    frames["members"]["plan"] = frames["members"]["plan"].replace({"basic": "standard"})
    found = update(frames)
    plan = found.contract.tables["members"].columns["plan"]
    assert plan.names_kept(JULY) == {"standard": "basic"}
    assert plan.names_kept(JUNE) == {}
    assert update(frames, contract=found.contract).edits == ()


def test_a_value_that_replaces_none_is_added_to_the_list():
    frames = files()
    frames["members"].loc[:20, "plan"] = "family"
    assert update(frames).contract.tables["members"].columns["plan"].values == (
        "basic", "plus", "family",
    )  # fmt: skip


def test_columns_in_a_file_of_their_own_are_a_part_of_their_table():
    frames = files()
    frames["prices"] = frames["members"][["member", "fee"]]
    del frames["members"]["fee"]
    found = update(frames)
    assert found.contract.tables["members"].parts["prices"].columns == ("fee",)
    assert update(frames, contract=found.contract).edits == ()


def test_keys_in_another_spelling_are_read_as_before():
    frames = files([f"CUST-{key}" for key in KEYS])
    frames["tickets"] = pd.DataFrame(
        {"member": frames["visits"]["member"], "open": np.arange(CUSTOMERS) % 7}
    )
    found = update(frames)
    for table in ("members", "visits", "tickets"):
        spelling = found.contract.tables[table].key_spelling(JULY)
        assert spelling.read("CUST-00012") == "00012"
    assert found.contract.tables["tickets"].since == JULY
    assert found.contract.feature_views["tickets_fv"].features == ("open",)


def test_a_file_without_the_key_is_refused():
    frames = files()
    frames["visits"] = frames["visits"].rename(columns={"member": "id"})
    with pytest.raises(UsageError) as refused:
        update(frames)
    assert refused.value.code == "KEY_NOT_FOUND"
