"""Reads `contract.yaml`, with errors that name file, line, path and what the field means, and
keeps its JSON schema next to it.
"""

from collections.abc import Iterable, Iterator
from importlib import resources
from pathlib import Path
from typing import Any, TypeVar, get_args, get_origin

import yaml
from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from churn_platform.base.errors import ContractError
from churn_platform.base.files import write_text
from churn_platform.base.settings import Settings
from churn_platform.contract.model import Contract
from churn_platform.contract.policy import Policy

SCHEMA_FILE = "contract.schema.json"
"""Next to the contract of a home, and next to the contract that ships."""
EXAMPLE = " Example: `"
Part = TypeVar("Part", bound=BaseModel)
OWN_WORDS = ("extra_forbidden", "value_error")
"""Pydantic errors that are not about the value of one field: an unknown name, or our own rule."""


def default_contract_path() -> Path:
    """The contract that ships inside the package."""
    return Path(str(resources.files("churn_platform") / "contract" / "streamflow.yaml"))


def chosen_contract_path(settings: Settings) -> Path | None:
    """The contract that `CHURN_CONTRACT` names, else that of the home; None without one."""
    own = settings.home_folder / "contract.yaml"
    if settings.contract is not None:
        return settings.contract
    return own if own.exists() else None


def shipped_schema() -> str:
    """The JSON schema in the package."""
    shipped = resources.files("churn_platform") / "contract" / SCHEMA_FILE
    return shipped.read_text(encoding="utf-8")


def write_schema(folder: Path) -> None:
    """Write the schema of this version next to a contract, whose first line names it."""
    path = folder / SCHEMA_FILE
    text = shipped_schema()
    if not path.exists() or path.read_text(encoding="utf-8") != text:
        write_text(path, text)


def read_contract(path: Path) -> Contract:
    """The contract in `path`.

    Raises:
        ContractError: the file is missing, is not YAML, or breaks a rule; one line a fault,
            with its line and path.
    """
    value, node = _parsed(path, "contract", "`churn init` writes one to start from")
    return _validated(Contract, value, path, node)


def read_policy(path: Path, contract: Contract) -> Policy:
    """The contract's policy, changed by the file's `policy:` section.

    Raises:
        ContractError: the file is missing, is not YAML, holds something else, or breaks a rule
            of the policy; one line a fault, with its line and path.
    """
    value, node = _parsed(path, "policy", "write a `policy:` section as in the contract")
    if not isinstance(value, dict) or not isinstance(value.get("policy"), dict):
        raise ContractError(f"{path}: there is no `policy:` section; write one as in the contract.")
    others = [str(name) for name in value if name != "policy"]
    if others:
        raise ContractError(
            f"{path}: {others[0]}: only a `policy:` section is read here, remove it."
        )
    merged: dict[str, Any] = contract.policy.model_dump(mode="json")
    for name, section in value["policy"].items():
        known = merged.get(name)
        if isinstance(known, dict) and isinstance(section, dict):
            merged[name] = {**known, **section}
        else:
            merged[name] = section
    return _validated(Policy, merged, path, node, "policy")


def _validated(
    part: type[Part],
    value: Any,  # noqa: ANN401 - whatever YAML can hold
    path: Path,
    node: yaml.Node | None,
    *above: str,
) -> Part:
    """The file's value as a part of the contract, which lies below `above` in the file."""
    try:
        return part.model_validate(value)
    except ValidationError as error:
        faults = [_fault(path, node, fault, *above) for fault in error.errors()]
        raise ContractError("\n".join(faults)) from None


def _parsed(path: Path, what: str, remedy: str) -> tuple[Any, yaml.Node | None]:
    """The file's values, and its nodes, which know their lines."""
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise ContractError(
            f"{path}: there is no such {what}; {remedy}.", code="CONTRACT_MISSING"
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise ContractError(f"{path}: the {what} cannot be read as UTF-8 text: {error}.") from None
    try:
        value, node = _loaded(text)
    # PyYAML raises ValueError for a date such as 2024-13-01.
    except (yaml.YAMLError, ValueError) as error:
        raise ContractError(f"{path}: not YAML: {' '.join(str(error).split())}.") from None
    if doubled := list(_doubled(path, node)):
        raise ContractError("\n".join(doubled))
    return value, node


def _loaded(text: str) -> tuple[Any, yaml.Node | None]:
    """The values of a YAML text and its nodes, parsed once, in C where PyYAML has it: parsing in
    Python took a tenth of a second of every command.
    """
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)(text)
    try:
        node = loader.get_single_node()
        return (None if node is None else loader.construct_document(node)), node
    finally:
        loader.dispose()


def _doubled(path: Path, node: yaml.Node | None, where: tuple[str, ...] = ()) -> Iterator[str]:
    """A sentence for each key that a mapping has twice: YAML would silently keep the last one."""
    if isinstance(node, yaml.SequenceNode):
        for number, child in enumerate(node.value):
            yield from _doubled(path, child, (*where, str(number)))
    if not isinstance(node, yaml.MappingNode):
        return
    lines: dict[str, int] = {}
    for key, child in node.value:
        name = str(key.value)
        line = key.start_mark.line + 1
        dotted = ".".join((*where, name))
        if name in lines:
            yield (
                f"{path}:{line}: {dotted}: this key is already set in line {lines[name]}; keep"
                " one of the two."
            )
        lines.setdefault(name, line)
        yield from _doubled(path, child, (*where, name))


def _fault(path: Path, node: yaml.Node | None, fault: ErrorDetails, *above: str) -> str:
    """One fault with its place and value, and what the field means."""
    where = (*above, *fault["loc"])
    dotted = ".".join(str(part) for part in where) or "(top level)"
    single = not isinstance(fault["input"], dict | list)
    shown = f" (found {fault['input']!r})" if single else ""
    meaning = "" if fault["type"] in OWN_WORDS else _meaning_at(where)
    explained = f". Meaning: {meaning}" if meaning else ""
    return (
        f"{path}:{_line(node, where)}: {dotted}:"
        f" {fault['msg'].removeprefix('Value error, ')}{shown}{explained}"
    )


def _line(node: yaml.Node | None, where: tuple[int | str, ...]) -> int:
    """The line of the deepest part of `where` that is in the file, counted from 1."""
    line = 1
    for part in where:
        child = _child(node, part)
        if child is None:
            break
        node = child
        line = node.start_mark.line + 1
    return line


def _child(node: yaml.Node | None, part: int | str) -> yaml.Node | None:
    if isinstance(node, yaml.MappingNode):
        return next((value for key, value in node.value if key.value == str(part)), None)
    if isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
        child: yaml.Node = node.value[part]
        return child
    return None


def _meaning_at(where: Iterable[int | str]) -> str:
    """What the field at a pydantic error's path means; the path also contains names of the
    contract and positions.
    """
    model: type[BaseModel] | None = Contract
    meaning = ""
    named = False
    for part in where:
        field = None
        if model is not None and not named:
            field = model.model_fields.get(str(part))
        named = False
        if field is not None:
            meaning, _ = meaning_and_example(field)
            model = next(iter(models_in(field.annotation)), None)
            named = get_origin(field.annotation) is dict
    return meaning


def models_in(annotation: Any) -> tuple[type[BaseModel], ...]:  # noqa: ANN401 - any annotation
    """The models of a field's value."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return (annotation,)
    return tuple(model for part in get_args(annotation) for model in models_in(part))


def meaning_and_example(field: FieldInfo) -> tuple[str, str]:
    """The meaning of a field, and the example at its end as YAML."""
    meaning, _, example = " ".join((field.description or "").split()).partition(EXAMPLE)
    return meaning, example.removesuffix("`").strip()
