"""The commands that run servers or send alerts: ui, serve, bento, exporter and alert."""

import ipaddress
import os
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from churn_platform.base.errors import ChurnError, UsageError
from churn_platform.base.settings import prepare_serving
from churn_platform.cli.base import OPENED, HomeOption, JsonOption, open_home, print_json

if TYPE_CHECKING:
    from pydantic import JsonValue

    from churn_platform.services import Services
    from churn_platform.serving.bento_build import Built

SERVICE = "churn_platform._bento.service:ChurnService"


def ui(
    port: Annotated[
        int | None,
        typer.Option(min=1, max=65535, help="Listen on this port (default: CHURN_UI_PORT)."),
    ] = None,
    home: HomeOption = None,
) -> None:
    """Start the Dagster UI and daemon on 127.0.0.1."""
    from churn_platform.alerting.dagster_ui import serve_ui

    opened = open_home(home, must_exist=False)
    opened.create()
    _ = opened.contract
    raise typer.Exit(serve_ui(opened, opened.alerts, port or opened.settings.ui_port, typer.echo))


def serve(
    port: Annotated[
        int | None,
        typer.Option(min=1, max=65535, help="Listen on this port (default: CHURN_API_PORT)."),
    ] = None,
    host: Annotated[
        str, typer.Option(help="Listen on this address; API keys are required off 127.0.0.1.")
    ] = "127.0.0.1",
    workers: Annotated[
        int | None,
        typer.Option(min=1, max=64, help="Run this many processes (default: CHURN_API_WORKERS)."),
    ] = None,
    home: HomeOption = None,
) -> None:
    """Serve the HTTP API with the model in production."""
    opened = open_home(home)
    settings = opened.settings
    become_server(
        opened, host, port or settings.api_port, workers or settings.api_workers, typer.echo
    )


def bento(
    output: Annotated[
        Path | None,
        typer.Option(
            help="Also write an archive: .bento, .tar, .tar.gz, .tar.bz2, .tar.xz or .zip."
        ),
    ] = None,
    customers: Annotated[
        bool,
        typer.Option(
            "--customers/--no-customers",
            help="Include the customers' newest features and scores.",
        ),
    ] = True,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Build a Bento that contains the release in production."""
    built = open_home(home).bundles.build(customers=customers, output=output)
    if as_json:
        print_json(built_facts(built))
    else:
        typer.echo("\n".join(built_sentences(built)))


def alert(
    test: Annotated[
        bool, typer.Option("--test", help="Send a test message to every channel.")
    ] = False,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Send the waiting alerts now, or a test message with --test."""
    opened = open_home(home)
    OPENED.clear()  # the alerts are sent here, not at the end of the command
    alerts = opened.alerts
    if not alerts.channels():
        raise UsageError(
            "No alert channels are configured. Set CHURN_ALERT_URLS to Apprise URLs, such as"
            " mailto://USER:PASSWORD@HOST or json://HOST/PATH, or CHURN_ALERT_URLS_FILE to a"
            " file with them.",
            code="ALERTS_NOT_CONFIGURED",
        )
    if test:
        found: list[dict[str, Any]] = [*alerts.test()]
    else:
        alerts.send(anyway=True)
        found = [asdict(channel) for channel in alerts.waiting()]
    if as_json:
        print_json(found)
    else:
        for receiver in found:
            typer.echo(_line(receiver, test=test))
    if failed := [receiver["receiver"] for receiver in found if receiver["error"]]:
        raise ChurnError(f"Not reached: {', '.join(failed)}.", code="ALERT_NOT_SENT")


def exporter(
    port: Annotated[
        int | None,
        typer.Option(min=1, max=65535, help="Listen on this port (default: CHURN_EXPORTER_PORT)."),
    ] = None,
    host: Annotated[str, typer.Option(help="Listen on this address.")] = "127.0.0.1",
    home: HomeOption = None,
) -> None:
    """Serve the metrics of the home to Prometheus."""
    from churn_platform.alerting.exporter import serve as serve_metrics
    from churn_platform.defs.health import DagsterHealth

    opened = open_home(home)
    serve_metrics(
        opened.metrics,
        opened.alerts,
        host,
        port or opened.settings.exporter_port,
        DagsterHealth(opened).read,
        typer.echo,
    )


def _line(receiver: dict[str, Any], *, test: bool) -> str:
    if test and receiver["error"]:
        return f"{receiver['receiver']}: it {receiver['error']}"
    if test:
        return f"{receiver['receiver']}: took the test message"
    from churn_platform.cli.status import unsent_sentence

    lost = f", {receiver['lost']} given up" if receiver["lost"] else ""
    said = f"{receiver['receiver']}: {receiver['sent']} sent{lost}."
    if receiver["unsent"]:
        return f"{said} {unsent_sentence(receiver)}"
    return said


def become_server(
    home: "Services", host: str, port: int, workers: int, say: Callable[[str], None]
) -> None:
    """Replace this process by the server.

    Raises:
        UsageError: other machines can reach the host and no key is set, or the port is taken.
    """
    from churn_platform.alerting.dagster_ui import HOST, port_is_free

    if not _is_loopback(host) and not home.settings.api_keys:
        raise UsageError(
            f"Other machines can reach {host}, and no API keys are configured. Set"
            f" CHURN_API_KEYS to the sha256 of a key, or serve on {HOST}.",
            code="API_KEY_MISSING",
        )
    if _is_loopback(host) and not port_is_free(port):
        raise UsageError(
            f"Port {port} on {HOST} is taken. Stop what listens there, or name another with"
            " --port.",
            code="PORT_TAKEN",
        )
    _ = home.contract
    prepare_serving(home.settings, port, workers)
    say(
        f"API: http://{host}:{port} (home {home.folder}); it answers in a few seconds. Ctrl-C"
        " stops it."
    )
    sys.stdout.flush()
    command = [
        sys.executable,
        "-m",
        "bentoml",
        "serve",
        SERVICE,
        "--host",
        host,
        "--port",
        str(port),
        "--quiet",
    ]
    # Not the caller's folder: a folder `bento` in it would be imported instead.
    os.execv(sys.executable, [*command, "--working-dir", str(home.folder)])  # noqa: S606 - our own interpreter


def built_facts(built: "Built") -> "dict[str, JsonValue]":
    """What was built, as plain values."""
    output = None if built.output is None else str(built.output)
    inside = built.bundle.model_dump(mode="json")
    return {
        "tag": built.tag,
        "path": str(built.path),
        "size_bytes": built.size,
        "output": output,
        **inside,
    }


def built_sentences(built: "Built") -> list[str]:
    """What was built, what it contains, and how to run it."""
    bundle = built.bundle
    if bundle.customers:
        inside = f"{bundle.customers:,} customers' features of {bundle.features_as_of}"
    else:
        inside = "no customers"
    lines = [
        (
            f"Built {built.tag}: version {bundle.version} and {inside}, {built.size / 1e6:.1f} MB,"
            f" in {built.path}."
        )
    ]
    if not bundle.store:
        lines += [
            (
                "It answers requests that give every feature. With CHURN_HOME set, it knows the"
                " customers of that home."
            )
        ]
    elif bundle.store != "sqlite":
        lines += [
            (
                f"It reads features from {bundle.store}. Set CHURN_ONLINE_PASSWORD if the store"
                " has a password."
            )
        ]
    if built.output is not None:
        lines += [
            f"Archive: {built.output} (on another machine: `bentoml import {built.output.name}`)."
        ]
    return [
        *lines,
        f"Run:   BENTOML_DO_NOT_TRACK=true bentoml serve {built.tag}",
        f"Image: bentoml containerize {built.tag}",
    ]


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
