"""Errors as callers get them: `application/problem+json` (RFC 9457) over HTTP, a status over gRPC."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

import grpc
import orjson
from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from kit.allowed_methods import allowed_methods
from kit.errors import BY_STATUS, FieldError, Invalid, LookoutError, Unauthenticated
from kit.tracing import current_trace

MEDIA_TYPE = "application/problem+json"

# More would not help a person, and would let a caller choose the size of the response.
MAX_FIELD_ERRORS = 100
MAX_REASON_CHARS = 500

# HTTP status to gRPC status. A failed upstream is INTERNAL: clients repeat a call on UNAVAILABLE, and a device
# that gave an invalid answer will give it again.
_GRPC_STATUS: dict[int, grpc.StatusCode] = {
    400: grpc.StatusCode.INVALID_ARGUMENT,
    401: grpc.StatusCode.UNAUTHENTICATED,
    403: grpc.StatusCode.PERMISSION_DENIED,
    404: grpc.StatusCode.NOT_FOUND,
    409: grpc.StatusCode.FAILED_PRECONDITION,
    410: grpc.StatusCode.NOT_FOUND,
    413: grpc.StatusCode.OUT_OF_RANGE,
    415: grpc.StatusCode.INVALID_ARGUMENT,
    422: grpc.StatusCode.INVALID_ARGUMENT,
    429: grpc.StatusCode.RESOURCE_EXHAUSTED,
    500: grpc.StatusCode.INTERNAL,
    502: grpc.StatusCode.INTERNAL,
    503: grpc.StatusCode.UNAVAILABLE,
    504: grpc.StatusCode.DEADLINE_EXCEEDED,
    507: grpc.StatusCode.RESOURCE_EXHAUSTED,
}


@dataclass(frozen=True, slots=True)
class Problem:
    """A problem document of RFC 9457, with `code`, `trace_id` and `errors[]` added."""

    status: int
    title: str
    detail: str
    code: str
    trace_id: str | None = None
    errors: tuple[FieldError, ...] = ()
    headers: Mapping[str, str] = field(default_factory=dict)

    def document(self) -> dict[str, Any]:
        """The document as a JSON object."""
        return {
            "type": f"urn:lookout:problem:{self.code}",
            "title": self.title,
            "status": self.status,
            "detail": self.detail,
            "code": self.code,
            "trace_id": self.trace_id,
            "errors": [
                {"field": error.field, "reason": error.reason[:MAX_REASON_CHARS]}
                for error in self.errors[:MAX_FIELD_ERRORS]
            ],
        }

    def body(self) -> bytes:
        """The document as UTF-8 JSON; lone surrogates are replaced, since reporting an error must not fail."""
        try:
            return orjson.dumps(self.document())
        except TypeError:
            return orjson.dumps(_replace_surrogates(self.document()))

    def response(self) -> Response:
        """The document as an HTTP response."""
        return Response(self.body(), self.status, media_type=MEDIA_TYPE, headers=dict(self.headers))


def problem_of(error: Exception, trace_id: str | None = None) -> Problem:
    """The problem document of an exception. The text of an unexpected one goes to the log only."""
    trace = current_trace()
    known_trace_id = trace_id or (trace.trace_id if trace else None)
    if isinstance(error, LookoutError):
        headers = {"Retry-After": str(error.retry_after_s)} if error.retry_after_s is not None else {}
        if isinstance(error, Unauthenticated):
            headers["WWW-Authenticate"] = (
                "Bearer" if error.code == "token_missing" else 'Bearer error="invalid_token"'
            )
        return Problem(
            error.status, error.title, error.detail, error.code, known_trace_id, error.errors, headers
        )
    if isinstance(error, RequestValidationError):
        return problem_of(invalid_request(error.errors()), known_trace_id)
    if isinstance(error, HTTPException):
        title, code = _title_and_code(error.status_code)
        detail = str(error.detail or title)  # FastAPI allows any object
        return Problem(error.status_code, title, detail, code, known_trace_id, (), dict(error.headers or {}))
    return Problem(
        500,
        "Internal error",
        "An unexpected error. The log has the details under this trace id.",
        "internal",
        known_trace_id,
    )


def problem_response(error: Exception, trace_id: str | None = None) -> Response:
    """The HTTP response to an exception."""
    return problem_of(error, trace_id).response()


def grpc_status(error: Exception) -> grpc.StatusCode:
    """The gRPC status of an exception."""
    return _GRPC_STATUS.get(problem_of(error).status, grpc.StatusCode.INTERNAL)


def invalid_request(details: Sequence[Any]) -> Invalid:
    """The error for what pydantic or FastAPI found invalid in a request; fields are named as they were sent."""
    if any(detail.get("type") == "json_invalid" for detail in details):
        why = next(
            d.get("ctx", {}).get("error") or d.get("msg") for d in details if d["type"] == "json_invalid"
        )
        return Invalid(f"The body is not valid JSON: {why}.", code="invalid_json", status=400)
    errors = tuple(
        FieldError(_field_path(detail["loc"]), _reason(detail)) for detail in details[:MAX_FIELD_ERRORS]
    )
    count = len(details)
    return Invalid(f"{count} {'field is' if count == 1 else 'fields are'} not valid.", errors=errors)


def install(app: FastAPI) -> None:
    """Make the app respond with a problem document to errors of routes, unknown paths and invalid requests."""

    async def answer(request: Request, error: Exception) -> Response:
        response = problem_response(error)
        if response.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
            response.headers["Allow"] = ", ".join(allowed_methods(request.app.routes, request.scope))
        return response

    for kind in (LookoutError, HTTPException, RequestValidationError):
        app.add_exception_handler(kind, answer)


def _field_path(location: Sequence[Any]) -> str:
    parts = [str(part) for part in location]
    named = (
        parts[1:] if len(parts) > 1 and parts[0] in {"body", "query", "path", "header", "cookie"} else parts
    )
    return ".".join(named)


def _reason(detail: Mapping[str, Any]) -> str:
    return str(detail.get("msg", "is not valid")).removeprefix("Value error, ")


def _title_and_code(status: int) -> tuple[str, str]:
    """Title and code of a status that the framework chose: those of `kit.errors` where it has one."""
    if kind := BY_STATUS.get(status):
        return kind.title, kind.default_code
    try:
        title = HTTPStatus(status).phrase
    except ValueError:
        title = "Error"
    return title, re.sub(r"[^a-z0-9]+", "_", title.lower()).strip("_")


def _replace_surrogates(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode("utf-8")
    if isinstance(value, dict):
        return {key: _replace_surrogates(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_replace_surrogates(item) for item in value]
    return value
