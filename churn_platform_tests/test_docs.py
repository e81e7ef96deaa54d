"""The documents are true: commands, settings, assets and criteria that exist are named, and what is named exists."""

import functools
import re
from pathlib import Path

import typer

from churn_platform.base.home import FOLDERS, VERSION_FILE
from churn_platform.base.settings import Settings
from churn_platform.cli.app import app
from churn_platform.definitions import defs
from churn_platform.promotion.criteria import CRITERIA

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
PAGES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    ROOT / "CHANGELOG.md",
    *(ROOT / "docs").rglob("*.md"),
]
COMMANDS = (ROOT / "docs" / "commands.md").read_text(encoding="utf-8")


@functools.cache
def commands() -> dict[str, set[str]]:
    """Every command with its options; a command of a group by both words."""
    found = {}
    for name, command in typer.main.get_command(app).commands.items():
        parts = getattr(command, "commands", None)
        for own, leaf in (
            {f"{name} {sub}": leaf for sub, leaf in parts.items()}.items()
            if parts
            else [(name, command)]
        ):
            found[own] = {option for parameter in leaf.params for option in parameter.opts}
    return found


def test_every_command_has_a_row_and_every_row_is_a_command():
    named = set(re.findall(r"^\| `churn ([a-z-]+(?: [a-z]+)*)", COMMANDS, flags=re.MULTILINE))
    assert named == set(commands())


def test_every_churn_command_in_the_documents_exists_with_its_options():
    for page in PAGES:
        if page.name == "CHANGELOG.md":
            continue  # it may name commands of earlier versions
        for name, rest in re.findall(
            rf"churn ({'|'.join(sorted(commands()))})\b([^\n`|#]*)",
            page.read_text(encoding="utf-8"),
        ):
            assert set(re.findall(r"--[a-z-]+", rest)) <= commands()[name] | {"--help"}, (
                f"{page.name}: churn {name}{rest}"
            )


def test_every_setting_has_its_row_with_its_default():
    rows = dict(re.findall(r"^\| `(CHURN_\w+)` \| ([^|]+) \|", COMMANDS, flags=re.MULTILINE))
    assert set(rows) == {f"CHURN_{name.upper()}" for name in Settings.model_fields}
    for name in ("ui_port", "reports_port", "quiet_seconds", "lock_seconds"):
        assert float(rows[f"CHURN_{name.upper()}"]) == Settings.model_fields[name].default


def test_the_first_two_commands_are_the_promised_ones():
    first = (
        re.search(r"## Try it\n\n```\n(.*?)```", README, flags=re.DOTALL)
        .group(1)
        .strip()
        .splitlines()
    )
    assert first == ["pip install uv && uv run churn demo", "uv run pytest"]


def test_every_asset_is_in_the_picture_of_the_loop():
    picture = re.search(r"```mermaid\n(.*?)```", README, flags=re.DOTALL).group(1)
    for key in defs().resolve_asset_graph().get_all_asset_keys():
        assert key.to_user_string() in picture


def test_links_and_pictures_exist():
    for page in PAGES:
        for target in re.findall(r"\]\(([^)]+)\)", page.read_text(encoding="utf-8")):
            if "://" in target:
                continue
            name, _, anchor = target.partition("#")
            linked = page.parent / name if name else page
            assert linked.exists(), f"{page.name} links to {target}"
            if anchor:
                assert anchor in anchors(linked), f"{page.name} links to {target}"


def anchors(page: Path) -> set[str]:
    """The anchors that GitHub makes of the headings of a page."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_every_page_is_linked_from_the_readme_or_another_page():
    linked = {
        (page.parent / target).resolve()
        for page in PAGES
        for target in re.findall(r"\]\(([^)#]+\.md)", page.read_text(encoding="utf-8"))
        if "://" not in target
    }
    assert {page.resolve() for page in PAGES} - linked == {(ROOT / "README.md").resolve()}


def test_every_decision_is_in_the_index_with_its_title():
    index = (ROOT / "docs" / "adr" / "README.md").read_text(encoding="utf-8")
    for page in (ROOT / "docs" / "adr").glob("0*.md"):
        number, title = re.match(r"# (\d+)\. (.+)", page.read_text(encoding="utf-8")).groups()
        assert f"| {number} | [{title}]({page.name}) |" in index, page.name


def test_every_folder_of_a_home_is_in_its_page():
    page = (ROOT / "docs" / "home.md").read_text(encoding="utf-8")
    for name in (*(f"{folder}/" for folder in FOLDERS), VERSION_FILE):
        assert f"`{name}`" in page, name


def test_every_criterion_has_its_paragraph():
    page = (ROOT / "docs" / "criteria.md").read_text(encoding="utf-8")
    for criterion in CRITERIA:
        assert re.search(rf"^#+ .*{criterion.code}.*", page, flags=re.MULTILINE), criterion.code


def test_every_warning_of_a_month_is_in_the_page_of_drops():
    from typing import get_args

    from churn_platform.ingestion.month_warnings import Code

    page = (ROOT / "docs" / "drops.md").read_text(encoding="utf-8")
    table = page[page.index("## Warnings of a month") : page.index("## What is quarantined")]
    assert set(re.findall(r"`([A-Z_]{8,})`", table)) == set(get_args(Code))
