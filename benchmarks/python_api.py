"""How long does a script wait for the Python API: to import it, to open a home, to read months?

    uv run python -m benchmarks.python_api [--quick]

Each is a process of its own, from start to end, with the start of Python counted. Floor: Python
that does nothing. Peer: `import pandas`. The home is empty, so no size of data is in the figures.
"""

import argparse
import sys
import tempfile
from functools import partial
from pathlib import Path

from benchmarks import harness
from churn_platform.base.settings import Settings
from churn_platform.services import Services

GOAL = 1.0
FLOOR = "floor: Python"
PEER = "import pandas"
IMPORT = "import churn_platform"
OPEN = "import and churn.open"
MONTHS = "import, open and home.months()"


def _report(options: argparse.Namespace) -> None:
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder) / "home"
        Services(Settings(home=home)).create()
        opened = f"import churn_platform as churn; home = churn.open({str(home)!r})"
        scripts = {
            FLOOR: "pass",
            PEER: "import pandas",
            IMPORT: "import churn_platform",
            OPEN: opened,
            MONTHS: f"{opened}; home.months()",
        }
        if options.quick:
            del scripts[PEER], scripts[MONTHS]
        measures = {
            name: partial(harness.command, sys.executable, "-c", script)
            for name, script in scripts.items()
        }
        rounds = 1 if options.quick else 2 * harness.ROUNDS + 1
        found = harness.in_turns(measures, rounds)
    harness.table(found, FLOOR)
    harness.verdict(IMPORT, harness.median(found[IMPORT]), GOAL, " s")
    harness.verdict(OPEN, harness.median(found[OPEN]), GOAL, " s")


if __name__ == "__main__":
    harness.main({}, lambda _: None, _report)
