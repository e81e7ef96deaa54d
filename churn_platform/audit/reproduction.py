"""Compares a version with its reproduction, and its inputs with those of today."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np
import pandas as pd
from pydantic import JsonValue
from pydantic_core import to_jsonable_python

from churn_platform.base.digests import canonical_json, digest_of
from churn_platform.base.errors import ContractError
from churn_platform.base.stored import Stored
from churn_platform.contract.model import Contract
from churn_platform.features.training_dataset import TrainingDataset
from churn_platform.ledger.acts import changes
from churn_platform.training.candidate import Candidate, candidate_digest
from churn_platform.training.model import Recipe
from churn_platform.training.release import HoldoutSplit, MadeFrom


class Compared(Stored):
    """One thing as it was recorded and as it was made again."""

    what: str
    recorded: str
    found: str
    same: bool


def compared(what: str, recorded: str, found: str) -> Compared:
    """Compare one thing."""
    return Compared(what=what, recorded=recorded, found=found, same=recorded == found)


def contract_as_then(contract: Contract, made_from: MadeFrom) -> Contract:
    """A contract with recipe, holdout and slices as a version was made with.

    Raises:
        ContractError: it lacks columns of those slices or costs.
    """
    recipe = made_from.recipe
    fields = contract.as_mapping()
    training = fields["policy"]["training"] | {
        "algorithm": recipe["algorithm"],
        "seed": recipe["seed"],
        "salt": made_from.holdout.salt,
        "holdout_fraction": made_from.holdout.fraction,
    }
    policy = fields["policy"] | {"training": training}
    try:
        return Contract.model_validate(
            fields | {"policy": policy, "costs": recipe["costs"], "slices": made_from.slices}
        )
    except ValueError as error:  # pydantic's own
        raise ContractError(
            f"The contract has no place any more for what it was made with: {error}",
            code="CONTRACT_CHANGED",
        ) from None


def check_recipe(contract: Contract, made_from: MadeFrom) -> None:
    """Raise ContractError if the recipe of a contract is not the one of a version."""
    recipe = made_from.recipe
    now = to_jsonable_python(Recipe.of(contract))
    if now == recipe:
        return
    differ = changes(
        {**recipe, "features": dict(recipe["features"])},
        {**now, "features": dict(now["features"])},
    )
    found = "; ".join(change.sentence() for change in differ)
    raise ContractError(
        f"The features of the contract have changed since: {found}.", code="CONTRACT_CHANGED"
    )


def changed_policy(contract: Contract, made_from: MadeFrom) -> list[str]:
    """What of the recipe and the holdout is different in today's policy; the version is made
    again by its own.
    """
    training = contract.policy.training
    holdout = HoldoutSplit(salt=training.salt, fraction=training.holdout_fraction)
    recipe = to_jsonable_python(Recipe.of(contract))
    now = _training_part(recipe, holdout, contract.slices)
    then = _training_part(made_from.recipe, made_from.holdout, made_from.slices)
    return [change.sentence() for change in changes(then, now)]


def _training_part(
    recipe: Mapping[str, Any], holdout: HoldoutSplit, slices: Iterable[str]
) -> Mapping[str, JsonValue]:
    return {
        "policy.training": {
            "algorithm": recipe["algorithm"],
            "seed": recipe["seed"],
            "salt": holdout.salt,
            "holdout_fraction": holdout.fraction,
        },
        "costs": recipe["costs"],
        "slices": [*slices],
    }


def changed_code(recorded: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """Recipe version, libraries and machine that are not those a version was fitted with."""
    # Until 0.2 the digests of four source files stood in for the recipe's version.
    comparable = {name: value for name, value in recorded.items() if name != "sources"}
    return [
        _code_sentence(change.field, change.old, change.new) for change in changes(comparable, now)
    ]


def changed_tables(recorded: Mapping[str, str], now: Mapping[str, str]) -> list[str]:
    """Tables of the lake that, as known then, do not hold what the version was trained on."""
    found = []
    for name in sorted({*recorded, *now}):
        if name not in now:
            found.append(f"{name} is not in the lake any more as it was known then")
        elif name not in recorded:
            found.append(f"{name} was not known then, and is now")
        elif recorded[name] != now[name]:
            found.append(
                f"{name} holds other rows than then (digest {recorded[name][:12]}, now"
                f" {now[name][:12]})"
            )
    return found


def compare(
    contract: Contract,
    dataset: TrainingDataset,
    recorded: Candidate,
    again: Candidate,
    released: Candidate | None,
) -> Iterator[Compared]:
    """The version compared with its reproduction: identity, figures, and the prediction of
    every row of the dataset.

    Args:
        contract: the contract as it was then.
        dataset: the dataset, made again.
        recorded: the registered version.
        again: what was fitted on the dataset.
        released: the version as its release holds it; None where it has none.
    """
    then = recorded.card
    identity = candidate_digest(dataset, Recipe.of(contract), then.code_digest)
    yield compared("version (data, months, recipe)", recorded.digest, identity)
    for name in ("training_rows", "training_churners", "threshold"):
        yield compared(
            name.replace("_", " "), str(getattr(then, name)), str(getattr(again.card, name))
        )
    yield compared(
        "metrics on the holdout",
        digest_of(then.metrics),
        digest_of(again.card.metrics),
    )
    entities = (_bytes_digest(candidate.training_entities) for candidate in (recorded, again))
    yield compared("training customers", *entities)
    rows = dataset.frame
    found = _predictions(again, rows)
    yield compared(f"predictions of {len(rows):,} rows", _predictions(recorded, rows), found)
    if released is not None:
        yield compared("the release's predictions", _predictions(released, rows), found)


def _predictions(candidate: Candidate, rows: pd.DataFrame) -> str:
    """Digest over the bits of every probability."""
    return _bytes_digest(np.ascontiguousarray(candidate.model.probability(rows), dtype="<f8"))


def _bytes_digest(array: Any) -> str:  # noqa: ANN401 - an array of any dtype
    return digest_of(array.tobytes().hex())


def _code_sentence(field: str, old: object, new: object) -> str:
    if field == "recipe":
        then = "before 0.2" if old is None else f"version {old}"
        return f"the code that fits a model (recipe {then}, now version {new})"
    name = field.rpartition(".")[2]
    return f"{name}: {canonical_json(old)} -> {canonical_json(new)}"
