"""A real object store for the tests of a lake on S3: SeaweedFS, started once a session, a prefix a test."""

from __future__ import annotations

import json
import subprocess
import sysconfig
import time
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from churn_platform_tests.stores import short_folder

# Imported where it is used: every run of pytest imports this file, each mutant's too.
if TYPE_CHECKING:
    from churn_platform.services import Services

KEY, SECRET = "key", "secretsecret"
BUCKET = "lakes"
GRPC = 10_000
"""Each of its services also opens the port of its number + this."""


class ObjectServer:
    """A SeaweedFS on 127.0.0.1 that can be stopped and started again with what it held."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.master, self.volume, self.filer, self.port = _ports(4)
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def endpoint(self) -> str:
        """Its address, as AWS_ENDPOINT_URL names it."""
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start it and wait until it holds the bucket."""
        login = {"accessKey": KEY, "secretKey": SECRET}
        actions = ["Admin", "Read", "Write", "List", "Tagging"]
        identity = {"name": "t", "credentials": [login], "actions": actions}
        (self.folder / "s3.json").write_text(json.dumps({"identities": [identity]}))
        (self.folder / "data").mkdir(exist_ok=True)
        command = [
            str(Path(sysconfig.get_path("scripts")) / "weed"), "-v=0", "server", f"-dir={self.folder / 'data'}",
            "-ip=127.0.0.1", "-ip.bind=127.0.0.1", "-master.telemetry=false", "-master.electionTimeout=1s", "-master.resumeState=false", "-master.volumeSizeLimitMB=64",
            "-volume.max=20", "-volume.minFreeSpace=1MiB", f"-master.port={self.master}", f"-volume.port={self.volume}",
            "-filer", f"-filer.port={self.filer}", "-s3", f"-s3.port={self.port}", "-s3.port.iceberg=0",
            "-s3.port.lance=0", "-s3.autoCreateBucket=false", f"-s3.localSocket={self.folder / 's3.sock'}",
            f"-s3.config={self.folder / 's3.json'}",
        ]  # fmt: skip
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log, cwd=self.folder)
        self._wait()

    def stop(self) -> None:
        """Stop it; it keeps what it held on disk."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def client(self):
        """A client with every right, which the code under test does not use."""
        from pyarrow.fs import AwsStandardS3RetryStrategy, S3FileSystem

        return S3FileSystem(
            access_key=KEY,
            secret_key=SECRET,
            endpoint_override=f"127.0.0.1:{self.port}",
            scheme="http",
            region="us-east-1",
            allow_bucket_creation=True,
            connect_timeout=1,
            request_timeout=5,
            retry_strategy=AwsStandardS3RetryStrategy(max_attempts=1),
        )

    def _wait(self) -> None:
        client = self.client()
        deadline = time.monotonic() + 60
        while True:
            try:
                client.create_dir(BUCKET)
                with client.open_output_stream(f"{BUCKET}/ready") as stream:
                    stream.write(b"yes")
                break
            except OSError:
                assert self._process is not None
                assert self._process.poll() is None, (self.folder / "log").read_text()[-3000:]
                assert time.monotonic() < deadline
                time.sleep(0.1)


def _ports(count: int) -> list[int]:
    """Free ports whose partners for gRPC are free, too."""
    from churn_platform.alerting.dagster_ui import free_ports, port_is_free

    found: list[int] = []
    while len(found) < count:
        [port] = free_ports(1)
        if port + GRPC < 65_536 and port_is_free(port + GRPC) and port not in found:
            found.append(port)
    return found


@pytest.fixture(scope="session")
def running_object_server() -> Iterator[ObjectServer]:
    """A SeaweedFS of this session."""
    with short_folder() as folder:
        made = ObjectServer(folder)
        made.start()
        yield made
        made.stop()


@pytest.fixture
def object_server(
    running_object_server: ObjectServer, monkeypatch: pytest.MonkeyPatch
) -> ObjectServer:
    """The object store, with its login and address in the environment as a user sets them."""
    at_object_store(monkeypatch, running_object_server.endpoint)
    return running_object_server


@pytest.fixture
def s3_uri(object_server: ObjectServer) -> str:
    """A place that no other test uses."""
    return new_place()


def new_place() -> str:
    """The URI of a prefix that nobody has used."""
    return f"s3://{BUCKET}/{uuid.uuid4().hex[:12]}/lake"


def home_at(folder: Path, uri: str, contract: Mapping[str, Any] | None = None) -> Services:
    """A home without a month, of the gym or another business, whose lake is at a place."""
    from churn_platform_tests.small_business import DECLARED, open_home

    home = open_home(folder, lake=uri)
    home.create()
    text = yaml.safe_dump(dict(contract or DECLARED), sort_keys=False)
    (folder / "contract.yaml").write_text(text, encoding="utf-8")
    return open_home(folder)


def at_object_store(monkeypatch: pytest.MonkeyPatch, endpoint: str) -> None:
    """Set the login and this address in the environment, and ask no cloud for either."""
    for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_ENDPOINT_URL_S3", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", KEY)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
