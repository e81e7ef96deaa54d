"""Makes a version again from the lake as known then, and compares it with the registered one."""

import datetime as dt
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from churn_platform.audit.lake_checks import file_faults
from churn_platform.audit.reproduction import (
    Compared,
    changed_code,
    changed_estimator,
    changed_policy,
    changed_tables,
    check_recipe,
    compare,
    compared,
    contract_as_then,
)
from churn_platform.base.errors import ContractError, DataError, IntegrityError
from churn_platform.base.provenance import code_digest, made_with
from churn_platform.base.stored import Stored
from churn_platform.base.text import counted
from churn_platform.contacts.labels import CorrectedLabels
from churn_platform.contract.model import Contract
from churn_platform.contract.views import for_version, with_versions
from churn_platform.features.feature_store import FeatureStore
from churn_platform.features.training_datasets import join
from churn_platform.lake.contract_history import recorded_contract
from churn_platform.lake.lake import Lake, view_digests
from churn_platform.lake.lake_file import LakeFile
from churn_platform.lake.past import PastLake, manifests_of
from churn_platform.lake.records import Records
from churn_platform.lake.window import Window
from churn_platform.ledger.acts import ContractChanged
from churn_platform.ledger.receipts import version_of
from churn_platform.ledger.state import ProductionState
from churn_platform.ledger.store import LedgerStore
from churn_platform.promotion.promotions import released
from churn_platform.training.candidate import Candidate, fit_candidate
from churn_platform.training.choosing import asked_for
from churn_platform.training.entry_point import EstimatorError
from churn_platform.training.registry import ModelRegistry
from churn_platform.training.release import MadeFrom, ModelCard
from churn_platform.training.releases import Releases
from churn_platform.training.version_contracts import VersionContracts


class Reproduced(Stored):
    """The result of making a version again.

    Attributes:
        changed: inputs that are not what they were.
        noted: inputs that changed and do not matter, or made no difference.
    """

    version: int
    reproduced: bool
    sentence: str
    compared: list[Compared]
    changed: list[str]
    noted: list[str]


@dataclass(frozen=True)
class Reproduction:
    """Makes versions of one home again."""

    folder: Path
    contract: Contract
    lake: Lake
    ledger: LedgerStore
    registry: ModelRegistry
    releases: Releases

    def reproduce(self, version: int, *, deep: bool = False) -> Reproduced:
        """Make a version again and compare: dataset digest, identity, figures, and every prediction
        bit for bit.

        Args:
            version: its number.
            deep: choose its recipe again, too, if several competed. Otherwise the recorded one
                is fitted.

        Raises:
            UsageError: there is no such version.
            IntegrityError: the version's own files were changed.
            DataError: the version does not record what it was made from.
        """
        recorded = self.registry.load(version)
        made_from = recorded.card.made_from
        if made_from is None or made_from.known_at is None:
            raise DataError(_why_never(version, recorded.card), code="VERSION_NOT_REPRODUCIBLE")
        noted = [
            f"{change} (it is made again with its own)"
            for change in changed_policy(self.contract, made_from)
        ]
        code = _changed_since(recorded.card.code_digest, made_from)
        try:
            read, fitted = self._contracts_then(version, recorded)
            contract = contract_as_then(read, made_from)
            recipe = contract_as_then(fitted, made_from)
            check_recipe(recipe, made_from)
            searched = deep and made_from.search is not None
            if searched:
                now = {**made_with(), **asked_for(recipe).made_of()}
                code = changed_code(made_from.fitted_with, now)
        except ContractError as error:
            return _result(version, [], [str(error), *code], noted)
        if made_from.search is not None and not searched:
            noted.append(
                "Its recipe is the recorded one of several; `churn reproduce --deep` chooses it"
                " again."
            )
        window = Window(
            **{
                part: tuple(dt.date.fromisoformat(month) for month in months)
                for part, months in made_from.window.items()
            }
        )
        known_at = dt.datetime.fromisoformat(made_from.known_at)
        lake = self._lake_then(contract, known_at)
        if changed := self._changed_lake(lake, window, known_at, made_from.tables):
            return _result(version, [], [*changed, *code], noted)
        with tempfile.TemporaryDirectory() as folder:
            labels = CorrectedLabels.of_home(
                lake, Records(self.folder), self.ledger, lambda: known_at
            )
            dataset = join(labels, FeatureStore(Path(folder), contract), window, known_at)
        found = [compared("training dataset", recorded.card.dataset_digest, dataset.digest)]
        if found[0].same:
            chosen = None if deep else recorded.card
            try:
                again = fit_candidate(recipe, dataset, code_digest(), made_with(), chosen=chosen)
            except EstimatorError as error:
                return _result(version, [], list(dict.fromkeys([*code, str(error)])), noted)
            release = None
            if version in self.releases.versions():
                release = released(self.releases, version)
            found += compare(recipe, dataset, recorded, again, release, searched=searched)
        return _result(version, found, code, noted)

    def _contracts_then(self, version: int, recorded: Candidate) -> tuple[Contract, Contract]:
        """The contract that the version's dataset was read by, and the one it was fitted by.

        A dataset has the features of the contract in use and those of the versions released
        until then. Versions before the first receipt of a contract had one contract for both.

        Raises:
            ContractError: that contract is recorded nowhere.
        """
        receipts = self.ledger.receipts()
        judged = [
            receipt.sequence
            for receipt in receipts
            if receipt.act == "decision" and version_of(receipt.subject) == version
        ]
        made = min(judged, default=len(receipts) + 1)
        changes = [receipt for receipt in receipts if receipt.act == "contract changed"]
        before = [receipt for receipt in changes if receipt.sequence < made]
        in_use = self.contract
        if changes:
            used = before[-1] if before else changes[0]
            in_use = recorded_contract(ContractChanged.of(used))
        versions = VersionContracts(in_use, self.releases)
        if not before:
            own = versions.of(recorded.card)
            return own, own
        published = ProductionState.from_receipts(receipts).published
        released = [
            own
            for number, own in sorted(versions.released.items())
            if number in published and published[number].sequence < made
        ]
        read = with_versions(in_use, released)
        return read, for_version(read, versions.own(recorded.card))

    def _lake_then(self, contract: Contract, known_at: dt.datetime) -> Lake:
        """The lake with the contract of a version.

        A window that was added later is in tables that count as known earlier, so what arrived
        later is left out.
        """
        if not contract.logs:
            return self.lake.by(contract)
        past = {}
        for as_of, manifest in manifests_of(self.lake).items():
            arrived = [one for one in manifest.deliveries if one.arrived <= known_at]
            past[as_of] = manifest.first(len(arrived))
        return PastLake(self.lake, contract, past)

    def _changed_lake(
        self, lake: Lake, window: Window, known_at: dt.datetime, recorded: Mapping[str, str]
    ) -> list[str]:
        """What of the lake, as it was known then, differs in its manifests and files."""
        view = lake.view(known_at, as_at_scoring=True)
        changed = changed_tables(recorded, view_digests(view, window.months))
        forgotten = [
            receipt
            for receipt in self.ledger.receipts("customer forgotten")
            if dt.datetime.fromisoformat(receipt.time) > known_at
        ]
        if changed and forgotten:
            were = "was" if len(forgotten) == 1 else "were"
            changed.append(
                f"{counted(len(forgotten), 'customer')} {were} forgotten since (receipt"
                f" {forgotten[-1].sequence}): their rows are gone from the lake for good"
            )
        for table, files in view.items():
            for month in window.months:
                if month in files:
                    changed += _file_faults(files[month], self.folder, month, table)
        return changed


def _file_faults(file: LakeFile, folder: Path, as_of: dt.date, table: str) -> list[str]:
    try:
        file.fetch()
    except IntegrityError as error:
        return [str(error)]
    return list(file_faults(file, folder, as_of, table))


def _why_never(version: int, card: ModelCard) -> str:
    """Why a version can never be made again."""
    if card.imported is not None:
        return (
            f"Version {version} was trained elsewhere, so it cannot be made again here."
            f" {card.imported.sentence} `churn verify --deep` compares its files."
        )
    return (
        f"Version {version} does not record what it was made from: an older version of the"
        " platform registered it, or a person. Train it again."
    )


def _changed_since(digest: str, made_from: MadeFrom) -> list[str]:
    """What of the code that fitted a version has changed."""
    if made_from.fitted_with:
        own = changed_estimator(made_from)
        return [*changed_code(made_from.fitted_with, made_with()), *own]
    if digest != code_digest():
        return [f"the code that fitted it (digest {digest[:12]})"]
    return []


def _result(
    version: int, found: list[Compared], changed: list[str], noted: list[str]
) -> Reproduced:
    differ = [one.what for one in found if not one.same]
    reproduced = bool(found) and not differ
    if reproduced:
        sentence = (
            f"Version {version} is reproduced: dataset, identity and every prediction are the"
            " same, bit for bit."
        )
        noted = [*noted, *(f"{change} (it made no difference)" for change in changed)]
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
    return Reproduced(
        version=version,
        reproduced=reproduced,
        sentence=sentence,
        compared=found,
        changed=changed,
        noted=noted,
    )
