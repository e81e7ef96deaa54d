"""Real receivers of alerts on this machine: an HTTP server that can be told to fail, and a mail server."""

import contextlib
import email
import email.policy
import json
import socket
import threading
from collections.abc import Iterator
from email.message import EmailMessage
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from aiosmtpd.controller import Controller

from churn_platform.alerting.dagster_ui import free_port


class Receiver:
    """What it was sent, oldest first; `status` is what it answers."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.status = 200
        self.got: list[dict[str, Any]] = []

    @property
    def url(self) -> str:
        """Its Apprise URL, with a secret in it."""
        return f"json://tester:pa55word@127.0.0.1:{self.port}/hook/s3cret-token"

    @property
    def titles(self) -> list[str]:
        """The titles of the messages that it took."""
        return [message["title"] for message in self.got]


@contextlib.contextmanager
def receiving(port: int = 0) -> Iterator[Receiver]:
    """A receiver that answers until the block ends."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            if receiver.status == 200:
                message = {"title": body["title"], "body": body["message"]}
                if "type" in body:
                    message["type"] = body["type"]
                if body.get("attachments"):
                    message["attachments"] = body["attachments"]
                receiver.got.append(message)
            self.send_response(receiver.status)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
    receiver = Receiver(server.server_port)
    thread = threading.Thread(
        target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True
    )
    thread.start()
    try:
        yield receiver
    finally:
        server.shutdown()
        server.server_close()


@contextlib.contextmanager
def mute() -> Iterator[str]:
    """The URL of a receiver that takes the connection and never answers."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield f"json://127.0.0.1:{listener.getsockname()[1]}/hook"


@contextlib.contextmanager
def mailbox() -> Iterator[tuple[str, list[EmailMessage]]]:
    """A real SMTP server: the Apprise URL that mails two people through it, and the mails that it took."""
    got: list[EmailMessage] = []

    class Handler:
        async def handle_DATA(self, _server: object, _session: object, envelope: Any) -> str:  # noqa: N802 - its name
            got.append(email.message_from_bytes(envelope.content, policy=email.policy.default))
            return "250 OK"

    server = Controller(Handler(), hostname="127.0.0.1", port=free_port())
    server.start()
    try:
        yield (
            f"mailto://127.0.0.1:{server.port}?from=churn@gym.example&to=ann@gym.example,bob@gym.example",
            got,
        )
    finally:
        server.stop()
