"""A folder, files and archives are the same delivery, whichever of them a person names."""

import gzip
import zipfile
from pathlib import Path

import pytest

from churn_platform.base.errors import UsageError
from churn_platform.ingestion.drop import source_folder
from churn_platform_tests.small_business import declared

A, B = "id,x\n1,2\n", "id,y\n1,3\n"


@pytest.fixture
def files(tmp_path):
    """A folder of a month with two tables, packed in every way next to it."""
    folder = tmp_path / "2024-01-31"
    folder.mkdir()
    (folder / "a.csv").write_text(A)
    (folder / "b.CSV").write_text(B)
    (tmp_path / "a.csv.gz").write_bytes(gzip.compress(A.encode()))
    with zipfile.ZipFile(tmp_path / "month.zip", "w") as archive:
        archive.writestr("export/a.csv", A)
        archive.writestr("export/b.csv", B)
        archive.writestr("__MACOSX/a.csv", "")
        archive.writestr("readme.txt", "hello")
    return tmp_path


def held(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_a_folder_is_used_as_it_is_and_named_again(files):
    with source_folder([files / "2024-01-31"]) as given:
        assert given.folder == files / "2024-01-31"
        assert given.named_as(given.folder) == (files / "2024-01-31",)


def test_files_and_archives_become_one_folder(files):
    with source_folder([files / "2024-01-31" / "a.csv", files / "2024-01-31" / "b.CSV"]) as given:
        assert given.folder.name == "2024-01-31"
        assert held(given.folder) == {"a.csv": A.encode(), "b.CSV": B.encode()}
        assert given.named_as(given.folder) == given.named
    with source_folder([files / "month.zip"]) as given:
        assert held(given.folder) == {"a.csv": A.encode(), "b.csv": B.encode()}
    with source_folder([files / "a.csv.gz"]) as given:
        assert [*held(given.folder)] == ["a.csv.gz"]


def test_an_archive_within_a_folder_or_a_folder_of_months_is_unpacked(files):
    (files / "2024-02-29").mkdir()
    (files / "month.zip").rename(files / "2024-02-29" / "month.zip")
    with source_folder([files / "2024-02-29"]) as given:
        assert (given.folder.name, sorted(held(given.folder))) == ("2024-02-29", ["a.csv", "b.csv"])
    (files / "a.csv.gz").unlink()
    with source_folder([files]) as given:
        months = {path.name: sorted(held(path)) for path in given.folder.iterdir()}
        assert months == {"2024-01-31": ["a.csv", "b.CSV"], "2024-02-29": ["a.csv", "b.csv"]}
        assert given.named_as(given.folder / "2024-02-29") == (files / "2024-02-29",)


def test_a_single_file_is_the_only_table_of_the_contract_under_any_name(files):
    only = {
        "customers": {
            "columns": {"x": {"dtype": "integer"}, "left": {"dtype": "boolean", "nullable": True}}
        }
    }
    contract = declared(
        tables=only, label={"table": "customers", "column": "left"},
        feature_views={"v": {"table": "customers", "features": ["x"]}}, slices=[],
    )  # fmt: skip
    with source_folder([files / "2024-01-31" / "b.CSV"], contract) as given:
        assert [*held(given.folder)] == ["customers.csv"]
    (files / "customers_label.csv").write_text(A)
    with source_folder([files / "customers_label.csv"], contract) as given:
        assert [*held(given.folder)] == ["customers_label.csv"]
    with source_folder([files / "2024-01-31" / "b.CSV"], declared()) as given:
        assert [*held(given.folder)] == ["b.CSV"]


def test_what_cannot_be_delivered_is_named(files):
    (files / "broken.zip").write_bytes(b"PK\x03\x04")
    (files / "notes.txt").write_text("x")
    with zipfile.ZipFile(files / "empty.zip", "w") as archive:
        archive.writestr("readme.txt", "hello")
    for names, said in (
        (["none.csv"], "does not exist"),
        (["notes.txt"], "is not a table"),
        (["broken.zip"], "cannot be unpacked"),
        (["empty.zip"], "no .csv"),
        (["2024-01-31/a.csv", "month.zip"], "two files named a.csv"),
    ):
        with pytest.raises(UsageError, match=said), source_folder([files / name for name in names]):
            pass


def test_a_folder_is_named_by_what_it_is_and_archives_are_unpacked_where_they_may_be(
    files, monkeypatch
):
    monkeypatch.chdir(files / "2024-01-31")
    (files / "2024-01-31" / "a.csv").unlink()
    (files / "2024-01-31" / "b.CSV").unlink()
    (files / "month.zip").rename(files / "2024-01-31" / "month.zip")
    place = files / "place"
    place.mkdir()
    with source_folder([Path()], place=place) as given:
        assert given.folder.name == "2024-01-31"
        assert given.folder.is_relative_to(place)
    assert [*place.iterdir()] == []


def test_two_folders_with_a_folder_of_one_name_are_refused(files):
    for name in ("one", "two"):
        (files / name / "2024-01-31").mkdir(parents=True)
        (files / name / "2024-01-31" / f"{name}.csv").write_text(A)
    with (
        pytest.raises(UsageError, match="two folders named 2024-01-31"),
        source_folder([files / "one", files / "two"]),
    ):
        pass
