"""The rules that no single module can show: layers, what may be imported where, what only the contract knows.

Read from the sources by AST, so that an import inside a function or under TYPE_CHECKING counts too; what a module
really loads is asked of a fresh interpreter.
"""

import ast
import builtins
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

import churn_platform
from churn_platform.contract.reading import default_contract_path, read_contract

PACKAGE = Path(churn_platform.__file__).parent
ROOT = PACKAGE.parent
PURE = (
    "contract/columns.py", "contract/consistency.py", "contract/events.py", "contract/event_consistency.py", "contract/model.py", "contract/outcome.py", "contract/parts.py", "contract/views.py", "contract/changes.py", "contract/policy.py", "contract/recipes.py", "contract/expressions.py", "contract/expression_parser.py", "contract/expression_values.py", "drafting/columns.py", "drafting/contact_columns.py", "drafting/contact_updates.py", "drafting/month_keys.py", "drafting/contacts.py",
    "drafting/draft.py", "drafting/keys.py", "drafting/label.py", "drafting/tables.py", "drafting/updating.py", "drafting/month_files.py", "drafting/times.py", "drafting/file_format.py", "ingestion/renames.py",
    "drafting/texts.py", "drafting/words.py", "base/digests.py", "base/text.py", "ledger/receipts.py",
    "ledger/acts.py", "ledger/version_acts.py", "ledger/experiment_acts.py", "ledger/state.py",
    "experiments/assignment.py", "experiments/guardrails.py", "experiments/state.py", "evaluation/anytime.py",
    "experiments/canary_status.py", "experiments/shadow_comparison.py",
    "experiments/model_test.py", "contacts/tested_plan.py",
    "ledger/erasures.py", "lake/window.py", "lake/tables.py", "lake/keys.py", "lake/month_comparison.py",
    "reports/monthly/figures.py", "reports/monthly/team.py", "reports/monthly/manager.py", "reports/monthly/approver.py",
    "reports/monthly/trend_chart.py", "reports/monthly/words.py", "reports/monthly/worth.py", "contacts/assigned.py", "contacts/effect.py", "contacts/planning.py", "contacts/profit.py", "contacts/uplift.py", "contacts/value.py",
    "events/days.py", "events/expression_sql.py", "events/window_sql.py", "ingestion/faults.py", "ingestion/conversion.py", "ingestion/rules.py",
    "ingestion/month_warnings.py", "features/labels.py", "features/training_dataset.py", "evaluation/statistics.py",
    "evaluation/comparison.py", "evaluation/choice.py", "evaluation/curves.py", "evaluation/metrics.py",
    "evaluation/leaks.py", "evaluation/costs.py", "evaluation/gain.py", "evaluation/weights.py", "evaluation/bounds.py", "evaluation/calibration.py", "evaluation/density_ratio.py", "evaluation/sequential.py", "drift/columns.py", "drift/measure.py",
    "drift/result.py", "drift/statistics.py", "training/imported.py", "training/model.py", "training/estimator.py", "training/candidate.py", "training/choosing.py",
    "training/release.py", "training/scorer.py", "promotion/decision.py",
    "promotion/evidence.py", "promotion/gate.py", "promotion/criteria/*.py", "monitoring/performance.py", "monitoring/estimate.py", "monitoring/estimated_month.py", "monitoring/track_record.py",
    "monitoring/served_performance.py", "monitoring/challengers.py",
    "monitoring/comparison.py", "replay/scoreboard.py", "replay/history.py", "replay/backtest.py",
    "replay/result.py", "loop/next_step.py", "loop/retraining.py", "loop/run_month.py", "scoring/ranking.py", "scoring/reasons.py", "audit/reproduction.py",
    "alerting/messages.py", "simulator/*.py",
)  # fmt: skip
"""The modules of rules: no files, no network, no clock."""
REACHES_OUTSIDE = {
    "dagster", "dagster_mlflow", "mlflow", "feast", "evidently", "bentoml", "pyarrow", "duckdb", "requests", "urllib",
    "http", "socket", "subprocess", "os", "pathlib", "shutil", "tempfile", "glob", "time", "logging", "sqlite3",
    "sqlalchemy", "yaml", "filelock", "matplotlib", "typer", "rich",
}  # fmt: skip
IN_AND_OUT = {
    "open", "read_text", "read_bytes", "write_text", "write_bytes", "mkdir", "rmdir", "unlink", "touch", "iterdir",
    "rglob", "read_csv", "read_parquet", "to_csv", "to_parquet", "print", "input",
}  # fmt: skip
CLOCKS = {"now", "utcnow", "today", "monotonic", "perf_counter", "time_ns", "localtime", "gmtime"}
CODE_CARRIERS = {"pickle", "joblib", "cloudpickle", "dill", "marshal", "shelve", "runpy", "code"}
CODE_RUNNERS = {"eval", "exec", "compile", "__import__"}
CODE_METHODS = {"eval", "read_pickle", "to_pickle", "unsafe_load", "full_load", "load_module"}
BUILTINS = frozenset(dir(builtins))
HEAVY = {
    "feast",
    "mlflow",
    "evidently",
    "sklearn",
    "lightgbm",
    "scipy",
    "bentoml",
    "matplotlib",
    "pandera",
    "plotly",
}


def modules() -> list[Path]:
    """Every module of the package and of the server."""
    return sorted(path for folder in (PACKAGE, ROOT / "bento") for path in folder.rglob("*.py"))


@cache
def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


@cache
def nodes_of(path: Path) -> tuple[ast.AST, ...]:
    return tuple(ast.walk(tree_of(path)))


def where(path: Path, node: ast.AST) -> str:
    return f"{path.relative_to(ROOT)}:{getattr(node, 'lineno', 1)}"


def imports(path: Path) -> Iterator[tuple[ast.AST, str]]:
    """Every dotted name that is imported anywhere in a module, `from a import b` as `a.b`."""
    for node in nodes_of(path):
        if isinstance(node, ast.Import):
            yield from ((node, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (
                (node, f"{'.' * node.level}{node.module or ''}.{alias.name}")
                for alias in node.names
            )


def calls(path: Path) -> Iterator[tuple[ast.AST, str, bool]]:
    """Every call: the name that is called and whether it is a method."""
    for node in nodes_of(path):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            yield node, node.func.id, False
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            yield node, node.func.attr, True


def uses(path: Path) -> Iterator[tuple[ast.AST, str]]:
    """Every attribute that a module reads, called or handed on, and every builtin that it calls."""
    yield from ((node, node.attr) for node in nodes_of(path) if isinstance(node, ast.Attribute))
    yield from (
        (node, name) for node, name, method in calls(path) if not method and name in BUILTINS
    )


def dotted_name(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def fresh(code: str) -> set[str]:
    """The modules outside the standard library, by top-level name and dotted, that `code` adds to a new process."""
    script = f"import sys; before = set(sys.modules)\n{code}\nimport json; print(json.dumps(list(set(sys.modules) - before)))"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, cwd=ROOT, check=False
    )
    assert done.returncode == 0, done.stderr
    names = {
        name
        for name in json.loads(done.stdout)
        if name.split(".")[0] not in sys.stdlib_module_names
    }
    return {
        name for name in names if not name.startswith("_sysconfigdata")
    }  # the standard library's, named by machine


def tops(names: set[str]) -> set[str]:
    return {name.split(".")[0] for name in names}


def pure() -> list[Path]:
    return [path for pattern in PURE for path in sorted(PACKAGE.glob(pattern))]


def test_every_listed_module_exists():
    assert [pattern for pattern in PURE if not list(PACKAGE.glob(pattern))] == []


def test_pure_modules_import_no_tool_that_reaches_outside():
    found = [
        f"{where(path, node)} imports {name}"
        for path in pure()
        for node, name in imports(path)
        if name.split(".")[0] in REACHES_OUTSIDE
    ]
    assert found == []


def test_pure_modules_read_and_write_nothing_and_have_no_clock():
    found = [
        f"{where(path, node)} uses {name}"
        for path in pure()
        for node, name in uses(path)
        if name in IN_AND_OUT | CLOCKS
    ]
    assert found == []


def test_no_import_is_relative_where_a_wheel_renames_the_folder():
    found = [
        f"{where(path, node)} imports {name}"
        for path in modules()
        for node, name in imports(path)
        if name.startswith(".." if path.parent.name == "bento" else ".")
    ]
    assert found == []


@pytest.mark.parametrize(
    ("library", "packages"),
    [
        ("dagster", {"defs", "definitions.py"}),
        ("dagster_mlflow", {"defs"}),
        ("mlflow", {"training", "maintenance"}),
        ("matplotlib", {"notebooks", "evaluation", "drift", "replay"}),
        ("feast", {"features"}),
        ("evidently", {"drift"}),
        ("typer", {"cli"}),
        ("rich", {"cli"}),
        ("bentoml", set()),
        ("fastapi", set()),
    ],
)
def test_each_library_is_imported_by_its_package_only(library, packages):
    found = {
        path.relative_to(PACKAGE).parts[0]
        for path in PACKAGE.rglob("*.py")
        for _, name in imports(path)
        if name.split(".")[0] == library
    }
    assert found <= packages


def contract_words() -> tuple[set[str], set[str]]:
    """Names of the shipped contract: those that can only be names, and plain words that are tables too."""
    contract = read_contract(default_contract_path())
    columns = {column for table in contract.tables.values() for column in table.columns}
    names = {
        contract.entity.column,
        contract.model_name,
        *contract.tables,
        *columns,
        *contract.feature_views,
    }
    return {name for name in names if "_" in name}, {name for name in names if "_" not in name}


def test_only_the_contract_knows_a_name_of_the_business():
    names, plain = contract_words()
    assert {"user_id", "churn_label", "subs_profile_fv", "labels", "users"} <= names | plain
    word = re.compile(
        rf"\b({'|'.join(sorted(names))})\b|\b({'|'.join(sorted(plain))})\.(csv|parquet)\b"
    )
    files = [p for folder in (PACKAGE, ROOT / "bento") for p in folder.rglob("*") if p.is_file()]
    texts = [
        p
        for p in files
        if p.suffix in (".py", ".yaml", ".json", ".html", ".sql") and p != default_contract_path()
    ]
    found = [
        f"{path.relative_to(ROOT)}:{number}: {match[0]}"
        for path in texts
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1)
        if (match := word.search(line))
    ]
    assert found == []


def test_no_table_of_the_business_is_looked_up_by_name():
    _, plain = contract_words()
    found = [
        where(path, node)
        for path in modules()
        for node in nodes_of(path)
        if isinstance(node, ast.Subscript)
        and isinstance(node.slice, ast.Constant)
        and node.slice.value in plain
    ]
    assert found == []


def test_the_package_itself_imports_nothing():
    assert fresh("import churn_platform") == {"churn_platform"}


def test_a_home_opens_without_the_heavy_libraries():
    loaded = tops(fresh("import churn_platform as churn; churn.OpenedHome"))
    assert "pydantic_settings" in loaded
    assert loaded & (HEAVY | {"pandas", "numpy", "pyarrow", "dagster", "typer"}) == set()


def test_dagster_loads_the_definitions_without_the_heavy_libraries():
    loaded = tops(fresh("from churn_platform.definitions import defs; defs()"))
    assert "dagster" in loaded
    assert loaded & HEAVY == set()


def test_the_command_line_answers_without_dagster_pandas_and_numpy():
    loaded = tops(fresh("import churn_platform.cli.app"))
    assert "typer" in loaded
    assert (
        loaded & (HEAVY | {"dagster", "dagster_shared", "pandas", "numpy", "pyarrow", "rich"})
        == set()
    )


def test_what_the_server_reads_releases_with_is_pydantic_and_the_standard_library():
    loaded = fresh(
        "import pydantic; before |= set(sys.modules); import churn_platform.training.releases"
    )
    assert "churn_platform.training.releases" in loaded
    assert tops(loaded) <= {
        "churn_platform",
        "pydantic",
        "pydantic_core",
        "annotated_types",
        "typing_inspection",
    }


@pytest.mark.slow
def test_importing_everything_writes_nothing(tmp_path, tmp_path_factory):
    """Matplotlib's list of fonts, which it writes when it is imported, is elsewhere."""
    names = [dotted_name(path) for path in PACKAGE.rglob("*.py")]
    script = f"import importlib\nfor name in {names!r}: importlib.import_module(name)"
    environment = {"PYTHONPATH": str(ROOT), "HOME": str(tmp_path), "PATH": "/usr/bin"}
    environment["MPLCONFIGDIR"] = str(tmp_path_factory.mktemp("fonts"))
    done = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env=environment,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert list(tmp_path.iterdir()) == []


def test_only_settings_touches_the_environment():
    found = [
        where(path, node)
        for path in modules()
        for node in nodes_of(path)
        if (
            isinstance(node, ast.Attribute)
            and node.attr in ("environ", "environb", "getenv", "putenv")
        )
        or (
            isinstance(node, ast.alias) and node.name in ("environ", "environb", "getenv", "putenv")
        )
    ]
    assert {entry.split(":")[0] for entry in found} == {"churn_platform/base/settings.py"}


def test_nothing_can_execute_code_from_a_file():
    imported = [
        f"{where(path, node)} imports {name}"
        for path in modules()
        for node, name in imports(path)
        if name.split(".")[0] in CODE_CARRIERS
    ]
    called = [
        f"{where(path, node)} calls {name}"
        for path in modules()
        for node, name, method in calls(path)
        if name in (CODE_METHODS if method else CODE_RUNNERS)
    ]
    # A pickle is read once, if a person asks for it, in a process of its own.
    (converted,) = imported
    assert converted.startswith("churn_platform/training/pickle_conversion.py:")
    assert called == []


def undocumented(tree: ast.Module) -> Iterator[ast.AST]:
    """The module, the public classes and functions, and the public methods of public classes without a docstring."""
    nodes: list[ast.AST] = [tree]
    while nodes:
        node = nodes.pop()
        if not ast.get_docstring(node):  # type: ignore[arg-type]
            yield node
        if isinstance(node, ast.Module | ast.ClassDef):
            kinds = (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
            nodes += [
                child
                for child in node.body
                if isinstance(child, kinds) and not child.name.startswith("_")
            ]


def test_every_module_class_function_and_method_says_what_it_is():
    found = [
        f"{where(path, node)} {getattr(node, 'name', 'module')}"
        for path in modules()
        for node in undocumented(tree_of(path))
    ]
    assert found == []


def test_no_module_is_longer_than_460_lines_but_the_composition_root():
    lengths = {
        str(path.relative_to(ROOT)): len(path.read_text(encoding="utf-8").splitlines())
        for path in modules()
        if path.name != "services.py"
    }
    assert {name: length for name, length in lengths.items() if length > 460} == {}


ESTIMATES = {
    f"churn_platform.monitoring.{name}"
    for name in ("estimate", "estimated_month", "estimating", "estimate_history", "track_record")
}
MAY_READ_ESTIMATES = {
    "monitoring/performance.py", "monitoring/performance_monitor.py", "reports", "alerting/metrics.py",
    "alerting/record_metrics.py", "defs/monitoring.py", "notebooks", *(f"monitoring/{name.rpartition('.')[2]}.py" for name in ESTIMATES),
}  # fmt: skip


def test_nothing_that_decides_can_read_an_estimate():
    """Gate, retraining policy, stand-down and challengers go by realised figures only."""
    found = [
        where(path, node)
        for path in sorted(PACKAGE.rglob("*.py"))
        for node, name in imports(path)
        if any(name == one or name.startswith(f"{one}.") for one in ESTIMATES)
        and not {"/".join(path.relative_to(PACKAGE).parts[:length]) for length in (1, 2)}
        & MAY_READ_ESTIMATES
    ]
    assert found == []
    decide = [
        PACKAGE / name
        for name in ("loop", "promotion", "training", "scoring", "contacts", "replay")
    ]
    paths = [path for folder in decide for path in sorted(folder.rglob("*.py"))]
    paths += [
        PACKAGE / f"monitoring/{name}.py" for name in ("stand_down", "challengers", "comparison")
    ]
    read = [
        where(path, node)
        for path in paths
        for node in nodes_of(path)
        if (isinstance(node, ast.Attribute) and node.attr in ("estimated", "fall"))
        or (isinstance(node, ast.Constant) and node.value in ("estimated", "fall"))
    ]
    assert read == []
