"""A table of contacts among the files of a drop: recognised, drafted, and told from payments and visits."""

import datetime as dt
import re

import numpy as np
import pandas as pd
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from churn_platform.contract.contacts import Contacts
from churn_platform.contract.model import Contract, Span
from churn_platform.contract.reading import read_contract
from churn_platform.drafting.contact_columns import contact_columns, why_no_contacts
from churn_platform.drafting.contract_file import as_yaml, draft_from
from churn_platform.drafting.draft import draft
from churn_platform.drafting.times import Times
from churn_platform.drafting.words import NOT_REACHED, speaks_of_objection, spoken
from churn_platform.ingestion.rules import conform
from churn_platform_tests.contact_files import CALLED, CUSTOMERS, LABELLED, MONTHS, english, german
from churn_platform_tests.drafting.sheets import sheet

NO_PAYMENTS = "'subscriber_id' is empty or repeats in 200 of 400 rows"
AFTER = Times(horizon=Span(months=1), period="after")
RANDOM = np.random.default_rng(0)
IDS = np.array([f"c{n:03d}" for n in range(200)])
DAYS = pd.Timestamp("2024-01-31") - pd.to_timedelta(RANDOM.integers(0, 300, 300), unit="D")
CUSTOMERS_FILE = pd.DataFrame(
    {"customer_id": IDS, "fee": RANDOM.integers(1, 50, 200), "churned": ["yes", "no"] * 100}
)


def log_of(n=300, **columns):
    """Rows of events with some customers several times, and these columns."""
    return pd.DataFrame({"customer_id": RANDOM.choice(IDS[:90], n), "date": DAYS[:n], **columns})


def some(*values, n=300):
    return RANDOM.choice(values, n)


def drafted(**files):
    """The draft from a table of customers and other files."""
    return draft({"customers": CUSTOMERS_FILE, **files}, name="d", times=AFTER)


def read_again(found, path):
    """The contract of a draft's text, and the text."""
    text = as_yaml(found)
    path.mkdir(exist_ok=True)
    (path / "contract.yaml").write_text(text, encoding="utf-8")
    return read_contract(path / "contract.yaml"), text


@pytest.fixture(scope="module")
def newspaper(tmp_path_factory):
    """The newspaper's months. Read only."""
    return english(tmp_path_factory.mktemp("newspaper"))


def test_a_table_of_contacts_is_drafted_with_every_line_to_confirm(newspaper, tmp_path):
    drop, found = draft_from(newspaper, name="paper")
    assert drop == newspaper / LABELLED.isoformat()
    contract, text = read_again(found, tmp_path)
    assert contract == found.contract
    assert contract.contacts == Contacts(
        table="contacts",
        contacted_on="contact_date",
        action="channel",
        outcome="result",
        not_reached=("no answer", "voicemail"),
        cost="cost",
        assigned="planned",
    )
    section = text.split("\ncontacts:\n")[1].split("\n\n")[0].splitlines()
    assert len(section) == 8
    assert all("   # confirm: " in line for line in section)
    assert contract.do_not_contact == "subscribers.no_marketing"
    assert contract.policy.contacts.budget == CALLED
    assert "  contacts: {budget: 60}   # confirm: " in text
    columns = contract.tables["contacts"].columns
    assert {name: column.dtype for name, column in columns.items()} == {
        "contact_date": "date", "channel": "category", "result": "category", "cost": "float",
        "planned": "boolean",
    }  # fmt: skip
    assert all(column.values is None and column.max is None for column in columns.values())
    assert [name for name, column in columns.items() if column.nullable] == [
        "result", "cost", "planned",
    ]  # fmt: skip
    left = {(out.table, out.column): out.reason for out in found.left_out}
    assert left["payments", ""].startswith(NO_PAYMENTS)
    assert set(left) == {("payments", ""), ("contacts", "agent")}
    assert found.rows["contacts"] == CALLED + 20
    assert f"{CUSTOMERS} customers." in text.splitlines()[2]


def test_german_headers_and_a_column_that_marks_who_agrees(tmp_path):
    found = draft_from(german(tmp_path / "files"), name="mobil")[1]
    contract, text = read_again(found, tmp_path)
    assert contract.contacts == Contacts(
        table="Kundenkontakte",
        contacted_on="Datum",
        action="Kontaktart",
        outcome="Ergebnis",
        not_reached=("Mailbox", "nicht erreicht"),
        cost="Kosten",
    )
    assert contract.tables["Kundenkontakte"].columns["Datum"].date_format == "%d.%m.%Y"
    assert contract.do_not_contact is None
    assert "# Kunden.Werbeeinwilligung marks who agrees" in text


def test_without_a_horizon_the_contacts_are_a_comment_that_can_be_used_later(newspaper, tmp_path):
    found = draft_from(newspaper / MONTHS[0].isoformat(), name="paper")[1]
    contract, text = read_again(found, tmp_path)
    assert (contract.contacts, contract.do_not_contact) == (None, None)
    assert "contacts" not in contract.tables
    [reason] = [o.reason for o in found.left_out if (o.table, o.column) == ("contacts", "")]
    assert "label.horizon" in reason
    table = re.search(r"(  # contacts:\n(?:  #.*\n)+)", text).group(1)
    text = text.replace(table, re.sub(r"^  # ", "  ", table, flags=re.MULTILINE))
    section = text[text.index("# contacts:\n") :].partition("\n\n")[0]
    text = text.replace(section, re.sub(r"^# ", "", section, flags=re.MULTILINE))
    text = text.replace(
        "period: before, horizon: {months: 0}", "period: after, horizon: {months: 1}"
    )
    (tmp_path / "used.yaml").write_text(text, encoding="utf-8")
    used = read_contract(tmp_path / "used.yaml")
    assert used.contacts == draft_from(newspaper, name="paper")[1].contract.contacts
    assert used.do_not_contact == "subscribers.no_marketing"


@pytest.mark.parametrize(
    ("name", "columns"),
    [
        ("payments", {"method": some("card", "transfer"), "status": some("paid", "open")}),
        ("visits", {"type": some("class", "gym")}),
        ("orders", {"channel": some("web", "app", "phone"), "campaign": some("a", "b")}),
        ("support_calls", {"channel": some("phone", "e-mail"), "result": some("no answer", "ok")}),
        ("contacts", {"channel": some("call", "mail"), "direction": some("inbound", "outbound")}),
        ("logins", {"action": some("login", "logout")}),
    ],
)
def test_other_tables_with_several_rows_a_customer_are_logs_or_left_out(name, columns):
    with_key = CUSTOMERS_FILE[["customer_id"]].assign(visits=RANDOM.integers(0, 9, 200))
    found = drafted(**{name: log_of(**columns), "usage": with_key})
    assert found.contract.contacts is None
    assert list(found.contract.logs) == [name]
    timeless = log_of(**columns).assign(date="2024-01-31")
    found = drafted(**{name: timeless, "usage": with_key})
    assert (found.contract.contacts, found.contract.logs) == (None, {})
    [reason] = [out.reason for out in found.left_out if (out.table, out.column) == (name, "")]
    assert reason.startswith("'customer_id' is empty or repeats in ")


def test_the_call_records_of_a_phone_company_are_no_contacts():
    n = 3000
    days = pd.Timestamp("2024-01-31") - pd.to_timedelta(RANDOM.integers(0, 30, n), unit="D")
    calls = pd.DataFrame(
        {"customer_id": RANDOM.choice(IDS[:90], n), "call_date": days,
         "call_type": some("local", "abroad", n=n), "call_status": some("busy", "ok", n=n)}
    )  # fmt: skip
    assert contact_columns(sheet("calls", **calls), ["customer_id"]) is None


def test_a_month_in_which_each_customer_is_contacted_once_is_not_a_table_of_features():
    calls = log_of(
        n=40, action=some("call", "offer", n=40), result=some("no answer", "stays", n=40)
    )
    calls["customer_id"] = IDS[:40]
    found = drafted(calls=calls)
    assert found.contract.contacts.table == "calls"
    assert found.contract.feature_tables == ("customers",)
    everybody = CUSTOMERS_FILE[["customer_id"]].assign(
        last_contact=DAYS[:200], contact_channel=some("call", "mail", n=200)
    )
    assert drafted(contacts=everybody).contract.contacts is None


def test_contacts_that_only_another_drop_has_are_found():
    calls = log_of(channel=some("call", "letter"), outcome=some("reached", "not reached"))
    usual = {"customers": CUSTOMERS_FILE}
    found = draft(usual, name="d", times=AFTER, others=[{**usual, "outreach": calls}])
    assert found.contract.contacts.table == "outreach"
    assert found.contract.contacts.not_reached == ("not reached",)


def test_customers_who_left_since_count_for_the_budget_and_are_known_from_another_drop():
    calls = log_of(action=some("call", "visit"), result=some("busy", "stays"))
    calls["date"] = pd.Timestamp("2024-01-20")
    now = CUSTOMERS_FILE[85:].reset_index(drop=True)
    others = [{"customers": CUSTOMERS_FILE}]
    found = draft({"customers": now, "calls": calls}, name="d", times=AFTER, others=others)
    assert found.contract.policy.contacts.budget == calls["customer_id"].nunique()
    alone = draft({"customers": now, "calls": calls}, name="d", times=AFTER)
    assert alone.contract.contacts is None


def test_a_number_of_each_contact_is_kept_so_two_of_one_day_stay_two():
    calls = log_of(channel=some("call", "letter"), contact_id=RANDOM.permutation(300))
    found = drafted(contacts=calls)
    assert "contact_id" in found.contract.tables["contacts"].columns
    calls["contact_id"] = np.arange(300)
    calls = calls.rename(columns={"contact_id": "row number"})
    assert "row_number" not in drafted(contacts=calls).contract.tables["contacts"].columns


def test_of_two_tables_of_contacts_one_is_named_and_the_other_left_out():
    calls = log_of(action=some("call", "visit"), result=some("no answer", "stays"))
    letters = log_of(action=some("letter", "postcard"), campaign=some("a", "b"))
    found = drafted(calls=calls, mailings=letters)
    assert found.contract.contacts.table == "calls"
    assert [out.table for out in found.left_out if not out.column] == ["mailings"]


def test_yes_and_no_whether_a_customer_was_reached_is_an_outcome():
    found = drafted(calls=log_of(action=some("call", "visit"), reached=some("yes", "no")))
    assert found.contract.contacts.not_reached == ("no",)
    assert found.contract.tables["calls"].columns["reached"].dtype == "category"


@pytest.mark.parametrize(
    ("keys", "word"),
    [
        (pd.Series([f"C{n:03d}" for n in range(90)]), "differ"),
        (pd.Series([f"x{n + 500}" for n in range(90)]), "only 0%"),
        (pd.Series([*IDS[:80], *[None] * 10]), "no key"),
    ],
)
def test_contacts_of_other_customers_or_without_keys_are_left_out(keys, word):
    typed = keys.astype("string[pyarrow]")
    assert word in why_no_contacts(typed, pd.Series(IDS, dtype="string[pyarrow]"))
    calls = log_of(n=90, action=some("call", "visit", n=90), result=some("busy", "ok", n=90))
    calls["customer_id"] = [*keys[:80], *keys[:10]] if word != "no key" else keys
    found = drafted(calls=calls)
    assert found.contract.contacts is None
    assert [out.table for out in found.left_out if not out.column] == ["calls"]


def test_the_budget_is_what_a_usual_month_shows_but_not_everybody():
    months = pd.date_range("2023-08-31", periods=4, freq="ME").repeat([20, 24, 26, 200])
    rows = pd.DataFrame({"customer_id": np.resize(IDS, 270), "contacted_on": months,
                         "action": some("call", "mail", n=270)})  # fmt: skip
    assert drafted(contacts=rows).contract.policy.contacts.budget == 25
    rows["contacted_on"] = months[-1]
    assert drafted(contacts=rows).contract.policy.contacts.budget == 100


@pytest.mark.parametrize(
    "name",
    ["do_not_contact", "DoNotCall", "dnc", "no_marketing", "opt_out", "optedOut", "OPTOUT_MAIL",
     "marketing_objection", "Werbewiderspruch", "keine Werbung", "Werbesperre",
     "nicht_kontaktieren", "consent_withdrawn", "no_consent", "Einwilligung widerrufen"],
)  # fmt: skip
def test_names_of_customers_who_object(name):
    assert speaks_of_objection(name) is True


@pytest.mark.parametrize(
    ("name", "objects"),
    [("marketing_consent", False), ("opt_in", False), ("may_contact", False),
     ("Einwilligung", False), ("contact_allowed", False), ("not_opted_out", False),
     ("has_app", None), ("options", None), ("contactless", None)],
)  # fmt: skip
def test_names_of_customers_who_agree_or_neither(name, objects):
    assert speaks_of_objection(name) is objects


@pytest.mark.parametrize("value", ["No answer", "not_reached", "Voicemail", "left message", "busy",
                                   "nicht erreicht", "Mailbox", "Anrufbeantworter", "unreachable"])  # fmt: skip
def test_outcomes_of_customers_who_were_not_reached(value):
    assert NOT_REACHED.fullmatch(spoken(value))


@pytest.mark.parametrize("value", ["accepted", "declined", "reached", "erreicht", "no", "message"])
def test_other_outcomes(value):
    assert not NOT_REACHED.fullmatch(spoken(value))


def test_a_draft_without_contacts_says_nothing_about_them():
    objecting = CUSTOMERS_FILE.assign(no_marketing=["yes", "no", "no", "no"] * 50)
    text = as_yaml(draft({"customers": objecting}, name="d", times=AFTER))
    assert {"contacts", "do_not_contact", "policy"}.isdisjoint(yaml.safe_load(text))


CELLS = {
    "day": st.dates(dt.date(2021, 1, 1), dt.date(2024, 1, 31)).map(str),
    "german day": st.dates(dt.date(2021, 1, 1), dt.date(2024, 1, 31)).map("{:%d.%m.%Y}".format),
    "time": st.datetimes(dt.datetime(2024, 1, 1), dt.datetime(2024, 1, 31)).map(
        "{:%Y-%m-%d %H:%M:%S}".format
    ),
    "word": st.sampled_from(["call", "Brief", "e-mail", "no answer", "Nicht erreicht", "accepted"]),
    "money": st.sampled_from(["1,50", "2,00", "-3", "0", "12"]),
    "yes": st.sampled_from(["yes", "no"]),
    "bit": st.sampled_from(["0", "1"]),
    "number": st.integers(0, 10**6).map(str),
    "text": st.text("abc äß'\"#:-", max_size=9),
}
HEADERS = [
    "contact_date", "Datum", "channel", "Kontakt Art", "type", "action", "Ergebnis", "reached",
    "status", "cost", "Kosten", "planned", "target", "contact_id", "created_at", "plan", "Name",
    "as_of", "label", "on", "",
]  # fmt: skip


@st.composite
def logs(draw):
    """A log of contacts with repeated keys, and any other columns that it might have."""
    rows = draw(st.integers(30, 60))
    columns = {
        "customer_id": draw(st.lists(st.sampled_from(IDS[:40]), min_size=rows, max_size=rows))
    }
    days = CELLS[draw(st.sampled_from(["day", "german day", "time"]))]
    columns[draw(st.sampled_from(["contact_date", "Datum"]))] = draw(
        st.lists(days, min_size=rows, max_size=rows)
    )
    ways = st.sampled_from(["call", "Brief", "e-mail"])
    columns["channel"] = draw(st.lists(ways, min_size=rows, max_size=rows))
    others = st.sampled_from([header for header in HEADERS if header not in columns])
    for header in draw(st.lists(others, min_size=0, max_size=7, unique=True)):
        kind = CELLS[draw(st.sampled_from(sorted(CELLS)))]
        if draw(st.booleans()):
            kind = st.just("") | kind
        columns[header] = draw(st.lists(kind, min_size=rows, max_size=rows))
    return pd.DataFrame(columns, dtype=str)


@given(logs(), st.sampled_from(["contacts", "Kundenkontakte"]))
@settings(max_examples=10, deadline=None)
def test_any_log_gives_a_contract_that_it_keeps(log, name):
    files = {"customers": CUSTOMERS_FILE, name: log}
    found = draft(files, name="d", times=AFTER, entity="customer_id")
    assert Contract.model_validate(yaml.safe_load(as_yaml(found))) == found.contract
    left_out = name in [out.table for out in found.left_out if not out.column]
    assert left_out != (found.contract.contacts is not None)
    if found.contract.contacts is not None:
        faults = conform(found.contract, name, log)[1]
        assert [fault.sentence() for fault in faults if not fault.of_cells] == []
        assert sum(len(fault.positions) for fault in faults) <= 0.01 * len(log)
