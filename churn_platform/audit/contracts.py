"""The check of the contracts: those that receipts record, the one in use, those of the versions."""

from collections.abc import Iterator, Sequence

from churn_platform.audit.checks import RESTORE, CheckResult, answering, broken, holds, said, unseen
from churn_platform.base.digests import digest_of
from churn_platform.base.errors import ChurnError, StoreDown
from churn_platform.base.text import counted
from churn_platform.contract.model import Contract
from churn_platform.lake.contract_history import ContractHistory
from churn_platform.ledger.acts import ContractChanged
from churn_platform.ledger.receipts import Receipt
from churn_platform.training.registry import ModelRegistry
from churn_platform.training.release import PASSPORT, ModelCard
from churn_platform.training.releases import Releases

CHECK = "contract"


def check_contracts(
    history: ContractHistory,
    registry: ModelRegistry,
    releases: Releases,
    receipts: Sequence[Receipt],
) -> Iterator[CheckResult]:
    """The recorded contracts follow each other, the one in use is the newest or is pending, and
    each version has the contract that it was trained under.
    """
    recorded = [receipt for receipt in receipts if receipt.act == "contract changed"]
    faults = list(_recorded_faults(recorded))
    yield from (broken(CHECK, fault) for fault in faults)
    if recorded and not faults:
        yield holds(CHECK, f"{counted(len(recorded), 'contract')} recorded", len(recorded))
    yield _in_use(history, recorded)
    yield from _cards(registry, releases)


def _recorded_faults(recorded: Sequence[Receipt]) -> Iterator[str]:
    """Receipts with another contract than their digest, or that do not follow the one before."""
    before = None
    for receipt in recorded:
        if digest_of(ContractChanged.of(receipt).contract) != receipt.after:
            yield f"the contract in receipt {receipt.sequence} is not the one of its digest"
        if receipt.before != before:
            yield (
                f"receipt {receipt.sequence} names another contract before it than the one that"
                " was recorded last"
            )
        before = receipt.after


def _in_use(history: ContractHistory, recorded: Sequence[Receipt]) -> CheckResult:
    if not recorded:
        return said(CHECK, "no receipt records a contract yet: the next `churn run` does")
    newest = recorded[-1]
    pending = history.pending()
    if not pending:
        return holds(CHECK, f"the contract in use is that of receipt {newest.sequence}")
    changes = "; ".join(change.sentence for change in pending)
    return said(
        CHECK,
        f"the contract in use differs from that of receipt {newest.sequence}, and the next"
        f" `churn run` records it: {changes}",
    )


def _cards(registry: ModelRegistry, releases: Releases) -> Iterator[CheckResult]:
    """The contract in each model card against its hash; a release's hash against its card's."""
    cards: dict[int, ModelCard] = {}
    faults = []
    for version in releases.versions():
        try:
            card = releases.card(version)
            manifest = releases.manifest(version)
        except ChurnError:  # the check of the releases names it
            continue
        if isinstance(card, ModelCard):
            cards[version] = card
        if manifest.contract_hash != card.contract_hash:
            faults.append(f"release {version} names another contract than its model card")
    try:
        cards |= _unreleased(registry, releases)
    except StoreDown as error:
        yield unseen(CHECK, str(error))
    for version, card in sorted(cards.items()):
        if card.contract is None:  # of an earlier platform
            continue
        if Contract.model_validate(card.contract).model_hash != card.contract_hash:
            faults.append(
                f"the contract in the model card of version {version} is not the one that the"
                f" version was trained under; {RESTORE}"
            )
    yield from (broken(CHECK, fault) for fault in faults)
    if cards and not faults:
        number = len(cards)
        yield holds(CHECK, f"{counted(number, 'version')} with the contract of its card", number)


def _unreleased(registry: ModelRegistry, releases: Releases) -> dict[int, ModelCard]:
    """The model cards of the versions that are in MLflow alone.

    Raises:
        StoreDown: MLflow does not answer.
    """
    found = {}
    for version in sorted(set(answering(registry).tags()) - set(releases.versions())):
        try:
            files = registry.files(version)
        except StoreDown:
            raise
        except ChurnError:  # the check of MLflow names it
            continue
        found[version] = ModelCard.model_validate_json(files[PASSPORT])
    return found
