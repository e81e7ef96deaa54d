"""The contract of a simulated business that has nothing but a log of payments."""

from collections.abc import Mapping
from typing import Any, Final

STEP_DAYS: Final = {"month": 30, "week": 7, "day": 1}
"""Days of one step of the cadence, roughly."""
WITHIN: Final = {"month": "1m", "week": "1w", "day": "1d"}
"""One step of the cadence: a label is known when the next drop arrives."""
POPULATION_STEPS: Final = 3
RECENCY_STEPS: Final = 6
"""Windows reach back so many steps at most."""
TABLE: Final = "payments"
TIME: Final = "paid_at"
ID: Final = "payment_id"
TIME_ZONE: Final = "Europe/Vienna"
PURCHASE: Final = "purchase"
REFUND: Final = "refund"
CHANNELS: Final = ("app", "shop", "web")
BOUGHT: Final = f"kind = '{PURCHASE}'"
DRIVERS: Final = ("days_since_purchase", "purchases_long", "purchases_short")
"""The windows that show best who will buy."""


def log_parts(cadence: str) -> dict[str, Any]:
    """The parts of a contract that describe the log: tables, views and the label."""
    step = STEP_DAYS[cadence]
    short = f"{step}d"
    trend = f"{2 * step}d"
    long = f"{POPULATION_STEPS * step}d"
    longest = f"{RECENCY_STEPS * step}d"
    windows: dict[str, Mapping[str, str]] = {
        "days_since_purchase": {
            "aggregate": "days_since_last",
            "where": BOUGHT,
            "window": longest,
            "description": "Days since the last purchase",
            "phrase": "{value} day{s} since the last purchase",
        },
        "purchases_short": {
            "aggregate": "count",
            "where": BOUGHT,
            "window": short,
            "description": f"Purchases in {step} days",
            "phrase": f"{{value}} purchase{{s}} in {step} days",
        },
        "purchases_long": {
            "aggregate": "count",
            "where": BOUGHT,
            "window": long,
            "description": f"Purchases in {POPULATION_STEPS * step} days",
            "phrase": f"{{value}} purchase{{s}} in {POPULATION_STEPS * step} days",
        },
        "purchases_longest": {"aggregate": "count", "where": BOUGHT, "window": longest},
        "purchase_trend": {"aggregate": "trend", "where": BOUGHT, "window": trend},
        "spent": {"aggregate": "sum", "of": "amount", "window": long},
        "mean_purchase": {
            "aggregate": "mean",
            "of": "amount",
            "where": BOUGHT,
            "window": long,
        },
        "largest_purchase": {"aggregate": "max", "of": "amount", "window": long},
        "refund_share": {"aggregate": "share", "where": f"kind = '{REFUND}'", "window": long},
        "channels": {"aggregate": "distinct", "of": "channel", "window": long},
        "last_channel": {"aggregate": "last", "of": "channel", "window": longest},
    }
    return {
        "tables": {
            TABLE: {
                "description": "One row per payment.",
                "kind": "events",
                "time": TIME,
                "id": ID,
                "delivery": "append",
                "time_zone": TIME_ZONE,
                "columns": {
                    ID: {"dtype": "string"},
                    TIME: {"dtype": "timestamp"},
                    "kind": {"dtype": "category", "values": [PURCHASE, REFUND]},
                    "channel": {"dtype": "category", "values": list(CHANNELS)},
                    "amount": {"dtype": "float", "min": -10_000, "max": 10_000},
                },
                "windows": windows,
            }
        },
        "feature_views": {"paying": {"table": TABLE, "features": list(windows)}},
        "label": {
            "no_event": {
                "table": TABLE,
                "where": BOUGHT,
                "within": WITHIN[cadence],
                "population": {"table": TABLE, "where": BOUGHT, "window": long},
            }
        },
    }
