"""The check of the contact plans: who was assigned, as registered before anybody saw it."""

import csv
import datetime as dt
import io
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd

from churn_platform.audit.checks import RESTORE, CheckResult, broken, holds, said
from churn_platform.base.cells import plain
from churn_platform.base.errors import ChurnError, IntegrityError
from churn_platform.base.text import counted
from churn_platform.contacts.plan import (
    ARM,
    ARMS,
    STRATA,
    UNTOUCHED,
    ContactPlan,
    share_of_keys,
)
from churn_platform.contacts.plans import KIND, REGISTERED, ContactPlanRecord, ContactPlans
from churn_platform.contacts.tested_plan import PROBABILITIES, DrawnFrom
from churn_platform.contract.contacts import ContactPolicy
from churn_platform.contract.model import Contract
from churn_platform.experiments.state import ExperimentState
from churn_platform.lake.contract_history import recorded_contract
from churn_platform.ledger.acts import (
    ContactPlanRegistered,
    ContractChanged,
    PlannedTest,
    PolicyChanged,
)
from churn_platform.ledger.receipts import Receipt
from churn_platform.scoring.contact_list import EXCEL_ROWS, ContactList
from churn_platform.scoring.contact_planning import ContactPlanning, list_files

CHECK = "contact plans"
LATER = ("drop accepted", REGISTERED)
"""What a run does for a later month once the plan of a month is complete or withdrawn."""
REMEDY = "`churn doctor --fix` makes it again, or says why not"


@dataclass(frozen=True)
class PlanChecks:
    """Checks the contact plans of one home."""

    planning: ContactPlanning
    receipts: Sequence[Receipt]
    is_free: Callable[[], bool]
    """Whether no run is under way."""

    @property
    def plans(self) -> ContactPlans:
        """The registered plans."""
        return self.planning.plans

    def registered(self) -> Iterator[CheckResult]:
        """Every plan against its receipt, its list against the plan. Nothing in a home without
        plans.
        """
        held = 0
        for as_of in self._months():
            faults, unfinished = self._faults(as_of)
            yield from (broken(CHECK, fault) for fault in faults)
            if unfinished:
                yield said(CHECK, unfinished)
            held += not faults and not unfinished
        if held:
            yield holds(CHECK, f"{counted(held, 'plan')} as registered, with their lists", held)

    def drawn_again(self) -> Iterator[CheckResult]:
        """Every plan, drawn again from its rows, and from what it was drawn from."""
        held = 0
        for as_of in self.plans.months():
            try:
                rows = self.plans.rows(as_of)
            except ChurnError:  # the check above names it
                continue
            receipt = self.plans.registration(as_of)
            if receipt is None:
                continue
            fault = self._draw_fault(receipt, rows)
            if fault:
                yield broken(CHECK, fault)
                continue
            found = self._from_inputs(as_of, receipt, rows)
            if found is None:
                held += 1
            else:
                yield found
        if held:
            yield holds(CHECK, f"{counted(held, 'plan')} drawn again from the same inputs", held)

    def _months(self) -> list[dt.date]:
        """The months that a receipt, a record or a list gives a plan."""
        recorded = []
        for as_of in self.plans.records.months(KIND):
            try:
                record = self.plans.record(as_of)
            except ChurnError:
                recorded.append(as_of)
                continue
            if record is not None and record.digest is not None:
                recorded.append(as_of)
        listed = [
            as_of
            for as_of in self.planning.lake.months()
            if any(file.exists() for file in list_files(self.planning.reports, as_of))
        ]
        return sorted({*self.plans.months(), *recorded, *listed})

    def _faults(self, as_of: dt.date) -> tuple[list[str], str]:
        """What is wrong with a month's plan, and why it is not complete."""
        receipt = self.plans.registration(as_of)
        try:
            record = self.plans.record(as_of)
        except ChurnError as error:
            return [f"{error} {REMEDY}"], ""
        if receipt is None:
            return [f"no receipt registers the contact plan of {as_of}: it was added"], ""
        named = f"the contact plan of {as_of} that receipt {receipt.sequence} registered"
        if record is None or record.digest is None:
            seen = any(file.exists() for file in list_files(self.planning.reports, as_of))
            if seen and not self._has_rows(as_of):
                return [f"{named} has lost its rows, and its list is there; {REMEDY}"], ""
            later = any(
                one.act in LATER and one.subject > receipt.subject
                for one in self.receipts[receipt.sequence :]
            )
            if later and self.is_free():
                return [f"{named} has no record: it was removed; {REMEDY}"], ""
            return [], f"{named} is not complete: the next `churn run` completes it"
        if record.digest != self.plans.registered_digest(as_of):
            return [f"the record of {as_of} is not of {named}; {RESTORE}"], ""
        try:
            rows = self.plans.rows(as_of)
        except ChurnError as error:
            return [str(error)], ""
        faults = [*_record_faults(record, ContactPlanRegistered.of(receipt), rows, named)]
        contract = _contract_then(self.planning.contract, self.receipts, receipt)
        expected = ContactList.of(contract or self.planning.contract, as_of, rows)
        text, excel, served = list_files(self.planning.reports, as_of)
        faults += _list_faults(text, _csv_keys, expected)
        if len(expected.rows) < EXCEL_ROWS:
            faults += _list_faults(excel, _excel_keys, expected)
        faults += _list_faults(served, self._served_keys, expected)
        return faults, ""

    def _served_keys(self, file: Path, _: ContactList, __: str) -> list[str]:
        column = self.plans.contract.entity.column
        return pd.read_parquet(file, columns=[column])[column].astype(str).tolist()

    def _has_rows(self, as_of: dt.date) -> bool:
        """Whether the rows of a plan are those that were registered."""
        try:
            self.plans.rows(as_of)
        except ChurnError:
            return False
        return True

    def _draw_fault(self, receipt: Receipt, rows: pd.DataFrame) -> str:
        """Why the arms in the rows are not those of the registered draw; empty if they are."""
        registered = ContactPlanRegistered.of(receipt)
        key = self.plans.contract.entity.column
        named = f"the contact plan of {receipt.subject}"
        above = rows[rows["stratum"].between(0, STRATA - 1)]
        drawn = share_of_keys(
            above[key], registered.salt, registered.experiment, registered.untouched_share
        )
        if not (drawn == (above[ARM] == UNTOUCHED).to_numpy()).all():
            return f"{named}: its untouched customers are not those that its salt draws"
        if self._forgotten(receipt):
            return ""
        policy = ContactPolicy(
            budget=registered.budget,
            untouched_share=registered.untouched_share,
            explore_share=registered.explore_share,
            salt=registered.salt,
        )
        if registered.test is not None and not self._is_registered(registered.test):
            return f"{named}: it belongs to {registered.test.name}, which no receipt registers"
        nobody = pd.Series(None, index=rows.index, dtype=object)
        ranked_by = ("probability", "value", "effect", *PROBABILITIES)
        customers = rows[[key, *(name for name in ranked_by if name in rows)]]
        drawn_from = DrawnFrom(customers, nobody)
        again = drawn_from.plan(policy, registered.experiment, key, registered.test)
        if not _same(again, rows):
            return f"{named}: its order, arms or strata are not those that its rows give"
        return ""

    def _is_registered(self, planned: PlannedTest) -> bool:
        """Whether a receipt registers the test that a plan belongs to."""
        known = ExperimentState.from_receipts(self.receipts).tests.get(planned.name)
        return known is not None and known.planned == planned

    def _from_inputs(
        self, as_of: dt.date, receipt: Receipt, rows: pd.DataFrame
    ) -> CheckResult | None:
        """None if the plan made again is the same; else what differs."""
        again, why_not = made_again(self.planning, self.receipts, receipt)
        if again is None:
            return said(
                CHECK,
                f"the contact plan of {as_of} is as its rows draw it, but cannot be drawn again"
                f" from its inputs: {why_not}",
            )
        if not _same(again, rows):
            return broken(
                CHECK,
                f"the contact plan of {as_of}: its inputs are as registered and give other rows;"
                f" {RESTORE}",
            )
        return None

    def _forgotten(self, receipt: Receipt) -> bool:
        """Whether a customer was erased from the plan."""
        as_of = dt.date.fromisoformat(receipt.subject)
        return self.plans.registered_digest(as_of) != receipt.evidence["digest"]


def made_again(
    planning: ContactPlanning, receipts: Sequence[Receipt], receipt: Receipt
) -> tuple[ContactPlan | None, str]:
    """A registered plan made again from the scores, contract and policy as they were; or why it
    cannot be.
    """
    registered = ContactPlanRegistered.of(receipt)
    as_of = registered.month
    contract = _contract_then(planning.contract, receipts, receipt)
    if contract is None:
        return None, "its policy is not recorded in the ledger"
    then = replace(planning, contract=contract)
    try:
        instant = dt.datetime.fromisoformat(receipt.time)
        found = then.drawn_from(as_of, instant, registered.test)
    except (ChurnError, KeyError, OSError) as error:
        return None, f"its inputs are gone ({error!r})"
    if found.digest != registered.inputs:
        return None, (
            "the scores, tables or earlier plans have changed since (another version, a"
            " correction or an erasure)"
        )
    key = contract.entity.column
    policy = contract.policy.contacts
    return found.plan(policy, registered.experiment, key, registered.test), ""


def why_damaged(planning: ContactPlanning, as_of: dt.date) -> str | None:
    """Why the rows or the record of a registered plan are not what was written; None if they
    are, or if a run was cut off before the rows.
    """
    plans = planning.plans
    path = plans.records.path(KIND, as_of, ".json")
    written = [plans.records.path(KIND, as_of, ".parquet"), *list_files(planning.reports, as_of)]
    try:
        record = plans.record(as_of)
        digest = None if record is None else record.digest
        if digest is None and not any(file.exists() for file in written):
            return None
        plans.rows(as_of)
        if digest != plans.registered_digest(as_of):
            return f"{path} was not of the registered plan"
        return plans.records.broken(KIND, as_of)
    except ChurnError as error:
        return str(error)


def restored(planning: ContactPlanning, receipts: Sequence[Receipt], as_of: dt.date) -> str:
    """Restore a damaged plan; what was done.

    Raises:
        IntegrityError: nothing proves what it was.
    """
    named = f"The contact plan of {as_of}"
    try:
        planning.plans.rows(as_of)
    except IntegrityError as error:
        receipt = planning.plans.registration(as_of)
        if receipt is None:
            raise
        again, why_not = made_again(planning, receipts, receipt)
        if again is None:
            raise IntegrityError(
                f"{named} cannot be made again: {why_not}. {error}", code="CONTACT_PLAN_CHANGED"
            ) from None
        planning.restore(as_of, again)
        return f"{named} was made again from the same scores, as receipt {receipt.sequence} has it."
    planning.restore(as_of)
    return f"The record of the contact plan of {as_of} was restored from its rows."


def _contract_then(
    contract: Contract, receipts: Sequence[Receipt], receipt: Receipt
) -> Contract | None:
    """The contract and policy under which a plan was registered; None if not recorded."""
    earlier = receipts[: receipt.sequence]
    contracts = [one for one in earlier if one.act == "contract changed"]
    policies = [
        one
        for one in earlier
        if one.act == "policy changed" and one.after == receipt.evidence["policy"]
    ]
    then = contract
    if contracts:
        then = recorded_contract(ContractChanged.of(contracts[-1]))
    if policies:
        parts = PolicyChanged.of(policies[-1]).policy
    elif contract.policy_hash == receipt.evidence["policy"]:
        parts = contract.decided_by
    else:
        return None
    return then.changed(policy=parts["policy"], costs=parts["costs"])


def _record_faults(
    record: ContactPlanRecord, registered: ContactPlanRegistered, rows: pd.DataFrame, named: str
) -> Iterator[str]:
    """Fields of the record that the receipt or the rows contradict."""
    counts = rows[ARM].value_counts()
    expected = {
        "version": registered.version,
        "experiment": registered.experiment,
        "budget": registered.budget,
        "untouched_share": registered.untouched_share,
        "explore_share": registered.explore_share,
        "excluded": registered.excluded,
    }
    expected |= {arm: int(counts.get(arm, 0)) for arm in ARMS}
    for field, value in expected.items():
        found = getattr(record, field)
        if found != value:
            yield f"the record of {named} has {field} {found}, not {value}; {REMEDY}"


def _list_faults(
    file: Path, keys: Callable[[Path, ContactList, str], list[str]], expected: ContactList
) -> Iterator[str]:
    """What is wrong with a list for the team: it names those assigned and nobody else. The team
    may sort it and fill it in.
    """
    if not file.exists():
        yield f"{file} is gone: `churn run` makes it again"
        return
    column = expected.rows.columns[1]
    try:
        listed = keys(file, expected, column)
    except Exception as error:  # noqa: BLE001 - what a changed file may lead a library to raise
        yield f"{file} cannot be read as the list that was made ({error!r})"
        return
    if sorted(listed) != sorted(expected.rows[column].astype(str)):
        yield f"{file} does not name the customers who are assigned by the plan, and only them"


def _csv_keys(file: Path, expected: ContactList, column: str) -> list[str]:
    text = file.read_text(encoding="utf-8-sig")
    rows = csv.DictReader(io.StringIO(text, newline=""), delimiter=expected.delimiter)
    return [plain(row[column]) for row in rows]


def _excel_keys(file: Path, expected: ContactList, column: str) -> list[str]:
    from openpyxl import load_workbook

    book = load_workbook(file, read_only=True)
    try:
        rows = book.worksheets[0].iter_rows(values_only=True)
        place = list(next(rows)).index(column)
        return [str(row[place]) for row in rows][: len(expected.rows) + 1]
    finally:
        book.close()


def _same(again: ContactPlan, rows: pd.DataFrame) -> bool:
    """Whether a plan made again has the same rows."""
    found = again.rows
    return len(found) == len(rows) and all(
        found[name].to_numpy(dtype=object).tolist() == rows[name].to_numpy(dtype=object).tolist()
        for name in found
    )
