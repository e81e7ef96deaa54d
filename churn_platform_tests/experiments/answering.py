"""Answers of a canary as a server's guard measures them."""

from churn_platform.experiments.files import read_running
from churn_platform.serving.canary_guard import CanaryGuard


def answer(home, customers=range(30), arm="canary", probability=0.4):
    """Let one server process answer customers in an arm of the canary that runs."""
    canary = read_running(home.releases.folder).canary
    guard = CanaryGuard(home.folder, canary, 0.5)
    for customer in customers:
        guard.answered(arm, f"m{customer:05d}", 0.001, probability)
    guard.tick()
