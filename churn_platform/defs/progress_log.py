"""A Dagster logger that reports to a listener which asset starts and ends, in place of
Dagster's own console lines.
"""

import contextlib
import logging
from collections.abc import Callable, Iterator

import dagster as dg

OnAsset = Callable[[str, str], None]
"""Told the asset and "started" or "done"."""
STATES = {"STEP_START": "started", "STEP_SUCCESS": "done"}
_listeners: list[OnAsset] = []


@contextlib.contextmanager
def listening(listener: OnAsset) -> Iterator[None]:
    """Tell `listener` about every asset of the runs inside the block."""
    _listeners.append(listener)
    try:
        yield
    finally:
        _listeners.remove(listener)


class _Handler(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        event = getattr(record, "dagster_meta", {}).get("dagster_event")
        if event is not None and event.step_key is not None and event.event_type_value in STATES:
            for listener in _listeners:
                listener(event.step_key, STATES[event.event_type_value])


@dg.logger(description="Tells the command line which asset runs; everything else is in the UI.")
def progress_logger(_: dg.InitLoggerContext) -> logging.Logger:
    """A logger that only passes on the starts and ends of assets."""
    logger = logging.Logger("churn_progress", level=logging.DEBUG)
    logger.addHandler(_Handler())
    return logger
