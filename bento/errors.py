"""The errors of the API: one JSON envelope with a stable code for every status but 200."""

import reprlib
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from pydantic_core import to_json
from starlette.exceptions import HTTPException
from starlette.responses import Response

RETRY_SOON = {"Retry-After": "5"}


class JsonResponse(Response):
    """A value as JSON, written by pydantic: 5 times as fast as Starlette's own."""

    media_type = "application/json"

    def render(self, content: object) -> bytes:
        """The value in bytes."""
        return to_json(content)


class ApiError(HTTPException):
    """A request that cannot be answered: what is wrong, and what to do.

    Attributes:
        code: Names the error for programs; stable.
        item: The error as JSON, without the request id.
    """

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        hint: str,
        *,
        headers: Mapping[str, str] | None = None,
        **details: object,
    ) -> None:
        super().__init__(status, message, headers)
        self.code = code
        self.item = {"code": code, "message": message, "hint": hint, **details}

    def response(self, request_id: str) -> JsonResponse:
        """The envelope."""
        content = {"error": {**self.item, "request_id": request_id}}
        return JsonResponse(content, self.status_code, self.headers)


def malformed(faults: Sequence[Any]) -> ApiError:
    """The error for what pydantic found wrong with a request; it names the first fault."""
    fault = faults[0]
    path = [str(part) for part in fault["loc"] if part not in ("body", "path", "query")]
    place = ".".join(path[:3]) or "request"
    message = f"Invalid {place}: {fault['msg']} (got {reprlib.repr(fault['input'])})."
    hint = "GET /openapi.json describes every field."
    return ApiError(422, "malformed", message, hint)


async def http_error_response(request: Request, error: Exception) -> Response:
    """The envelope of an error that a route, or Starlette's router, raised."""
    assert isinstance(error, HTTPException)  # noqa: S101 - registered for this class
    if not isinstance(error, ApiError):
        error = _router_error(error)
    return error.response(request.state.request_id)


async def validation_error_response(request: Request, error: Exception) -> Response:
    """The envelope of a request that does not fit its model."""
    assert isinstance(error, RequestValidationError)  # noqa: S101 - registered for this class
    return malformed(error.errors()).response(request.state.request_id)


def _router_error(error: HTTPException) -> ApiError:
    if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
        allowed = (error.headers or {})["Allow"].replace("GET", "GET, HEAD")
        hint = f"Use {allowed}."
        return ApiError(
            405,
            "method_not_allowed",
            "This path does not support the method.",
            hint,
            headers={"Allow": allowed},
        )
    hint = "GET /openapi.json lists the paths."
    return ApiError(404, "unknown_path", "There is no such path.", hint)
