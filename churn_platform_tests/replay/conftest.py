"""Six months of StreamFlow under a recipe that fits in no time; from the third on others leave."""

import pytest

from churn_platform.contract.policy import Policy
from churn_platform.contract.reading import default_contract_path, read_contract
from churn_platform.replay.backtest import with_policy
from churn_platform.replay.history import PastMonths
from churn_platform.simulator import SCENARIOS, simulate
from churn_platform_tests.simulator.core_loop import lived_month

SHIFT = SCENARIOS["sudden-shift"]


@pytest.fixture(scope="session")
def with_sections():
    """A contract with some values of its policy replaced, by section."""

    def changed(contract, **sections):
        policy = contract.policy.model_dump(mode="json")
        for name, values in sections.items():
            policy[name] |= values
        return with_policy(contract, Policy.model_validate(policy))

    return changed


@pytest.fixture(scope="session")
def contract(with_sections):
    """The contract of the six months."""
    shipped = SHIFT.contract(read_contract(default_contract_path()))
    return with_sections(shipped, training={"algorithm": "logistic_regression"})


@pytest.fixture(scope="session")
def shifted(contract):
    """The six months, of 2,000 customers each."""
    months = simulate(contract, 2_000, 6, 1, scenario=SHIFT)
    return PastMonths({month.as_of: lived_month(contract, month) for month in months})
