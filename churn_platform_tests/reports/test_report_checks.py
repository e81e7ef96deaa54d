"""Verifying, repairing and completing the monthly reports: each fault by its month, reader and figure."""

import json

import pytest

from churn_platform.base.files import write_json
from churn_platform.lake.records import DIGESTS
from churn_platform.reports.monthly import checking
from churn_platform.reports.monthly.checking import CHECK, users
from churn_platform.reports.monthly.figures import AUDIENCES
from churn_platform.reports.monthly.making import KIND
from churn_platform_tests.contacts_business import LATER
from churn_platform_tests.small_business import (
    FEBRUARY,
    MARCH,
    copied,
    deliver,
    month_tables,
    open_home,
)


@pytest.fixture(scope="module")
def made(worked, tmp_path_factory):
    """The gym in March with the reports of February and March. Read only."""
    home = open_home(
        copied(worked, tmp_path_factory.mktemp("reported") / "home").folder, lambda: LATER
    )
    for month in (FEBRUARY, MARCH):
        home.monthly_reports.make(month)
    return home


@pytest.fixture
def home(made, tmp_path):
    return open_home(copied(made, tmp_path / "home").folder, lambda: LATER)


def found(home, *, deep=False):
    """The results about monthly reports: (state, detail)."""
    home = open_home(home.folder, lambda: LATER)
    checks = home._check_reports(home.ledger.receipts(), deep)
    return [(result.state, result.detail) for result in checks]


def breaks(home, *, deep=False):
    return [detail for state, detail in found(home, deep=deep) if state == "broken"]


def forged(home, kind, month, change):
    """Write a record again with other content, and with digests that fit it."""
    record = home.records.read(kind, month)
    change(record)
    home.records.write(kind, month, record)


def test_what_was_made_holds_and_every_source_is_of_a_known_kind(made):
    for deep in (False, True):
        assert found(made, deep=deep) == [("holds", "6 pages are those that were made")]
    kinds = {
        source.split("/")[0]
        for month in (FEBRUARY, MARCH)
        for source, _ in users(made.monthly_reports.record(month))
    }
    assert kinds >= {
        "snapshot",
        "contact_plan",
        "campaign_effect",
        "performance",
        "decision",
        "release",
    }
    verified = [one for one in made.verification.verify(deep=True) if one.check == CHECK]
    assert [one.state for one in verified] == ["holds"]


def test_a_home_without_reports_has_no_result(worked):
    assert found(worked, deep=True) == []


@pytest.mark.parametrize("deep", [False, True])
def test_a_page_that_was_changed_or_removed_is_named(home, deep):
    page = home.monthly_reports.file(MARCH, "manager")
    text = page.read_text()
    figure = next(
        one
        for answer in home.monthly_reports.record(MARCH).manager
        for sentence in answer.sentences
        for one in sentence.figures
    )
    page.write_text(text.replace(f">{figure.text}</data>", ">9999</data>"))
    home.monthly_reports.file(FEBRUARY, "team").unlink()
    lost, changed = breaks(home, deep=deep)
    assert "2024-02-29, page for the team" in lost
    assert "2024-03-31, page for the manager" in changed
    assert f"manager: {figure.name}" in changed


def test_a_report_that_was_changed_is_named_with_its_figure(home):
    path = home.records.path(KIND, MARCH, ".json")
    record = json.loads(path.read_text())
    sentence = next(
        one for answer in record["manager"] for one in answer["sentences"] if one.get("figures")
    )
    sentence["figures"][0]["text"] = "9999"
    write_json(path, record)
    [fault] = breaks(home)
    assert "2024-03-31" in fault
    assert f"manager: {sentence['figures'][0]['name']}" in fault
    # With a digest that fits, the page shows it.
    del record[DIGESTS]
    home.records.write(KIND, MARCH, record)
    assert breaks(home) == []
    faults = breaks(home, deep=True)
    assert faults
    assert all(f"manager: {sentence['figures'][0]['name']}" in fault for fault in faults)


def test_a_figure_that_was_forged_with_page_and_digests_is_named(home):
    report = home.monthly_reports.record(MARCH)
    fields = report.as_json()
    sentence = next(
        one for answer in fields["manager"] for one in answer["sentences"] if one.get("figures")
    )
    sentence["figures"][0] |= {"text": "9999", "value": 9999.0}
    home.monthly_reports.write(MARCH, type(report).model_validate(fields))
    assert breaks(home) == []
    [fault] = breaks(home, deep=True)
    assert f"2024-03-31, manager: {sentence['figures'][0]['name']} " in fault


def test_a_source_that_was_changed_is_named_with_the_figures_that_rest_on_it(home):
    path = home.records.path("campaign_effect", MARCH, ".json")
    record = json.loads(path.read_text())
    record["sentence"] = "We saved everybody."
    write_json(path, record)
    faults = breaks(home, deep=True)
    assert any(
        "2024-03-31" in one and "manager: " in one and "campaign_effect/2024-03-31" in one
        for one in faults
    )
    assert breaks(home) == []  # the pages are as they were


def test_a_source_that_was_forged_with_its_digest_is_named_while_no_receipt_explains_it(home):
    forged(home, "campaign_effect", MARCH, lambda record: record.update(sentence="Saved all."))
    [fault] = breaks(home, deep=True)
    assert "campaign_effect/2024-03-31" in fault
    # `churn report` of the newest month reads it again.
    home.monthly_reports.of(None)
    assert breaks(home, deep=True) == []


def test_a_source_that_is_gone_is_named(home):
    home.records.path("performance", MARCH, ".json").unlink()
    assert any("performance/2024-03-31, which is gone" in one for one in breaks(home, deep=True))


def test_a_decision_that_was_changed_is_named(home):
    path = home.records.decision_files()[-1]
    write_json(path, json.loads(path.read_text()) | {"reason": "because"})
    assert any("approver: " in one and "decision/" in one for one in breaks(home, deep=True))


def test_a_list_that_was_changed_makes_another_page(home):
    reports = home.monthly_reports
    rows = reports.gathering.list_rows(FEBRUARY, planned=True)
    file = home.reports / "2024-02-29" / "contact_list.parquet"
    rows.iloc[5:].to_parquet(file, index=False)
    [fault] = breaks(home, deep=True)
    assert "page for the team" in fault


def test_a_correction_is_no_fault_and_the_report_stays_as_it_was_made(home):
    tables = month_tables(FEBRUARY)
    tables["visits"]["hours"] = tables["visits"]["hours"].mask(tables["visits"].index < 20, 1.0)
    deliver(home, FEBRUARY, {"visits": tables["visits"]})
    open_home(home.folder, lambda: LATER).ingestion.publish(FEBRUARY)
    results = found(home, deep=True)
    assert [state for state, _ in results] == ["said", "said", "holds"]
    assert all("snapshot/2024-02-29 was corrected since" in detail for _, detail in results[:2])


def test_a_page_of_another_version_of_the_platform_is_compared_by_its_digest(home, monkeypatch):
    monkeypatch.setattr(checking, "renderer", lambda: "another")
    assert [state for state, _ in found(home, deep=True)] == ["said", "said", "holds"]
    home.monthly_reports.file(MARCH, "team").write_text("x")
    assert len(breaks(home, deep=True)) == 1


def test_doctor_makes_a_lost_or_changed_page_again_from_the_report(home):
    pages = [home.monthly_reports.file(MARCH, audience) for audience in AUDIENCES]
    before = [page.read_bytes() for page in pages]
    pages[0].unlink()
    pages[1].write_text("changed")
    [repair] = [one for one in home.repairs.run() if one.what == "monthly report"]
    assert repair.done
    assert [page.read_bytes() for page in pages] == before
    assert breaks(home, deep=True) == []
    assert home.repairs.run() == []
    receipt = home.ledger.receipts("recovery")[-1]
    assert (receipt.subject, receipt.evidence["record"]) == ("2024-03-31", KIND)


@pytest.mark.parametrize("fault", ["changed", "lost", "unreadable"])
def test_doctor_makes_a_report_without_its_record_from_what_is_known_now(home, fault):
    path = home.records.path(KIND, MARCH, ".json")
    before = home.monthly_reports.record(MARCH)
    if fault == "lost":
        path.unlink()
    elif fault == "unreadable":
        path.write_text("{")
    else:
        write_json(path, json.loads(path.read_text()) | {"business": "other"})
    repairs = [one for one in home.repairs.run() if one.what in ("monthly report", "record")]
    assert repairs
    assert all(one.done for one in repairs)
    assert home.monthly_reports.record(MARCH).content == before.content
    assert breaks(home, deep=True) == []


def test_a_run_that_was_cut_off_between_pages_and_record_is_completed_by_the_next(home):
    path = home.records.path(KIND, MARCH, ".json")
    before = home.monthly_reports.record(MARCH)
    path.unlink()
    home.run_start.complete()
    assert home.monthly_reports.record(MARCH).content == before.content
    # Made again, and cut off after the first page.
    page = home.monthly_reports.file(MARCH, "team")
    new = page.read_bytes()
    home.monthly_reports.write(MARCH, before.model_copy(update={"business": "as it was"}))
    page.write_bytes(new)
    assert len(breaks(home)) == 1
    home.run_start.complete()
    assert home.monthly_reports.record(MARCH).content == before.content
    assert breaks(home, deep=True) == []


def test_a_page_that_was_changed_is_not_covered_up_by_the_next_run(home):
    page = home.monthly_reports.file(MARCH, "team")
    page.write_text("changed")
    home.run_start.complete()
    assert page.read_text() == "changed"


def test_nothing_is_made_by_a_run_in_a_home_of_an_earlier_version(worked_copy):
    worked_copy.run_start.complete()
    assert worked_copy.records.months(KIND) == []
    month, report = worked_copy.monthly_reports.of(None)
    assert (month, report.as_of) == (MARCH, "2024-03-31")
    assert found(worked_copy, deep=True) == [("holds", "3 pages are those that were made")]
