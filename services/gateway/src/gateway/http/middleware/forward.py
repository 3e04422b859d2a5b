"""The end of the chain: the request goes to its service, or to the gateway's own application."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import unquote

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gateway.domain.headers import Headers, preferred_wait_s, request_headers, response_headers
from gateway.domain.routes import OWN_SERVICE, Match
from gateway.handlers.upstreams import Upstream
from gateway.http.middleware.context import SCOPE_KEY, RequestContext, context_of
from gateway.metrics import GatewayMetrics
from kit.errors import Invalid, LookoutError, UpstreamTimeout
from kit.tracing import SpanKind, current_trace, span


@dataclass(frozen=True, slots=True)
class WaitOptions:
    """How a client's `Prefer: wait=N` extends a route's timeout: to N + `margin_s`, N at most `max_wait_s`."""

    margin_s: float
    max_wait_s: float


class Forward:
    """Sends each request to the upstream of its route; the gateway's own routes are called in place."""

    def __init__(
        self, *, upstreams: Mapping[str, Upstream], own: ASGIApp, wait: WaitOptions, metrics: GatewayMetrics
    ) -> None:
        self._upstreams = upstreams
        self._own = own
        self._wait = wait
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one HTTP request or WebSocket.

        Raises:
            Invalid: with 408, nothing of the request's body arrived for that long.
            UpstreamTimeout: the service was silent for longer than the route allows.
            Unavailable, UpstreamFailed: as `Upstream.forward`.
        """
        context = context_of(scope)
        match = context.match
        if match is None or match.route.service == OWN_SERVICE:
            await self._serve_own(scope, receive, send, match, context)
        elif scope["type"] == "http":
            await self._forward_http(scope, receive, send, match, context)
        else:
            upstream = self._upstreams[match.route.service]
            await upstream.forward(_upstream_scope(scope, match, context), receive, send)

    async def _serve_own(
        self, scope: Scope, receive: Receive, send: Send, match: Match | None, context: RequestContext
    ) -> None:
        if scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008, "reason": "no WebSocket under this path"})
            return
        # The same scope and not a copy: FastAPI stores the route in it, which logs and metrics show.
        scope["client"], scope["scheme"] = (context.client.address, 0), context.client.proto
        if match is not None:
            scope["raw_path"], scope["path"] = match.upstream_path, _decoded(match.upstream_path)
        await self._own(scope, receive, send)

    async def _forward_http(
        self, scope: Scope, receive: Receive, send: Send, match: Match, context: RequestContext
    ) -> None:
        service = match.route.service
        silence_s = self._max_silence_s(match.route.timeout_s, scope["headers"])
        loop = asyncio.get_running_loop()
        is_body_complete = is_client_silent = False
        try:
            async with asyncio.timeout(silence_s) as deadline:

                async def send_filtered(message: Message) -> None:
                    # Each part of the response gives the service time for the next one.
                    if message.get("more_body", True):
                        deadline.reschedule(loop.time() + silence_s)
                    if message["type"] == "http.response.start":
                        call.set_attribute("http.response.status_code", message["status"])
                        message = {**message, "headers": response_headers(message.get("headers", ()))}
                    await send(message)

                async def receive_in_time() -> Message:
                    # While the client sends its body, the service waits: that is not the service's silence.
                    nonlocal is_body_complete, is_client_silent
                    if is_body_complete:
                        return await receive()
                    is_client_silent = True
                    message = await receive()
                    is_client_silent = False
                    is_body_complete = not message.get("more_body", False)
                    if not deadline.expired():
                        deadline.reschedule(loop.time() + silence_s)
                    return message

                attributes = {"http.request.method": scope["method"], "server.address": service}
                with span(scope["method"], SpanKind.CLIENT, attributes) as call:
                    upstream_scope = _upstream_scope(scope, match, context)
                    await self._upstreams[service].forward(upstream_scope, receive_in_time, send_filtered)
        except TimeoutError:
            if is_client_silent:
                detail = f"Nothing of the request's body arrived for {silence_s:g} s."
                raise Invalid(detail, code="body_too_slow", status=408) from None
            self._count_broken_off(service, context)
            raise UpstreamTimeout(f"{service} did not answer within {silence_s:g} s.") from None
        except LookoutError:
            self._count_broken_off(service, context)
            raise

    def _max_silence_s(self, timeout_s: float, headers: Headers) -> float:
        wait_s = min(preferred_wait_s(headers), self._wait.max_wait_s)
        return max(timeout_s, wait_s + self._wait.margin_s) if wait_s else timeout_s

    def _count_broken_off(self, service: str, context: RequestContext) -> None:
        if context.is_response_started:
            self._metrics.broken_off.labels(service).inc()


def _upstream_scope(scope: Scope, match: Match, context: RequestContext) -> Scope:
    client, trace = context.client, current_trace()
    upstream_scope = {
        **scope,
        "path": _decoded(match.upstream_path),
        "raw_path": match.upstream_path,
        "scheme": client.proto,
        "client": (client.address, 0),
        "headers": request_headers(
            scope["headers"],
            forwarded_for=client.forwarded_for,
            proto=client.proto,
            traceparent=trace.traceparent if trace else None,
            is_websocket=scope["type"] == "websocket",
        ),
    }
    del upstream_scope[SCOPE_KEY]
    return upstream_scope


def _decoded(raw_path: bytes) -> str:
    return unquote(raw_path.decode("ascii"))
