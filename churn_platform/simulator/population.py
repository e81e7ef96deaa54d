"""The customers of a simulated business: their lasting traits, their keys, who leaves and who
comes.

A customer has lasting traits and, for numbers, a monthly variation, all standard normal. A
churner is replaced next month by a new customer with a new key and the same traits. Without
this, survival alone would make features drift.
"""

import datetime as dt
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from pandas.api.extensions import ExtensionArray

from churn_platform.contract.model import Contract
from churn_platform.simulator.churn import World
from churn_platform.simulator.tables import Flags, Floats, Key, Numbers, delivered

FIRST_KEY = 1_000_001
# Two months of one entity correlate by 0.85, distant ones by 0.7: recognisable, yet changing.
LASTING = 0.7
VARIATION_KEPT = 0.5
NULL_SHARE = 0.03
LONGEST_STAY = 120


class Population:
    """The customers of one world; row i is one customer until it churns, then its successor."""

    def __init__(
        self, contract: Contract, world: World, users: int, rng: np.random.Generator
    ) -> None:
        self._contract = contract
        self._world = world
        self._rng = rng
        self._traits = {key: rng.standard_normal(users) for key in world.shapes}
        numbers = [key for key, shape in world.shapes.items() if isinstance(shape, Numbers)]
        self._variation = {key: rng.standard_normal(users) for key in numbers}
        label = (contract.label.table, contract.label.column)
        self._empty: dict[Key, Flags] = {
            (table_name, name): rng.random(users) < NULL_SHARE
            for table_name, table in contract.tables.items()
            for name, column in table.columns.items()
            if column.nullable and (table_name, name) != label
        }
        self._keys = FIRST_KEY + np.arange(users)
        self._next_key = FIRST_KEY + users
        self._joined = np.full(users, np.datetime64("NaT", "D"))
        self._entities: npt.NDArray[Any] | None = None

    def latent(self, distances: Mapping[Key, float]) -> dict[Key, Floats]:
        """The normal numbers behind this month's columns, each moved by its distance."""
        result = {}
        for key, trait in self._traits.items():
            number = trait
            if key in self._variation:
                number = np.sqrt(LASTING) * trait + np.sqrt(1 - LASTING) * self._variation[key]
            result[key] = number + distances.get(key, 0.0)
        return result

    def chance(self, latent: dict[Key, Floats], relation: float) -> Floats:
        """The true churn probability of each customer (users,); a share `relation` follows the
        new relation.
        """
        encoded = np.column_stack(
            [self._world.shapes[key].encoded(latent[key]) for key in self._world.features]
        )
        for place, key in enumerate(self._world.features):
            if key in self._empty:
                encoded[self._empty[key], place] = np.nan
        return self._world.probability(encoded, relation)

    def set_start_days(self, as_of: dt.date, step_days: int, chance: Floats) -> None:
        """Draw the day on which new customers joined: within the last step of `step_days`.

        The customers of the first month have stayed as long as their churn `chance` suggests (a
        geometric number of steps), so the age of the customer base does not drift.
        """
        days = self._rng.integers(0, step_days, chance.size)
        new = np.isnat(self._joined)
        if new.all():
            stay = self._rng.geometric(np.clip(chance, 1 / LONGEST_STAY, 1.0))
            days += step_days * (np.minimum(stay, LONGEST_STAY) - 1)
        self._joined[new] = np.datetime64(as_of, "D") - days[new]

    def draw_churners(self, chance: Floats) -> Flags:
        """Who churns, drawn once by `chance`; (users,)."""
        return self._rng.random(chance.size) < chance

    def replace_churners(self, churned: Flags) -> None:
        """Replace churners by new customers with new keys, and let a month pass for everyone."""
        arrivals = int(churned.sum())
        self._keys[churned] = self._next_key + np.arange(arrivals)
        self._next_key += arrivals
        self._entities = None
        self._joined[churned] = np.datetime64("NaT", "D")
        for variation in self._variation.values():
            fresh = self._rng.standard_normal(variation.size)
            variation[:] = VARIATION_KEPT * variation + np.sqrt(1 - VARIATION_KEPT**2) * fresh

    def tables(self, latent: dict[Key, Floats], churned: Flags) -> dict[str, pd.DataFrame]:
        """Every table of the contract for this month, rows in the order of the keys."""
        order = self.order()
        entities = self.entities()[order]
        return {
            name: self._table(name, entities, latent, churned, order)
            for name in self._contract.tables
        }

    def order(self) -> npt.NDArray[np.intp]:
        """The customers in the order of their keys; (users,).

        In the order of the rows, new customers could be recognised by their position.
        """
        return np.argsort(self._keys)

    def _table(
        self,
        table: str,
        entities: npt.NDArray[Any],
        latent: dict[Key, Floats],
        churned: Flags,
        order: npt.NDArray[np.intp],
    ) -> pd.DataFrame:
        columns: dict[str, npt.NDArray[Any] | ExtensionArray] = {
            self._contract.entity.column: entities
        }
        for name, column in self._contract.tables[table].columns.items():
            raw = self._raw((table, name), latent, churned)
            columns[name] = delivered(name, column, raw, self._empty.get((table, name)))[order]
        return pd.DataFrame(columns)

    def _raw(self, key: Key, latent: dict[Key, Floats], churned: Flags) -> npt.NDArray[Any]:
        if key == (self._contract.label.table, self._contract.label.column):
            return np.asarray(churned != self._contract.label.inverted, dtype=np.float64)
        if key in latent:
            return self._world.shapes[key].values(latent[key])
        if self._contract.tables[key[0]].columns[key[1]].dtype == "date":
            return self._joined
        text: npt.NDArray[Any] = (f"{key[1]} " + pd.Series(self._keys).astype(str)).to_numpy(
            dtype=object
        )
        return text

    def entities(self) -> npt.NDArray[Any]:
        """The keys in the contract's dtype; (users,)."""
        if self._contract.entity.dtype == "integer":
            return self._keys.copy()
        if self._entities is None:
            self._entities = ("C" + pd.Series(self._keys).astype(str)).to_numpy(dtype=object)
        return self._entities
