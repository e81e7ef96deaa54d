"""The pages of the monthly report, for any facts: complete, escaped, honest, and small."""

import re

import pytest
from hypothesis import HealthCheck, Phase, given, settings

from churn_platform.contacts.effect import EffectState
from churn_platform.reports.monthly.approver import approver_answers
from churn_platform.reports.monthly.figures import AUDIENCES, MonthlyReport, Point, Trend
from churn_platform.reports.monthly.manager import manager_answers
from churn_platform.reports.monthly.pages import page
from churn_platform.reports.monthly.team import team_answers
from churn_platform.reports.monthly.trend_chart import chart_of
from churn_platform_tests.reports.month_facts import HOSTILE, listed, month_facts
from churn_platform_tests.reports.reading import body, read

PHASES = (Phase.explicit, Phase.reuse, Phase.generate)
"""Without shrinking: it takes minutes on facts of this size."""
MOST_BYTES = 300_000
UNTOLD = re.compile(
    r"\b(?:NaN|nan|None|inf|Infinity|undefined)\b|(?<![\w.-])-0(?:\.0+)?(?![\d.]*[1-9])|nan%"
)


def report_of(facts):
    return MonthlyReport(
        as_of=facts.as_of.isoformat(),
        business=facts.contract.name,
        team=team_answers(facts),
        manager=manager_answers(facts),
        approver=approver_answers(facts),
    )


def check(facts, customers):
    report = report_of(facts)
    MonthlyReport.read(report.as_json(), "The report")
    for audience in AUDIENCES:
        html = page(report, audience, customers, "contact_list.xlsx")
        assert len(html.encode()) <= MOST_BYTES
        assert html == page(report, audience, customers, "contact_list.xlsx")
        root = read(html)
        assert not [one for one in root.all() if one.tag in {"script", "link", "img", "iframe"}]
        assert len([one for one in root.all() if one.tag == "style"]) == 1
        for answer in report.answers(audience):
            assert answer.sentences
            for sentence in answer.sentences:
                own = sentence.plain
                assert own.strip()
                assert own == "".join(
                    one if isinstance(one, str) else one.text for one in sentence.parts
                )
                assert not set(re.findall(r"\{\w+\}", sentence.text)) - _braces(sentence)
        shown = body(html).text
        for hostile in HOSTILE:
            shown = shown.replace(hostile, "")
        for given_text in _given(facts, customers):
            shown = shown.replace(" ".join(given_text.split()), "")
        assert not UNTOLD.search(shown), UNTOLD.search(shown)
        name = next(one for one in root.all() if one.tag == "bdi")
        assert "".join(name.parts) == report.business
    _honest(facts, report)


def _braces(sentence):
    return {f"{{{figure.name}}}" for figure in sentence.figures} | set(
        re.findall(r"\{\w+\}", sentence.plain)
    )


def _given(facts, customers):
    """The texts of the business itself, which may say anything."""
    found = [one.key for one in customers] + [r for one in customers for r in one.reasons]
    found += [facts.contract.name]
    return [text for text in found if text.strip()]


def _honest(facts, report):
    if facts.campaigning is None or facts.campaigning.record.effect is None:
        return
    saved = " ".join(one.plain for one in report.manager[0].sentences)
    state = facts.campaigning.record.state
    effect = facts.campaigning.record.effect
    assert ("We saved about" in saved) == (state is EffectState.SHOWN and effect.saved is not None)
    assert ("Stop contacting" in saved) == (state is EffectState.HARMFUL)
    if state is EffectState.WITHHELD:
        assert "There is no verdict" in saved
        for answer in report.manager[:3]:
            assert not re.search(r"\d", " ".join(one.plain for one in answer.sentences))
            assert answer.span is None


@given(month_facts, listed)
@settings(deadline=None, max_examples=25, suppress_health_check=list(HealthCheck), derandomize=True)
def test_any_month_has_three_readable_pages(facts, customers):
    check(facts, customers)


@pytest.mark.slow
@given(month_facts, listed)
@settings(deadline=None, max_examples=300, suppress_health_check=list(HealthCheck), phases=PHASES)
def test_three_hundred_months_have_three_readable_pages(facts, customers):
    check(facts, customers)


def test_a_gap_stays_a_gap_and_an_estimate_is_dashed():
    values = [0.8, 0.7, None, 0.75, 0.76]
    points = tuple(
        Point(as_of=f"2024-0{place + 1}-28", value=value, estimated=place == 4)
        for place, value in enumerate(values)
    )
    drawn = chart_of(Trend(name="auc", title="AUC", unit="auc", points=points))
    assert [line.dashed for line in drawn.lines] == [False, True]
    assert len(drawn.marks) == 4
    assert drawn.estimated
