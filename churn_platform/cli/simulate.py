"""`churn simulate`: a business with a known truth as files, ready for `churn ingest` and `churn
demo --data`.
"""

import datetime as dt
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

from churn_platform.base.errors import IntegrityError, UsageError
from churn_platform.base.files import read_json, write_json, write_text
from churn_platform.contract.model import Contract
from churn_platform.contract.reading import read_contract
from churn_platform.ingestion.drop import SUCCESS
from churn_platform.simulator import Delivery, Scenario, deliver, truth_json

TRUTH = "truth.json"
CONTRACT = "contract.yaml"
LATER = ("labels", "corrections", "repairs")


def write_simulation(
    out: Path, scenario: Scenario, contract: Path, *, users: int, months: int, seed: int
) -> dict[str, Any]:
    """Write the drops of a scenario, its contract and its truth into `out`; the truth as JSON
    values.

    Raises:
        UsageError: `out` holds files that no simulation wrote, or a number is below its
            minimum.
        ContractError: the contract is wrong, or no table can satisfy it.
    """
    given = read_contract(contract)
    fitting = scenario.contract(given)
    # Asked before anything is deleted: a wrong number must not cost the simulation that is
    # there.
    arriving = deliver(fitting, users, months, seed, scenario=scenario)
    _clear(out)
    # The truth first: whatever stops the rest, the folder is known to be a simulation's.
    write_json(out / TRUTH, truth_json(scenario, users, seed, ()))
    write_text(
        out / CONTRACT,
        contract.read_text(encoding="utf-8") if fitting == given else _as_yaml(fitting),
    )
    delivered = [_written(out, delivery) for delivery in arriving]
    truth = truth_json(scenario, users, seed, delivered)
    write_json(out / TRUTH, truth)
    return truth


def read_truth(folder: Path) -> dict[str, Any] | None:
    """The truth next to simulated drops; None if `folder` is not a simulation's.

    Raises:
        IntegrityError: the file is not valid JSON.
    """
    path = folder / TRUTH
    truth = read_json(path) if path.is_file() else None
    if isinstance(truth, dict) and {"scenario", "deliveries"} <= truth.keys():
        return truth
    return None


def sentences(truth: dict[str, Any], out: Path) -> list[str]:
    """What was written, what the loop should do with it, and what to type next."""
    listed = [
        f"  {one['folder']}{': ' if one['note'] else ''}{one['note']}"
        for one in truth["deliveries"]
    ]
    return [
        f"{truth['scenario']}: {truth['summary']}.",
        *listed,
        f"The loop should {truth['loop_should']}.",
        f"The truth is in {out / TRUTH}. Next: `churn demo --data {out}`.",
    ]


def _written(out: Path, delivery: Delivery) -> Delivery:
    """Write one delivery; it comes back without its tables, so a year of months fits into
    memory.
    """
    folder = out.joinpath(*delivery.folder.split("/"))
    folder.mkdir(parents=True)
    for name, table in delivery.tables.items():
        table.to_csv(folder / f"{name}.csv", index=False)
    (folder / SUCCESS).touch()
    return replace(delivery, tables={})


def _clear(out: Path) -> None:
    """Make room for a simulation: an earlier one goes, anything else stays and is an error."""
    if out.exists() and not out.is_dir():
        raise UsageError(
            f"{out} is a file: name a folder that is empty or not there yet.", code="TARGET_EXISTS"
        )
    if out.is_dir() and any(out.iterdir()):
        try:
            ours = read_truth(out) is not None
        except IntegrityError:
            ours = False
        if not ours:
            raise UsageError(
                f"{out} holds files that no simulation wrote: name an empty folder, or delete"
                " this one.",
                code="TARGET_EXISTS",
            )
        for entry in out.iterdir():
            if entry.is_dir() and (entry.name in LATER or _is_date(entry.name)):
                shutil.rmtree(entry)
    out.mkdir(parents=True, exist_ok=True)


def _is_date(name: str) -> bool:
    try:
        dt.date.fromisoformat(name)
    except ValueError:
        return False
    return True


def _as_yaml(contract: Contract) -> str:
    import yaml

    declared = contract.model_dump(mode="json", exclude_unset=True)
    return yaml.safe_dump(declared, sort_keys=False, allow_unicode=True)
