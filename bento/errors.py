"""Refusals: every status other than 200 is one of these, and one envelope in JSON."""

from collections.abc import Mapping
from typing import Any

from pydantic_core import to_json
from starlette.responses import Response

JSON = "application/json"


class Refusal(Exception):
    """A request that is answered with an error; the message says what, the hint what to do."""

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        hint: str,
        *,
        headers: Mapping[str, str] | None = None,
        **more: object,
    ) -> None:
        super().__init__(message)
        self.status, self.code, self.message, self.hint = status, code, message, hint
        self.headers, self.more = dict(headers or {}), more

    def item(self) -> dict[str, Any]:
        """The error without its request: as an item of a batch has it."""
        return {"code": self.code, "message": self.message, "hint": self.hint, **self.more}

    def response(self, request_id: str) -> Response:
        """The envelope."""
        content = to_json({"error": {**self.item(), "request_id": request_id}})
        return Response(content, self.status, self.headers, JSON)


def answer(value: object) -> Response:
    """A value as a JSON response."""
    return Response(to_json(value), media_type=JSON)
