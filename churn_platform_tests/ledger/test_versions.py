"""The standing of versions: what people said, kept with name, reason and time."""

from churn_platform.ledger.versions import barred, blocked, overrides, rejected, word
from churn_platform_tests.ledger.test_approvals import Office


def test_versions_are_blocked_until_they_are_unblocked():
    office = Office()
    office.write("version blocked", "version 2", "Bob")
    office.write("version blocked", "version 3", "Bob")
    office.write("version unblocked", "version 2", "Ann")
    assert {version: who.by for version, who in blocked(office.receipts).items()} == {3: "Bob"}
    assert barred(office.receipts) == {
        3: "Version 3 is blocked since Bob rolled it back at 2024-03-01 06:00 UTC (why): `churn unblock 3` allows it again."
    }


def test_a_rejection_bars_a_version_until_it_is_approved():
    office = Office()
    office.write("rejection", "version 2", "Bob", request=None)
    assert rejected(office.receipts)[2].by == "Bob"
    assert barred(office.receipts) == {
        2: "Version 2 was rejected by Bob at 2024-03-01 06:00 UTC: why."
    }
    office.write("approval", "version 2", "Ann", request=None, override=True)
    assert rejected(office.receipts) == barred(office.receipts) == {}


def test_an_override_is_told_for_ever_and_an_approval_is_none():
    office = Office()
    office.write("approval", "version 2", "Ann", request=None, override=True)
    office.write("approval", "version 3", "Ann", request=None, override=False)
    office.write("approval", "version 2", "Bob", request=None, override=False)
    assert {version: who.by for version, who in overrides(office.receipts).items()} == {2: "Ann"}


def test_a_decision_is_told_with_its_request_and_who_overrode_it():
    office = Office()
    office.decide(2, 1)
    waits = word(office.receipts, "d1")
    assert waits["overridden"] is None
    assert {name: waits["approval"][name] for name in ("version", "state", "by", "until")} == {
        "version": 2, "state": "pending", "by": None, "until": "2024-03-15T06:00:00+00:00",
    }  # fmt: skip
    office.answer("rejection", 2)
    assert (word(office.receipts, "d1")["approval"]["state"], word(office.receipts, "d1")["approval"]["by"]) == (
        "rejected", "Ann",
    )  # fmt: skip
    office.write("approval", "version 2", "Bob", request=None, override=True, decision="d1")
    assert word(office.receipts, "d1")["overridden"] == {
        "by": "Bob", "reason": "why", "at": "2024-03-01T06:00:00+00:00",
    }  # fmt: skip
    assert word(office.receipts, "another") == {"approval": None, "overridden": None}
