"""The warnings of a month: what a record of it knows and a person should hear, each with a
stable code.

A warning never stops the loop; what must stop it is a fault of the drop or a criterion of the
decision. The sentences are kept in the ledger, so they hold no key of a customer.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal

from churn_platform.base.text import counted
from churn_platform.contract.policy import IngestionPolicy
from churn_platform.ledger.receipts import DELIVERED, Act, Receipt

if TYPE_CHECKING:
    # The server reads warnings and has no pandas.
    from churn_platform.lake.month_comparison import (
        ContactCount,
        CustomerChange,
        LogCount,
        MonthComparison,
    )
    from churn_platform.lake.window import LabelCount


_SAID = "No candidate can be trained: "


def bare_reason(reason: str) -> str:
    """The reason without the words that name what could not be done; receipts of earlier
    versions have them.
    """
    return reason.removeprefix(_SAID)


def refusal_sentence(reason: str) -> str:
    """The reason as a sentence that names what could not be done."""
    return f"{_SAID}{bare_reason(reason)}"


Code = Literal[
    "CUSTOMERS_CHANGED",
    "KEYS_NEARLY_MATCH",
    "TABLE_LACKS_CUSTOMERS",
    "TABLE_SAME_AS_BEFORE",
    "MONTH_SAME_AS_BEFORE",
    "NEW_COLUMN",
    "NEW_VALUE",
    "CONTACTS_OF_UNKNOWN_CUSTOMERS",
    "EVENTS_OF_UNKNOWN_CUSTOMERS",
    "DAYS_WITHOUT_EVENTS",
    "EVENTS_END_EARLY",
    "FILE_MAY_BE_CUT",
    "ROWS_QUARANTINED",
    "CHURN_RATE_IMPLAUSIBLE",
    "LABELS_UNLIKE_BEFORE",
    "LABELS_PARTIAL",
    "CHECK_FAILED",
    "DRIFT_WITHOUT_LABELS",
    "NEW_CATEGORY",
    "UNKNOWN_CATEGORY_SHARE",
    "PERFORMANCE_ON_REPEATED_DATA",
    "PERFORMANCE_EXPECTED_TO_FALL",
    "LIST_OF_THE_PAST",
    "MONTH_NOT_SCORED",
    "DECISION_WARNING",
]
RAISED: tuple[Act, ...] = ("warnings raised", "warnings cleared")
"""The acts that record the warnings of a month."""
NEEDS_APPROVAL = ("GATE012",)
"""Criteria whose warning asks a person for an answer."""
MOST_GAPS = 5
LACKING_GROWTH = 2
"""A table that lists some customers only warns when it lacks more than so many times last
month's share.
"""


@dataclass(frozen=True, order=True)
class MonthWarning:
    """One warning: its code, what it is about (a table, a column, a criterion), and a sentence
    for a person.
    """

    code: Code
    about: str
    sentence: str


def of_comparison(
    compared: "MonthComparison | None",
    before: "MonthComparison | None",
    policy: IngestionPolicy,
) -> list[MonthWarning]:
    """Warnings of a month that was compared with the months before at its publication.

    Args:
        compared: what the lake keeps of the comparison; None for a month of an older version.
        before: the same of the month before; None where it is not known.
        policy: the shares above which there is a warning.
    """
    if compared is None:
        return []
    return [
        *_of_customers(compared.customers, policy),
        *_of_lacking(compared, before, policy),
        *_of_repetition(compared),
        *(
            MonthWarning(
                "NEW_COLUMN",
                table,
                f"The file of {table} has new columns that the contract does not name:"
                f" {', '.join(columns)}. They are not used; add them to the contract to use"
                " them as features.",
            )
            for table, columns in compared.new_columns.items()
        ),
        *(
            MonthWarning(
                "NEW_VALUE",
                f"{table}.{column}",
                f"{table}.{column} has values that the contract does not list: {_rows(values)}."
                " They are published as they are; add them to `values`, or to `renamed` if they"
                " replace others.",
            )
            for table, columns in compared.unlisted_values.items()
            for column, values in columns.items()
        ),
        *(
            MonthWarning(
                "FILE_MAY_BE_CUT",
                name,
                f"{name} has no line end after its last row, as the month's other files have:"
                " its last value may be cut off. Check the last row, and deliver the file"
                " again if it is cut.",
            )
            for name in compared.without_line_end
        ),
        *_of_contacts(compared.contacts),
        *(warning for name, log in compared.logs.items() for warning in _of_log(name, log, policy)),
    ]


def _of_log(name: str, log: "LogCount", policy: IngestionPolicy) -> list[MonthWarning]:
    found = []
    if log.unknown > policy.quarantine_share * log.customers:
        said = (
            f"{log.unknown:,} of {counted(log.customers, 'customer')} with events in {name} are in"
            " no table of customers. Their events are left out of the features; check how their"
            " keys are written."
        )
        found.append(MonthWarning("EVENTS_OF_UNKNOWN_CUSTOMERS", name, said))
    if log.gaps:
        shown = ", ".join(log.gaps[:MOST_GAPS])
        more = f" and in {len(log.gaps) - MOST_GAPS:,} more gaps" if log.gaps[MOST_GAPS:] else ""
        said = (
            f"{name} has no events {shown}{more}, where it usually has some every day. If events"
            " are missing, deliver the file again with them."
        )
        found.append(MonthWarning("DAYS_WITHOUT_EVENTS", name, said))
    if log.ends is not None:
        said = (
            f"{name} has no events after {log.ends}, where it usually has some every day. If the"
            " file is cut off, deliver it again."
        )
        found.append(MonthWarning("EVENTS_END_EARLY", name, said))
    return found


def _of_contacts(found: "ContactCount | None") -> list[MonthWarning]:
    if found is None or not found.unknown:
        return []
    return [
        MonthWarning(
            "CONTACTS_OF_UNKNOWN_CUSTOMERS",
            "contacts",
            f"{found.unknown:,} of {counted(found.customers, 'contacted customer')} are in no"
            " month's tables. Their contacts correct no label; check how their keys are written.",
        )
    ]


def _rows(values: Mapping[str, int]) -> str:
    return ", ".join(f"{value!r} in {counted(rows, 'row')}" for value, rows in values.items())


def of_quarantine(sentence: str) -> list[MonthWarning]:
    """Warning of quarantined rows, from the sentence that counts them."""
    if not sentence:
        return []
    return [
        MonthWarning("ROWS_QUARANTINED", "rows", f"{sentence} The drop's page lists the reasons.")
    ]


def of_labels(found: Mapping[str, Any] | None) -> list[MonthWarning]:
    """Warnings of the plausibility of a month's labels, by the policy of the time when they
    were judged.

    Args:
        found: `labels` of the training dataset's record: the month, a sentence for each thing
            that looks wrong, and in `doubts` those of them that are about the churn rate.
    """
    if not found:
        return []
    doubts = found.get("doubts") or ()
    return [
        MonthWarning(
            "CHURN_RATE_IMPLAUSIBLE" if sentence in doubts else "LABELS_UNLIKE_BEFORE",
            str(found["as_of"]),
            f"Labels of {found['as_of']}: {sentence}",
        )
        for sentence in found["warnings"]
    ]


def of_checks(failed: Mapping[str, str]) -> list[MonthWarning]:
    """Warnings of the checks of the training dataset that failed, by name with their sentence."""
    return [
        MonthWarning("CHECK_FAILED", name, f"Check {name} failed. {said}")
        for name, said in failed.items()
    ]


def of_label_count(count: "LabelCount", policy: IngestionPolicy) -> list[MonthWarning]:
    """Warning of labels that came for some of the customers only; a month without any label has
    none yet.

    A few customers without a label are as normal as a few quarantined rows.
    """
    missing = count.customers - count.labelled
    if not count.labelled or missing <= policy.quarantine_share * count.customers:
        return []
    percent = math.floor(100 * count.labelled / count.customers)
    said = (
        f"{count.labelled:,} of {count.customers:,} customers have a label ({percent}%); the"
        " others are left out of training."
    )
    return [MonthWarning("LABELS_PARTIAL", "labels", said)]


def of_drift(
    record: Mapping[str, Any] | None, *, labelled: bool, why_not: str = ""
) -> list[MonthWarning]:
    """Warnings of a drift report: drift that no retraining can answer, and categories the model
    has never seen.

    Args:
        record: the drift report's record.
        labelled: whether the labels of the month are known.
        why_not: why no candidate can be trained; empty where one can.
    """
    result = (record or {}).get("result")
    if record is None or result is None:
        return []
    found = []
    if record["alarms"] and (why_not or not labelled):
        alarms = "; ".join(record["alarms"])
        missing = (
            "The labels of this month have not arrived, so a candidate learns from earlier"
            " months only."
        )
        said = (
            f"{alarms[:1].upper()}{alarms[1:]}. {refusal_sentence(why_not) if why_not else missing}"
        )
        found.append(MonthWarning("DRIFT_WITHOUT_LABELS", "drift", said))
    return [*found, *_of_categories(result, record["production_version"])]


def of_performance(entries: Iterable[Mapping[str, Any]]) -> list[MonthWarning]:
    """Warnings of performance that was measured on a month whose tables equal another month's."""
    return [
        MonthWarning("PERFORMANCE_ON_REPEATED_DATA", str(entry["as_of"]), str(entry["warning"]))
        for entry in entries
        if entry.get("warning") and entry.get("state") == "production"
    ]


def of_estimate(shown: Mapping[str, Any] | None) -> list[MonthWarning]:
    """Warning of a month whose customers are expected to lower production's performance.

    Args:
        shown: the estimate of the month as it was shown then; None without one.
    """
    if shown is None or not shown.get("fell"):
        return []
    low, high = shown["promoted_interval"]
    said = (
        f"The customers of {shown['as_of']} differ from those before: version"
        f" {shown['version']} is expected to rank them worse than those of its promotion, AUC"
        f" [{low:.3f}, {high:.3f}]. {shown['sentence']} No retraining follows from this. See the"
        " drift report for the features that moved; the labels of the month will show whether the"
        " estimate is right."
    )
    return [MonthWarning("PERFORMANCE_EXPECTED_TO_FALL", f"version {shown['version']}", said)]


def of_scores(record: Mapping[str, Any] | None) -> list[MonthWarning]:
    """Warnings of a month that could not be scored and of a list that names customers of the
    past.
    """
    if record is None:
        return []
    found = []
    if why_not := record.get("not_scored"):
        found.append(MonthWarning("MONTH_NOT_SCORED", "list", str(why_not)))
    if note := record.get("list_note"):
        found.append(MonthWarning("LIST_OF_THE_PAST", "list", str(note)))
    return found


def of_decision(
    decision: Mapping[str, Any] | None, *, answered: bool = False
) -> list[MonthWarning]:
    """Warnings of the criteria that warned in the month's decision.

    Args:
        decision: the decision; None where there is none on the month's data as they are now.
        answered: whether a person has approved or rejected the candidate: a request for that is
            over.
    """
    findings = [] if decision is None else decision["findings"]
    return [
        MonthWarning(
            "DECISION_WARNING",
            finding["code"],
            f"{finding['code']} {finding['title']}: {finding['detail']}",
        )
        for finding in findings
        if finding["outcome"] == "warn" and not (answered and finding["code"] in NEEDS_APPROVAL)
    ]


def repetition_sentence(compared: "MonthComparison | None") -> str:
    """Which tables of a month equal another month's; empty where none does."""
    if compared:
        return " ".join(warning.sentence for warning in _of_repetition(compared))
    return ""


def listed(month: str, warnings: Iterable[MonthWarning]) -> list[dict[str, str]]:
    """The warnings of a month as JSON values, each with its month."""
    return [{"as_of": month, **asdict(warning)} for warning in warnings]


def recorded(receipt: Receipt | None) -> list[MonthWarning]:
    """The warnings that a receipt records; none where there is no receipt."""
    if receipt is None:
        return []
    values: Any = receipt.evidence["warnings"]
    return [MonthWarning(**value) for value in values]


def newest_warnings(receipts: Iterable[Receipt]) -> list[dict[str, str]]:
    """The warnings of the newest published month as the ledger last recorded them."""
    newest = ""
    last = None
    for receipt in receipts:
        if receipt.act in DELIVERED:
            newest = max(newest, receipt.subject)
        elif receipt.act in RAISED and receipt.subject >= newest:
            last = receipt
    if last is None or last.subject != newest:
        return []
    return listed(newest, recorded(last))


def _of_customers(change: "CustomerChange | None", policy: IngestionPolicy) -> list[MonthWarning]:
    if change is None:
        return []
    found = []
    month = change.before.isoformat()
    if change.share > policy.changed_share:
        said = (
            f"Of the {change.customers:,} customers {change.new:,} are new since {month}, and"
            f" {change.gone:,} of the {change.still + change.gone:,} of that month are"
            " gone. Check that the files are complete, cover the same customers, and write"
            " keys the same way."
        )
        found.append(MonthWarning("CUSTOMERS_CHANGED", month, said))
    if change.near:
        said = (
            f"{change.near:,} keys match one of {month} only after blanks, case,"
            " leading zeros or a trailing .0 are removed, so they count as other customers."
            " Write every key as in that month."
        )
        found.append(MonthWarning("KEYS_NEARLY_MATCH", month, said))
    return found


def _of_lacking(
    compared: "MonthComparison", before: "MonthComparison | None", policy: IngestionPolicy
) -> list[MonthWarning]:
    """Tables that lack more customers than single faulty rows explain, and many more than in
    the month before.
    """
    customers = compared.count
    found = []
    for table, count in compared.lacking.items():
        usual = 0.0
        if before is not None and before.count:
            usual = before.lacking.get(table, 0) / before.count
        if count > max(policy.quarantine_share, LACKING_GROWTH * usual) * customers:
            said = (
                f"{table} lacks {count:,} of the {customers:,} customers. "
                "Their values from this table are missing this month."
            )
            found.append(MonthWarning("TABLE_LACKS_CUSTOMERS", table, said))
    return found


def _of_repetition(compared: "MonthComparison") -> list[MonthWarning]:
    if compared.repeated_month is not None:
        month = compared.repeated_month.isoformat()
        said = (
            f"Every table is identical to the one of {month}. The export probably delivered"
            " that month again."
        )
        return [MonthWarning("MONTH_SAME_AS_BEFORE", month, said)]
    return [
        MonthWarning(
            "TABLE_SAME_AS_BEFORE",
            table,
            f"{table} is identical to the table of {same}. The export probably delivered that"
            " month again.",
        )
        for table, same in compared.repeated.items()
    ]


def _of_categories(result: Mapping[str, Any], version: int | None) -> list[MonthWarning]:
    """Categories that the model was not trained on."""
    found = []
    for column in result["columns"]:
        unknown = column.get("unknown_categories") or {}
        if not unknown:
            continue
        share = sum(unknown.values())
        named = ", ".join(
            f"{category!r} in {part:.0%} of the rows" for category, part in unknown.items()
        )
        code: Code = "UNKNOWN_CATEGORY_SHARE" if share > 1 / 2 else "NEW_CATEGORY"
        said = f"{column['column']} has values that version {version} was not trained on: {named}."
        if code == "UNKNOWN_CATEGORY_SHARE":
            said += (
                " Most customers have a value that the model has never seen. Ignore its reasons"
                " for this column."
            )
        found.append(MonthWarning(code, column["column"], said))
    return found
