"""The middlewares around every HTTP app: trace, size limit, unhandled errors, metrics, access log.

Pure ASGI: bodies are streamed in both directions, and no call gets a task of its own.
"""

import asyncio
import math
import time
from collections.abc import Collection, Mapping
from contextlib import suppress
from http import HTTPStatus
from typing import Any

from opentelemetry.trace import StatusCode
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from kit.errors import StorageFull, TooLarge, Unavailable
from kit.health import Health
from kit.logging import Logger, lines_of
from kit.metrics import Metrics
from kit.problems import problem_of
from kit.size_limits import BodyLimit
from kit.tracing import (
    NO_TRACING,
    SpanKind,
    TraceContext,
    Tracing,
    current_span,
    parse_traceparent,
    trace_from_request_id,
    use_trace,
)

# Requested by scrapers and probes every few seconds: logged at DEBUG only, and not traced.
QUIET_PATHS = frozenset({"/health/live", "/health/ready", "/metrics"})

# The rest of a refused body is read and discarded before the response: many clients read no response until they have
# sent everything, and lose it if the connection is closed. These limit how much is read for that.
DRAIN_BYTES = 67_108_864
DRAIN_S = 20.0

CLIENT_CLOSED = 499
SLOW_BODY = "slow_body"
"""Key that the listener sets in the `state` of a call that it answered because its body came too slowly."""
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
TRACE_HEADER = b"x-trace-id"
STARTING_RETRY_AFTER_S = 2
FULL_LOG_INTERVAL_S = 60.0
"""Answers because of a full disk are logged as an error once in this time."""


class BodyTooLarge(HTTPException):
    """Raised while a route reads the body; an HTTPException, which FastAPI's body parsing does not replace."""

    def __init__(self, limit: BodyLimit) -> None:
        super().__init__(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, limit.refusal)


class Edge:
    """The outermost middleware of a service's app. `body_limits`: by path prefix, the longest one wins; `body_limit`
    for all other paths.

    `secret_prefixes`: what follows them in a path is a secret, which is not logged.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        service: str,
        logger: Logger,
        metrics: Metrics,
        health: Health,
        body_limit: BodyLimit,
        tracing: Tracing = NO_TRACING,
        body_limits: Mapping[str, BodyLimit] | None = None,
        secret_prefixes: Collection[str] = (),
    ) -> None:
        self._app = app
        self._service = service
        self._secret_prefixes = tuple(f"{prefix}/" for prefix in secret_prefixes)
        self._logger = logger
        self._health = health
        self._tracing = tracing
        self._body_limit = body_limit
        self._body_limits = sorted((body_limits or {}).items(), key=lambda item: -len(item[0]))
        labels = ("method", "route", "status")
        self._requests = metrics.counter("http_requests_total", "HTTP requests answered", labels)
        self._seconds = metrics.histogram(
            "http_request_seconds",
            "time from the first byte of the request to the last of the response",
            labels,
        )
        self._full_logged_s = -math.inf
        self._in_flight = metrics.gauge("http_requests_in_flight", "HTTP requests being answered")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one call."""
        with lines_of(self._service):
            await self._serve(scope, receive, send)

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            with use_trace(
                _incoming_trace(scope),
                name=_method(scope),
                kind=SpanKind.SERVER,
                tracing=NO_TRACING if scope["path"] in QUIET_PATHS else self._tracing,
            ) as trace:
                await self._serve_http(_Call(scope, receive, send, trace, self._limit_for(scope["path"])))
        elif scope["type"] == "websocket":
            with use_trace(
                _incoming_trace(scope), name="websocket", kind=SpanKind.SERVER, tracing=self._tracing
            ):
                await self._app(scope, receive, send)
        else:
            await self._app(scope, receive, send)

    async def _serve_http(self, call: "_Call") -> None:
        self._in_flight.inc()
        try:
            refusal = self._health.refusal_reason
            if refusal is not None and call.scope["path"] not in QUIET_PATHS:
                await call.answer(
                    Unavailable(f"Not now: {refusal}.", code="starting", retry_after_s=STARTING_RETRY_AFTER_S)
                )
            elif call.is_declared_too_large:
                if not call.is_drain_too_long:
                    await drain(call.scope, call.receive_any)
                await call.answer(TooLarge(call.body_limit.refusal), close=call.is_drain_too_long)
            else:
                await self._app(call.scope, call.receive, call.send)
        except ClientDisconnect:
            call.status = CLIENT_CLOSED
        except Exception as error:
            self._logger.exception("http_unhandled_error", method=call.method, route=call.route)
            if call.is_started:
                call.status = 500
                raise  # the response has begun: only the server can still abort it
            await call.answer(error)
        finally:
            self._in_flight.dec()
            self._record(call)

    def _record(self, call: "_Call") -> None:
        seconds = time.perf_counter() - call.began
        status = call.status if call.status is not None else CLIENT_CLOSED
        if status == CLIENT_CLOSED and call.is_too_slow:
            status = HTTPStatus.REQUEST_TIMEOUT.value
        self._requests.labels(call.method, call.route, str(status)).inc()
        self._seconds.labels(call.method, call.route, str(status)).observe(seconds)
        _describe_span(call.method, call.route, status)
        if status == StorageFull.default_status and call.began - self._full_logged_s >= FULL_LOG_INTERVAL_S:
            self._full_logged_s = call.began
            self._logger.error(
                "storage_full",
                route=call.route,
                remedy="Free space on the disk of the database or of the blob store.",
            )
        log = self._logger.debug if call.scope["path"] in QUIET_PATHS else self._logger.info
        log(
            "http_request",
            method=call.method,
            route=call.route,
            path=self._logged_path(call.scope["path"]),
            status=status,
            ms=round(seconds * 1000, 1),
            client=(call.scope.get("client") or ("",))[0],
        )

    def _logged_path(self, path: str) -> str:
        return next((prefix + "…" for prefix in self._secret_prefixes if path.startswith(prefix)), path)

    def _limit_for(self, path: str) -> BodyLimit:
        for prefix, limit in self._body_limits:
            if path.startswith(prefix):
                return limit
        return self._body_limit


class _Call:
    """One HTTP call: counts the bytes read, records the status sent."""

    def __init__(
        self, scope: Scope, receive: Receive, send: Send, trace: TraceContext, body_limit: BodyLimit
    ) -> None:
        self.scope = scope
        self.trace = trace
        self.body_limit = body_limit
        self.began = time.perf_counter()
        self.status: int | None = None
        self._receive = receive
        self._send = send
        self._read_bytes = 0
        self._declared_bytes = _content_length(scope)

    @property
    def method(self) -> str:
        return _method(self.scope)

    @property
    def route(self) -> str:
        return _route_template(self.scope)

    @property
    def is_started(self) -> bool:
        return self.status is not None

    @property
    def is_too_slow(self) -> bool:
        return SLOW_BODY in self.scope.get("state", {})

    @property
    def is_declared_too_large(self) -> bool:
        return self._declared_bytes is not None and self._declared_bytes > self.body_limit.max_bytes

    @property
    def is_drain_too_long(self) -> bool:
        return (self._declared_bytes or 0) > self.body_limit.max_bytes + DRAIN_BYTES

    async def receive_any(self) -> Message:
        """The next message, without the size limit."""
        return await self._receive()

    async def receive(self) -> Message:
        message = await self._receive()
        if message["type"] == "http.request":
            self._read_bytes += len(message.get("body", b""))
            if self._read_bytes > self.body_limit.max_bytes:
                raise BodyTooLarge(self.body_limit)
        return message

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            # Replaces the header of an upstream service, which would be there twice.
            headers = [pair for pair in message.get("headers", ()) if pair[0].lower() != TRACE_HEADER]
            headers.append((TRACE_HEADER, self.trace.trace_id.encode()))
            message = {**message, "headers": headers}
        await self._send(message)

    async def answer(self, error: Exception, *, close: bool = False) -> None:
        response = problem_of(error, self.trace.trace_id).response()
        if close:
            response.headers["Connection"] = "close"
        await response(self.scope, self.receive, self.send)


class HeadAsGet:
    """Answers HEAD as GET (RFC 9110, 9.3.2); FastAPI's routes accept only their own method.

    The server omits the body: it sees the original method, since the routes get a copy of the scope.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one call."""
        if scope["type"] != "http" or scope["method"] != "HEAD":
            await self._app(scope, receive, send)
            return
        inner = {**scope, "method": "GET"}
        try:
            await self._app(inner, receive, send)
        finally:
            # Where the access log and the metrics find the route.
            scope.update({key: inner[key] for key in ("route", "fastapi") if key in inner})


async def drain(scope: Scope, receive: Receive) -> None:
    """Read and discard a refused body, up to DRAIN_BYTES and DRAIN_S. A client that sent `Expect` sends none."""
    if _header(scope, b"expect") is not None:
        return
    dropped = 0
    with suppress(TimeoutError):
        async with asyncio.timeout(DRAIN_S):
            while dropped < DRAIN_BYTES:
                message = await receive()
                if message["type"] != "http.request" or not message.get("more_body"):
                    return
                dropped += len(message.get("body", b""))


def _describe_span(method: str, route: str, status: int) -> None:
    """Name the running span by the route, which is known only now. The path stays out: it may hold a person's data."""
    served = current_span()
    if not served.is_recording():
        return
    served.update_name(f"{method} {route}")
    served.set_attributes(
        {"http.request.method": method, "http.route": route, "http.response.status_code": status}
    )
    if status >= 500:
        served.set_status(StatusCode.ERROR)


def _method(scope: Scope) -> str:
    # A caller may send any word; each would become a time series of its own.
    method: str = scope["method"]
    return method if method in _METHODS else "other"


def _incoming_trace(scope: Scope) -> TraceContext | None:
    return parse_traceparent(_header(scope, b"traceparent")) or trace_from_request_id(
        _header(scope, b"x-request-id")
    )


def _header(scope: Scope, name: bytes) -> str | None:
    for key, value in scope["headers"]:
        if key == name:
            text: str = value.decode("latin-1")
            return text
    return None


def _content_length(scope: Scope) -> int | None:
    declared = _header(scope, b"content-length")
    return int(declared) if declared is not None and declared.isascii() and declared.isdigit() else None


def _route_template(scope: Scope) -> str:
    # FastAPI keeps the path with the prefixes of all including routers under this key. If a release no longer does,
    # `route.path` is still right for routes that are included once.
    whole: Any = scope.get("fastapi", {}).get("effective_route_context")
    route: Any = scope.get("route")
    return getattr(whole, "path_format", None) or getattr(route, "path", None) or "unmatched"
