"""A contract in use that gets contacts, and what a month's contacts change in it."""

import numpy as np
import pandas as pd
import pytest
import yaml

from churn_platform.contract.contacts import Contacts
from churn_platform.contract.model import Contract
from churn_platform.drafting.month_keys import MonthBefore
from churn_platform.drafting.updating import update_for
from churn_platform_tests.contract.test_views import JULY, gym
from churn_platform_tests.drafting.test_updating import BEFORE, KEYS, files
from churn_platform_tests.small_business import DECLARED as SMALL
from churn_platform_tests.small_business import (
    FEBRUARY,
    JANUARY,
    deliver,
    make_home,
    month_tables,
    open_home,
)

RANDOM = np.random.default_rng(2)


def calls(keys=KEYS, n=120, **columns):
    """A month's contacts with some of the customers."""
    day = pd.Timestamp(JULY) - pd.to_timedelta(RANDOM.integers(0, 28, n), unit="D")
    rows = {
        "member": RANDOM.choice(keys[:80], n),
        "contact_date": day.strftime("%Y-%m-%d"),
        "channel": RANDOM.choice(["call", "letter"], n),
        "result": RANDOM.choice(["no answer", "stays"], n),
    }
    return pd.DataFrame({**rows, **columns})


def after(**changes):
    """The gym, whose label can be changed by a contact."""
    return gym(label__period="after", **changes)


def update(frames, contract, before=BEFORE, skip=()):
    text = yaml.safe_dump(contract.model_dump(mode="json", exclude_unset=True), sort_keys=False)
    return update_for(contract, text, frames, JULY, before, skip)


def used(contract=None, **columns):
    """The gym with the contacts of `calls`."""
    found = update({**files(), "contacts": calls(**columns)}, contract or after())
    assert found.contract.contacts is not None
    return found


def test_a_new_file_of_contacts_proposes_its_table_and_the_sections():
    columns = after().tables["members"].model_dump(exclude_unset=True)["columns"]
    columns["no_marketing"] = {"dtype": "boolean"}
    contract = after(tables__members__columns=columns)
    frames = {**files(), "contacts": calls(note="by Ann")}
    frames["members"]["no_marketing"] = "no"
    found = update(frames, contract)
    assert [edit.where for edit in found.edits] == [
        "tables.contacts", "contacts.table", "contacts.contacted_on", "contacts.action",
        "contacts.outcome", "contacts.not_reached", "do_not_contact", "policy.contacts.budget",
    ]  # fmt: skip
    assert all(edit.doubt for edit in found.edits[1:])
    assert found.contract.contacts == Contacts(
        table="contacts", contacted_on="contact_date", action="channel", outcome="result",
        not_reached=("no answer",),
    )  # fmt: skip
    assert found.contract.do_not_contact == "members.no_marketing"
    assert 60 < found.contract.policy.contacts.budget <= 80
    assert found.contract.feature_tables == ("members", "visits")
    assert [why.partition(":")[0] for why in found.left_out] == ["contacts.note"]
    assert found.text.count("# confirm: ") == 7
    again = update({**files(), "contacts": calls(note="by Ann")}, used(note="by Ann").contract,
                   MonthBefore(BEFORE.headers | {"contacts": frozenset({"note"})}, BEFORE.tables))  # fmt: skip
    assert again.edits == ()


@pytest.mark.parametrize("place", ["contacts", "tables.contacts"])
def test_without_the_table_or_the_section_there_are_no_contacts(place):
    found = update({**files(), "contacts": calls()}, after(), skip=[place])
    assert found.edits == ()
    assert found.skipped == {place}


def test_a_label_known_at_the_as_of_leaves_the_contacts_out_with_what_to_set():
    found = update({**files(), "contacts": calls()}, gym(label__period="before"))
    assert found.edits == ()
    [why] = found.left_out
    assert "label.horizon" in why


def test_payments_are_a_log_and_a_second_table_of_contacts_is_left_out():
    payments = calls().rename(columns={"channel": "method", "contact_date": "paid_on"})
    payments["method"] = "card"
    payments["result"] = "paid"
    found = update({**files(), "payments": payments}, after())
    assert list(found.contract.logs) == ["payments"]
    assert (found.contract.contacts, found.left_out) == (None, ())
    [why] = update({**files(), "contacts": calls(), "mailings": calls()}, used().contract).left_out
    assert why.startswith("mailings: ")


def test_new_columns_of_contacts_are_no_features_and_new_campaigns_no_renames():
    contract = used().contract
    then = calls(channel="spring").assign(contact_date=JULY)
    before = MonthBefore(BEFORE.headers, {**BEFORE.tables, "contacts": then})
    frames = {**files(), "contacts": calls(channel="summer", stars=RANDOM.integers(0, 5, 120))}
    found = update(frames, contract, before)
    assert [edit.where for edit in found.edits] == ["tables.contacts.columns.stars"]
    assert "stars" not in found.contract.features


def test_a_header_of_contacts_that_is_renamed_is_found_by_its_part():
    frames = {**files(), "contacts": calls().rename(columns={"result": "outcome"})}
    found = update(frames, used().contract)
    assert [edit.where for edit in found.edits] == [
        "tables.contacts.columns.result.sources.outcome"
    ]
    assert found.contract.at(JULY).tables["contacts"].columns["result"].source == "outcome"


def test_a_part_of_the_contacts_that_is_gone_is_named_and_does_not_end():
    found = update({**files(), "contacts": calls().drop(columns="result")}, used().contract)
    assert found.edits == ()
    [why] = found.left_out
    assert why.startswith("contacts.outcome: ")
    assert update(files(), used().contract).edits == ()


def test_keys_of_contacts_in_another_spelling_are_read_as_before():
    frames = {**files(), "contacts": calls([f"C-{key}" for key in KEYS])}
    found = update(frames, after())
    [spelling] = found.contract.tables["contacts"].key_spellings
    assert spelling.read("C-00007") == "00007"
    later = update(frames, used().contract)
    assert [edit.where for edit in later.edits] == ["tables.contacts.key_spellings"]


def test_a_home_in_use_gets_contacts_and_its_drop_is_accepted(tmp_path):
    declared = {**SMALL, "label": {**SMALL["label"], "horizon": {"months": 1}, "period": "after"}}
    home = make_home(tmp_path / "home", declared)
    home.contract_history.record()
    deliver(home, JANUARY, month_tables(JANUARY, 60))
    home.ingestion.publish(JANUARY)
    folder = tmp_path / FEBRUARY.isoformat()
    folder.mkdir()
    frames = month_tables(FEBRUARY, 60)
    frames["contacts"] = calls(list(frames["members"]["member"][:50]), n=60)
    for name, frame in frames.items():
        frame.to_csv(folder / f"{name}.csv", index=False)
    proposal = home.contract_updates.propose([folder], None)
    assert (proposal.refused, proposal.remaining) == ((), ())
    assert {"tables.contacts", "contacts"} <= {change.where for change in proposal.changes}
    home.contract_updates.write(proposal)
    again = open_home(home.folder)
    assert isinstance(again.contract, Contract)
    found = again.ingestion.accept(folder, FEBRUARY)[1]
    assert found.comparison.contacts.unknown == 0
    assert again.ingestion.publish(FEBRUARY).kind == "first"
    assert again.contract_updates.propose([folder], None).changes == ()
