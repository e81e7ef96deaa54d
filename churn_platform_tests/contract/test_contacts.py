"""The contacts section of a contract: what it may name, and what it does not change."""

import datetime as dt

import pandas as pd
import pytest
import yaml

from churn_platform.contract.changes import changes_between, refused_changes
from churn_platform.contract.model import Contract
from churn_platform.contract.reading import default_contract_path
from churn_platform.ingestion.rules import conform

DAYS = [dt.date(2026, 1, 31), dt.date(2026, 2, 28)]


def mapping(**parts: object) -> dict[str, object]:
    declared = yaml.safe_load(default_contract_path().read_text())
    declared["tables"]["contacts"] = {
        "columns": {
            "contacted_on": {"dtype": "date"},
            "action": {"dtype": "category"},
            "outcome": {"dtype": "category", "nullable": True},
            "cost": {"dtype": "float", "nullable": True},
            "planned": {"dtype": "boolean", "nullable": True},
        }
    }
    declared["label"] |= {"horizon": {"months": 1}, "period": "after"}
    declared["contacts"] = {
        "table": "contacts", "contacted_on": "contacted_on", "action": "action",
        "outcome": "outcome", "cost": "cost", "assigned": "planned",
    }  # fmt: skip
    return {**declared, **parts}


def test_a_contract_without_contacts_keeps_its_digests() -> None:
    without = {name: part for name, part in mapping().items() if name != "contacts"}
    plain = Contract.model_validate(without)
    with_contacts = Contract.model_validate(mapping())
    assert "contacts" not in plain.written()
    assert "contacts" not in plain.decided_by["policy"]
    assert with_contacts.policy_hash == plain.policy_hash
    assert with_contacts.model_hash == plain.model_hash
    assert {*with_contacts.feature_tables, "contacts"} == {*plain.feature_tables}
    assert with_contacts.event_tables == ("contacts",)


@pytest.mark.parametrize(
    ("parts", "place"),
    [
        ({"contacts": {"table": "calls", "contacted_on": "a", "action": "b"}}, "contacts.table"),
        (
            {"contacts": {"table": "subscriptions", "contacted_on": "a", "action": "b"}},
            "contacts.table",
        ),
        (
            {"contacts": {"table": "contacts", "contacted_on": "action", "action": "action"}},
            "contacts.contacted_on",
        ),
        (
            {
                "contacts": {
                    "table": "contacts",
                    "contacted_on": "contacted_on",
                    "action": "action",
                    "not_reached": ["no answer"],
                }
            },
            "contacts.not_reached",
        ),
        ({"label": {"table": "labels", "column": "churn_label"}}, "contacts: the label"),
        ({"do_not_contact": "users.nothing"}, "do_not_contact"),
        ({"do_not_contact": "contacts.planned"}, "do_not_contact"),
        ({"policy": {"contacts": {"salt": "churn-platform"}}}, "policy.contacts.salt"),
        ({"policy": {"contacts": {"budget": 2.5}}}, "policy.contacts.budget"),
        ({"policy": {"contacts": {"value": "users.nothing"}}}, "policy.contacts.value"),
        ({"policy": {"contacts": {"value": -1}}}, "policy.contacts.value"),
    ],
)
def test_a_wrong_name_or_number_is_refused_with_its_place(
    parts: dict[str, object], place: str
) -> None:
    with pytest.raises(ValueError, match=place):
        Contract.model_validate(mapping(**parts))


def test_months_without_the_table_have_no_contacts() -> None:
    declared = mapping()
    declared["tables"]["contacts"]["since"] = DAYS[1]  # type: ignore[index]
    contract = Contract.model_validate(declared)
    assert contract.at(DAYS[0]).contacts is None
    assert contract.at(DAYS[1]).contacts == contract.contacts


def test_contacts_are_added_to_a_home_without_a_date_and_told() -> None:
    new = Contract.model_validate(mapping())
    without = {name: part for name, part in mapping().items() if name != "contacts"}
    del without["tables"]["contacts"]  # type: ignore[attr-defined]
    old = Contract.model_validate(without)
    assert refused_changes(old, new, DAYS, {}) == []
    assert {change.where for change in changes_between(old, new)} >= {"contacts"}


def test_several_contacts_of_a_customer_are_kept_and_exact_repetitions_dropped() -> None:
    contract = Contract.model_validate(mapping())
    key = contract.key.source or contract.entity.column
    raw = pd.DataFrame(
        {
            key: ["A2", "A1", "A1", "A1", ""],
            "contacted_on": ["2026-01-03", "2026-01-02", "2026-01-02", "2026-01-01", "2026-01-01"],
            "action": ["call", "mail", "mail", "call", "call"],
            "outcome": "", "cost": "", "planned": "",
        }
    )  # fmt: skip
    rows, faults = conform(contract, "contacts", raw)
    assert [fault.code for fault in faults] == ["empty_key"]
    assert rows[contract.entity.column].tolist() == ["A1", "A1", "A2"]
    again, _ = conform(contract, "contacts", raw.iloc[::-1].reset_index(drop=True))
    pd.testing.assert_frame_equal(rows, again)
    nobody, faults = conform(contract, "contacts", raw.iloc[:0])
    assert (len(nobody), faults) == (0, [])
