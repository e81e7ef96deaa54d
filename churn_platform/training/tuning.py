"""Optuna's suggestions for the parameters of one recipe: in memory, seeded, in one thread."""

from collections.abc import Mapping
from importlib import metadata, util
from typing import Any

from churn_platform.base.errors import UsageError
from churn_platform.contract.recipes import Parameters, Tuned


class Tuning:
    """The search for the parameters of one recipe.

    The sampler is TPE (Bergstra, Bardenet, Bengio and Kégl 2011): the first 10 values are drawn
    at random, later ones near those with little loss.
    """

    def __init__(self, tune: Mapping[str, Tuned], seed: int) -> None:
        import optuna

        optuna.logging.set_verbosity(optuna.logging.ERROR)
        sampler = optuna.samplers.TPESampler(seed=seed)
        self._study = optuna.create_study(direction="minimize", sampler=sampler)
        self._values = {name: _distribution(tuned) for name, tuned in tune.items()}
        self._trial: Any = None

    def ask(self) -> Parameters:
        """The values to try next."""
        self._trial = self._study.ask(self._values)
        return dict(self._trial.params)

    def tell(self, loss: float | None) -> None:
        """The loss of the values that were asked for last; None if they could not be fitted."""
        import optuna

        if loss is None:
            self._study.tell(self._trial, state=optuna.trial.TrialState.FAIL)
        else:
            self._study.tell(self._trial, loss)


def optuna_version() -> str:
    """The installed version of Optuna.

    Raises:
        UsageError: it is not installed.
    """
    if util.find_spec("optuna") is None:
        raise UsageError(
            "A recipe with `tune` in policy.training.candidates needs Optuna: install"
            " churn-platform[optuna].",
            code="PACKAGE_MISSING",
        )
    return metadata.version("optuna")


def _distribution(tuned: Tuned) -> Any:  # noqa: ANN401 - a distribution of Optuna
    from optuna import distributions

    if tuned.choices:
        return distributions.CategoricalDistribution(tuned.choices)
    low, high = tuned.ends
    if isinstance(low, int) and isinstance(high, int):
        return distributions.IntDistribution(low, high, log=tuned.log)
    return distributions.FloatDistribution(low, high, log=tuned.log)
