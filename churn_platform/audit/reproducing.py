"""Makes a version again: its training set out of the lake as known then, its fit, and both
beside what was registered.
"""

import datetime as dt
import tempfile
from pathlib import Path
from typing import Any

from churn_platform.audit.deep_checks import file_faults
from churn_platform.audit.reproduction import (
    Compared,
    changed_code,
    changed_policy,
    changed_tables,
    compare,
    contract_as_then,
)
from churn_platform.base.errors import ContractError, DataError
from churn_platform.base.provenance import code_digest, made_with
from churn_platform.contract.model import Contract
from churn_platform.features.feature_store import FeatureStore
from churn_platform.features.training_dataset import TrainingDataset
from churn_platform.features.training_datasets import join
from churn_platform.lake.lake import Lake
from churn_platform.lake.window import Window
from churn_platform.ledger.store import LedgerStore
from churn_platform.promotion.promotions import released
from churn_platform.training.candidate import Candidate, fit_candidate
from churn_platform.training.registry import ModelRegistry
from churn_platform.training.release import MadeFrom
from churn_platform.training.releases import Releases


class Reproduction:
    """Makes versions of one home again."""

    def __init__(
        self,
        folder: Path,
        contract: Contract,
        lake: Lake,
        ledger: LedgerStore,
        registry: ModelRegistry,
        releases: Releases,
    ) -> None:
        self._folder = folder
        self._contract = contract
        self._lake_folder = lake.folder
        self._ledger = ledger
        self._registry = registry
        self._releases = releases

    def reproduce(self, version: int) -> dict[str, Any]:
        """Make a version again and compare: dataset digest, identity, figures, and every prediction
        bit for bit.

        Returns:
            Plain JSON values: reproduced, sentence, compared, changed (inputs that are not what
            they were), noted (inputs that changed and do not matter, or did not).

        Raises:
            UsageError: there is no such version.
            IntegrityError: the version's own files were changed.
            DataError: the version does not say what it was made from.
        """
        recorded = self._registry.load(version)
        made_from = _made_from(recorded)
        noted = [
            f"{said} (it is made again with its own)"
            for said in changed_policy(self._contract, made_from)
        ]
        code = _changed_code(recorded, made_from)
        try:
            contract = contract_as_then(self._contract, made_from)
        except ContractError as error:
            return _answer(version, [], [str(error), *code], noted)
        lake = Lake(self._lake_folder, contract)
        window = _window(made_from)
        known_at = dt.datetime.fromisoformat(str(made_from.known_at))
        if changed := self._changed_lake(lake, window, known_at, made_from):
            return _answer(version, [], [*changed, *code], noted)
        with tempfile.TemporaryDirectory() as folder:
            dataset = join(lake, FeatureStore(Path(folder), contract), window, known_at)
        compared = [Compared("training dataset", recorded.card.dataset_digest, dataset.digest)]
        if compared[0].same:
            compared += self._refitted(contract, dataset, recorded)
        return _answer(version, compared, code, noted)

    def _refitted(
        self, contract: Contract, dataset: TrainingDataset, recorded: Candidate
    ) -> list[Compared]:
        again = fit_candidate(contract, dataset, code_digest(), made_with())
        version = recorded.version or 0
        if version in self._releases.versions():
            release = released(self._releases, version)
        else:
            release = None
        return list(compare(contract, dataset, recorded, again, release))

    def _changed_lake(
        self, lake: Lake, window: Window, known_at: dt.datetime, made_from: MadeFrom
    ) -> list[str]:
        """What of the lake, as it was known then, is not what it was: by the manifests, and by the
        files themselves.
        """
        view = lake.view(known_at, as_at_scoring=True)
        changed = changed_tables(made_from.tables, lake.digests(view, window.months))
        forgotten = [
            receipt
            for receipt in self._ledger.receipts("customer forgotten")
            if dt.datetime.fromisoformat(receipt.time) > known_at
        ]
        if changed and forgotten:
            many = (
                f"{len(forgotten)} customer{'s were' if len(forgotten) > 1 else ' was'}"
                " forgotten since"
            )
            changed.append(
                f"{many} (receipt {forgotten[-1].sequence}): their rows are gone from the lake"
                " for good"
            )
        named = {
            lake.folder / entry.file: (month, table, entry)
            for month in window.months
            for delivery in lake.deliveries(month)
            for table, entry in delivery.tables.items()
        }
        for files in view.values():
            for month in window.months:
                if month in files:
                    changed += file_faults(lake, self._folder, *named[files[month]])
        return changed


def _made_from(recorded: Candidate) -> MadeFrom:
    made_from = recorded.card.made_from
    if made_from is None or made_from.known_at is None:
        raise DataError(
            f"Version {recorded.version} does not say what it was made from: it was registered"
            " by an older make of the platform, or by hand. Train it again to have one that"
            " does.",
            code="VERSION_NOT_REPRODUCIBLE",
        )
    return made_from


def _window(made_from: MadeFrom) -> Window:
    return Window(
        **{
            part: tuple(dt.date.fromisoformat(month) for month in months)
            for part, months in made_from.window.items()
        }
    )


def _changed_code(recorded: Candidate, made_from: MadeFrom) -> list[str]:
    if not made_from.fitted_with:
        same = recorded.card.code_digest == code_digest()
        if same:
            return []
        return [f"the code that fitted it (digest {recorded.card.code_digest[:12]})"]
    return changed_code(made_from.fitted_with, made_with())


def _answer(
    version: int, compared: list[Compared], changed: list[str], noted: list[str]
) -> dict[str, Any]:
    differ = [one.what for one in compared if not one.same]
    reproduced = bool(compared) and not differ
    if reproduced:
        sentence = (
            f"Version {version} is reproduced: dataset, identity and every prediction are the"
            " same, bit for bit."
        )
        noted = [*noted, *(f"{said} (it made no difference)" for said in changed)]
        changed = []
    else:
        why = (
            "; ".join(changed)
            or "nothing that was recorded; another build of a library may round otherwise"
        )
        if differ:
            what = f"different: {', '.join(differ)}"
        else:
            what = "it cannot be made again"
        sentence = f"Version {version} is not reproduced ({what}). What changed: {why}."
    return {
        "version": version,
        "reproduced": reproduced,
        "sentence": sentence,
        "compared": [one.as_dict() for one in compared],
        "changed": changed,
        "noted": noted,
    }
