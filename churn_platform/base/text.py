"""Sentences made of parts that people wrote."""

EXAMPLES = 3
"""So many examples of a fault are shown."""


def ended(text: str) -> str:
    """The text with a full stop at its end, unless it ends in a mark already, so another sentence can follow."""
    stripped = text.rstrip()
    return stripped if stripped.endswith((".", "!", "?", "…")) else f"{stripped}."


def counted(number: int, noun: str) -> str:
    """A number with its noun: 1 churner, 2 churners."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"
