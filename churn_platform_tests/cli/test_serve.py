"""`churn serve`: where it may listen, and what it becomes."""

import itertools
import os
import socket
import sys

import pytest

from churn_platform.alerting.dagster_ui import free_port
from churn_platform.base.errors import ContractError, UsageError
from churn_platform.cli import serving
from churn_platform.cli.serving import become_server
from churn_platform_tests.small_business import open_home

KEY = "a" * 64


@pytest.fixture
def became(monkeypatch):
    """The command lines that the process became, without becoming them."""
    kept, found = dict(os.environ), []
    monkeypatch.setattr(
        serving.os, "execv", lambda program, command: found.append((program, command))
    )
    yield found
    os.environ.clear()
    os.environ.update(kept)


def options(command):
    return dict(itertools.pairwise(command))


def test_it_becomes_bentoml_on_our_service_with_host_port_and_workers(january, became):
    port, said = free_port(), []
    become_server(january, "127.0.0.1", port, 3, said.append)
    [(program, command)] = became
    assert program == sys.executable
    assert command[1:5] == ["-m", "bentoml", "serve", "churn_platform._bento.service:ChurnService"]
    chosen = options(command)
    assert (chosen["--host"], chosen["--port"]) == ("127.0.0.1", str(port))
    assert (os.environ["CHURN_API_WORKERS"], os.environ["CHURN_HOME"]) == ("3", str(january.folder))
    assert f"http://127.0.0.1:{port}" in said[0]


def test_a_folder_called_bento_where_it_is_started_is_not_imported(
    january, became, monkeypatch, tmp_path
):
    (tmp_path / "bento").mkdir()
    monkeypatch.chdir(tmp_path)
    become_server(january, "127.0.0.1", free_port(), 1, lambda _: None)
    assert options(became[0][1])["--working-dir"] == str(january.folder)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.0.0.7", "churn.example"])
def test_without_a_key_it_listens_on_the_loopback_only(january, became, host):
    with pytest.raises(UsageError, match=host) as refused:
        become_server(january, host, free_port(), 1, lambda _: None)
    assert refused.value.code == "API_KEY_MISSING"
    assert became == []
    become_server(open_home(january.folder, api_keys=KEY), host, free_port(), 1, lambda _: None)
    assert options(became[0][1])["--host"] == host


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1", "127.0.0.53"])
def test_every_name_of_the_loopback_is_open_without_a_key(january, became, host):
    become_server(january, host, free_port(), 1, lambda _: None)
    assert len(became) == 1


def test_a_taken_port_is_said_before_bentoml_starts(january, became):
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        with pytest.raises(UsageError, match="--port") as refused:
            become_server(january, "127.0.0.1", other.getsockname()[1], 1, lambda _: None)
    assert (refused.value.code, became) == ("PORT_TAKEN", [])


def test_a_broken_contract_is_said_before_bentoml_starts(january_copy, became):
    (january_copy.folder / "contract.yaml").write_text("name: 7")
    with pytest.raises(ContractError):
        become_server(open_home(january_copy.folder), "127.0.0.1", free_port(), 1, lambda _: None)
    assert became == []
