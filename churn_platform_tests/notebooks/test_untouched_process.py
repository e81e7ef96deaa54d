"""Reading a home leaves the process of the user, the disk and the network alone."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = """
import json, logging, os, sys, time, warnings

HOME = sys.argv[1]
WRITES = {"os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.truncate", "os.utime", "os.chmod", "os.link",
          "os.symlink", "os.chown", "os.setxattr"}
PROCESS = {"os.putenv", "os.unsetenv", "os.chdir", "socket.connect", "socket.bind", "subprocess.Popen", "os.system",
           "os.posix_spawn", "os.fork"}
found = {"writes": [], "process": []}

def watch(event, arguments):
    if event == "open":
        path, mode, flags = arguments
        writes = (flags or 0) & (os.O_WRONLY | os.O_RDWR | os.O_CREAT) or set(mode or "") & set("wax+")
        if writes and str(path).startswith(HOME):
            found["writes"].append([event, str(path)])
    elif event == "sqlite3.connect" and "mode=ro" not in str(arguments[0]):
        found["writes"].append([event, str(arguments[0])])
    elif event in WRITES and any(str(one).startswith(HOME) for one in arguments):
        found["writes"].append([event, str(arguments[0])])
    elif event in PROCESS:
        found["process"].append([event, str(arguments[0])])

def process():
    root = logging.getLogger()
    return {"folder": os.getcwd(), "zone": time.tzname, "filters": [str(one) for one in warnings.filters],
            "logging": [root.level, len(root.handlers)], "stdout": sys.stdout is sys.__stdout__,
            "hook": sys.excepthook is sys.__excepthook__}

sys.addaudithook(watch)
import lightgbm, matplotlib, pandas, scipy.stats, sklearn.ensemble, skops.io  # each adds filters for its own warnings
before = process()
import churn_platform as churn
from churn_platform_tests.notebooks.asking import ask_everything
ask_everything(churn.open(HOME))
found["before"], found["after"] = before, process()
found["modules"] = sorted({name.split(".")[0] for name in sys.modules} | {m for m in sys.modules if m.startswith("matplotlib.")})
found["rc"] = dict(matplotlib.rcParams) == dict(matplotlib.rcParamsDefault)
print(json.dumps(found))
"""
SET_BY_LIBRARIES = {"KMP_DUPLICATE_LIB_OK", "KMP_INIT_AT_FORK", "OPENBLAS_MAIN_FREE"}
"""scikit-learn and numpy set them when they are imported."""


@pytest.mark.slow
def test_reading_everything_touches_neither_home_nor_process(worked, tmp_path):
    root = Path(__file__).parents[2]
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONWARNINGS"}
    environment |= {"PYTHONPATH": str(root), "TZ": "America/New_York", "CHURN_HOME": "/nothing"}
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", SCRIPT, str(worked.folder)],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={
            **os.environ,
            "PYTHONPATH": str(root),
            "TZ": "America/New_York",
            "CHURN_HOME": "/nothing",
        },
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    found = json.loads(done.stdout)
    assert found["writes"] == []
    assert {name for _, name in found["process"]} <= {f"b'{name}'" for name in SET_BY_LIBRARIES}
    assert found["before"] == found["after"]
    assert found["rc"]
    assert "matplotlib.figure" in found["modules"]
    unwanted = {"mlflow", "feast", "dagster", "evidently", "bentoml", "typer", "matplotlib.pyplot"}
    assert unwanted & {*found["modules"]} == set()
    assert list(tmp_path.iterdir()) == []
