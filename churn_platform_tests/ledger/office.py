"""A ledger, a clock and the present, driven as commands drive them."""

import datetime as dt
from dataclasses import replace

from churn_platform.ledger.state import ProductionState
from churn_platform.ledger.version_acts import ApprovalRequested, Bound
from churn_platform.promotion.approvals import lapse
from churn_platform_tests.gym import Written

START = dt.datetime(2024, 3, 1, 6, tzinfo=dt.UTC)
DAYS = 14


def chain(*acts, start=START):
    """The receipts of acts, one a day; an act is one, or the fields of one."""
    receipts = []
    for day, act in enumerate(acts):
        time = (start + dt.timedelta(days=day)).isoformat()
        written = Written(**{"subject": "version 1"} | act) if isinstance(act, dict) else act
        receipts.append(written.receipt(receipts[-1] if receipts else None, time, "Ann"))
    return receipts


def state_of(*acts, start=START):
    """The state after `chain`."""
    return ProductionState.from_receipts(chain(*acts, start=start))


class Office:
    """Knows nothing of how requests are read."""

    def __init__(self):
        self.receipts, self.now, self.production = [], START, 1
        self.bound = Bound(2, "c2", "d0", "t0", "p0", 1)
        self.moved = []

    @property
    def state(self):
        return ProductionState.from_receipts(self.receipts)

    def append(self, act):
        head = self.receipts[-1] if self.receipts else None
        self.receipts.append(act.receipt(head, self.now.isoformat(), "tester"))
        return self.receipts[-1]

    def write(self, act, version, actor="tester", **evidence):
        subject = f"version {version}"
        return self.append(
            Written(act=act, subject=subject, actor=actor, reason="why", evidence=evidence)
        )

    def ask(self, bound):
        until = (self.now + dt.timedelta(days=DAYS)).isoformat()
        self.append(bound.act(ApprovalRequested, reason="why", as_of="2024-02-29", until=until))

    def present(self):
        return replace(self.bound, production=self.production)

    def settle(self):
        """Record what has lapsed, as every command does first."""
        request = self.state.pending
        if request is not None and lapse(request, self.present(), self.now) is not None:
            self.write("approval lapsed", request.version, request=request.receipt)

    def decide(self, version, tag):
        """A decision on a candidate passes and asks."""
        policy = self.bound.policy
        self.bound = Bound(version, f"c{version}", f"d{tag}", "t0", policy, self.production)
        self.settle()
        if version != self.production and self.state.standing_request(self.present()) is None:
            self.ask(self.present())

    def answer(self, act, version):
        self.settle()
        if version == self.production or self.state.why_not_waiting(version) is not None:
            return
        request = self.state.pending
        self.write(act, version, "Ann", request=request.receipt, override=False)
        if act == "approval":
            self.moved.append((request.bound, self.present(), self.now, request))
            self.production = version

    def happen(self, event, value):
        match event:
            case "decide":
                self.decide(2 + value % 4, value)
            case "approval" | "rejection":
                self.answer(event, 2 + value % 4)
            case "days":
                self.now += dt.timedelta(days=value)
            case "policy":
                self.bound = replace(self.bound, policy=f"p{value % 3}")
            case "tamper":
                self.bound = replace(self.bound, candidate=f"x{value}")
            case "remake":
                self.bound = replace(self.bound, dataset=f"t{value % 2}")
            case "roll back":
                self.production = 1
