"""Every figure of the monthly pages, recomputed from the files of a home, and the records it names."""

import datetime as dt
import json
import re

import pytest

from churn_platform.base.digests import digest_of
from churn_platform.reports.monthly.figures import AUDIENCES
from churn_platform.reports.monthly.pages import SHOWN
from churn_platform.training.release import manifest_digest
from churn_platform_tests.contacts_business import LATER
from churn_platform_tests.reports.reading import body
from churn_platform_tests.reports.recomputing import Recomputed
from churn_platform_tests.small_business import copied, open_home

EFFECT = {
    "assigned": "assigned", "untouched": "untouched", "assigned_churn": "assigned_churn",
    "untouched_churn": "untouched_churn", "contaminated": "contaminated", "spent": "spent",
}  # fmt: skip


def as_of_digest(home, record):
    """The digest of a record as it is on disk."""
    kind, name = record.split("/")
    if kind == "decision":
        return digest_of(
            json.loads((home.folder / "ledger/decisions" / f"{name}.json").read_text())
        )
    if kind == "release":
        return manifest_digest(home.releases.manifest(int(name)))
    if kind == "snapshot":
        return home.lake.digest(dt.date.fromisoformat(name))
    path = home.folder / "lake/derived" / kind / f"{name}.json"
    fields = {k: v for k, v in json.loads(path.read_text()).items() if k != "sha256"}
    return digest_of(fields)


def made(home):
    """The home's newest report as pages: audience -> body."""
    month = home.lake.months()[-1]
    home.monthly_reports.make(month)
    return month, {
        audience: body(home.monthly_reports.file(month, audience).read_text())
        for audience in AUDIENCES
    }


@pytest.fixture(scope="module")
def worked_pages(worked, tmp_path_factory):
    home = open_home(
        copied(worked, tmp_path_factory.mktemp("worked") / "home").folder, lambda: LATER
    )
    return home, *made(home)


@pytest.fixture(scope="module")
def contacted_pages(contacted, tmp_path_factory):
    home = copied(contacted, tmp_path_factory.mktemp("contacted") / "home")
    return home, *made(home)


@pytest.fixture(scope="module")
def real_pages(february_home, tmp_path_factory):
    from churn_platform_tests.real_months import copy_home

    home = copy_home(february_home, tmp_path_factory.mktemp("real") / "home")
    return home, *made(home)


@pytest.fixture(params=["worked_pages", "contacted_pages", "real_pages"])
def pages(request):
    """With contacts and an effect, with contacts and a new list, and without contacts."""
    return request.getfixturevalue(request.param)


def test_every_figure_is_what_the_files_say(pages):
    home, month, bodies = pages
    for audience, shown in bodies.items():
        known = expected(home, month, audience)
        figures = shown.having("data-figure")
        assert figures or audience == "approver"
        for figure in figures:
            name = figure.attributes["data-figure"]
            about = figure.attributes.get("data-about")
            value = float(figure.attributes.get("value") or figure.attributes["data-value"])
            if figure.attributes.get("data-estimated"):
                name = "estimated"
            right = known[name]
            if isinstance(right, dict):
                right = right[about]
            assert value == pytest.approx(right, rel=1e-9), (audience, name, about)


def test_every_text_with_digits_names_its_records_and_their_digests(pages):
    home, _, bodies = pages
    for shown in bodies.values():
        for element in [shown, *shown.all()]:
            own = " ".join(part for part in element.parts if isinstance(part, str))
            if not re.search(r"\d", own):
                continue
            assert element.sources, own
            for record, digest in element.sources.items():
                assert digest == as_of_digest(home, record), (own, record)


def expected(home, month, audience):
    """Name -> value, or about -> value, of every figure that may stand on a page."""
    again = Recomputed(home, month)
    known = {**again.on_lists(), **again.customers(), **effect(again)}
    rates = again.churn_rates()
    if "on_list" in known:
        kind = "scores" if home.contract.contacts is None else "contact_plan"
        rows = again.rows(kind, month.isoformat())
        known["risk"] = dict(zip(rows[again.key], rows["probability"], strict=True))
        known["more_listed"] = known["on_list"] - SHOWN
    known |= {"churn_rate": rates, "churn_rate_before": rates}
    known |= features(again)
    production = home.status.production()
    known["warnings"] = len(home.month_warnings.of(month))
    known["auc_at_promotion"] = production.auc
    runs = home.records.months("performance")
    realised = {}
    lows, highs = {}, {}
    for run in runs:
        record = again.record("performance", run.isoformat())
        for entry in record["evaluated"]:
            if entry["metrics"] is not None and entry["state"] == "production":
                realised[entry["as_of"]] = entry["metrics"]["auc"]
                lows[entry["as_of"]], highs[entry["as_of"]] = entry["metrics"]["auc_interval"]
        if run == month and record.get("estimated"):
            known["estimated"] = record["estimated"]["auc"]["value"]
    decisions = [
        json.loads(path.read_text())
        for path in sorted((home.folder / "ledger/decisions").glob("*.json"))
    ]
    by_candidate = {str(one["candidate_version"]): one["candidate_auc"] for one in decisions}
    of_production = {str(one["production_version"]): one["production_auc"] for one in decisions}
    again_measured = {one: again.auc(one) for one in realised if one > min(realised)}
    known["auc"] = realised | again_measured | by_candidate | {"at promotion": production.auc}
    known |= {"auc_low": lows, "auc_high": highs, "production_auc": of_production}
    known["level"] = home.contract.policy.promotion.level
    return known


def effect(again):
    """What contacting was worth, by its record."""
    if again.home.contract.contacts is None:
        return {}
    record = again.record("campaign_effect", again.as_of.isoformat())
    found = {"months_done": record["look"]}
    effect = record["effect"]
    if effect is not None:
        found |= {name: effect[own] for name, own in EFFECT.items()}
        for name in ("saved", "money", "effect"):
            estimate = effect[name]
            if estimate is not None:
                found[name] = estimate["value"]
                found[f"{name}_low"] = estimate["interval"]["low"]
                found[f"{name}_high"] = estimate["interval"]["high"]
        if effect["saved"] is not None:
            found["saved_span"] = effect["saved"]["value"]
    if effect is None or effect["saved"] is None:
        what_if = again.home.what_if
        churn = effect["untouched_churn"] if effect else what_if.answer(effect=1e-6).churn.rate
        expected_effect = 0.3 * churn  # the assumed Beta(6, 14)
        answer = what_if.answer(effect=expected_effect, churn=churn)
        found |= {"expected_effect": expected_effect, "months_needed": answer.outlook.months}
    return found


def features(again):
    """The mean of every number in the newest month and the one before, by feature."""
    if len(again.months) < 2:
        return {}
    means, before = {}, {}
    for view in again.home.contract.feature_views.values():
        now, then = (again.table(view.table, one) for one in again.months[-1:-3:-1])
        for name in view.features:
            if name in now and now[name].dtype.kind in "if":
                means[name], before[name] = now[name].mean(), then[name].mean()
    return {"mean": means, "mean_before": before}
