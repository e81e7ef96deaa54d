"""The inside modules that the golden tests read: a renamed module is one edit here."""

import dataclasses
import datetime as dt
import time
from pathlib import Path
from typing import Any, get_args

from prometheus_client.metrics_core import Metric

from churn_platform.alerting.exporter import HomeCollector
from churn_platform.alerting.metrics import DagsterState, JobState
from churn_platform.base.settings import RETIRED, Settings
from churn_platform.cli.serving import built_facts
from churn_platform.ingestion.faults import CELL_CODES, KINDS
from churn_platform.ingestion.month_warnings import Code
from churn_platform.ledger.receipts import Act
from churn_platform.maintenance.mlflow_move import Moved
from churn_platform.promotion.criteria import CRITERIA
from churn_platform.promotion.decision import Trigger
from churn_platform.serving.bento_build import Built
from churn_platform.serving.bundle import Bundle
from churn_platform.simulator import SCENARIOS
from churn_platform_tests.outside.frozen import shape
from churn_platform_tests.small_business import open_home


def words(literal: Any) -> list[str]:
    """The words of a `Literal`, those of nested ones included."""
    return [word for part in get_args(literal) for word in (words(part) or [part])]


def codes() -> dict[str, Any]:
    """Every code that a user meets."""
    return {
        "criteria": {criterion.code: criterion.name for criterion in CRITERIA},
        "faults of a drop": {
            code: "of a cell" if code in CELL_CODES else "of the drop" for code in KINDS
        },
        "warnings of a month": sorted(words(Code)),
        "triggers": sorted(words(Trigger)),
        "scenarios": sorted(SCENARIOS),
        "acts": sorted(words(Act)),
    }


def settings() -> dict[str, Any]:
    """Every `CHURN_*` variable with its type, default and limits."""
    schema = Settings.model_json_schema()["properties"]
    named = {}
    for name, field in Settings.model_fields.items():
        described = schema[name]
        named[f"CHURN_{name.upper()}"] = {
            key: value for key, value in described.items() if key not in ("title", "description")
        } | {"default": _plain(field.default)}
    return {"settings": named, "without effect": sorted(RETIRED)}


def _plain(value: Any) -> Any:
    if hasattr(value, "get_secret_value"):
        return value.get_secret_value()
    return str(value) if isinstance(value, Path) else value


def answers_of_slow_commands() -> dict[str, Any]:
    """The keys of `--json` of commands that need a server or build for seconds."""
    now = dt.datetime.now(dt.UTC)
    bundle = Bundle(
        version=1,
        built_at=now.isoformat(),
        features_as_of=now.date(),
        store="sqlite",
        customers=1,
    )
    built = Built(
        tag="churn:v1", path=Path("churn"), bundle=bundle, size=1, output=Path("v1.bento")
    )
    moved = sorted(field.name for field in dataclasses.fields(Moved))
    return {"bento": shape(built_facts(built)), "move": moved}


def metrics_of_home(folder: Path) -> list[Metric]:
    """What the exporter shows of a verified home with a daemon and a receiver of alerts."""
    state = DagsterState({"sensor": time.time()}, {"monthly": JobState(1.0, 2.0)})
    complaints: list[str] = []
    watched = open_home(folder, alert_urls="json://127.0.0.1:9/alerts", api_port=1).metrics
    watched.verify()
    found = list(HomeCollector(watched.sources(lambda: state), complaints.append).collect())
    assert complaints == []
    return found
