"""When the alerts of the stack fire, as Prometheus itself evaluates them over made-up days."""

import shutil
import subprocess

import pytest
import yaml

from churn_platform_tests.system.test_dashboards import RULES, expressions

DAY = 86_400
JANUARY, FEBRUARY, MARCH = 31 * DAY, 60 * DAY, 91 * DAY
FAILED, ENDED_WELL = (
    "churn_job_last_failure_timestamp_seconds",
    "churn_job_last_success_timestamp_seconds",
)


def drifted(alarms=1, drift=MARCH, labelled=MARCH, decided=FEBRUARY):
    return {
        "churn_drift_alarms": alarms, "churn_drift_as_of_timestamp_seconds": drift,
        "churn_labelled_as_of_timestamp_seconds": labelled, "churn_decision_as_of_timestamp_seconds": decided,
    }  # fmt: skip


def jobs(failed, well):
    found = {f'{FAILED}{{job="{job}"}}': when for job, when in failed.items()}
    return found | {f'{ENDED_WELL}{{job="{job}"}}': when for job, when in well.items()}


FIRED = {
    "drift is waited on for two days": ("DriftWithoutRetraining", drifted(), "47h", []),
    "drift, and after two days no decision": ("DriftWithoutRetraining", drifted(), "49h", [{}]),
    "a refusal on the month that drifted": ("DriftWithoutRetraining", drifted(decided=MARCH), "96h", []),
    "drift on a month whose labels come later": ("DriftWithoutRetraining", drifted(labelled=FEBRUARY), "96h", []),
    "no drift, and no decision": ("DriftWithoutRetraining", drifted(alarms=0), "96h", []),
    "a job that failed after it ended well": ("JobFailed", jobs({"monthly": 9}, {"monthly": 5}), "16m", [{"job": "monthly"}]),
    "a job that never ended well": ("JobFailed", jobs({"pull": 9}, {"monthly": 5}), "16m", [{"job": "pull"}]),
    "a job that is tried again at once": ("JobFailed", jobs({"monthly": 9}, {"monthly": 5}), "14m", []),
    "a job that ended well after it failed": ("JobFailed", jobs({"monthly": 5}, {"monthly": 9}), "24h", []),
    "jobs that never failed": ("JobFailed", jobs({}, {"monthly": 5}), "24h", []),
    "a break for a moment": ("NotVerified", {"churn_verify_sound": 0}, "4m", []),
    "a break that stays": ("NotVerified", {"churn_verify_sound": 0}, "6m", [{}]),
    "what could not be verified": ("NotVerified", {'churn_source_up{source="verify"}': 0}, "24h", []),
    "a server that is away": ("HomeUnreadable", {'churn_source_up{source="verify"}': 0}, "6m", [{}]),
}  # fmt: skip


def cases(step: str) -> list[dict]:
    """Those of hours or of minutes as promtool wants them; annotations of what fires are those of the rule."""
    rules = {
        r["alert"]: r
        for group in yaml.safe_load(RULES.read_text())["groups"]
        for r in group["rules"]
    }
    made = []
    for said, (name, series, when, labels) in FIRED.items():
        if when[-1] != step:
            continue
        told = rules[name]["annotations"]
        fired = [
            {
                "exp_labels": rules[name]["labels"] | own,
                "exp_annotations": told
                | {"summary": told["summary"].replace("{{ $labels.job }}", own.get("job", ""))},
            }
            for own in labels
        ]
        made.append(
            {
                "name": said,
                "interval": f"1{step}",
                "input_series": [
                    {"series": one, "values": f"{value}x100"} for one, value in series.items()
                ],
                "alert_rule_test": [{"eval_time": when, "alertname": name, "exp_alerts": fired}],
            }
        )
    return made


def quiet() -> dict:
    """While nothing fires, what an alert measures is there all the same: a dashboard can show it."""
    series = drifted(alarms=0) | jobs({}, {"monthly": 5})
    return {
        "name": "a quiet home",
        "interval": "1m",
        "input_series": [{"series": one, "values": f"{value}x10"} for one, value in series.items()],
        "promql_expr_test": [
            {
                "expr": expressions()[f"alert {name}"],
                "eval_time": "5m",
                "exp_samples": [{"labels": "{}", "value": 0}],
            }
            for name in ("DriftWithoutRetraining", "JobFailed")
        ],
    }


@pytest.mark.skipif(
    shutil.which("promtool") is None,
    reason="promtool comes with Debian's prometheus; .ci/run has it",
)
@pytest.mark.parametrize("step", ["h", "m"])
def test_alerts_fire_when_they_should_and_only_then(tmp_path, step):
    asked = {
        "rule_files": [str(RULES)],
        "evaluation_interval": f"1{step}",
        "tests": [*cases(step), quiet()],
    }
    file = tmp_path / "rules_test.yml"
    file.write_text(yaml.safe_dump(asked))
    done = subprocess.run(
        ["promtool", "test", "rules", file], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
