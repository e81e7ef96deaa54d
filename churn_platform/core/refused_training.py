"""A training that the data could not support: its reason as receipts keep it, and as people read it."""

_SAID = "No candidate can be trained: "


def bare_reason(reason: str) -> str:
    """The reason without the words that say what could not be done; receipts of earlier versions have them."""
    return reason.removeprefix(_SAID)


def refusal_sentence(reason: str) -> str:
    """The reason as a sentence that says what could not be done."""
    return f"{_SAID}{bare_reason(reason)}"
