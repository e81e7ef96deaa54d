"""Settings, fields of the contract, codes and dotted names."""

import ast
import importlib.util
import json
import re
import tomllib
from pathlib import Path
from typing import Any

import yaml

from churn_platform_tests.outside import inside
from churn_platform_tests.outside.frozen import check
from churn_platform_tests.outside.life import churn

ROOT = Path(__file__).parents[2]
IN_MODELS = [
    "churn_platform.core.estimator:ReadRows",
    "churn_platform.core.estimator:SigmoidCalibrated",
]
"""The classes of ours that every stored `model.skops` names."""


def test_settings():
    check("settings", inside.settings())


def test_answers_of_commands_that_need_a_server_or_a_build():
    check("slow_command_json", inside.answers_of_slow_commands())


def test_codes():
    check("codes", inside.codes())


def test_fields_of_the_contract():
    schema = json.loads(churn("contract", "schema").out)
    check(
        "contract",
        {
            "Contract": _fields(schema),
            **{n: _fields(s) for n, s in schema["$defs"].items()},
        },
    )


def _fields(schema: dict[str, Any]) -> Any:
    required = schema.get("required", [])
    found = {
        f"{name}*" if name in required else name: _plain(field)
        for name, field in schema.get("properties", {}).items()
    }
    return found or _plain(schema)


def _plain(schema: Any) -> Any:
    """A schema without its texts; another schema is named without its place."""
    if isinstance(schema, list):
        return [_plain(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    if "$ref" in schema:
        schema = schema | {"$ref": schema["$ref"].rsplit("/", 1)[-1]}
    spoken = ("title", "description", "examples")
    return {name: _plain(part) for name, part in schema.items() if name not in spoken}


def test_dotted_names_that_deployments_and_stored_models_use():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    compose = (ROOT / "docker" / "compose.yaml").read_text(encoding="utf-8")
    bentofile = yaml.safe_load((ROOT / "bento" / "bentofile.yaml").read_text(encoding="utf-8"))
    [loaded] = yaml.safe_load((ROOT / "workspace.yaml").read_text(encoding="utf-8"))["load_from"]
    used = {
        "the wheel": sorted(project["scripts"].values()),
        "docker/compose.yaml": sorted(set(re.findall(r"churn_platform(?:\.\w+)+", compose))),
        "workspace.yaml": [loaded["python_module"]["module_name"]],
        "bento/bentofile.yaml": [bentofile["service"]],
        "bentoml serve of a wheel": ["churn_platform._bento.service:ChurnService"],
        "bentoml serve of a checkout": ["bento.service:ChurnService"],
        "every stored model.skops": IN_MODELS,
        "dagster and dg": ["churn_platform.definitions:defs"],
        "containers": ["churn_platform.probe:main"],
    }
    found = {
        "names": used,
        "package": project["name"],
        "commands": sorted(project["scripts"]),
        "extras": sorted(project["optional-dependencies"]),
    }
    check("dotted_names", found)
    assert [name for names in used.values() for name in names if not _exists(name)] == []


def _exists(dotted: str) -> bool:
    """Whether a module has a name, without importing it."""
    module, _, name = dotted.partition(":")
    try:
        spec = importlib.util.find_spec(module)
    except ModuleNotFoundError:
        return False
    if spec is None or spec.origin is None:
        return False
    names: set[str] = {""}
    for node in ast.parse(Path(spec.origin).read_text(encoding="utf-8")).body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef):
            names.add(node.name)
        elif isinstance(node, ast.ImportFrom):
            names |= {alias.asname or alias.name for alias in node.names}
        elif isinstance(node, ast.Assign):
            names |= {target.id for target in node.targets if isinstance(target, ast.Name)}
    return name in names
