"""The benchmarks stay runnable: each is in `make bench` and in the results, and each runs at its small size."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
HELPERS = {"__init__", "harness", "business", "bare_months", "course_api"}
NO_FLOOR = {
    "false_alarms",
    "challengers",
    "guardrails",
    "estimate",
    "model_test",
}  # a rate beside its goal
QUESTIONS = sorted({path.stem for path in (ROOT / "benchmarks").glob("*.py")} - HELPERS)


def test_every_question_is_asked_by_make_bench_and_answered_in_the_results():
    recipe = re.search(r"^bench:.*\n\t(.*)$", (ROOT / "Makefile").read_text(), flags=re.MULTILINE)[
        1
    ]
    results = (ROOT / "docs" / "benchmarks.md").read_text(encoding="utf-8")
    for question in QUESTIONS:
        assert re.search(rf"\b{question}\b", recipe), question
        assert f"python -m benchmarks.{question}" in results


@pytest.mark.slow
@pytest.mark.parametrize("question", QUESTIONS)
def test_a_benchmark_runs_at_its_small_size(question):
    command = [sys.executable, "-m", f"benchmarks.{question}", "--quick"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if "real months are not at" in done.stderr:
        pytest.skip(done.stderr)
    assert done.returncode == 0, done.stderr
    assert "x floor" in done.stdout or question in NO_FLOOR
    assert "goal <=" in done.stdout
