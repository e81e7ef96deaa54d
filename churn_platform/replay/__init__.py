"""Backtests: the past months under other policies, and past decisions judged."""
