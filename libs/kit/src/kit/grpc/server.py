"""The server side: token check, deadlines, trace context, and errors as problem documents."""

import asyncio
import socket
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Never

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc  # type: ignore[import-untyped] # ships no types
from grpc_health.v1.health import aio as grpc_health_aio  # type: ignore[import-untyped] # ships no types

from kit.errors import Forbidden, LookoutError, Unauthenticated, UpstreamTimeout
from kit.grpc.callers import Callers, callers_of
from kit.grpc.wire import (
    AUTHORIZATION,
    CORRELATION_ID,
    MAX_DETAIL_CHARS,
    MAX_PROBLEM_ERRORS,
    PROBLEM,
    STATUS_DETAILS,
    TRACEPARENT,
    common_options,
    status_details,
)
from kit.logging import Logger
from kit.metrics import Metrics
from kit.problems import grpc_status, problem_of
from kit.settings.blocks import GrpcSettings
from kit.tracing import NO_TRACING, SpanKind, Tracing, current_span, mark_failed, use_trace

_HEALTH_PREFIX = "/grpc.health.v1.Health/"


@dataclass(frozen=True, slots=True)
class Rpc:
    """One gRPC service: its full protobuf name, and what adds its methods to a server."""

    name: str
    add_to: Callable[[grpc.aio.Server], None]


class GrpcListener:
    """A gRPC server with `grpc.health.v1` beside the service's own methods, and reflection where it is enabled.

    It listens on the TCP port of the settings, on the Unix socket `unix_socket`, or on both; without a socket a
    port of 0 takes a free one. `token`: what callers must send; None: the settings'.
    """

    def __init__(
        self,
        settings: GrpcSettings,
        *,
        logger: Logger,
        metrics: Metrics,
        rpcs: Sequence[Rpc],
        unix_socket: Path | None = None,
        token: str | None = None,
        tracing: Tracing = NO_TRACING,
    ) -> None:
        self.server = make_server(settings, logger, metrics, token, tracing=tracing)
        self.port = settings.port
        self.unix_socket = unix_socket
        self._settings = settings
        self._health = grpc_health_aio.HealthServicer()
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self.server)
        for rpc in rpcs:
            rpc.add_to(self.server)
        if settings.is_reflection_enabled:
            # Off by default, and its import takes time at every start.
            from grpc_reflection.v1alpha import (  # type: ignore[import-untyped] # noqa: PLC0415 - ships no types
                reflection,
            )

            names = [rpc.name for rpc in rpcs]
            reflection.enable_server_reflection([*names, reflection.SERVICE_NAME], self.server)

    async def start(self) -> None:
        """Listen; `port` then is the real one, or 0 where there is a socket only.

        Raises:
            OSError: the port is taken, another process serves the socket, or the certificate cannot be read.
        """
        if self.unix_socket is not None:
            _require_unserved(self.unix_socket)
            self._bind(f"unix:{self.unix_socket}", None)
        if self._settings.port or self.unix_socket is None:
            is_tls = self._settings.tls_certificate is not None
            credentials = _server_credentials(self._settings) if is_tls else None
            self.port = self._bind(f"{self._settings.host}:{self._settings.port}", credentials)
        await self.server.start()

    def _bind(self, address: str, credentials: grpc.ServerCredentials | None) -> int:
        try:
            if credentials is None:
                return self.server.add_insecure_port(address)
            return self.server.add_secure_port(address, credentials)
        except RuntimeError as error:
            raise OSError(f"cannot listen for gRPC on {address}: {error}") from None

    async def set_serving(self, is_serving: bool) -> None:
        """Set what the health service answers."""
        status = health_pb2.HealthCheckResponse
        await self._health.set("", status.SERVING if is_serving else status.NOT_SERVING)

    async def stop(self, grace_s: float) -> None:
        """Accept no more calls; those in progress may take `grace_s` seconds, then they are cancelled."""
        await self._health.enter_graceful_shutdown()
        await self.server.stop(grace_s)


def make_server(
    settings: GrpcSettings,
    logger: Logger,
    metrics: Metrics,
    token: str | None = None,
    *,
    tracing: Tracing = NO_TRACING,
) -> grpc.aio.Server:
    """A server with our interceptor and limits and no port yet. `token` (default: the settings' callers or token) is
    what callers must send; `grpc.health.v1` needs none, since probes send none.
    """
    callers = callers_of(settings, token)
    return grpc.aio.server(
        interceptors=[_Interceptor(settings, logger, metrics, callers, tracing)],
        options=[
            *common_options(settings),
            ("grpc.so_reuseport", 0),  # a second server on the port is a mistake and must fail
            ("grpc.max_connection_age_ms", round(settings.max_connection_age_s * 1000)),
            ("grpc.max_connection_age_grace_ms", round(settings.default_deadline_s * 1000)),
            ("grpc.http2.min_recv_ping_interval_without_data_ms", round(settings.keepalive_s * 500)),
        ],
        maximum_concurrent_rpcs=settings.max_concurrent_calls,
    )


def _server_credentials(settings: GrpcSettings) -> grpc.ServerCredentials:
    assert settings.tls_certificate is not None
    assert settings.tls_key is not None
    return grpc.ssl_server_credentials(
        [(settings.tls_key.read_bytes(), settings.tls_certificate.read_bytes())],
        settings.tls_ca.read_bytes() if settings.tls_ca else None,
        settings.is_client_certificate_required,
    )


def _require_unserved(path: Path) -> None:
    """Binding replaces a socket file that exists, also that of a process that still serves it."""
    with socket.socket(socket.AF_UNIX) as probe:
        if probe.connect_ex(str(path)) == 0:
            raise OSError(f"cannot listen for gRPC on {path}: another process uses the same data folder")


class _Interceptor(grpc.aio.ServerInterceptor):
    def __init__(
        self,
        settings: GrpcSettings,
        logger: Logger,
        metrics: Metrics,
        callers: Callers | None,
        tracing: Tracing,
    ) -> None:
        self._settings = settings
        self._tracing = tracing
        self._logger = logger
        self._callers = callers
        self._calls = metrics.counter("grpc_calls_total", "gRPC calls answered", ("method", "code"))
        self._refused = metrics.counter(
            "grpc_calls_refused_total",
            "gRPC calls of a caller that is unknown, or may not call the method",
            ("caller", "reason"),
        )
        self._seconds = metrics.histogram("grpc_call_seconds", "time that a gRPC call took", ("method",))

    async def intercept_service(
        self, continuation: Callable[[Any], Awaitable[Any]], handler_call_details: Any
    ) -> Any:
        """Wrap the method that was called, whichever of the four kinds it is."""
        handler = await continuation(handler_call_details)
        if handler is None:
            return None
        method: str = handler_call_details.method
        if handler.response_streaming:
            kind = "stream_stream" if handler.request_streaming else "unary_stream"
            wrapped: Any = self._streaming(method, getattr(handler, kind))
        else:
            kind = "stream_unary" if handler.request_streaming else "unary_unary"
            wrapped = self._single(method, getattr(handler, kind))
        factory = getattr(grpc, f"{kind}_rpc_method_handler")
        return factory(
            wrapped,
            request_deserializer=handler.request_deserializer,
            response_serializer=handler.response_serializer,
        )

    def _single(self, method: str, behaviour: Any) -> Any:
        async def call(request: Any, context: Any) -> Any:
            return await self._run(method, context, lambda: behaviour(request, context))

        return call

    def _streaming(self, method: str, behaviour: Any) -> Any:
        async def call(request: Any, context: Any) -> None:
            async def answer() -> None:
                responses = behaviour(request, context)
                if hasattr(responses, "__aiter__"):
                    async for response in responses:
                        await context.write(response)
                else:
                    await responses  # it writes by itself

            await self._run(method, context, answer)

        return call

    async def _run(self, method: str, context: Any, work: Callable[[], Awaitable[Any]]) -> Any:
        metadata = dict(context.invocation_metadata() or ())
        began = time.perf_counter()
        code = grpc.StatusCode.OK.name
        failure: Exception | None = None
        with use_trace(
            metadata.get(TRACEPARENT),
            metadata.get(CORRELATION_ID),
            name=method.removeprefix("/"),
            kind=SpanKind.SERVER,
            attributes={"rpc.system.name": "grpc", "rpc.method": method.removeprefix("/")},
            # A health watch lasts as long as its connection.
            tracing=NO_TRACING if method.startswith(_HEALTH_PREFIX) else self._tracing,
        ):
            try:
                async with asyncio.timeout(self._deadline_s(method, context)):
                    self._require_allowed(method, metadata, context.peer())
                    return await work()
            except LookoutError as error:
                failure = error
            except TimeoutError:
                failure = UpstreamTimeout("The call took longer than its deadline.")
            except asyncio.CancelledError:
                code = grpc.StatusCode.CANCELLED.name
                raise
            except grpc.aio.AbortError:
                code = "ABORTED_BY_METHOD"
                raise
            except Exception as error:
                self._logger.exception("grpc_unhandled_error", method=method)
                failure = error
            finally:
                if failure is not None:
                    code = grpc_status(failure).name
                    mark_failed(current_span(), failure)
                self._record(method, code, time.perf_counter() - began)
            # Outside of the try: aborting raises, and that is no failure of the method.
            return await _abort(context, failure)

    def _record(self, method: str, code: str, seconds: float) -> None:
        self._calls.labels(method, code).inc()
        self._seconds.labels(method).observe(seconds)
        current_span().set_attribute("rpc.response.status_code", code)
        log = self._logger.debug if method.startswith(_HEALTH_PREFIX) else self._logger.info
        log("grpc_call", method=method, code=code, ms=round(seconds * 1000, 1))

    def _deadline_s(self, method: str, context: Any) -> float | None:
        if method.startswith(_HEALTH_PREFIX) or context.time_remaining() is not None:
            return None  # a health watch lasts; the caller's own deadline cancels the call by itself
        return self._settings.default_deadline_s

    def _require_allowed(self, method: str, metadata: dict[str, Any], peer: str) -> None:
        if self._callers is None or method.startswith(_HEALTH_PREFIX):
            return
        caller = ""
        try:
            caller = self._callers.caller_of(metadata.get(AUTHORIZATION, ""))
            self._callers.require(caller, method.removeprefix("/"))
        except (Unauthenticated, Forbidden) as error:
            self._refused.labels(caller or "unknown", error.code).inc()
            self._logger.warning("grpc_refused", method=method, caller=caller, reason=error.code, peer=peer)
            raise


async def _abort(context: Any, error: Exception) -> Never:
    problem = problem_of(error)
    short = replace(
        problem, detail=problem.detail[:MAX_DETAIL_CHARS], errors=problem.errors[:MAX_PROBLEM_ERRORS]
    )
    status = grpc_status(error)
    details = status_details(status.value[0], short, getattr(error, "retry_after_s", None))
    await context.abort(status, short.detail, ((PROBLEM, short.body()), (STATUS_DETAILS, details)))
    raise AssertionError("abort returned")
