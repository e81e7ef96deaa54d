.PHONY: check test slow stack docker soak demo bench screenshots

check:  ## lint and types
	uv run ruff check
	uv run ruff format --check
	uv run mypy
	uv run lint-imports

test:  ## the test suite
	uv run pytest

slow:  ## daemons and whole demos
	uv run pytest -m slow

stack:  ## every server of docker/ on this machine, with faults
	uv run pytest -m stack

docker:  ## docker/ in real containers: build, trial, backup, restore
	uv run pytest -m docker

soak:  ## ten minutes of load on a real server with a promotion every 20 s
	uv run pytest -m soak

demo:  ## the whole loop on a simulated business
	uv run churn demo

bench:  ## every figure of docs/benchmarks.md; more than an hour
	set -e; for question in ingest events point_in_time materialization history drift scoring recipes training_sample false_alarms challengers contacts estimate guardrails model_test serving experiments ledger replay python_api object_storage real_months; do uv run python -m benchmarks.$$question; done

screenshots:  ## take the README's pictures from ./churn_home (needs chromium)
	uv run python docs/screenshots.py
