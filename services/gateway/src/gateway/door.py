"""The way in. Every request passes here once: cleaned, routed, checked, counted, and then carried on.

Pure ASGI, since every picture of every camera goes through it.
"""

import asyncio
import math
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import unquote

from starlette.types import ASGIApp, Receive, Scope, Send

from gateway.domain.clients import Client, TrustedProxies, find_client
from gateway.domain.cors import CorsPolicy
from gateway.domain.headers import Headers, content_length, first, joined, preferred_wait_s, request_headers
from gateway.domain.paths import UnsafePathError, clean_path
from gateway.domain.routes import OWN_SERVICE, Match, Route, RouteTable
from gateway.exchange import SECURITY_HEADERS, Answer, EndlessBody, LimitedBody
from gateway.limiter import RateLimiter
from gateway.upstream import Upstream
from kit.auth import TokenVerifier
from kit.errors import Invalid, LookoutError, RateLimited, Unauthenticated, Unavailable, UpstreamTimeout
from kit.health import Health
from kit.logging import Logger
from kit.metrics import Metrics
from kit.tracing import current_trace

STARTING_RETRY_S = 2


@dataclass(frozen=True, slots=True)
class DoorOptions:
    """Times, and what is told to browsers. `hsts_s` 0 leaves Strict-Transport-Security out."""

    prefer_wait_margin_s: float
    max_prefer_wait_s: float
    hsts_s: int


class Door:
    """The gateway as an application: its own pages and API (`own`), and the services behind."""

    def __init__(
        self,
        *,
        table: RouteTable,
        upstreams: Mapping[str, Upstream],
        own: ASGIApp,
        verifier: TokenVerifier,
        limiter: RateLimiter,
        cors: CorsPolicy,
        trusted: TrustedProxies,
        options: DoorOptions,
        health: Health,
        logger: Logger,
        metrics: Metrics,
    ) -> None:
        self._table = table
        self._upstreams = upstreams
        self._own = own
        self._verifier = verifier
        self._limiter = limiter
        self._cors = cors
        self._trusted = trusted
        self._options = options
        self._health = health
        self._logger = logger
        self._refusals = metrics.counter("refusals_total", "requests refused at the door", ("code",))
        self._broken = metrics.counter(
            "broken_answers_total", "answers that a service broke off", ("upstream",)
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection of any kind."""
        if scope["type"] == "http":
            await self._http(scope, receive, send)
        elif scope["type"] == "websocket":
            await self._websocket(scope, receive, send)
        else:
            await self._own(scope, receive, send)

    async def _http(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers: Headers = scope["headers"]
        client = self._client_of(scope)
        origin = first(headers, b"origin")
        answer = Answer(scope, send, self._extra_headers(client, origin))
        try:
            if origin is not None and scope["method"] == "OPTIONS" and _is_preflight(headers):
                await self._preflight(origin, headers, answer)
                return
            match = self._match(scope)
            if match is None:
                _tell_client(scope, client)
                await self._own(scope, receive, answer.send)
                return
            scope["route"] = match.route
            await self._check(match.route, headers, client, answer)
            body = LimitedBody(receive, answer, match.route.max_body_bytes, content_length(headers))
            await self._carry(match, scope, client, body, answer)
        except LookoutError as error:
            await self._refuse(error, answer)

    async def _refuse(self, error: LookoutError, answer: Answer) -> None:
        self._refusals.labels(error.code).inc()
        if answer.is_started:
            # Half an answer cannot be taken back. Returning without its end makes the server hang up.
            self._logger.warning("answer_broken_off", code=error.code, detail=error.detail)
            return
        await answer.problem(error)

    def _match(self, scope: Scope) -> Match | None:
        try:
            return self._table.match(clean_path(_raw_path(scope)))
        except UnsafePathError as error:
            raise Invalid(f"This path is not served: {error}.", code="unsafe_path", status=400) from None

    async def _check(self, route: Route, headers: Headers, client: Client, answer: Answer) -> None:
        """Token and rate limit; a limit is counted for the user where one is known.

        Cameras come in while the gateway still waits for its own database: their route needs none of it.

        Raises:
            Unauthenticated: no valid token, on a route that needs one.
            RateLimited: too many requests.
            Unavailable: the token cannot be checked now.
        """
        if self._health.refusal_reason is not None and (not route.is_public or route.service == OWN_SERVICE):
            raise Unavailable(
                f"Not now: {self._health.refusal_reason}.", code="starting", retry_after_s=STARTING_RETRY_S
            )
        key = client.limit_key
        refused: Unauthenticated | None = None
        if not route.is_public:
            try:
                principal = await self._verifier.verify(_bearer(headers))
            except Unauthenticated as error:
                refused = error  # guesses count too, for the address that makes them
            else:
                key = f"user:{principal.user_id}"
        limit = route.rate_limit
        verdict = self._limiter.spend(limit, key)
        answer.extra += (
            (b"ratelimit-limit", b"%d" % limit.amount),
            (b"ratelimit-remaining", b"%d" % verdict.remaining),
            (b"ratelimit-reset", b"%d" % math.ceil(verdict.reset_after_s)),
        )
        if not verdict.is_allowed:
            raise RateLimited(
                f"More than {limit.amount} requests in {limit.window_s:g} s.",
                retry_after_s=max(1, math.ceil(verdict.retry_after_s)),
            )
        if refused is not None:
            raise refused

    async def _carry(
        self, match: Match, scope: Scope, client: Client, body: LimitedBody, answer: Answer
    ) -> None:
        if body.is_declared_over:
            refusal = body.refusal()
            if not isinstance(refusal, EndlessBody):
                await body.drop(scope)
            raise refusal
        try:
            if match.route.service == OWN_SERVICE:
                # In place: the routing below notes in the scope what logs and metrics call the route.
                scope["raw_path"], scope["path"] = match.upstream_path, _decoded(match.upstream_path)
                _tell_client(scope, client)
                await self._own(scope, body.receive, answer.send)
            else:
                await self._carry_on(match, scope, client, body, answer)
        except LookoutError:
            if not body.is_over:
                raise
        if body.is_over and not answer.is_started:
            raise body.refusal()

    async def _carry_on(
        self, match: Match, scope: Scope, client: Client, body: LimitedBody, answer: Answer
    ) -> None:
        """The service's answer may be silent for as long as the route says, and no longer.

        Raises:
            UpstreamTimeout: it was.
            Unavailable, UpstreamFailed: as `Upstream.carry`.
        """
        route, loop = match.route, asyncio.get_running_loop()
        wait_s = min(preferred_wait_s(scope["headers"]), self._options.max_prefer_wait_s)
        silence_s = max(route.timeout_s, wait_s + self._options.prefer_wait_margin_s if wait_s else 0.0)
        passed_on = self._scope_for(match, scope, client)
        try:
            async with asyncio.timeout(silence_s) as deadline:
                answer.renew = lambda: deadline.reschedule(loop.time() + silence_s)
                await self._upstreams[route.service].carry(passed_on, body.receive, answer.send)
        except TimeoutError:
            self._count_broken(route, answer)
            raise UpstreamTimeout(f"{route.service} did not answer within {silence_s:g} s.") from None
        except LookoutError:
            self._count_broken(route, answer)
            raise

    def _count_broken(self, route: Route, answer: Answer) -> None:
        if answer.is_started:
            self._broken.labels(route.service).inc()

    def _scope_for(self, match: Match, scope: Scope, client: Client, *, is_websocket: bool = False) -> Scope:
        trace = current_trace()
        return {
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
                is_websocket=is_websocket,
            ),
        }

    async def _websocket(self, scope: Scope, receive: Receive, send: Send) -> None:
        client = self._client_of(scope)
        answer = Answer(scope, send, self._extra_headers(client, None))
        try:
            match = self._match(scope)
            if match is None or match.route.service == OWN_SERVICE:
                await send({"type": "websocket.close", "code": 1008, "reason": "no WebSocket here"})
                return
            scope["route"] = match.route
            await self._check(match.route, scope["headers"], client, answer)
            passed_on = self._scope_for(match, scope, client, is_websocket=True)
            await self._upstreams[match.route.service].carry(passed_on, receive, answer.send_websocket)
        except LookoutError as error:
            self._refusals.labels(error.code).inc()
            if not answer.is_started:
                await answer.websocket_problem(error)

    async def _preflight(self, origin: bytes, headers: Headers, answer: Answer) -> None:
        allowed = self._cors.preflight_headers(origin, first(headers, b"access-control-request-headers"))
        answer.extra = tuple(
            pair for pair in answer.extra if not pair[0].startswith(b"access-control-") and pair[0] != b"vary"
        )
        if allowed is None:
            raise Invalid("Pages of this origin may not call here.", code="origin_refused", status=400)
        answer.extra += tuple(allowed)
        await answer.plain(204)

    def _client_of(self, scope: Scope) -> Client:
        peer = scope.get("client")
        headers: Headers = scope["headers"]
        proto = "https" if scope.get("scheme") in {"https", "wss"} else "http"
        return find_client(
            peer[0] if peer else "unknown",
            proto,
            joined(headers, b"x-forwarded-for"),
            joined(headers, b"x-forwarded-proto"),
            self._trusted,
        )

    def _extra_headers(self, client: Client, origin: bytes | None) -> tuple[tuple[bytes, bytes], ...]:
        extra = (*SECURITY_HEADERS, *self._cors.answer_headers(origin))
        if self._options.hsts_s and client.proto == "https":
            return (*extra, (b"strict-transport-security", b"max-age=%d" % self._options.hsts_s))
        return extra


def _tell_client(scope: Scope, client: Client) -> None:
    scope["client"] = (client.address, 0)
    scope["scheme"] = client.proto


def _is_preflight(headers: Headers) -> bool:
    return first(headers, b"access-control-request-method") is not None


def _bearer(headers: Headers) -> str | None:
    scheme, _, token = (first(headers, b"authorization") or b"").partition(b" ")
    return token.strip().decode("latin-1") if scheme.lower() == b"bearer" else None


def _raw_path(scope: Scope) -> bytes:
    raw: bytes | None = scope.get("raw_path")
    return raw if raw is not None else scope["path"].encode()


def _decoded(raw_path: bytes) -> str:
    return unquote(raw_path.decode("ascii"))
