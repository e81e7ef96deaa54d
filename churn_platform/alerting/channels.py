"""Sends one message to one alert channel, through Apprise."""

import contextlib
import logging
import re
from collections.abc import Iterator, Sequence

from churn_platform.alerting.messages import Message

SECONDS = 10.0
"""How long one channel may take; the loop waits for it."""
LOGGERS = ("apprise", "urllib3", "requests_oauthlib")
"""At level DEBUG they log complete URLs."""


def names(urls: Sequence[str]) -> dict[str, str]:
    """A name for each URL without its secrets, such as "slack 1" -> the URL."""
    return {f"{_scheme(url)} {place}": url for place, url in enumerate(urls, start=1)}


def send(url: str, message: Message) -> str | None:
    """Send a message; None if it was accepted, else why not, without the URL's secrets."""
    import apprise

    asset = apprise.AppriseAsset(
        app_id="Churn Platform", app_desc="", app_url="", image_url_mask="", image_url_logo="",
        storage_mode="memory", pgp_autogen=False, pem_autogen=False, service_timeout=SECONDS,
    )  # fmt: skip
    with _silent():
        try:
            receiver = apprise.Apprise(asset=asset)
            if not receiver.add(url):
                return "is not a URL that Apprise knows"
            result = receiver.notify(
                title=message.title,
                body=message.body,
                notify_type=message.severity,
                body_format="text",
            )
            if result:
                return None
            return _why(result)
        except Exception as error:  # noqa: BLE001 - none of over a hundred plugins may stop the loop
            return f"made Apprise fail ({type(error).__name__})"


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
