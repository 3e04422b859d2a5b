import grpc
import orjson
import pytest
from starlette.exceptions import HTTPException

from kit import errors
from kit.errors import FieldError, Invalid, LookoutError, RateLimited, Unauthenticated
from kit.problems import MAX_FIELD_ERRORS, grpc_status, problem_of, problem_response
from kit.tracing import use_trace

S = grpc.StatusCode


@pytest.mark.parametrize(
    ("error", "status", "code", "grpc_code"),
    [
        (errors.Invalid("x"), 422, "invalid", S.INVALID_ARGUMENT),
        (errors.Invalid("x", status=400, code="bad_base64"), 400, "bad_base64", S.INVALID_ARGUMENT),
        (errors.Unauthenticated("x"), 401, "unauthenticated", S.UNAUTHENTICATED),
        (errors.Forbidden("x"), 403, "forbidden", S.PERMISSION_DENIED),
        (errors.NotFound("x"), 404, "not_found", S.NOT_FOUND),
        (errors.Conflict("x"), 409, "conflict", S.FAILED_PRECONDITION),
        (errors.Gone("x"), 410, "gone", S.NOT_FOUND),
        (errors.TooLarge("x"), 413, "too_large", S.OUT_OF_RANGE),
        (errors.UnsupportedMedia("x"), 415, "unsupported_media", S.INVALID_ARGUMENT),
        (errors.RateLimited("x"), 429, "rate_limited", S.RESOURCE_EXHAUSTED),
        (errors.UpstreamFailed("x"), 502, "upstream_failed", S.INTERNAL),
        (errors.Unavailable("x"), 503, "unavailable", S.UNAVAILABLE),
        (errors.UpstreamTimeout("x"), 504, "upstream_timeout", S.DEADLINE_EXCEEDED),
        (errors.StorageFull("x"), 507, "storage_full", S.RESOURCE_EXHAUSTED),
        (HTTPException(405), 405, "method_not_allowed", S.INTERNAL),
        (HTTPException(418, "short and stout"), 418, "i_m_a_teapot", S.INTERNAL),
        (HTTPException(404), 404, "not_found", S.NOT_FOUND),
        (HTTPException(413), 413, "too_large", S.OUT_OF_RANGE),
        (HTTPException(599), 599, "error", S.INTERNAL),
        (KeyError("hunter2"), 500, "internal", S.INTERNAL),
    ],
)
def test_the_table_of_errors(error: Exception, status: int, code: str, grpc_code: grpc.StatusCode) -> None:
    problem = problem_of(error)
    assert (problem.status, problem.code, grpc_status(error)) == (status, code, grpc_code)
    assert "hunter2" not in str(problem.document())


def test_every_error_of_the_kit_is_in_the_table() -> None:
    for kind in errors.BY_STATUS.values():
        assert problem_of(kind("x")).status == kind.default_status
        assert kind.default_code != LookoutError.default_code
        assert kind is errors.UpstreamFailed or grpc_status(kind("x")) is not S.INTERNAL


def test_a_problem_has_every_field() -> None:
    error = Invalid("Not so.", code="invalid_color", errors=[FieldError("color.name", "is empty")])
    with use_trace(None) as trace:
        response = problem_response(error)
    assert response.media_type == "application/problem+json"
    assert orjson.loads(response.body) == {
        "type": "urn:lookout:problem:invalid_color",
        "title": "Invalid input",
        "status": 422,
        "detail": "Not so.",
        "code": "invalid_color",
        "trace_id": trace.trace_id,
        "errors": [{"field": "color.name", "reason": "is empty"}],
    }
    assert str(error) == "Not so. (color.name: is empty)"


@pytest.mark.parametrize(
    ("error", "headers"),
    [
        (RateLimited("x", retry_after_s=7), {"Retry-After": "7"}),
        (Unauthenticated("x", code="token_missing"), {"WWW-Authenticate": "Bearer"}),
        (Unauthenticated("x", code="token_expired"), {"WWW-Authenticate": 'Bearer error="invalid_token"'}),
        (HTTPException(405, headers={"Allow": "GET"}), {"Allow": "GET"}),
        (Invalid("x"), {}),
    ],
)
def test_headers_of_a_problem(error: Exception, headers: dict[str, str]) -> None:
    assert problem_of(error).headers == headers


def test_a_caller_cannot_choose_the_size_of_the_response() -> None:
    many = Invalid("x", errors=[FieldError(str(n), "y" * 10_000) for n in range(10_000)])
    document = problem_of(many).document()
    assert len(document["errors"]) == MAX_FIELD_ERRORS
    assert len(problem_of(many).body()) < 100_000


def test_text_that_is_not_unicode_does_not_break_the_response() -> None:
    body = problem_of(Invalid("\ud800", errors=[FieldError("\udfff", "x")])).body()
    assert orjson.loads(body)["detail"] == "?"
