"""Limits of HTTP connections: their number, the time for the head, the body and the response of a request, and the
bytes of its head.

uvicorn limits none of them: a client that never finishes its requests keeps its connections for ever, and with enough
of them nobody else can connect; a head without end fills the memory.
"""

import asyncio
import json
import math
import resource
from collections import Counter
from collections.abc import Callable, Sequence
from http import HTTPStatus
from ipaddress import ip_network
from typing import Any, cast

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from kit.addresses import is_in_networks, limit_key
from kit.http_edge import SLOW_BODY
from kit.logging import Logger
from kit.metrics import Metrics
from kit.settings import HttpSettings

BODY_CHECK_INTERVAL_S = 1.0
LOG_INTERVAL_S = 60.0
"""Connections that are closed for one reason are logged once in this time, with their number."""

WANTED_OPEN_FILES = 65_536
SHARE_OF_OPEN_FILES = 0.75
"""The share of the process's open files that connections may use; databases, the broker and files need the rest."""


class ConnectionLimiter:
    """The open connections of one listener, and which one has to go when there are too many.

    `unlimited_networks`: addresses that may have any number, such as the operator's reverse proxies.
    """

    def __init__(
        self,
        settings: HttpSettings,
        logger: Logger,
        metrics: Metrics,
        *,
        unlimited_networks: Sequence[str] = (),
        clock: Callable[[], float] | None = None,
    ) -> None:
        self.settings = settings
        self._logger = logger
        self._clock = clock
        self._unlimited = tuple(ip_network(network, strict=False) for network in unlimited_networks)
        self._max_connections = _connections_possible(settings.max_connections, logger)
        self._open: dict[LimitedProtocol, str] = {}
        self._per_address: Counter[str] = Counter()
        self._gauge = metrics.gauge("http_connections", "Open HTTP connections")
        self._closed = metrics.counter(
            "http_connections_closed_total", "HTTP connections closed because of a limit", ("reason",)
        )
        self._logged_at: dict[str, float] = {}
        self._unlogged: Counter[str] = Counter()

    def __len__(self) -> int:
        return len(self._open)

    def add(self, connection: "LimitedProtocol", address: str) -> None:
        """A connection was made. Where there are too many, the one that waits longest for a request is closed."""
        key = limit_key(address)
        limit = self.settings.max_connections_per_address
        if limit and self._per_address[key] >= limit and not self.is_unlimited(address):
            self._make_room(connection, "too_many_of_address", key)
        elif len(self._open) >= self._max_connections:
            self._make_room(connection, "too_many", None)
        if not connection.is_closing:
            self._open[connection] = key
            self._per_address[key] += 1
            self._gauge.set(len(self._open))

    def remove(self, connection: "LimitedProtocol") -> None:
        """A connection was lost, or this listener closes it."""
        key = self._open.pop(connection, None)
        if key is not None:
            self._per_address[key] -= 1
            if not self._per_address[key]:
                del self._per_address[key]
            self._gauge.set(len(self._open))

    def note_closed(self, reason: str, address: str) -> None:
        """Count a connection that was closed because of a limit, and log it once in `LOG_INTERVAL_S`."""
        self._closed.labels(reason).inc()
        self._unlogged[reason] += 1
        now = (self._clock or asyncio.get_running_loop().time)()
        if now - self._logged_at.get(reason, -math.inf) >= LOG_INTERVAL_S:
            self._logged_at[reason] = now
            count = self._unlogged.pop(reason)
            self._logger.warning("http_connections_closed", reason=reason, count=count, address=address)

    def _make_room(self, newcomer: "LimitedProtocol", reason: str, key: str | None) -> None:
        # In the order in which they connected or got their last answer.
        candidates = (one for one, its_key in self._open.items() if key is None or its_key == key)
        victim = next((one for one in candidates if one.is_idle), newcomer)
        victim.close(reason)

    def note_idle(self, connection: "LimitedProtocol") -> None:
        """It waits for its next request from now on."""
        key = self._open.pop(connection, None)
        if key is not None:
            self._open[connection] = key

    def is_unlimited(self, address: str) -> bool:
        """Whether an address may have any number of connections."""
        return is_in_networks(address, self._unlimited)


class LimitedProtocol(HttpToolsProtocol):
    """uvicorn's connection, with the limits of its `limiter`."""

    limiter: ConnectionLimiter

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.is_closing = False
        self._head_timer: asyncio.TimerHandle | None = None
        self._body_timer: asyncio.TimerHandle | None = None
        self._write_timer: asyncio.TimerHandle | None = None
        self._has_begun = False  # some of a head has arrived
        self._has_upgraded = False
        self._is_receiving_body = False
        self._body_seconds = self._body_bytes = 0.0
        self._steps = 0  # heads, parts of bodies, and ends of requests that have arrived
        # Read since the last of these: of a head, a trailer, or a chunk's extension.
        self._unfinished_bytes = 0

    @property
    def is_idle(self) -> bool:
        """Whether it waits for (the rest of) the head of a request, and nothing else."""
        cycle = cast("RequestResponseCycle | None", self.cycle)  # None before the first request
        is_answering = cycle is not None and not cycle.response_complete
        return not is_answering and not self._is_receiving_body and not self._has_upgraded

    @property
    def address(self) -> str:
        """The address of the other end; empty where it is not known."""
        return self.client[0] if self.client else ""

    def close(self, reason: str) -> None:
        """Close it because of a limit."""
        if self.is_closing:
            return
        self.is_closing = True
        self.limiter.note_closed(reason, self.address)
        self.limiter.remove(self)
        self.transport.close()

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn's own
        """Limit the number of connections, and the time until the first request."""
        super().connection_made(transport)
        self.limiter.add(self, self.address)
        if not self.is_closing:
            self._start_head_timer()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget it."""
        self.limiter.remove(self)
        for timer in (self._head_timer, self._body_timer, self._write_timer):
            if timer is not None:
                timer.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Limit the time until the head that begins here is complete, and its bytes."""
        if self.is_closing:
            return
        if self.is_idle:
            self._has_begun = True
            if self._head_timer is None:
                self._start_head_timer()
        steps = self._steps
        super().data_received(data)
        self._unfinished_bytes = self._unfinished_bytes + len(data) if self._steps == steps else 0
        if self._unfinished_bytes > self.limiter.settings.max_head_bytes and not self._has_upgraded:
            self._stop_reading_head()

    def on_headers_complete(self) -> None:
        """The head is complete; what follows is limited by the time for the body."""
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None
        self._has_begun = False
        self._steps += 1
        self._is_receiving_body = True
        self._body_seconds = self._body_bytes = 0.0
        if self._body_timer is None:
            self._body_timer = self.loop.call_later(BODY_CHECK_INTERVAL_S, self._check_body)
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """Count it."""
        self._steps += 1
        self._body_bytes += len(body)
        super().on_body(body)

    def on_message_complete(self) -> None:
        """The request is complete."""
        self._steps += 1
        self._is_receiving_body = False
        if self._body_timer is not None:
            self._body_timer.cancel()
            self._body_timer = None
        super().on_message_complete()
        if self.is_idle:
            self.limiter.note_idle(self)

    def on_response_complete(self) -> None:
        """It waits for the next request now."""
        super().on_response_complete()
        if self.is_idle:
            self.limiter.note_idle(self)

    def handle_websocket_upgrade(self) -> None:
        """A WebSocket may be silent: no more limits of time, and its end is noticed by its transport."""
        self._has_upgraded = True
        for timer in (self._head_timer, self._body_timer):
            if timer is not None:
                timer.cancel()
        super().handle_websocket_upgrade()
        protocol = self.transport.get_protocol()
        lost = protocol.connection_lost

        def connection_lost(exc: Exception | None) -> None:
            self.limiter.remove(self)
            lost(exc)

        protocol.connection_lost = connection_lost  # type: ignore[method-assign]  # of this connection only

    def pause_writing(self) -> None:
        """The client does not take the response as fast as it comes: it has a time to take some."""
        super().pause_writing()
        if self._write_timer is None:
            self._write_timer = self.loop.call_later(
                self.limiter.settings.write_timeout_s, self._stop_writing
            )

    def resume_writing(self) -> None:
        """The client has taken some of the response."""
        if self._write_timer is not None:
            self._write_timer.cancel()
            self._write_timer = None
        super().resume_writing()

    def _start_head_timer(self) -> None:
        self._head_timer = self.loop.call_later(
            self.limiter.settings.head_timeout_s, self._stop_waiting_for_head
        )

    def _stop_waiting_for_head(self) -> None:
        self._head_timer = None
        if self._has_begun:
            self._write_timeout_answer("The request's head did not arrive in time.")
        self.close("slow_head")

    def _stop_reading_head(self) -> None:
        if self.is_closing:
            return
        if self.is_idle:
            limit = self.limiter.settings.max_head_bytes
            self._write_problem(
                HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE,
                f"The request's head has more than {limit} bytes, the limit that HTTP__MAX_HEAD_BYTES sets.",
                "head_too_large",
            )
        self.close("large_head")

    def _check_body(self) -> None:
        self._body_timer = self.loop.call_later(BODY_CHECK_INTERVAL_S, self._check_body)
        if not self._is_receiving_body or self.flow.read_paused:
            return  # complete, or it is the application that does not read
        self._body_seconds += BODY_CHECK_INTERVAL_S
        settings = self.limiter.settings
        wanted = (self._body_seconds - settings.body_grace_s) * settings.min_body_bytes_per_s
        if self._body_bytes < wanted:
            self._stop_waiting_for_body()

    def _stop_waiting_for_body(self) -> None:
        if not self.cycle.response_started:
            self.cycle.response_started = True
            self._write_timeout_answer("The request's body did not arrive in time.")
        self.scope["state"][SLOW_BODY] = True
        self.close("slow_body")

    def _stop_writing(self) -> None:
        self.is_closing = True
        self.limiter.note_closed("slow_reader", self.address)
        self.limiter.remove(self)
        self.transport.abort()  # closing would wait for the client to take the rest

    def _write_timeout_answer(self, detail: str) -> None:
        self._write_problem(HTTPStatus.REQUEST_TIMEOUT, detail, "request_too_slow")

    def _write_problem(self, status: HTTPStatus, detail: str, code: str) -> None:
        problem = {"type": "about:blank", "title": status.phrase, "status": status, "detail": detail}
        body = json.dumps({**problem, "code": code}).encode()
        head = (
            f"HTTP/1.1 {status} {status.phrase}\r\ncontent-type: application/problem+json\r\n"
            f"content-length: {len(body)}\r\nconnection: close\r\n\r\n"
        )
        self.transport.write(head.encode() + body)


def protocol_class(limiter: ConnectionLimiter) -> type[LimitedProtocol]:
    """The class of the connections of one listener, for `uvicorn.Config(http=…)`."""
    return type("ListenerProtocol", (LimitedProtocol,), {"limiter": limiter})


def _connections_possible(wanted: int, logger: Logger) -> int:
    """How many connections the process's limit of open files allows, which is raised as far as possible."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    target = WANTED_OPEN_FILES if hard == resource.RLIM_INFINITY else min(hard, WANTED_OPEN_FILES)
    if soft != resource.RLIM_INFINITY and soft < target:
        resource.setrlimit(resource.RLIMIT_NOFILE, (target, hard))
        soft = target
    possible = wanted if soft == resource.RLIM_INFINITY else int(soft * SHARE_OF_OPEN_FILES)
    if possible < wanted:
        logger.warning(
            "http_connections_limited",
            limit=possible,
            wanted=wanted,
            reason=f"the process may open {soft} files; raise it with ulimit -n",
        )
    return min(possible, wanted)
