"""Writes dashboards/churn.json: `python docker/grafana/dashboard.py`. A test holds the two
together.
"""

import json
import sys
from pathlib import Path
from typing import Any

TARGET = Path(__file__).parent / "dashboards" / "churn.json"
DAY = 86_400
SINGLE: tuple[tuple[str, str, str, float | None], ...] = (
    ("In production: version", "max(churn_production_version)", "none", None),
    ("Age of its training month", "max(churn_production_age_seconds)", "s", 200 * DAY),
    ("Age of the newest snapshot", "max(churn_snapshot_age_seconds)", "s", 40 * DAY),
    ("Stands down", "max(churn_production_stand_down)", "none", 1),
    ("Daemon", "min(churn_daemon_up)", "bool_on_off", None),
    ("Alerts that fire", 'count(ALERTS{alertstate="firing"}) or vector(0)', "none", 1),
    (
        "Since the last good monthly run",
        'time() - max(churn_job_last_success_timestamp_seconds{job="monthly"})',
        "s",
        40 * DAY,
    ),
    ("Candidates that wait for a person", "max(churn_approvals_pending)", "none", 1),
    ("Ledger and release agree", "min(churn_verify_sound)", "bool_yes_no", None),
    ("Columns that drifted", "max(churn_drift_share)", "percentunit", 0.3),
    ("Quarantined rows", "max(churn_snapshot_quarantined_rows)", "none", None),
    ("API workers' scrape", 'min(up{job="api"})', "bool_on_off", None),
)
"""Title, expression, unit, from where it is red."""
GRAPHS: tuple[tuple[str, str, dict[str, str]], ...] = (
    (
        "AUC: promised and realised",
        "none",
        {
            "at its decision": "max(churn_promoted_auc)",
            "interval from": "max(churn_promoted_auc_low)",
            "interval to": "max(churn_promoted_auc_high)",
            "realised": "max(churn_realised_auc)",
        },
    ),
    ("Receipts by act", "none", {"{{act}}": "sum by (act) (churn_receipts_total)"}),
    (
        "Answers a second by status",
        "reqps",
        {"{{status}}": "sum by (status) (rate(churn_requests_total[5m]))"},
    ),
    (
        "Time to predict",
        "s",
        {
            "99 of 100": 'histogram_quantile(0.99, sum by (le) (rate(churn_request_seconds_bucket{route="/predict"}[5m])))',
            "the middle": 'histogram_quantile(0.5, sum by (le) (rate(churn_request_seconds_bucket{route="/predict"}[5m])))',
        },
    ),
    (
        "Answered probabilities by tenth",
        "none",
        {
            "from {{from}}": "sum by (from) (increase(churn_probabilities_total[1h]))",
        },
    ),
    ("Version that answers", "none", {"version": "max(churn_model_version)"}),
    (
        "Stale answers, refused releases, lost log entries",
        "none",
        {
            "stale": "sum(increase(churn_stale_answers_total[1h]))",
            "refused": "sum(increase(churn_refused_releases_total[1h]))",
            "lost": "sum(increase(churn_log_dropped_total[1h]))",
        },
    ),
    ("Prediction log: entries that wait", "none", {"waiting": "sum(churn_log_queue)"}),
    (
        "Share of the customers whom a canary answers",
        "percentunit",
        {"share": "max(churn_canary_share)"},
    ),
    (
        "Canary's answers, scores that shadows lack",
        "none",
        {
            "answers by the canary": "sum(increase(churn_canary_answers_total[1h]))",
            "dropped": "sum(increase(churn_shadow_dropped_total[1h]))",
            "failed": "sum(increase(churn_shadow_failures_total[1h]))",
        },
    ),
)


def dashboard() -> dict[str, Any]:
    """The dashboard as Grafana reads it."""
    panels = [_single(number, *said) for number, said in enumerate(SINGLE)]
    panels += [_graph(number, *said) for number, said in enumerate(GRAPHS)]
    for number, panel in enumerate(panels, start=1):
        panel["id"] = number
    return {
        "uid": "churn-loop",
        "title": "The loop",
        "tags": ["churn"],
        "timezone": "browser",
        "schemaVersion": 39,
        "refresh": "30s",
        "time": {"from": "now-24h", "to": "now"},
        "panels": panels,
    }


def _single(
    number: int, title: str, expression: str, unit: str, red: float | None
) -> dict[str, Any]:
    steps: list[dict[str, Any]] = [{"color": "green", "value": None}]
    steps += [{"color": "red", "value": red}] if red is not None else []
    return {
        "type": "stat",
        "title": title,
        "datasource": {"type": "prometheus", "uid": "prometheus"},
        "gridPos": {"h": 4, "w": 4, "x": 4 * (number % 6), "y": 4 * (number // 6)},
        "fieldConfig": {
            "defaults": {"unit": unit, "thresholds": {"mode": "absolute", "steps": steps}},
            "overrides": [],
        },
        "options": {"reduceOptions": {"calcs": ["lastNotNull"]}, "colorMode": "value"},
        "targets": [{"refId": "A", "expr": expression, "instant": True}],
    }


def _graph(number: int, title: str, unit: str, lines: dict[str, str]) -> dict[str, Any]:
    top = 4 * -(-len(SINGLE) // 6)
    return {
        "type": "timeseries",
        "title": title,
        "datasource": {"type": "prometheus", "uid": "prometheus"},
        "gridPos": {"h": 8, "w": 12, "x": 12 * (number % 2), "y": top + 8 * (number // 2)},
        "fieldConfig": {"defaults": {"unit": unit, "min": 0}, "overrides": []},
        "targets": [
            {"refId": chr(ord("A") + place), "expr": expression, "legendFormat": legend}
            for place, (legend, expression) in enumerate(lines.items())
        ],
    }


def text() -> str:
    """The file's content."""
    return json.dumps(dashboard(), indent=1) + "\n"


if __name__ == "__main__":
    TARGET.write_text(text(), encoding="utf-8")
    sys.stdout.write(f"{TARGET}\n")
