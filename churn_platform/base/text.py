"""Sentences made of parts that people wrote."""

EXAMPLES = 3
"""So many examples of a fault are shown."""


def ended(text: str) -> str:
    """The text with a full stop at its end, unless it ends in a mark already, so another
    sentence can follow.
    """
    stripped = text.rstrip()
    if stripped.endswith((".", "!", "?", "…")):
        return stripped
    return f"{stripped}."


def counted(number: int, noun: str) -> str:
    """A number with its noun: 1 churner, 2 churners."""
    if number == 1:
        return f"{number:,} {noun}"
    return f"{number:,} {noun}s"
