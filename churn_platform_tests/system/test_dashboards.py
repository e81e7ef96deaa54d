"""What is watched on the stack: every metric that a dashboard or an alert names is one that is exported."""

import importlib.util
import json
import re
import shutil
import subprocess
from functools import cache

import pytest
import yaml

from churn_platform_tests.system.compose import DOCKER

RULES = DOCKER / "prometheus" / "rules.yml"
WATCHING = DOCKER.parent / "churn_platform" / "alerting"
METRIC = re.compile(r"\b(churn_\w+)")
COMPARISON = re.compile(
    r"^(?P<measured>.+) (?P<sign>[<>]=?|==) (?P<limit>[\d.]+)$", flags=re.DOTALL
)


@cache
def alerts() -> dict[str, dict]:
    groups = yaml.safe_load(RULES.read_text(encoding="utf-8"))["groups"]
    return {rule["alert"]: rule for group in groups for rule in group["rules"]}


@cache
def panels() -> tuple[dict, ...]:
    found = [
        json.loads(path.read_text())["panels"]
        for path in (DOCKER / "grafana" / "dashboards").glob("*.json")
    ]
    return tuple(panel for one in found for panel in one)


@cache
def told() -> tuple[dict, ...]:
    """The rules that Grafana tells people by."""
    path = DOCKER / "grafana" / "provisioning" / "alerting" / "churn.yaml"
    groups = yaml.safe_load(path.read_text(encoding="utf-8"))["groups"]
    return tuple(rule for group in groups for rule in group["rules"])


def expressions() -> dict[str, str]:
    """Every PromQL expression by where it stands; of an alert what it measures, which is there while nothing fires."""
    found = {
        f"alert {name}": COMPARISON.match(rule["expr"])["measured"]
        for name, rule in alerts().items()
    }
    for panel in panels():
        found |= {f"panel {panel['title']} {t['refId']}": t["expr"] for t in panel["targets"]}
    for rule in told():
        queries = [
            query["model"] for query in rule["data"] if query["datasourceUid"] == "prometheus"
        ]
        found |= {f"Grafana {rule['title']}": query["expr"] for query in queries}
    return found


@cache
def exported() -> frozenset[str]:
    """Every metric of ours, as Prometheus names it: the API's, and those that the exporter's source makes."""
    from prometheus_client import CollectorRegistry
    from prometheus_client.parser import text_string_to_metric_families

    from bento.metrics import ApiMetrics

    metrics = ApiMetrics(CollectorRegistry())
    metrics.request("/predict", 200, 0.01)
    families = text_string_to_metric_families(metrics.text().decode())
    home = "".join(path.read_text(encoding="utf-8") for path in WATCHING.glob("*.py"))
    made = re.findall(
        r"(gauge|stamp|GaugeMetricFamily|CounterMetricFamily)\(\s*f?\"(churn_\w+)", home
    )
    suffix = {"stamp": "_timestamp_seconds", "CounterMetricFamily": "_total"}
    jobs = {f"churn_job_last_{end}_timestamp_seconds" for end in ("success", "failure")}
    told = {name + suffix.get(kind, "") for kind, name in made} | jobs
    return frozenset(sample.name for family in families for sample in family.samples) | told


@pytest.mark.parametrize("place", expressions())
def test_every_metric_that_is_asked_for_is_exported(place):
    asked = set(METRIC.findall(expressions()[place]))
    assert asked <= exported()


def test_every_alert_says_what_it_means_and_what_to_do():
    assert len(alerts()) >= 8
    for name, rule in alerts().items():
        assert COMPARISON.match(rule["expr"]), name
        assert rule["labels"]["severity"] in ("warning", "critical")
        assert set(rule["annotations"]) == {"summary", "action"}


def test_the_dashboard_is_what_its_script_writes():
    spec = importlib.util.spec_from_file_location("dashboard", DOCKER / "grafana" / "dashboard.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert module.TARGET.read_text(encoding="utf-8") == module.text(), (
        "run `python docker/grafana/dashboard.py`"
    )


def test_panels_do_not_lie_on_each_other_and_all_ask_the_source_that_is_provisioned():
    source = yaml.safe_load(
        (DOCKER / "grafana" / "provisioning" / "datasources" / "prometheus.yaml").read_text()
    )
    uid = source["datasources"][0]["uid"]
    seen = set()
    for panel in panels():
        assert panel["datasource"]["uid"] == uid
        at = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(at["x"], at["x"] + at["w"])
            for y in range(at["y"], at["y"] + at["h"])
        }
        assert not cells & seen
        assert at["x"] + at["w"] <= 24
        seen |= cells


@pytest.mark.skipif(
    shutil.which("promtool") is None,
    reason="promtool comes with Debian's prometheus; .ci/run has it",
)
def test_prometheus_itself_reads_the_rules():
    done = subprocess.run(
        ["promtool", "check", "rules", RULES], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"SUCCESS: {len(alerts())} rules found" in done.stdout


@pytest.mark.skipif(
    shutil.which("promtool") is None,
    reason="promtool comes with Debian's prometheus; .ci/run has it",
)
def test_grafana_tells_each_alert_by_its_own_name(tmp_path):
    """`alertname` is Grafana's own label, the same for all; and it puts variables of the environment for a dollar sign."""
    [rule] = told()
    assert "$" not in json.dumps(rule)
    assert ".Labels.rule" in rule["annotations"]["summary"]
    asked = expressions()[f"Grafana {rule['title']}"]
    firing = [
        {"series": f'ALERTS{{alertname="{n}",alertstate="firing",severity="s"}}', "values": "1"}
        for n in "AB"
    ]
    named = [{"labels": f'{{rule="{name}", severity="s"}}', "value": 1} for name in "AB"]
    tests = [
        {
            "input_series": series,
            "promql_expr_test": [{"expr": asked, "eval_time": "0m", "exp_samples": samples}],
        }
        for series, samples in ((firing, named), ([], [{"labels": "{}", "value": 0}]))
    ]
    (tmp_path / "told.yml").write_text(json.dumps({"tests": tests}))
    done = subprocess.run(
        ["promtool", "test", "rules", tmp_path / "told.yml"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
