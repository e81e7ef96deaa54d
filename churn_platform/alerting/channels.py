"""Sends one message to one alert channel, through Apprise."""

import contextlib
import logging
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, get_args

from churn_platform.alerting.messages import Message
from churn_platform.contract.policy import Audience

if TYPE_CHECKING:
    from apprise import AppriseAttachment

SECONDS = 10.0
"""How long one channel may take; the loop waits for it."""
LOGGERS = ("apprise", "urllib3", "requests_oauthlib")
"""At level DEBUG they log complete URLs."""


ALERTS = "alerts"
AUDIENCES: tuple[Audience, ...] = get_args(Audience)
TAGGED = re.compile(r"(\w+(?:,\w+)*)=(?=\w+://)")
"""Apprise's own notation: `team,manager=mailto://...`."""


@dataclass(frozen=True)
class Channel:
    """One receiver: its URL, and the tags that say what it is sent."""

    url: str = field(repr=False)
    tags: tuple[str, ...] = ()

    @property
    def takes_alerts(self) -> bool:
        """Whether it is sent alerts: a channel without tags is, and one whose tags are wrong
        fails with them.
        """
        return not self.tags or ALERTS in self.tags or self.fault is not None

    @property
    def fault(self) -> str | None:
        """What is wrong with its tags."""
        if set(self.tags) <= {ALERTS, *AUDIENCES}:
            return None
        known = ", ".join((ALERTS, *AUDIENCES))
        return f"has a tag that is none of {known}"


@dataclass(frozen=True)
class Attachment:
    """A file that goes with a message; channels that take no files are sent the text alone."""

    name: str
    content: bytes
    media_type: str


def named(urls: Sequence[str]) -> dict[str, Channel]:
    """A name for each URL without its secrets, such as "slack 1" -> the channel."""
    found = {}
    for place, written in enumerate(urls, start=1):
        tagged = TAGGED.match(written)
        tags = () if tagged is None else tuple(tagged[1].split(","))
        url = written if tagged is None else written[tagged.end() :]
        found[f"{_scheme(url)} {place}"] = Channel(url, tags)
    return found


def receives(channels: dict[str, Channel], name: str) -> tuple[str, ...]:
    """The audiences whose report a channel is sent: those of its tags, and as a channel of alerts
    also those that no channel is tagged with.
    """
    channel = channels[name]
    tagged = {tag for other in channels.values() for tag in other.tags}
    return tuple(
        audience
        for audience in AUDIENCES
        if audience in channel.tags or (channel.takes_alerts and audience not in tagged)
    )


def send(channel: Channel, message: Message, attachments: Sequence[Attachment] = ()) -> str | None:
    """Send a message; None if it was accepted, else why not, without the URL's secrets."""
    if channel.fault is not None:
        return channel.fault
    import apprise

    asset = apprise.AppriseAsset(
        app_id="Churn Platform", app_desc="", app_url="", image_url_mask="", image_url_logo="",
        storage_mode="memory", pgp_autogen=False, pem_autogen=False, service_timeout=SECONDS,
    )  # fmt: skip
    with _silent():
        try:
            receiver = apprise.Apprise(asset=asset)
            if not receiver.add(channel.url):
                return "is not a URL that Apprise knows"
            result = receiver.notify(
                title=message.title,
                body=message.body,
                notify_type=message.severity,
                body_format="text",
                attach=_attached(attachments),
            )
            if result:
                return None
            return _why(result)
        except Exception as error:  # noqa: BLE001 - none of over a hundred plugins may stop the loop
            return f"made Apprise fail ({type(error).__name__})"


def _attached(attachments: Sequence[Attachment]) -> "AppriseAttachment | None":
    """The attachments as Apprise takes them; from memory, because a file may name customers."""
    from apprise import AppriseAttachment
    from apprise.attachment.memory import AttachMemory

    if not attachments:
        return None
    found = AppriseAttachment()
    for one in attachments:
        file = AttachMemory(one.content, one.name, one.media_type)  # type: ignore[no-untyped-call]
        found.add(file)
    return found


def _why(result: object) -> str:
    """Why Apprise failed; only its logs explain it."""
    said = " ".join(
        str(line) for single in getattr(result, "_results", []) for line in single.logs()
    )
    if "did not finish within" in said:
        return f"did not answer within {SECONDS:.0f} s"
    if status := re.search(r"error=([0-9]{3})\b", said):
        return f"answered {status[1]}"
    if "onnection error" in said:
        return "could not be reached"
    return "did not take the message"


def _scheme(url: str) -> str:
    found = re.match(r"[A-Za-z0-9]{1,20}(?=://)", url)
    if found:
        return found[0].lower()
    return "receiver"


@contextlib.contextmanager
def _silent() -> Iterator[None]:
    """Keep the log lines of Apprise and its libraries out of every log."""
    loggers = [logging.getLogger(name) for name in LOGGERS]
    kept = [(logger, logger.propagate, logger.level) for logger in loggers]
    for logger in loggers:
        logger.propagate = False
        logger.setLevel(logging.WARNING)
        if not logger.handlers:
            logger.addHandler(logging.NullHandler())  # else Python's last resort writes to stderr
    try:
        yield
    finally:
        for logger, propagate, level in kept:
            logger.propagate = propagate
            logger.setLevel(level)
