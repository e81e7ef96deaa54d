"""The change of a contract that a month's files show."""

import datetime as dt

import numpy as np
import pandas as pd
import pytest
import yaml

from churn_platform.base.errors import UsageError
from churn_platform.drafting.month_keys import MonthBefore
from churn_platform.drafting.updating import update_for
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


def update(frames, before=BEFORE, contract=None, skip=()):
    contract = contract or gym()
    text = yaml.safe_dump(contract.model_dump(mode="json", exclude_unset=True), sort_keys=False)
    return update_for(
        contract, text.replace("visits:\n", "visits:  # kept\n", 1), frames, JULY, before, skip
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


def test_labels_that_come_alone_end_no_table():
    labels = {"labels": pd.DataFrame({"member": KEYS, "has_left": "0", "cancelled": "0"})}
    assert update(labels).edits == ()


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


def test_keys_of_a_business_that_many_leave_are_read_as_before():
    stayed = [f"CUST-{n:05d}" for n in range(150, 150 + CUSTOMERS)]
    spellings = update(files(stayed)).contract.tables["members"].key_spellings
    assert [spelling.read("CUST-00012") for spelling in spellings] == ["00012"]


def test_a_file_without_the_key_is_refused():
    frames = files()
    frames["visits"] = frames["visits"].rename(columns={"member": "id"})
    with pytest.raises(UsageError) as refused:
        update(frames)
    assert refused.value.code == "KEY_NOT_FOUND"


def test_a_renamed_header_keeps_the_column_and_its_values():
    frames = files()
    frames["members"] = frames["members"].rename(columns={"fee": "Monthly price"})
    found = update(frames)
    (edit,) = found.edits
    assert edit.path == ("tables", "members", "columns", "fee", "sources", "Monthly price")
    assert "'fee' is gone" in edit.doubt
    assert found.contract.at(JULY).tables["members"].columns["fee"].source == "Monthly price"
    assert found.contract.at(JUNE).tables["members"].columns["fee"].source == ""
    assert update(frames, contract=found.contract).edits == ()


def test_values_under_a_renamed_header_are_compared_too():
    frames = files()
    frames["members"] = frames["members"].rename(columns={"plan": "Plan name"})
    frames["members"].loc[:9, "Plan name"] = "family"
    plan = update(frames).contract.tables["members"].columns["plan"]
    assert (plan.sources, plan.values) == ({"Plan name": JULY}, ("basic", "plus", "family"))


def test_a_value_that_is_no_rename_is_a_new_value():
    frames = files()
    frames["members"]["plan"] = frames["members"]["plan"].replace({"basic": "standard"})
    place = "tables.members.columns.plan.renamed"
    found = update(frames, skip=[place])
    plan = found.contract.tables["members"].columns["plan"]
    assert (plan.renamed, plan.values) == ({}, ("basic", "plus", "standard"))
    assert found.skipped == {place}


def test_another_column_in_place_of_one_is_no_rename():
    frames = files()
    frames["members"]["score"] = np.random.default_rng(2).integers(900, 999, CUSTOMERS).astype(str)
    del frames["members"]["fee"]
    columns = update(frames).contract.tables["members"].columns
    assert (columns["fee"].until, columns["fee"].sources) == (JULY, {})
    assert columns["score"].since == JULY


def test_a_renamed_file_keeps_its_table():
    frames = files()
    frames["our-members"] = frames.pop("members")
    found = update(frames)
    assert [edit.path for edit in found.edits] == [("tables", "members", "files", "our-members")]
    assert found.contract.at(JULY).file_stem("members") == "our-members"
    assert found.contract.at(JUNE).file_stem("members") == "members"
    assert update(frames, contract=found.contract).edits == ()


def test_columns_that_move_into_a_new_file_take_its_new_columns_with_them():
    frames = files()
    prices = frames["members"][["member", "fee"]]
    frames["price-list"] = prices.assign(discount=np.arange(CUSTOMERS) % 3)
    del frames["members"]["fee"]
    found = update(frames)
    part = found.contract.tables["members"].parts["price_list"]
    assert (part.columns, part.file, part.since) == (("fee", "discount"), "price-list", JULY)
    assert "discount" in found.contract.feature_views["profile"].features
    assert found.contract.delivery(JULY).file_stem("price_list") == "price-list"
    assert update(frames, contract=found.contract).edits == ()


def test_a_part_that_is_gone_ends_its_columns():
    parted = gym(tables__members__parts={"prices": {"columns": ["fee"], "since": JUNE}})
    frames = files()
    del frames["members"]["fee"]
    found = update(frames, contract=parted)
    assert found.contract.tables["members"].columns["fee"].until == JULY
    assert list(found.contract.tables) == list(parted.tables)


def test_a_label_table_gets_no_features():
    frames = files()
    frames["labels"] = pd.DataFrame(
        {"member": KEYS, "has_left": "false", "cancelled": "true", "reason": ["a", "b"] * 200}
    )
    assert update(frames).edits == ()


def test_a_column_that_two_tables_have_is_changed_in_its_own_table():
    columns = {"plan2": {"dtype": "category", "values": ["x"], "source": "plan"}}
    contract = gym(tables__visits__columns={"visits": {"dtype": "integer"}} | columns)
    frames = files()
    frames["visits"]["plan"] = "y"
    then = as_published(files())
    then["visits"] = then["visits"].assign(plan2="x")
    found = update(frames, MonthBefore(tables=then), contract)
    assert [edit.path[1] for edit in found.edits] == ["visits"]
    assert found.contract.tables["visits"].columns["plan2"].names_kept(JULY) == {"y": "x"}


def test_words_that_mean_missing_are_no_new_values():
    contract = gym(
        files={"missing": ["NULL"]},
        tables__members__columns__plan={
            "dtype": "category", "values": ["basic", "plus"], "missing": ["?"], "nullable": True,
        },
    )  # fmt: skip
    frames = files()
    frames["members"].loc[:9, "plan"] = "NULL"
    frames["members"].loc[10:19, "plan"] = "?"
    assert update(frames, contract=contract).edits == ()


def test_what_is_left_out_is_listed_with_the_reason():
    frames = files()
    frames["visits"]["note"] = [f"note {n}" for n in range(CUSTOMERS)]
    frames["calls"] = pd.DataFrame({"member": [*KEYS[:5], KEYS[0]], "length": range(6)})
    frames["shops"] = pd.DataFrame({"shop": ["a"]})
    found = update(frames)
    assert found.edits == ()
    assert [one.partition(":")[0] for one in found.left_out] == ["visits.note", "calls", "shops"]


@pytest.mark.parametrize(
    ("skip", "gone"),
    [
        ("tables.visits.columns.nps", "nps"),
        ("tables.visits", "nps"),
        ("tables.members.columns.fee.until", "until"),
    ],
)
def test_a_place_to_skip_is_left_alone_with_everything_below_it(skip, gone):
    frames = files()
    frames["visits"]["nps"] = np.random.default_rng(1).integers(0, 10, CUSTOMERS).astype(str)
    del frames["members"]["fee"]
    text = update(frames, skip=[skip]).text
    assert gone not in text
    assert ({"nps", "until"} - {gone}).pop() in text
    assert update(frames, skip=["tables.vis"]).skipped == frozenset()


def test_changes_that_make_no_contract_are_refused():
    contract = gym(costs={"missed_churner": {"column": "fee"}})
    frames = files()
    del frames["members"]["fee"]
    with pytest.raises(UsageError) as refused:
        update(frames, contract=contract)
    assert refused.value.code == "CONTRACT_CHANGED"
    assert "costs" in str(refused.value)


def test_a_changed_spelling_is_proposed_once_also_with_many_new_customers():
    kept = [f"c-{key}" for key in KEYS[:240]]
    frames = files([*kept, *(f"c-9{n:04d}" for n in range(160))])
    found = update(frames)
    spelling = found.contract.tables["members"].key_spelling(JULY)
    assert spelling.read("c-00017") == "00017"
    assert update(frames, contract=found.contract).edits == ()


def test_a_text_that_yaml_reads_as_a_boolean_is_written_in_quotes():
    frames = files()
    frames["members"].loc[:59, "plan"] = "No"
    found = update(frames)
    assert yaml.safe_load(found.text)["tables"]["members"]["columns"]["plan"]["values"] == [
        "basic",
        "plus",
        "No",
    ]


def test_a_new_column_next_to_the_label_is_not_a_feature():
    flags = np.random.default_rng(2).choice(["0", "1"], (CUSTOMERS, 3))
    labels = pd.DataFrame(flags, columns=["has_left", "cancelled", "paused"])
    assert update(files() | {"labels": labels.assign(member=KEYS)}).edits == ()
