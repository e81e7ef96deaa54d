"""Forgetting a customer: what may stand in place of a key, and how digests of changed content
follow.
"""

import hashlib
import json
import re
from collections.abc import Callable, Mapping, Sequence
from html import escape
from typing import Any

import numpy as np
from pydantic import JsonValue

from churn_platform.ledger.receipts import Receipt

FORGOTTEN = "(forgotten)"


def salted(salt: str, key: str | int) -> str:
    """Hex sha256 of salt and key: who has the key can ask whether it was forgotten, the ledger
    alone names no one.
    """
    return hashlib.sha256(f"{salt}:{key}".encode()).hexdigest()


def names(text: str, key: str | int) -> bool:
    """Whether a sentence contains the key as a separate word, in any case; an integer also
    with leading zeros.
    """
    word = re.escape(" ".join(str(key).split()))
    zeros = "0*" if isinstance(key, int) else ""
    return re.search(rf"(?<!\w){zeros}{word}(?!\w)", text, re.IGNORECASE) is not None


def current(receipts: Sequence[Receipt], digest: Any, sequence: int) -> Any:  # noqa: ANN401 - as evidence holds it
    """What a digest that receipt `sequence` names, or a mapping of digests, has become since.

    By forgetting, or by a repair that could not make a release's manifest as it was.
    """
    if isinstance(digest, dict):
        return {name: current(receipts, value, sequence) for name, value in digest.items()}
    for receipt in receipts:
        if receipt.act in ("customer forgotten", "recovery") and receipt.sequence > sequence:
            mapping: Any = receipt.evidence.get("digests", {})
            digest = mapping.get(digest, digest)
    return digest


def told(key: str | int) -> list[tuple[str, str]]:
    """How sentences, pages and tables name a key among other text, and what they say instead.

    Quoted as an example of a fault (as text, HTML and JSON), or as a cell of a Markdown table.
    The bare key is no
    pattern: a key 12 is in every date.
    """
    named = repr(str(key))
    instead = repr(FORGOTTEN)
    forms = {named: instead, escape(named): escape(instead), f"| {key} |": f"| {FORGOTTEN} |"}
    # Jinja2 writes an apostrophe in another way; pages of earlier versions have the first one.
    forms[escape(named).replace("&#x27;", "&#39;")] = escape(instead)
    return list((forms | {json.dumps(form)[1:-1]: said for form, said in forms.items()}).items())


def untold(text: str, key: str | int) -> str:
    """`text` without the places that name the key."""
    for form, instead in told(key):
        text = text.replace(form, instead)
    return text


def contacts_left(before: np.ndarray, contacts: int, after: np.ndarray) -> int:
    """How many rows are still at or above the threshold that `contacts` rows were; the
    threshold itself may be lost.

    Args:
        before: (rows,) probabilities.
        contacts: how many of them were at or above it.
        after: (fewer rows,) those that are left.
    """
    if not contacts:
        return 0
    return int((after >= np.sort(before)[-contacts]).sum())


def remapped(value: JsonValue, change: Callable[[str], str]) -> JsonValue:
    """A JSON value with `change` applied to every text in it; the names of fields stay."""
    if isinstance(value, str):
        return change(value)
    if isinstance(value, list):
        return [remapped(item, change) for item in value]
    if isinstance(value, dict):
        return {name: remapped(item, change) for name, item in value.items()}
    return value


def following(digests: Mapping[str, str], key: str | int) -> Callable[[str], str]:
    """The change of a record's texts: digests of changed content become the new ones, and the
    key is removed.
    """
    return lambda text: digests[text] if text in digests else untold(text, key)
