"""The client side: token and trace context are sent, a deadline is required, errors are raised typed."""

import asyncio
import json
from typing import Any

import grpc
import orjson
from opentelemetry.trace import Span, StatusCode

from kit.errors import (
    BY_STATUS,
    Conflict,
    FieldError,
    Forbidden,
    Invalid,
    LookoutError,
    NotFound,
    RateLimited,
    TooLarge,
    Unauthenticated,
    Unavailable,
    UpstreamFailed,
    UpstreamTimeout,
)
from kit.grpc.wire import (
    AUTHORIZATION,
    CORRELATION_ID,
    PROBLEM,
    STATUS_DETAILS,
    TRACEPARENT,
    common_options,
    retry_after_s,
)
from kit.settings.blocks import GrpcSettings, tokens_of
from kit.tracing import (
    SpanKind,
    TraceContext,
    current_correlation_id,
    current_span,
    current_trace,
    current_tracing,
    mark_failed,
)

# A call is repeated only where no handler has started on it; the deadline covers all attempts.
_SERVICE_CONFIG = json.dumps(
    {
        "loadBalancingConfig": [{"round_robin": {}}],
        "methodConfig": [
            {
                "name": [{}],
                "retryPolicy": {
                    "maxAttempts": 4,
                    "initialBackoff": "0.1s",
                    "maxBackoff": "2s",
                    "backoffMultiplier": 2,
                    "retryableStatusCodes": ["UNAVAILABLE"],
                },
            }
        ],
    }
)

_MESSAGE_OVER_LIMIT = "message larger than max"
"""In the details of what the gRPC library itself refuses with RESOURCE_EXHAUSTED, on either side."""

_BY_CODE: dict[grpc.StatusCode, type[LookoutError]] = {
    grpc.StatusCode.INVALID_ARGUMENT: Invalid,
    grpc.StatusCode.OUT_OF_RANGE: TooLarge,
    grpc.StatusCode.UNAUTHENTICATED: Unauthenticated,
    grpc.StatusCode.PERMISSION_DENIED: Forbidden,
    grpc.StatusCode.NOT_FOUND: NotFound,
    grpc.StatusCode.FAILED_PRECONDITION: Conflict,
    grpc.StatusCode.RESOURCE_EXHAUSTED: RateLimited,
    grpc.StatusCode.UNAVAILABLE: Unavailable,
    grpc.StatusCode.DEADLINE_EXCEEDED: UpstreamTimeout,
}


def channel(target: str, settings: GrpcSettings, *, token: str | None = None) -> grpc.aio.Channel:
    """A channel to `host:port`, `dns:///name:port` or `unix:path`; its maker closes it. Make it in the event loop.

    It spreads calls over all addresses of the name, repeats on UNAVAILABLE only, and uses TLS where the
    settings name an authority. A call without `timeout=` raises ValueError.
    """
    secret = next(iter(tokens_of(settings.token)), "") if token is None else token
    options: list[tuple[str, Any]] = [
        *common_options(settings),
        ("grpc.service_config", _SERVICE_CONFIG),
        ("grpc.enable_retries", 1),
        ("grpc.http2.max_pings_without_data", 0),
        ("grpc.initial_reconnect_backoff_ms", 200),
        ("grpc.max_reconnect_backoff_ms", 5_000),
    ]
    outgoing = _Outgoing(secret)
    interceptors: list[grpc.aio.ClientInterceptor] = [
        _UnaryUnary(outgoing),
        _UnaryStream(outgoing),
        _StreamUnary(outgoing),
        _StreamStream(outgoing),
    ]
    if settings.tls_ca is None:
        return grpc.aio.insecure_channel(target, options=options, interceptors=interceptors)
    return grpc.aio.secure_channel(
        target, _channel_credentials(settings), options=options, interceptors=interceptors
    )


def error_of(error: grpc.aio.AioRpcError) -> LookoutError:
    """The error that the server raised, with its code, detail and fields where it sent them."""
    try:
        problem = _problem_of(error)
    except (ValueError, KeyError, TypeError):
        problem = {}
    kind = _kind_of(int(problem.get("status", 0)), error.code())
    if not problem and _MESSAGE_OVER_LIMIT in (error.details() or ""):
        kind = TooLarge  # the gRPC library's own refusal: it has the status of a full queue
    fields = tuple(FieldError(item["field"], item["reason"]) for item in problem.get("errors", ()))
    raised = kind(
        problem.get("detail") or error.details() or kind.title, code=problem.get("code"), errors=fields
    )
    if kind is Invalid and problem.get("status"):
        raised.status = problem["status"]
    raised.retry_after_s = retry_after_s(_metadata_of(error, STATUS_DETAILS))
    if kind is Unavailable and raised.retry_after_s is None:
        raised.retry_after_s = 1
    return raised


def _problem_of(error: grpc.aio.AioRpcError) -> dict[str, Any]:
    document = orjson.loads(_metadata_of(error, PROBLEM) or b"{}")
    return document if isinstance(document, dict) else {}


def _metadata_of(error: grpc.aio.AioRpcError, name: str) -> bytes:
    values = [value for key, value in error.trailing_metadata() or () if key == name]
    return values[0] if values and isinstance(values[0], bytes) else b""


def _kind_of(status: int, code: grpc.StatusCode) -> type[LookoutError]:
    if status == 400:
        return Invalid
    # A bug of the server is a failed upstream for its client.
    return BY_STATUS.get(status) or _BY_CODE.get(code, UpstreamFailed)


def _channel_credentials(settings: GrpcSettings) -> grpc.ChannelCredentials:
    assert settings.tls_ca is not None
    return grpc.ssl_channel_credentials(
        settings.tls_ca.read_bytes(),
        settings.tls_key.read_bytes() if settings.tls_key else None,
        settings.tls_certificate.read_bytes() if settings.tls_certificate else None,
    )


class _Outgoing:
    """Adds token, trace and correlation id to a call's metadata, and records the call as a span."""

    def __init__(self, token: str) -> None:
        self._token = token
        self._watches: set[asyncio.Task[None]] = set()  # the loop itself holds its tasks only weakly

    async def call(self, continuation: Any, details: Any, request: Any) -> Any:
        """Begin the call, of whichever of the four kinds.

        Raises:
            ValueError: it was made without a deadline.
        """
        if details.timeout is None:
            raise ValueError(f"{details.method} was called without a deadline: pass timeout=")
        parent = current_span()
        if not parent.is_recording():
            return await continuation(self._details(details, current_trace()), request)
        method = _text(details.method).removeprefix("/")
        span = current_tracing().start_span(
            method,
            SpanKind.CLIENT,
            parent.get_span_context(),
            {"rpc.system.name": "grpc", "rpc.method": method},
        )
        try:
            call = await continuation(self._details(details, TraceContext(span.get_span_context())), request)
        except BaseException as error:
            mark_failed(span, error)
            span.end()
            raise
        self._watches.add(watch := asyncio.create_task(_end_with(call, span)))
        watch.add_done_callback(self._watches.discard)
        return call

    def _details(self, details: Any, trace: TraceContext | None) -> grpc.aio.ClientCallDetails:
        metadata = grpc.aio.Metadata(*(details.metadata or ()))
        if self._token:
            metadata.add(AUTHORIZATION, f"Bearer {self._token}")
        if trace is not None:
            metadata.add(TRACEPARENT, trace.traceparent)
        correlation_id = current_correlation_id()
        if correlation_id is not None:
            metadata.add(CORRELATION_ID, correlation_id)
        return grpc.aio.ClientCallDetails(
            details.method, details.timeout, metadata, details.credentials, details.wait_for_ready
        )


async def _end_with(call: Any, span: Span) -> None:
    """End the span when the call has ended, however that is."""
    code: grpc.StatusCode = await call.code()
    span.set_attribute("rpc.response.status_code", code.name)
    if code is not grpc.StatusCode.OK:
        span.set_attribute("error.type", code.name)
        span.set_status(StatusCode.ERROR)
    span.end()


def _text(method: str | bytes) -> str:
    return method.decode() if isinstance(method, bytes) else method


class _UnaryUnary(grpc.aio.UnaryUnaryClientInterceptor):
    def __init__(self, outgoing: _Outgoing) -> None:
        self._outgoing = outgoing

    async def intercept_unary_unary(self, continuation: Any, client_call_details: Any, request: Any) -> Any:
        return await self._outgoing.call(continuation, client_call_details, request)


class _UnaryStream(grpc.aio.UnaryStreamClientInterceptor):
    def __init__(self, outgoing: _Outgoing) -> None:
        self._outgoing = outgoing

    async def intercept_unary_stream(self, continuation: Any, client_call_details: Any, request: Any) -> Any:
        return await self._outgoing.call(continuation, client_call_details, request)


class _StreamUnary(grpc.aio.StreamUnaryClientInterceptor):
    def __init__(self, outgoing: _Outgoing) -> None:
        self._outgoing = outgoing

    async def intercept_stream_unary(
        self, continuation: Any, client_call_details: Any, request_iterator: Any
    ) -> Any:
        return await self._outgoing.call(continuation, client_call_details, request_iterator)


class _StreamStream(grpc.aio.StreamStreamClientInterceptor):
    def __init__(self, outgoing: _Outgoing) -> None:
        self._outgoing = outgoing

    async def intercept_stream_stream(
        self, continuation: Any, client_call_details: Any, request_iterator: Any
    ) -> Any:
        return await self._outgoing.call(continuation, client_call_details, request_iterator)
