"""The URIs that name a place."""

import re
from collections.abc import Mapping
from urllib.parse import parse_qs, unquote, urlsplit

EXAMPLE = "s3://bucket/prefix"
OF_AZURE = frozenset({"enable_tls", "credential_kind", "tenant_id", "client_id"})
OPTIONS: Mapping[str, frozenset[str]] = {
    "s3": frozenset({"endpoint_override", "region", "scheme"}),
    "gs": frozenset({"endpoint_override", "scheme", "project_id", "retry_limit_seconds"}),
    "abfs": OF_AZURE,
    "abfss": OF_AZURE,
    "file": frozenset(),
}
"""Scheme -> what the query of its URI may name. None of it is a secret."""
HOSTS: Mapping[str, str] = {
    "s3": r"[\w.-]+",
    "gs": r"(anonymous@)?[\w.-]+",
    "abfs": r"([\w$-]+@)?[\w.-]+(:\d+)?",
    "abfss": r"([\w$-]+@)?[\w.-]+(:\d+)?",
    "file": "",
}
"""Scheme -> what stands between `//` and the path: no login fits."""


def why_not_a_place(uri: str) -> str | None:
    """What is wrong with the URI of a lake, None if nothing is.

    The answer quotes no part of the URI.
    """
    try:
        parts = urlsplit(uri)
        given = set(parse_qs(parts.query, keep_blank_values=True))
    except ValueError:
        return "it is not a URI"
    if parts.scheme not in OPTIONS or not uri.isprintable():
        return f"it must begin with one of {', '.join(f'{one}://' for one in OPTIONS)}"
    if not re.fullmatch(HOSTS[parts.scheme], parts.netloc):
        return "between // and the path is something else than a bucket, or a login"
    if not given <= OPTIONS[parts.scheme] or parts.fragment:
        allowed = ", ".join(sorted(OPTIONS[parts.scheme])) or "nothing"
        return f"after the path may stand {allowed}"
    path = unquote(parts.path).rstrip("/")
    if not path.startswith("/") or {"", ".", ".."} & set(path[1:].split("/")):
        return "it needs a path, whose parts are neither empty nor dots"
    if "@" in path:  # a secret key may contain slashes
        return "there is a @ in its path, as after a login"
    return None
