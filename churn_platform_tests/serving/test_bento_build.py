"""`churn bento`: what is inside, and that it answers anywhere as the live server does."""

import asyncio
import os
import re
import shutil
import sqlite3
import subprocess
import sys
import tomllib
from contextlib import closing
from pathlib import Path

import httpx
import pytest
import yaml

import churn_platform
from churn_platform.base.errors import IntegrityError, UsageError
from churn_platform.serving.bento_build import DRIVERS, pinned, write_bentofile
from churn_platform.training.release_loading import load_release
from churn_platform.training.releases import Releases
from churn_platform_tests.api_client import (
    boosted,
    client,
    point,
    publish,
    running,
    with_contract,
)
from churn_platform_tests.servers import PROGRAMS, Served
from churn_platform_tests.small_business import JANUARY, open_home

ROOT = Path(churn_platform.__file__).parents[1]
EVERY_FEATURE = {"months": 3, "plan": "plus", "has_app": None, "hours": 2.5}


@pytest.fixture
def store(tmp_path, monkeypatch):
    """A store of BentoML's own for this test."""
    monkeypatch.setenv("BENTOML_HOME", str(tmp_path / "bentoml"))
    return tmp_path / "bentoml" / "bentos" / "churn"


@pytest.fixture(scope="module")
def built(served, tmp_path_factory):
    """The gym's Bento, its archive, and the store it is in."""
    folder = tmp_path_factory.mktemp("built")
    kept = os.environ.get("BENTOML_HOME")
    os.environ["BENTOML_HOME"] = str(folder / "bentoml")
    try:
        yield served.bundles.build(output=folder / "gym.bento"), folder
    finally:
        os.environ.pop("BENTOML_HOME")
        if kept is not None:
            os.environ["BENTOML_HOME"] = kept


@pytest.fixture
def live(served):
    """What the API on the home itself answers."""

    async def once(front, method, path, more):
        async with client(front) as made:
            return (await made.request(method, path, **more)).json()

    with running(served) as front:
        yield lambda method, path, **more: asyncio.run(once(front, method, path, more))


def files(folder):
    """Every file but Python's own bytecode, which any interpreter may leave beside the sources that it runs."""
    found = (path for path in folder.rglob("*") if path.is_file() and path.suffix != ".pyc")
    return {str(path.relative_to(folder)) for path in found}


def test_what_is_baked_is_the_contract_the_release_and_what_an_answer_needs(served, tmp_path):
    before = files(served.folder)
    baked = served.bundles.fill(served.releases.pointer(), tmp_path / "baked", customers=True)
    assert files(served.folder) == before  # nothing is written into the home
    release = {f"releases/2/{name}" for name in files(served.releases.folder / "2")}
    assert files(tmp_path / "baked") == release | {
        "baked.json", "contract.yaml", "releases/production", "ledger/receipts.jsonl", "feast/feature_store.yaml",
        "feast/online.json", "feast/online_store.db", "lake/derived/scores/2024-01-31.json",
        "lake/derived/scores/2024-01-31.parquet", "reports/2024-01-31/at_risk.parquet",
    }  # fmt: skip
    assert (baked.version, baked.customers, baked.features_as_of.isoformat()) == (
        2,
        1500,
        "2024-01-31",
    )
    assert Releases(tmp_path / "baked" / "releases").pointer() == served.releases.pointer()


def test_without_customers_no_key_of_any_customer_is_in_any_file(served, tmp_path):
    baked = served.bundles.fill(served.releases.pointer(), tmp_path / "baked", customers=False)
    assert (baked.customers, baked.features_as_of) == (0, None)
    assert not [
        f for f in (tmp_path / "baked").rglob("*") if f.is_file() and b"m00001" in f.read_bytes()
    ]
    assert (tmp_path / "baked" / "lake" / "derived" / "scores" / "2024-01-31.json").exists()


@pytest.mark.parametrize(("version", "features"), [(2, 4), (4, 2)])
def test_a_bundle_has_the_contract_of_its_version_and_answers_as_the_home(
    served_copy, tmp_path, version, features
):
    """The contract in use has fewer features than version 2, in a view that the store does not have."""
    views = {"people_fv": {"table": "members", "features": ["months", "plan"]}}
    home = with_contract(served_copy, feature_views=views)
    publish(home, 4, boosted(home))
    point(home, version)
    baked = home.bundles.fill(home.releases.pointer(), tmp_path / "baked", customers=True)
    assert (baked.version, baked.customers) == (version, 1500)
    answers = []
    for folder in (home.folder, tmp_path / "baked"):
        with running(open_home(folder)) as front:
            answers.append(asyncio.run(front.predict({"member": "m00001"})))
    live, inside = answers
    assert len(live["features_used"]) == features
    assert inside == live | {"request_id": inside["request_id"]}


@pytest.mark.parametrize("customers", [True, False])
def test_a_store_with_an_address_is_read_where_it_is_and_its_password_is_not_baked(
    served_copy, tmp_path, redis_server, customers
):
    address = redis_server.new()
    home = open_home(served_copy.folder, online_store=address)
    home.feature_store.materialize(home.lake.view(home.now(), as_at_scoring=False), JANUARY)
    home = open_home(
        served_copy.folder, online_store=address, online_password="not a secret to keep"
    )
    baked = home.bundles.fill(home.releases.pointer(), tmp_path / "baked", customers=customers)
    assert (baked.store, baked.customers, baked.features_as_of) == (address, 0, JANUARY)
    assert {name for name in files(tmp_path / "baked") if name.startswith("feast/")} == {
        "feast/feature_store.yaml", "feast/online.json",
    }  # fmt: skip
    assert not [
        f
        for f in (tmp_path / "baked").rglob("*")
        if f.is_file() and b"secret to keep" in f.read_bytes()
    ]

    async def asked(front):
        async with client(front) as made:
            return (await made.post("/predict", json={"member": "m00001"})).json(), (
                await made.get("/readyz")
            ).json()

    with running(open_home(tmp_path / "baked")) as front:
        found, ready = asyncio.run(asked(front))
    assert found["features_as_of"] == "2024-01-31"
    assert (ready["features_as_of"], ready["missing"]) == ("2024-01-31", [])


def test_the_build_file_names_the_driver_of_the_store(served, tmp_path):
    shutil.copytree(ROOT / "bento", tmp_path / "bento")
    pointer = served.releases.pointer()
    loaded = load_release(served.releases, served.contract, pointer.version, pointer)
    for drivers in ((), DRIVERS["redis"], DRIVERS["postgresql"]):
        write_bentofile(tmp_path, loaded, drivers)
        found = yaml.safe_load((tmp_path / "bentofile.yaml").read_text())
        names = {line.partition("==")[0] for line in found["python"]["packages"]}
        assert names & {"redis", "hiredis", "psycopg", "psycopg-binary"} == set(drivers)
        assert found["labels"]["model_version"] == "2"


def test_a_store_that_is_being_written_is_copied_whole(served_copy, tmp_path):
    with closing(sqlite3.connect(served_copy.folder / "feast" / "online_store.db")) as writer:
        writer.execute("BEGIN IMMEDIATE")
        writer.execute("DELETE FROM gym_members_fv")
        assert (
            served_copy.bundles.fill(
                served_copy.releases.pointer(), tmp_path / "baked", customers=True
            ).customers
            == 1500
        )
        writer.rollback()


def test_a_release_that_was_changed_is_not_built(served_copy, store):
    (served_copy.releases.folder / "2" / "booster.txt").write_bytes(b"changed")
    with pytest.raises(IntegrityError, match=r"booster\.txt"):
        served_copy.bundles.build()
    assert not store.exists()


def test_without_a_model_in_production_and_to_an_unknown_kind_of_archive_nothing_is_built(
    january_decided_copy, served, store, tmp_path
):
    with pytest.raises(UsageError, match="no model in production"):
        january_decided_copy.bundles.build()
    with pytest.raises(UsageError, match="archive format"):
        served.bundles.build(output=tmp_path / "gym.rar")
    assert not store.exists()


def test_every_package_that_is_needed_is_pinned_to_the_version_of_the_lock():
    locked = tomllib.loads((ROOT / "uv.lock").read_text(encoding="utf-8"))["package"]
    known = {(package["name"], package["version"]) for package in locked}
    named = yaml.safe_load((ROOT / "bento" / "bentofile.yaml").read_text())["python"]["packages"]
    found = pinned(line.partition("==")[0] for line in named)
    assert set(named) <= set(found)
    assert {tuple(line.split("==")) for line in found} <= known
    names = {line.partition("==")[0] for line in found}
    assert {
        "uvicorn",
        "scipy",
        "pydantic-core",
        "jinja2",
    } <= names  # needed by those that are named
    assert not names & {"dagster", "mlflow", "feast", "evidently", "duckdb"}


@pytest.mark.slow
def test_the_dockerfile_has_a_base_a_plain_user_and_sources_and_a_command_that_exist(built):
    bento, _ = built
    script = (
        "import sys, bentoml; from bentoml._internal.container import construct_containerfile as made\n"
        f"with made(bentoml.get({bento.tag!r})) as (context, path): sys.stdout.write(open(path).read())"
    )
    text = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    ).stdout
    assert re.findall(r"^FROM (\S+)", text, re.MULTILINE) == [
        f"python:{sys.version_info[0]}.{sys.version_info[1]}-slim"
    ]
    assert re.findall(r"^USER (\S+)", text, re.MULTILINE) == ["bentoml"]
    assert text.index("USER bentoml") > text.rindex("RUN ")
    copied = re.findall(r"^COPY (?:--\S+ )*(\S+) \S+$", text, re.MULTILINE)
    assert len(copied) == 3
    assert all((bento.path / source).exists() for source in copied)
    [entry] = re.findall(r'^ENTRYPOINT \[ "(\S+)" \]', text, re.MULTILINE)
    script = (bento.path / Path(entry).relative_to("/home/bentoml/bento")).read_text()
    assert 'set -- bentoml serve "$@" "$BENTO_PATH"' in script
    assert "ENV BENTOML_DO_NOT_TRACK=true" in text or "ARG BENTOML_DO_NOT_TRACK=true" in text
    assert "libgomp1" in text
    required = (bento.path / "env" / "python" / "requirements.txt").read_text().split()
    assert all("==" in line for line in required)
    assert len(required) > 50


@pytest.mark.slow
def test_served_from_an_empty_folder_it_answers_as_the_live_server_without_home_or_keys(
    built, served, live, tmp_path
):
    bento, folder = built
    shutil.copytree(folder / "bentoml", tmp_path / "elsewhere")
    empty = tmp_path / "empty"
    empty.mkdir()
    server = Served(
        [PROGRAMS / "bentoml", "serve", bento.tag], tmp_path / "log", empty,
        BENTOML_HOME=str(tmp_path / "elsewhere"), HOME=str(empty),
    )  # fmt: skip
    before = files(tmp_path / "elsewhere" / "bentos")
    try:
        server.wait()
        for number in range(0, 1500, 50):
            body = {"member": f"m{number:05d}"}
            expected = live("POST", "/predict", json=body) | {"request_id": ""}
            assert (
                httpx.post(f"{server.url}/predict", json=body).json() | {"request_id": ""}
                == expected
            )
        for path in ("/model", "/customers/at-risk?top=20", "/customers/m00001"):
            there = httpx.get(server.url + path).json()
            here = live("GET", path)
            for found in (there, here):
                found.pop("request_id")
                (found.get("current") or {}).pop("request_id", None)
            assert there == here
        ready = httpx.get(f"{server.url}/readyz").json()
        assert (ready["missing"], ready["baked_at"]) == ([], bento.bundle.built_at)
        assert list(empty.iterdir()) == []
        assert files(tmp_path / "elsewhere" / "bentos") == before  # a Bento is not written into
        assert "Traceback" not in server.log.read_text()
    finally:
        server.end()


@pytest.mark.slow
def test_without_customers_it_answers_what_ifs_and_with_a_home_what_that_holds(
    served, store, tmp_path
):
    bento = served.bundles.build(customers=False)
    command = [PROGRAMS / "bentoml", "serve", bento.tag]
    for environment in ({}, {"CHURN_HOME": str(served.folder)}):
        server = Served(
            command, tmp_path / "log", tmp_path, BENTOML_HOME=str(store.parents[1]), **environment
        )
        try:
            server.wait()
            whole = httpx.post(
                f"{server.url}/predict", json={"member": "nobody", "features": EVERY_FEATURE}
            )
            assert whole.status_code == 200
            assert (whole.json()["features_as_of"], whole.json()["model"]["version"]) == (None, 2)
            known = httpx.post(f"{server.url}/predict", json={"member": "m00001"})
            ready = httpx.get(f"{server.url}/readyz").json()
            if environment:
                assert (known.status_code, ready["missing"], ready["baked_at"]) == (200, [], None)
            else:
                assert (known.status_code, known.json()["error"]["code"]) == (503, "store_down")
                assert "give every feature" in known.json()["error"]["message"]
                assert ready["missing"] == [
                    "the customers: only what-ifs that give every feature are answered"
                ]
        finally:
            server.end()


@pytest.mark.slow
def test_the_archive_is_taken_in_elsewhere_under_the_same_tag(built, tmp_path):
    bento, folder = built
    environment = {**os.environ, "BENTOML_HOME": str(tmp_path / "elsewhere")}
    command = [sys.executable, "-m", "bentoml", "import", str(folder / "gym.bento")]
    subprocess.run(command, check=True, capture_output=True, env=environment)
    name, version = bento.tag.split(":")
    assert files(tmp_path / "elsewhere" / "bentos" / name / version) == files(bento.path)
