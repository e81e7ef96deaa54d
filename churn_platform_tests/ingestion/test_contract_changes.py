"""Drops of a contract that changes from a month on: columns, tables, values, keys, files and labels."""

import numpy as np
import pandas as pd
import pytest

from churn_platform.ingestion.validation import DropRefused
from churn_platform.lake.keys import label_count
from churn_platform_tests.small_business import (
    FEBRUARY,
    JANUARY,
    deliver,
    make_home,
    month_tables,
    with_changes,
)

CUSTOMERS = 60
CLASSES = {"dtype": "integer", "nullable": True, "since": FEBRUARY}
PARTS = {"profiles": {"columns": ["town", "has_app"], "since": FEBRUARY}}
LABEL = {
    "table": "leavers",
    "column": "quit",
    "horizon": {"months": 2},
    "since": FEBRUARY,
    "earlier": [{"column": "has_left"}],
}
ACCEPT = {"policy.ingestion.new_values": "accept"}


@pytest.fixture
def home(tmp_path):
    """The gym with a published January, which a run has recorded."""
    home = make_home(tmp_path / "home")
    home.contract_history.record()
    publish(home, JANUARY, tables(JANUARY))
    return home


def tables(month, **changes):
    """The tables of a month; `visits=frame` replaces one."""
    return month_tables(month, CUSTOMERS) | changes


def publish(home, month, frames, parquet=()):
    """Deliver tables, those named in `parquet` as Parquet, and publish the month in a run."""
    for path in (home.drops / month.isoformat()).glob("*"):
        path.unlink()
    folder = deliver(home, month, {n: f for n, f in frames.items() if n not in parquet})
    for name in parquet:
        frames[name].to_parquet(folder / f"{name}.parquet", index=False)
    home.contract_history.record()  # as each run does first
    return home.ingestion.publish(month)


def refused(home, month, frames, parquet=()):
    with pytest.raises(DropRefused) as caught:
        publish(home, month, frames, parquet)
    return caught.value


def codes(refusal):
    return [(fault.code, fault.table, fault.column) for fault in refusal.faults]


def lake_table(home, month, name):
    return home.lake.tables(month)[name].set_index("member")


def test_a_column_is_missing_before_its_since_and_required_from_then_on(home):
    changed = with_changes(home, {"tables.visits.columns.classes": CLASSES})
    digest = home.lake.digest(JANUARY)
    assert changed.lake.digest(JANUARY) == digest
    assert publish(changed, JANUARY, tables(JANUARY)).kind == "unchanged"
    january = lake_table(changed, JANUARY, "visits")["classes"]
    assert (january.dtype, january.isna().all()) == ("Int64", True)
    february = tables(FEBRUARY)
    assert codes(refused(changed, FEBRUARY, february)) == [("missing_column", "visits", "classes")]
    february["visits"]["classes"] = range(CUSTOMERS)
    publish(changed, FEBRUARY, february)
    assert lake_table(changed, FEBRUARY, "visits")["classes"].tolist() == list(range(CUSTOMERS))


def test_a_column_that_ended_may_be_absent_and_is_not_read(home):
    changed = with_changes(home, {"tables.members.columns.has_app.until": FEBRUARY})
    with_it = tables(FEBRUARY)
    publish(changed, FEBRUARY, with_it | {"members": with_it["members"].drop(columns="has_app")})
    assert lake_table(changed, FEBRUARY, "members")["has_app"].isna().all()
    assert not lake_table(changed, JANUARY, "members")["has_app"].isna().all()
    assert publish(changed, FEBRUARY, with_it).kind == "unchanged"


def test_a_table_exists_from_its_since_on_and_before_its_until(home):
    changed = with_changes(
        home,
        {
            "tables.visits.until": FEBRUARY,
            "tables.tickets": {
                "since": FEBRUARY,
                "columns": {"open": {"dtype": "integer"}},
            },
        },
    )
    february = tables(FEBRUARY)
    visits = february.pop("visits")
    assert codes(refused(changed, FEBRUARY, february)) == [("missing_table", "tickets", "")]
    keys = visits["member"]
    february["tickets"] = pd.DataFrame({"member": keys, "open": range(len(keys))})
    publication = publish(changed, FEBRUARY, february)
    assert set(publication.rows) == {"members", "tickets", "leavers"}
    assert set(changed.lake.entries(JANUARY)) == {"members", "visits", "leavers"}
    assert set(changed.lake.view(changed.now(), as_at_scoring=True)["visits"]) == {JANUARY}


def test_a_table_that_was_removed_leaves_its_months_readable(home):
    changed = with_changes(home, {"tables.visits": None, "feature_views.visits_fv": None})
    assert changed.contract_history.refused() == []
    assert "visits" not in changed.lake.view(changed.now(), as_at_scoring=True)
    february = tables(FEBRUARY)
    del february["visits"]
    assert publish(changed, FEBRUARY, february).kind == "first"


@pytest.mark.parametrize("parquet", [(), ("members",)])
def test_a_renamed_value_keeps_its_earlier_name_in_the_lake_from_its_month_on(home, parquet):
    renamed = {"standard": {"was": "basic", "since": FEBRUARY}}
    changed = with_changes(home, {"tables.members.columns.plan.renamed": renamed})
    february = tables(FEBRUARY)
    plans = february["members"]["plan"].tolist()
    february["members"]["plan"] = february["members"]["plan"].replace({"basic": "standard"})
    publish(changed, FEBRUARY, february, parquet)
    assert lake_table(changed, FEBRUARY, "members")["plan"].tolist() == plans
    january = tables(JANUARY)
    january["members"]["plan"] = january["members"]["plan"].replace({"basic": "standard"})
    assert ("unknown_category", "members", "plan") in codes(refused(changed, JANUARY, january))


@pytest.mark.parametrize("parquet", [(), ("clients", "visits")])
def test_a_later_header_and_file_name_are_read_from_their_month_on(home, parquet):
    changed = with_changes(
        home,
        {
            "tables.visits.columns.hours.sources": {"Hours used": FEBRUARY},
            "tables.members.files": {"clients": FEBRUARY},
        },
    )
    february = tables(FEBRUARY)
    hours = february["visits"]["hours"]
    moved = {
        "visits": february["visits"].rename(columns={"hours": "Hours used"}),
        "clients": february["members"],
        "leavers": february["leavers"],
    }
    publish(changed, FEBRUARY, moved, parquet)
    pd.testing.assert_series_equal(
        lake_table(changed, FEBRUARY, "visits")["hours"],
        hours,
        check_index=False,
        check_names=False,
    )
    assert publish(changed, JANUARY, tables(JANUARY)).kind == "unchanged"


class TestKeysInAnotherSpelling:
    """A month whose files write the same keys in another way."""

    def test_text_keys_are_read_as_before_also_in_a_drop_of_labels_alone(self, home):
        spelling = [{"since": FEBRUARY, "remove_prefix": "CUST-", "case": "lower"}]
        changed = with_changes(
            home, {f"tables.{n}.key_spellings": spelling for n in home.contract.tables}
        )
        february = tables(FEBRUARY)
        for name, frame in february.items():
            february[name] = frame.assign(member="CUST-" + frame["member"].str.upper())
        labels = february.pop("leavers")
        publish(changed, FEBRUARY, february, ["visits"])
        known = changed.lake.keys(JANUARY)["members"]
        assert changed.lake.keys(FEBRUARY)["members"].tolist() == known.tolist()
        assert changed.lake.compared(FEBRUARY).customers.still == CUSTOMERS
        publish(changed, FEBRUARY, {"leavers": labels})
        found = changed.lake.labels(FEBRUARY, changed.now())
        assert found.index.tolist() == known.tolist()
        assert label_count(changed.lake, FEBRUARY).labelled == CUSTOMERS

    @pytest.mark.parametrize("parquet", [(), ("members", "visits", "leavers")])
    def test_whole_number_keys_lose_a_prefix_and_zeros(self, tmp_path, parquet):
        home = make_home(tmp_path / "home")
        home = with_changes(home, {"entity": {"column": "member", "dtype": "integer"}})
        home.contract_history.record()
        number = np.arange(CUSTOMERS)
        publish(home, JANUARY, {n: f.assign(member=number) for n, f in tables(JANUARY).items()})
        spelling = [{"since": FEBRUARY, "remove_prefix": "C-", "digits": 1}]
        changed = with_changes(
            home, {f"tables.{n}.key_spellings": spelling for n in home.contract.tables}
        )
        written = [f"C-{n:05d}" for n in number]
        frames = {n: f.assign(member=written) for n, f in tables(FEBRUARY).items()}
        publish(changed, FEBRUARY, frames, parquet)
        assert changed.lake.keys(FEBRUARY)["visits"].tolist() == number.tolist()
        assert changed.lake.keys(FEBRUARY)["visits"].dtype == "Int64"


class TestATableInSeveralFiles:
    """A table of which some columns arrive in a file of their own."""

    @pytest.fixture
    def parted(self, home):
        return with_changes(home, {"tables.members.parts": PARTS})

    @staticmethod
    def split(month=FEBRUARY):
        frames = tables(month)
        members = frames["members"]
        frames["profiles"] = members[["member", "town", "has_app"]]
        frames["members"] = members.drop(columns=["town", "has_app"])
        return frames

    def test_its_files_are_one_table_with_all_columns(self, parted):
        delivered = self.split()
        publication = publish(parted, FEBRUARY, delivered)
        assert set(publication.rows) == {"members", "visits", "leavers"}
        found = lake_table(parted, FEBRUARY, "members").reset_index()
        assert list(found.columns) == ["member", "months", "plan", "has_app", "town"]
        whole = tables(FEBRUARY)["members"]
        pd.testing.assert_frame_equal(found[whole.columns], whole, check_dtype=False)
        assert publish(parted, FEBRUARY, delivered).kind == "unchanged"

    def test_a_first_delivery_needs_every_file(self, parted):
        delivered = self.split()
        del delivered["profiles"]
        assert ("missing_table", "profiles", "") in codes(refused(parted, FEBRUARY, delivered))

    @pytest.mark.parametrize(
        ("file", "column", "value"), [("profiles", "town", "south"), ("members", "months", 7)]
    )
    def test_a_correction_of_one_file_keeps_the_columns_of_the_others(
        self, parted, file, column, value
    ):
        delivered = self.split()
        publish(parted, FEBRUARY, delivered)
        before = lake_table(parted, FEBRUARY, "members")
        correction = publish(parted, FEBRUARY, {file: delivered[file].assign(**{column: value})})
        assert (correction.kind, correction.tables) == ("correction", ("members",))
        after = lake_table(parted, FEBRUARY, "members")
        assert set(after[column]) == {value}
        others = [name for name in before if name != column]
        pd.testing.assert_frame_equal(after[others], before[others])

    def test_a_faulty_row_of_a_part_refuses_the_drop(self, parted):
        parted = with_changes(parted, {"policy.ingestion.quarantine_share": 0.5})
        delivered = self.split()
        delivered["profiles"].loc[3, "town"] = "moon"
        found = codes(refused(parted, FEBRUARY, delivered))
        assert ("unknown_category", "profiles", "town") in found
        assert ("too_many_faulty_rows", "profiles", "") in found

    def test_a_customer_in_one_file_only_has_missing_values(self, parted):
        delivered = self.split()
        delivered["profiles"] = delivered["profiles"].drop(index=[4])
        delivered["members"] = delivered["members"].drop(index=[9])
        publish(parted, FEBRUARY, delivered)
        found = lake_table(parted, FEBRUARY, "members")
        assert len(found) == CUSTOMERS
        assert found.index[found["town"].isna()].tolist() == ["m00004"]
        assert found.index[found["plan"].isna()].tolist() == ["m00009"]

    def test_months_before_have_one_file(self, parted):
        assert publish(parted, JANUARY, tables(JANUARY)).kind == "unchanged"


class TestAnotherDefinitionOfChurn:
    """Labels of months before and after the label's definition changed."""

    @pytest.fixture
    def redefined(self, tmp_path):
        """January without labels; then churn is another column, known later."""
        home = make_home(tmp_path / "home")
        home.contract_history.record()
        frames = tables(JANUARY)
        del frames["leavers"]
        publish(home, JANUARY, frames)
        columns = {
            "has_left": {"dtype": "boolean", "until": FEBRUARY},
            "quit": {"dtype": "boolean", "since": FEBRUARY},
        }
        return with_changes(home, {"label": LABEL, "tables.leavers.columns": columns})

    def test_late_labels_of_a_month_are_by_the_definition_of_the_month(self, redefined):
        labels = tables(JANUARY)["leavers"]
        publish(redefined, JANUARY, {"leavers": labels})
        found = redefined.lake.labels(JANUARY, redefined.now())
        assert (found.name, found.tolist()) == ("has_left", labels["has_left"].tolist())
        assert redefined.lake.classes(JANUARY).churners == labels["has_left"].sum()
        assert label_count(redefined.lake, JANUARY).labelled == CUSTOMERS
        entry = redefined.lake.entries(JANUARY)["leavers"]
        assert entry.created.date() == JANUARY

    def test_a_month_after_it_needs_the_new_column(self, redefined):
        frames = tables(FEBRUARY)
        assert codes(refused(redefined, FEBRUARY, frames))[0][2] in ("quit", "")
        frames["leavers"] = frames["leavers"].rename(columns={"has_left": "quit"})
        publish(redefined, FEBRUARY, frames)
        found = redefined.lake.labels(FEBRUARY, redefined.now())
        assert (found.name, found.tolist()) == ("quit", frames["leavers"]["quit"].tolist())
        assert redefined.lake.entries(FEBRUARY)["leavers"].created.date().month == 4

    def test_a_label_column_in_a_feature_table_changes_as_well(self, tmp_path):
        home = make_home(tmp_path / "home")
        wide = {
            "tables.leavers": None,
            "tables.members.columns.has_left": {"dtype": "boolean", "nullable": True},
            "label": {"table": "members", "column": "has_left"},
        }
        home = with_changes(home, wide)
        home.contract_history.record()
        january = tables(JANUARY)
        labels = january.pop("leavers")["has_left"]
        publish(home, JANUARY, january | {"members": january["members"].assign(has_left=labels)})
        changed = with_changes(
            home,
            {
                "label": {**LABEL, "table": "members"},
                "tables.members.columns.has_left.until": FEBRUARY,
                "tables.members.columns.quit": {
                    "dtype": "boolean", "nullable": True, "since": FEBRUARY,
                },
            },
        )  # fmt: skip
        february = tables(FEBRUARY)
        quit_ = february.pop("leavers")["has_left"]
        publish(changed, FEBRUARY, february)
        assert not changed.lake.has_labels(FEBRUARY)
        alone = pd.DataFrame({"member": february["members"]["member"], "quit": quit_})
        publish(changed, FEBRUARY, {"members_label": alone})
        assert changed.lake.labels(FEBRUARY, changed.now()).tolist() == quit_.tolist()
        assert changed.lake.labels(JANUARY, changed.now()).tolist() == labels.tolist()
        assert not {"has_left", "quit"} & set(lake_table(changed, FEBRUARY, "members"))


@pytest.fixture
def much_changed(home):
    """The gym after columns, values, keys and files have changed for February."""
    return with_changes(
        home,
        {
            "tables.visits.columns.classes": CLASSES,
            "tables.members.columns.has_app.until": FEBRUARY,
            "tables.members.columns.plan.renamed": {"std": {"was": "basic", "since": FEBRUARY}},
            "tables.members.parts": {"towns": {"columns": ["town"], "since": FEBRUARY}},
            "tables.leavers.key_spellings": [{"since": FEBRUARY, "remove_prefix": "X"}],
        },
    )


def test_an_old_month_that_is_delivered_again_unchanged_stays_as_it_is(much_changed):
    digest = much_changed.lake.digest(JANUARY)
    deliveries = len(much_changed.lake.deliveries(JANUARY))
    frames = {name: frame.iloc[::-1] for name, frame in tables(JANUARY).items()}
    assert publish(much_changed, JANUARY, frames).kind == "unchanged"
    assert much_changed.lake.digest(JANUARY) == digest
    assert len(much_changed.lake.deliveries(JANUARY)) == deliveries


def test_a_correction_of_an_old_month_is_read_by_the_contract_of_that_month(much_changed):
    frames = tables(JANUARY)
    frames["visits"]["hours"] = 5.0
    correction = publish(much_changed, JANUARY, frames)
    assert (correction.kind, correction.tables) == ("correction", ("visits",))
    found = lake_table(much_changed, JANUARY, "visits")
    assert set(found["hours"]) == {5.0}
    assert found["classes"].isna().all()
    assert "classes" not in much_changed.lake.read(
        much_changed.lake.folder / much_changed.lake.entries(JANUARY)["visits"].file
    )


class TestValuesThatTheContractDoesNotList:
    """Policy: refuse or publish and report."""

    @staticmethod
    def february():
        frames = tables(FEBRUARY)
        frames["members"].loc[:4, "plan"] = "gold"
        return frames

    def test_they_are_refused_by_default(self, home):
        assert ("unknown_category", "members", "plan") in codes(
            refused(home, FEBRUARY, self.february())
        )

    def test_accepted_they_are_published_as_they_are_and_named(self, home):
        accepting = with_changes(home, ACCEPT)
        folder = deliver(accepting, FEBRUARY, self.february())
        _, found = accepting.ingestion.accept(folder, FEBRUARY)
        (warning,) = (one for one in found.warnings if one.code == "NEW_VALUE")
        assert warning.about == "members.plan"
        assert "'gold' in 5 rows" in warning.sentence
        accepting.ingestion.publish(FEBRUARY)
        assert (lake_table(accepting, FEBRUARY, "members")["plan"] == "gold").sum() == 5
        stored = accepting.lake.compared(FEBRUARY)
        assert stored.unlisted_values == {"members": {"plan": {"gold": 5}}}
        assert "gold" in (accepting.reports / FEBRUARY.isoformat() / "drop.html").read_text()

    def test_a_later_delivery_of_labels_keeps_them_named(self, home):
        accepting = with_changes(home, ACCEPT)
        frames = self.february()
        labels = frames.pop("leavers")
        publish(accepting, FEBRUARY, frames)
        publish(accepting, FEBRUARY, {"leavers": labels})
        assert accepting.lake.compared(FEBRUARY).unlisted_values["members"]["plan"] == {"gold": 5}

    def test_a_month_without_them_records_nothing_of_them(self, home):
        accepting = with_changes(home, ACCEPT)
        publish(accepting, FEBRUARY, tables(FEBRUARY))
        compared = accepting.lake.deliveries(FEBRUARY)[-1].compared
        assert "unlisted_values" not in compared.as_json()


class TestARefusalAfterTheBusinessChanged:
    """A refusal asks about the likely change and names the command that proposes it."""

    def test_a_likely_rename_is_asked_about(self, home):
        frames = tables(FEBRUARY)
        plans = frames["members"]["plan"]
        frames["members"]["plan"] = plans.replace({"basic": "standard"})
        refusal = refused(home, FEBRUARY, frames)
        (fault,) = (one for one in refusal.faults if one.code == "unknown_category")
        rows = (plans == "basic").sum()
        assert fault.question.startswith(f"'standard' is new in {rows} rows, 'basic' is gone")
        assert fault.question in str(refusal)
        assert fault.question not in home.ledger.receipts()[-1].reason
        page = (home.reports / FEBRUARY.isoformat() / "drop.html").read_text()
        assert f"is new in {rows} rows" in page

    @pytest.mark.parametrize("change", ["column", "table", "value", "keys"])
    def test_the_command_is_named_with_the_files_and_the_month(self, home, tmp_path, change):
        frames = tables(FEBRUARY)
        if change == "column":
            frames["visits"] = frames["visits"].drop(columns="hours")
        elif change == "table":
            del frames["visits"]
        elif change == "value":
            frames["members"]["plan"] = "gold"
        else:
            frames = {n: f.assign(member="CUST-" + f["member"].str[1:]) for n, f in frames.items()}
        refusal = refused(home, FEBRUARY, frames)
        folder = home.drops / FEBRUARY.isoformat()
        command = f"churn contract update --from-drop {folder} --as-of {FEBRUARY} --home"
        assert command in str(refusal)
        with pytest.raises(DropRefused) as caught:
            home.ingestion.accept(folder, FEBRUARY, [tmp_path / "two files", tmp_path / "b"])
        assert f"--from-drop '{tmp_path}/two files' {tmp_path}/b --as-of" in str(caught.value)

    def test_other_faults_and_a_first_month_name_no_command(self, home, tmp_path):
        frames = tables(FEBRUARY)
        frames["visits"]["hours"] = -1.0
        assert "contract update" not in str(refused(home, FEBRUARY, frames))
        first = make_home(tmp_path / "first")
        frames = tables(JANUARY)
        del frames["visits"]
        assert "contract update" not in str(refused(first, JANUARY, frames))
