"""A reason in words: one feature's value and what it does to the risk.

The server imports this module: no pandas.
"""

from churn_platform.contract.model import Column

UNSEEN = "was not in the training data, so its effect is unknown"


def sentence(column: Column, name: str, value: object, push: float, *, seen: bool = True) -> str:
    """One reason: "3 failed payments in 90 days raises the risk"; `value` is None where it is
    null.

    With `seen` false the model was never trained on the value: what it does to the risk is then
    unknown.
    """
    effect = UNSEEN if not seen else _effect(push)
    said = column.description or name.replace("_", " ")
    if value is None:
        return f"no value for {said[:1].lower()}{said[1:]} {effect}"
    number = shown(column, value)
    phrase = (
        column.phrase.format(value=number, s="" if number == "1" else "s") or f"{said}: {number}"
    )
    return f"{phrase} {effect}"


def _effect(push: float) -> str:
    if push == 0:
        return "does not move the risk"
    if push > 0:
        return "raises the risk"
    return "lowers the risk"


def shown(column: Column, value: object) -> str:
    """A value as a person writes it: yes or no, integers without decimals, others with one."""
    if column.dtype == "boolean":
        if value:
            return "yes"
        return "no"
    if column.dtype == "category":
        return str(value)
    number = float(str(value))
    if number == round(number):
        return f"{number:.0f}"
    if abs(number) >= 1:
        return f"{number:.1f}"
    return f"{number:.2g}"
