"""Compares a version with its reproduction, and its inputs with those of today."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np
import pandas as pd
from pydantic import JsonValue

from churn_platform.base.digests import canonical_json, digest_of
from churn_platform.base.errors import ContractError
from churn_platform.base.stored import Stored
from churn_platform.contract.model import Contract
from churn_platform.contract.policy import TrainingPolicy
from churn_platform.features.training_dataset import TrainingDataset
from churn_platform.ledger.acts import changes
from churn_platform.training.candidate import (
    Candidate,
    candidate_digest,
    made_of_then,
    recipe_of,
)
from churn_platform.training.choosing import asked_for
from churn_platform.training.entry_point import EstimatorError, OwnEstimator
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
    """A contract with recipe, holdout, sample and slices as a version was made with.

    Raises:
        ContractError: it lacks columns of those slices or costs.
    """
    recipe = made_from.recipe
    fields = contract.as_mapping()
    training = fields["policy"]["training"] | {
        **_recipe_fields(made_from),
        "seed": recipe["seed"],
        "salt": made_from.holdout.salt,
        "holdout_fraction": made_from.holdout.fraction,
        "max_rows": made_from.max_rows,
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


def _recipe_fields(made_from: MadeFrom) -> dict[str, JsonValue]:
    """The fields of `policy.training` that decide the recipe, as a version was made with."""
    default = TrainingPolicy()
    fields: dict[str, JsonValue] = {
        name: getattr(default, name)
        for name in ("algorithm", "estimator", "parameters", "candidates", "fits")
    }
    if made_from.search is not None:
        return fields | {name: made_from.search[name] for name in ("candidates", "fits")}
    single = ("algorithm", "estimator", "parameters")
    return fields | {name: made_from.recipe[name] for name in single if name in made_from.recipe}


def check_recipe(contract: Contract, made_from: MadeFrom) -> None:
    """Raise ContractError if the recipe of a contract is not the one of a version."""
    recipe = made_from.recipe
    now = recipe_of(contract, made_from).as_json()
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
    """What of the recipe, the holdout and the sample is different in today's policy; the version
    is made again by its own.
    """
    training = contract.policy.training
    holdout = HoldoutSplit(salt=training.salt, fraction=training.holdout_fraction)
    asked = asked_for(contract).as_json()
    now = _training_part(asked, holdout, training.max_rows, contract.slices)
    recipe = made_from.search or made_from.recipe
    then = _training_part(recipe, made_from.holdout, made_from.max_rows, made_from.slices)
    return [change.sentence() for change in changes(then, now)]


def _training_part(
    recipe: Mapping[str, Any], holdout: HoldoutSplit, max_rows: int | None, slices: Iterable[str]
) -> Mapping[str, JsonValue]:
    fields = ("algorithm", "estimator", "parameters", "candidates", "fits")
    return {
        "policy.training": {
            **{name: recipe[name] for name in fields if name in recipe},
            "seed": recipe["seed"],
            "salt": holdout.salt,
            "holdout_fraction": holdout.fraction,
            "max_rows": max_rows,
        },
        "costs": recipe["costs"],
        "slices": [*slices],
    }


def changed_code(recorded: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """Recipe version, libraries and machine that are not those a version was fitted with."""
    # Until 0.2 the digests of four source files stood in for the recipe's version. What a search
    # was made with matters only if it is repeated. `changed_estimator` compares estimators of the
    # business.
    left_out = ({"sources", "search"} - now.keys()) | {"estimator"}
    comparable = {name: value for name, value in recorded.items() if name not in left_out}
    return [
        _code_sentence(change.field, change.old, change.new) for change in changes(comparable, now)
    ]


def changed_estimator(made_from: MadeFrom) -> list[str]:
    """Sources and libraries of an estimator of the business that are not those a version was
    fitted with; empty without one.
    """
    recorded = made_from.fitted_with.get("estimator")
    if recorded is None:
        return []
    recipe = made_from.recipe
    own = OwnEstimator(recipe["estimator"], recipe.get("parameters", {}), recipe["seed"])
    try:
        now = own.record()
    except EstimatorError as error:
        return [str(error)]
    found = []
    for file in sorted({*recorded["sources"], *now["sources"]}):
        then, today = (one["sources"].get(file) for one in (recorded, now))
        if then != today:
            digests = f"sha256 {str(then)[:12]}, now {str(today)[:12]}"
            found.append(f"the code of {own.name} in {file} ({digests})")
    libraries = changes({"": recorded["libraries"]}, {"": now["libraries"]})
    return found + [_code_sentence(one.field, one.old, one.new) for one in libraries]


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
    *,
    searched: bool = False,
) -> Iterator[Compared]:
    """The version compared with its reproduction: identity, figures, and the prediction of
    every row of the dataset.

    Args:
        contract: the contract as it was then.
        dataset: the dataset, made again.
        recorded: the registered version.
        again: what was fitted on the dataset.
        released: the version as its release holds it; None where it has none.
        searched: the recipe of `again` was chosen again.
    """
    then = recorded.card
    asked = asked_for(contract)
    made_of = made_of_then(asked, then.made_from)
    identity = candidate_digest(dataset, asked, then.code_digest, made_of)
    yield compared("version (data, months, recipe)", recorded.digest, identity)
    if searched:
        yield compared("chosen recipe", _choice(recorded), _choice(again))
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


def _choice(candidate: Candidate) -> str:
    """The chosen recipe, and a digest over what was measured of all of them."""
    choice = candidate.card.chosen_from
    if choice is None:
        return "none"
    return f"{choice.chosen} ({digest_of(choice.as_json())[:12]})"


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
