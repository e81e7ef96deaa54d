.PHONY: check test slow demo screenshots

check:  ## lint and types
	uv run ruff check
	uv run ruff format --check
	uv run mypy

test:  ## the test suite
	uv run pytest

slow:  ## daemons and whole demos
	uv run pytest -m slow

demo:  ## the whole loop on a simulated business
	uv run churn demo

screenshots:  ## take the README's pictures from ./churn_home (needs chromium)
	uv run python docs/screenshots.py
