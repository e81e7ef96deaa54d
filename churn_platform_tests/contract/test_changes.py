"""The difference between two contracts."""

import datetime as dt

import pytest

from churn_platform.contract import views
from churn_platform.contract.changes import changes_between, refused_changes
from churn_platform_tests.contract.test_views import JULY, JUNE, gym

LABEL = {"table": "labels", "column": "cancelled", "horizon": {"months": 2}}
NEW = {"tables__visits__columns__classes": {"dtype": "integer", "since": JULY}}
RENAMED = {
    "dtype": "category", "values": ["basic", "plus"],
    "renamed": {"standard": {"was": "basic", "since": JULY}},
}  # fmt: skip


@pytest.mark.parametrize(
    ("change", "where"),
    [
        (NEW, "tables.visits.columns.classes"),
        ({"feature_views__profile__features": ["plan", "fee"]}, "feature_views.profile"),
        ({"tables__members__columns__plan": RENAMED}, "tables.members.columns.plan.renamed"),
        ({"tables__visits__columns__visits": {"dtype": "integer", "until": JULY}},
         "tables.visits.columns.visits.until"),
        ({"tables__members__columns__plan": {"dtype": "category", "values": ["basic", "gold"]}},
         "tables.members.columns.plan.values"),
        ({"tables__members__parts": {"prices": {"columns": ["fee"], "since": JULY}}},
         "tables.members.parts.prices"),
        ({"tables__members__key_spellings": [{"since": JULY, "digits": 5}]},
         "tables.members.key_spellings"),
        ({"label": {**LABEL, "since": JULY, "earlier": [
            {"column": "has_left", "horizon": {"months": 1}}]}}, "label"),
        ({"entity": {"column": "member", "source": "Member ID"}}, "entity.source"),
        ({"slices": []}, "slices"),
        ({"cadence": "week"}, "cadence"),
    ],
)  # fmt: skip
def test_every_change_is_named_and_none_of_these_is_refused(change, where):
    old = gym()
    new = gym(**change)
    assert changes_between(old, old) == []
    assert where in {found.where for found in changes_between(old, new)}
    assert refused_changes(old, new, [JUNE], {}) == []


@pytest.mark.parametrize(
    ("change", "where"),
    [
        ({"tables__visits__columns__classes": {"dtype": "integer"}},
         "tables.visits.columns.classes"),
        ({"tables__visits__columns__classes": {"dtype": "integer", "since": JUNE}},
         "tables.visits.columns.classes"),
        ({"tables__visits__columns__visits": {"dtype": "float"}}, "tables.visits.columns.visits"),
        ({"label": LABEL}, "label"),
        ({"label": {**LABEL, "since": JUNE, "earlier": [
            {"column": "has_left", "horizon": {"months": 1}}]}}, "label"),
        ({"entity": {"column": "person"}}, "entity.column"),
        ({"entity": {"column": "member", "dtype": "integer"}}, "entity.dtype"),
        ({"model_name": "club_churn"}, "model_name"),
    ],
)  # fmt: skip
def test_what_published_months_forbid_is_refused_with_the_way_that_works(change, where):
    found = refused_changes(gym(), gym(**change), [dt.date(2026, 5, 31), JUNE], {})
    assert [one.where for one in found] == [where]
    assert found[0].refused
    assert refused_changes(gym(), gym(**change), [], {}) == []


def test_a_column_that_a_version_reads_cannot_be_removed():
    version = views.of_version(gym(), JUNE, ("plan", "visits"))
    columns = {"plan": {"dtype": "category", "values": ["basic", "plus"]}}
    new = gym(
        tables__members={"columns": columns},
        feature_views={"profile": {"table": "members", "features": ["plan"]}},
    )
    assert refused_changes(gym(), new, [JUNE], {3: version}) == []
    fewer = gym(tables__visits={"columns": {"classes": {"dtype": "integer", "since": JULY}}},
                feature_views__use__features=["classes"])  # fmt: skip
    assert [f.where for f in refused_changes(gym(), fewer, [JUNE], {3: version})] == ["tables"]


def test_later_headers_and_files_are_said_in_words():
    new = gym(
        tables__members__columns__fee={"dtype": "float", "min": 0, "sources": {"Price": JULY}},
        tables__visits__files={"usage": JULY},
    )
    assert [(one.where, one.sentence) for one in changes_between(gym(), new)] == [
        (
            "tables.members.columns.fee.sources",
            "column members.fee has the header 'Price' from 2026-07-31 on",
        ),
        ("tables.visits.files", "table visits is in the file 'usage' from 2026-07-31 on"),
    ]
    (back,) = [one for one in changes_between(new, gym()) if one.where.endswith("sources")]
    assert "Price" in back.sentence
