"""A home whose lake keeps its files in a folder, by a `file://` URI: a real place that needs no server."""

from pathlib import Path

from churn_platform.lake.place_files import published_files
from churn_platform.services import Services
from churn_platform_tests.small_business import copied, open_home


def folder_of(home: Services) -> Path:
    """The folder that is the place of a home's lake."""
    return Path(home.lake_uri.removeprefix("file://"))


def placed(home: Services, folder: Path, place: Path) -> Services:
    """A copy of a home whose lake is at a place, with all copies still on the disk."""
    made = copied(home, folder)
    made.name_lake(f"file://{place}")
    made = open_home(folder)
    made.lake.place.prepare()
    for one in published_files(made.lake):
        made.lake.place.put(one.file.local, one.file.entry)
    return open_home(folder)


def cleared(home: Services) -> Services:
    """The home without a file of its lake on the disk."""
    for one in published_files(home.lake):
        one.file.local.unlink(missing_ok=True)
    return open_home(home.folder)


def copies(home: Services) -> list[Path]:
    """The files of the lake that are on the disk."""
    return [one.file.local for one in published_files(home.lake) if one.file.local.exists()]


def objects(home: Services) -> dict[str, bytes]:
    """Every object of the place, as its bytes."""
    root = folder_of(home)
    return {
        str(path.relative_to(root)): path.read_bytes()
        for path in sorted(root.rglob("*"))
        if path.is_file() and ".homes" not in path.parts
    }


def at_place(home: Services, table: str, as_of: object) -> Path:
    """The object of the first file of a table of a month."""
    found = next(
        one for one in published_files(home.lake) if (one.table, one.as_of) == (table, as_of)
    )
    return folder_of(home) / found.object_name


def gone(home: Services) -> None:
    """The place does not answer: its folder is not mounted."""
    root = folder_of(home)
    root.rename(root.with_suffix(".away"))


def back(home: Services) -> None:
    """The place answers again."""
    folder_of(home).with_suffix(".away").rename(folder_of(home))
