"""Progress of long work: a bar in a terminal, plain lines elsewhere. Written to stderr."""

import datetime as dt
import sys
import time
from collections.abc import Callable
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    SpinnerColumn,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from churn_platform.loop.next_step import Step

ASSETS = {"monthly": 7, "retraining": 5, "scores": 1}
"""Dagster steps of each job, checks included."""


class RunProgress:
    """Shows each step of the loop while it runs."""

    def __init__(self, *, quiet: bool = False) -> None:
        self._console = Console(stderr=True, quiet=quiet)
        self._bar = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            TextColumn("{task.fields[asset]}"),
            TimeElapsedColumn(),
            console=self._console,
            disable=quiet or not sys.stderr.isatty(),
        )
        self.months: set[dt.date] = set()
        """The months of the steps that have begun."""
        self._task: TaskID | None = None
        self._label = ""
        self._started: dict[str, float] = {}

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._bar.stop()

    def step(self, step: Step) -> None:
        """Show that a step begins."""
        self._finish()
        self.months.add(step.as_of)
        self._label = f"{step.as_of} {step.kind}"
        self._task = self._bar.add_task(self._label, total=ASSETS[step.kind], asset="")
        if self._bar.disable:
            self._console.print(f"{self._label}: {step.reason}", highlight=False, soft_wrap=True)

    def asset(self, name: str, state: str) -> None:
        """Show that an asset or a group of checks starts or has finished."""
        if state == "started":
            self._started[name] = time.monotonic()
            if self._task is not None:
                self._bar.update(self._task, asset=name)
            return
        if self._task is not None:
            self._bar.advance(self._task)
        if self._bar.disable:
            seconds = time.monotonic() - self._started.get(name, time.monotonic())
            self._console.print(f"  {name:26} {seconds:6.1f} s", highlight=False)

    @property
    def console(self) -> Console:
        """Where permanent lines are printed; silent with `--json`."""
        return self._bar.console

    def note(self, text: str) -> None:
        """Print a permanent line."""
        self._bar.console.print(text, highlight=False, soft_wrap=True)

    def _finish(self) -> None:
        if self._task is not None:
            self._bar.update(
                self._task, completed=ASSETS[self._label.rsplit(" ", 1)[1]], asset="done"
            )


class BytesProgress:
    """Shows how many bytes are copied; yields the function to call for each file."""

    def __init__(self, label: str, total: int, *, quiet: bool) -> None:
        console = Console(stderr=True, quiet=quiet)
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            DownloadColumn(),
            TimeRemainingColumn(),
        )
        self._bar = Progress(*columns, console=console, disable=quiet or not console.is_terminal)
        self._task = self._bar.add_task(label, total=total)
        if self._bar.disable:
            console.print(f"{label}: {total / 1e6:,.1f} MB ...", highlight=False, soft_wrap=True)

    def __enter__(self) -> Callable[[str, int], None]:
        self._bar.start()
        return lambda _name, size: self._bar.advance(self._task, size)

    def __exit__(self, *_: object) -> None:
        self._bar.stop()
