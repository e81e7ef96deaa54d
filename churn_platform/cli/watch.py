"""`churn alert` and `churn exporter`: telling people and Prometheus."""

from typing import Annotated, Any

import typer

from churn_platform.base.errors import ChurnError, UsageError
from churn_platform.cli.base import OPENED, HomeOption, JsonOption, open_home, print_json


def alert(
    test: Annotated[
        bool, typer.Option("--test", help="Send one test message to every receiver.")
    ] = False,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Send the alerts that wait, now, and show what each receiver was sent; or try the
    receivers with --test.
    """
    from churn_platform.alerting.alerting import Alerter

    opened = open_home(home)
    OPENED.clear()  # what waits is sent here, or not at all
    alerter = Alerter(opened)
    if not alerter.receivers():
        raise UsageError(
            "No alert channels are configured. Set CHURN_ALERT_URLS to Apprise URLs, such as"
            " mailto://USER:PASSWORD@HOST or json://HOST/PATH, or CHURN_ALERT_URLS_FILE to a"
            " file with them.",
            code="ALERTS_NOT_CONFIGURED",
        )
    found = alerter.test() if test else _sent(alerter)
    if as_json:
        print_json(found)
    else:
        for receiver in found:
            typer.echo(_line(receiver, test=test))
    if failed := [receiver["receiver"] for receiver in found if receiver["error"]]:
        raise ChurnError(f"Not reached: {', '.join(failed)}.", code="ALERT_NOT_SENT")


def exporter(
    port: Annotated[
        int | None, typer.Option(min=1, max=65535, help="Port (else CHURN_EXPORTER_PORT).")
    ] = None,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    home: HomeOption = None,
) -> None:
    """Metrics of the home for Prometheus: daemon, jobs, snapshot, production, drift,
    performance, ledger, alerts.
    """
    from churn_platform.alerting.exporter import serve
    from churn_platform.defs.health import DagsterHealth

    opened = open_home(home)
    serve(
        opened,
        host,
        port or opened.settings.exporter_port,
        DagsterHealth(opened).read,
        typer.echo,
    )


def _sent(alerter: Any) -> list[dict[str, Any]]:  # noqa: ANN401 - imported inside the command
    alerter.send(anyway=True)
    waiting: list[dict[str, Any]] = alerter.waiting()
    return waiting


def _line(receiver: dict[str, Any], *, test: bool) -> str:
    if test:
        return (
            f"{receiver['receiver']}:"
            f" {'it ' + receiver['error'] if receiver['error'] else 'took the test message'}"
        )
    from churn_platform.cli.show import unsent_sentence

    lost = f", {receiver['lost']} given up" if receiver["lost"] else ""
    said = f"{receiver['receiver']}: {receiver['sent']} sent{lost}."
    if receiver["unsent"]:
        return f"{said} {unsent_sentence(receiver)}"
    return said
