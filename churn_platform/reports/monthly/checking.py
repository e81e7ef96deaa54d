"""Verifies the monthly reports: pages against their records, figures against their sources."""

import datetime as dt
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from html import unescape
from typing import cast, get_args

from churn_platform.audit.checks import CheckResult, broken, holds, said, unseen
from churn_platform.base.digests import digest_of
from churn_platform.base.errors import ChurnError
from churn_platform.base.files import read_json
from churn_platform.contract.policy import Audience
from churn_platform.lake.lake import Lake
from churn_platform.lake.records import Kind
from churn_platform.ledger.erasures import current
from churn_platform.ledger.receipts import DELIVERED, Receipt
from churn_platform.reports.monthly.figures import AUDIENCES, Answer, MonthlyReport
from churn_platform.reports.monthly.making import KIND, MonthlyReports, page_digest
from churn_platform.reports.monthly.pages import renderer
from churn_platform.training.release import manifest_digest

CHECK = "monthly reports"
REMEDY = "`churn doctor --fix` makes it again"
QUIET = (
    "retraining skipped",
    "warnings raised",
    "warnings cleared",
    "approval requested",
    "approval lapsed",
    "production kept",
    "drop refused",
    "drop repeated",
    "home restored",
)
"""Receipts after which no record of a processed month is written again."""
SHOWN = re.compile(r'<data [^>]*data-figure="([^"]+)"[^>]*>([^<]*)</data>')
"""A figure of a sentence on a page."""
MOST = 3


@dataclass(frozen=True)
class ReportChecks:
    """The checks of one home's reports against one state of its ledger."""

    reports: MonthlyReports
    receipts: Sequence[Receipt]
    is_free: Callable[[], bool]

    def found(self, *, deep: bool) -> Iterator[CheckResult]:
        """Every result.

        Args:
            deep: also make the pages again, and compare each figure's sources with what the home
                holds.
        """
        count = 0
        valid = True
        for month in self.reports.records.months(KIND):
            for result in self._of_month(month, deep=deep):
                valid = valid and result.state != "broken"
                yield result
            count += len(AUDIENCES)
        if count and valid:
            yield holds(CHECK, f"{count} pages are those that were made", count)

    def _of_month(self, month: dt.date, *, deep: bool) -> Iterator[CheckResult]:
        report = self.reports.record(month)
        if report is None:
            return
        named = f"the report of {month}"
        if self.reports.records.broken(KIND, month) is not None:
            changed = ", ".join(self._changed(month, report)) or "its record"
            yield broken(CHECK, f"{named} was changed ({changed}): {REMEDY}")
            return
        faults = self.reports.faults(month, report)
        if faults and not self.is_free():
            yield unseen(CHECK, f"a run may be writing {named}; run this again")
            return
        for audience, fault in faults.items():
            changed = ", ".join(self._changed(month, report, (audience,)))
            about = f" ({changed})" if changed else ""
            yield broken(
                CHECK,
                f"{named}, page for the {audience}: {self.reports.file(month, audience)} {fault}"
                f"{about}, or a run was cut off: {REMEDY}",
            )
        if deep:
            yield from self._sources(month, report)
            yield from self._made_again(month, report, set(faults))
            yield from self._read_again(month, report)

    def _changed(
        self,
        month: dt.date,
        report: MonthlyReport,
        audiences: Sequence[Audience] = AUDIENCES,
    ) -> Iterator[str]:
        """The figures of the report that its page shows otherwise."""
        for audience in audiences:
            file = self.reports.file(month, audience)
            if not file.exists():
                continue
            page = file.read_text(encoding="utf-8", errors="replace")
            shown = {(name, unescape(text)) for name, text in SHOWN.findall(page)}
            own = {
                (figure.name, figure.text)
                for answer in report.answers(audience)
                for sentence in answer.sentences
                for figure in sentence.figures
            }
            names = sorted({name for name, _ in own ^ shown})
            if names:
                yield f"{audience}: {', '.join(names)}"

    def _sources(self, month: dt.date, report: MonthlyReport) -> Iterator[CheckResult]:
        """Every source of every figure against what the home holds now."""
        later = []
        for (source, digest), figures in users(report).items():
            state, why = self._state(source, digest, report)
            where = "; ".join(f"{who}: {', '.join(names)}" for who, names in figures.items())
            if state == "broken":
                yield broken(
                    CHECK, f"the report of {month} ({where}) rests on {source}, which {why}"
                )
            elif state == "said":
                later.append(f"{source} {why}")
        if later:
            more = f" and {len(later) - MOST} more" if len(later) > MOST else ""
            yield said(
                CHECK,
                f"the report of {month} stays as it was made: {'; '.join(later[:MOST])}{more}",
            )

    def _state(self, source: str, digest: str, report: MonthlyReport) -> tuple[str, str]:
        """Whether a source is what the report read, and if not, why."""
        kind, _, name = source.partition("/")
        try:
            if kind == "snapshot":
                return self._snapshot_state(dt.date.fromisoformat(name), digest)
            if kind == "decision":
                path = self.reports.home.folder / "ledger" / "decisions" / f"{name}.json"
                same = path.exists() and digest_of(read_json(path)) == digest
                return ("holds", "") if same else ("broken", "is not the decision that was made")
            if kind == "release":
                releases = self.reports.gathering.status.releases
                recorded = current(self.receipts, digest, report.receipt)
                same = manifest_digest(releases.manifest(int(name))) == recorded
                return (
                    ("holds", "") if same else ("broken", "is not the release that was published")
                )
            if kind in get_args(Kind):
                return self._record_state(cast("Kind", kind), name, digest, report)
        except (ChurnError, ValueError) as error:
            return "broken", f"cannot be read ({error})"
        return "said", "is of a kind that this version does not know"

    def _snapshot_state(self, month: dt.date, digest: str) -> tuple[str, str]:
        lake = self._lake
        if month not in lake.months():
            return "broken", "is gone"
        if digest == lake.digest(month):
            return "holds", ""
        published = {
            current(self.receipts, receipt.evidence.get("snapshot"), receipt.sequence)
            for receipt in self.receipts
            if receipt.act in DELIVERED and receipt.subject == month.isoformat()
        }
        if digest in published or digest in lake.snapshots(month):
            return "said", "was corrected since"
        return "broken", "no receipt published as the report read it"

    def _record_state(
        self, kind: Kind, name: str, digest: str, report: MonthlyReport
    ) -> tuple[str, str]:
        month = dt.date.fromisoformat(name)
        records = self.reports.records
        record = records.read(kind, month)
        if record is None:
            removed = any(
                receipt.act == "recovery"
                and receipt.subject == name
                and receipt.evidence.get("record") == kind
                for receipt in self.receipts
            )
            return ("said", "was removed by a repair") if removed else ("broken", "is gone")
        if records.broken(kind, month) is not None:
            return "broken", "is not what was written"
        if digest_of(record) == digest:
            return "holds", ""
        if self._explained(report):
            return "said", "was written again since"
        return "broken", (
            "is not as the report read it, and no receipt since then explains that: it was changed,"
            " or its asset was materialized alone (`churn report` reads it again)"
        )

    def _made_again(
        self, month: dt.date, report: MonthlyReport, known: set[Audience]
    ) -> Iterator[CheckResult]:
        """Each page made again from the record and the list, byte for byte."""
        if report.renderer != renderer():
            yield said(
                CHECK,
                f"the pages of {month} were made by another version of the platform: they are"
                " compared with their digests alone",
            )
            return
        for audience, digest in report.pages.items():
            if audience in known:
                continue
            if self._list_is_newer(report, audience):
                continue
            try:
                again = page_digest(self.reports.page(month, report, audience))
            except (ChurnError, OSError, ValueError, KeyError) as error:
                yield broken(
                    CHECK, f"the page for the {audience} of {month} cannot be made again: {error}"
                )
                continue
            if again != digest:
                changed = ", ".join(self._changed(month, report, (audience,))) or "its list"
                yield broken(
                    CHECK,
                    f"the report of {month}, page for the {audience}: its record and list make"
                    f" another page ({changed}): {REMEDY}",
                )

    def _read_again(self, month: dt.date, report: MonthlyReport) -> Iterator[CheckResult]:
        """The figures of the newest report read again, while nothing has happened since."""
        newest = month == self.reports.records.months("scores")[-1]
        states = {self._state(source, digest, report)[0] for source, digest in users(report)}
        same = newest and states <= {"holds"} and report.renderer == renderer()
        if not same or self._explained(report):
            return
        again = self.reports.gathered(month)
        for audience in AUDIENCES:
            differ = set(values(report, audience).items()) ^ set(values(again, audience).items())
            names = sorted({name for (_, name, _), _ in differ})
            if names:
                yield broken(
                    CHECK,
                    f"the report of {month}, {audience}: {', '.join(names)} is not what its"
                    f" sources say: {REMEDY}",
                )

    def _explained(self, report: MonthlyReport) -> bool:
        """Whether a receipt since the report may have made its sources again."""
        since = [one for one in self.receipts if one.sequence > report.receipt]
        return any(receipt.act not in QUIET for receipt in since)

    def _list_is_newer(self, report: MonthlyReport, audience: Audience) -> bool:
        """Whether the list on a page was made again since."""
        return any(
            self._state(source, digest, report)[0] == "said"
            for answer in report.answers(audience)
            if answer.customers
            for sentence in answer.sentences
            for source, digest in sentence.sources.items()
        )

    @cached_property
    def _lake(self) -> Lake:
        return self.reports.gathering.labels.lake


def users(report: MonthlyReport) -> dict[tuple[str, str], dict[Audience, list[str]]]:
    """(source, digest) -> audience -> the figures that were read from it.

    A sentence whose figures stand in its text is named by its question.
    """
    found: dict[tuple[str, str], dict[Audience, list[str]]] = {}
    for audience in AUDIENCES:
        for answer in report.answers(audience):
            for source, names in _of_answer(answer):
                own = found.setdefault(source, {}).setdefault(audience, [])
                own += [name for name in names if name not in own]
    return found


def values(
    report: MonthlyReport, audience: Audience
) -> dict[tuple[str, str, str | None], tuple[str, float]]:
    """(question, figure, what it is of) -> its text and value."""
    return {
        (answer.question, figure.name, figure.about): (figure.text, figure.value)
        for answer in report.answers(audience)
        for sentence in answer.sentences
        for figure in sentence.figures
    }


def _of_answer(answer: Answer) -> Iterator[tuple[tuple[str, str], list[str]]]:
    for sentence in answer.sentences:
        names = [figure.name for figure in sentence.figures] or [answer.question]
        for source in sentence.sources.items():
            yield source, names
    if answer.span is not None:
        for source in answer.span.sources.items():
            yield source, [answer.span.name]
    if answer.trend is not None:
        for point in answer.trend.points:
            for source in point.sources.items():
                yield source, [f"{answer.trend.name} of {point.as_of}"]
