"""The process around services: their HTTP and gRPC listeners, signals, graceful shutdown."""

import asyncio
import contextlib
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field

import uvicorn
import uvloop

from kit.errors import ServiceFailed
from kit.grpc import GrpcListener, local_token, make_socket_folder, remove_socket_folder, socket_path
from kit.logging import Logger, lines_of, route_standard_logging
from kit.service.connections import ConnectionLimiter, protocol_class
from kit.service.service import Service
from kit.settings import HttpSettings

FORCED_EXIT_MARGIN_S = 1.0
"""After the grace period, or a second signal, the process has so long to end by itself."""

# How often the gRPC health service is updated from the readiness, and a failed start is noticed.
READINESS_INTERVAL_S = 2.0


FORCED_STATUS = 130
"""The exit status after a second signal."""


class ForcedShutdown(Exception):  # noqa: N818 - as above
    """A second signal arrived: end at once."""


class HttpListener:
    """One app on one port, inside the running loop; the process handles the signals, not the server."""

    def __init__(self, service: Service) -> None:
        self._settings: HttpSettings = service.settings.http
        self.connections = ConnectionLimiter(
            self._settings, service.logger, service.metrics, unlimited_networks=service.proxy_networks
        )
        self._server = _Server(
            uvicorn.Config(
                service.app,
                http=protocol_class(self.connections),
                ws="auto",
                lifespan="off",
                log_config=None,
                access_log=False,
                server_header=False,
                proxy_headers=False,  # only the service at the edge knows which proxies to trust
                backlog=self._settings.backlog,
                timeout_keep_alive=self._settings.keep_alive_s,
                timeout_graceful_shutdown=max(1, round(self._settings.shutdown_grace_s)),
            )
        )
        self._task: asyncio.Task[None] | None = None
        self._socket: socket.socket | None = None
        self.port = self._settings.port

    def bind(self) -> None:
        """Take the port, which is the real one then. Connections are refused until `start`.

        Raises:
            OSError: the address is not available.
        """
        self._socket = _bind(self._settings.host, self._settings.port)
        self.port = self._socket.getsockname()[1]

    async def start(self) -> None:
        """Listen."""
        assert self._socket is not None, "bind comes first"
        self._task = asyncio.create_task(self._server.serve(sockets=[self._socket]))
        await self._server.open.wait()

    async def stop(self) -> None:
        """Close the port, finish the requests in progress within the grace period."""
        self._server.should_exit = True
        if self._task is not None:
            await self._task
        elif self._socket is not None:
            self._socket.close()


class ServiceRunner:
    """Services with their listeners. `listen` names those that get an HTTP port; None means all.

    The apps of the others are called in the same process. A service with RPCs listens on the port of its settings
    and, in embedded mode, on its Unix socket in the data folder.
    """

    def __init__(self, services: Sequence[Service], *, listen: Collection[str] | None = None) -> None:
        self.services = list(services)
        self.http: dict[str, HttpListener] = {}
        self.grpc: dict[str, GrpcListener] = {}
        self._listen = None if listen is None else frozenset(listen)
        self._watch: asyncio.Task[None] | None = None
        self.failed = asyncio.Event()

    async def start(self) -> None:
        """Start every service and open the listeners; all or nothing.

        Raises:
            OSError: a port is taken.
            Exception: a service cannot start, and a retry would not help.
        """
        try:
            # First: a service must not do what it does once, such as printing a password, and then not be reachable.
            for service in self.services:
                if self._listen is None or service.name in self._listen:
                    self.http[service.name] = HttpListener(service)
                    self.http[service.name].bind()
            for service in self.services:
                await service.start()
                with lines_of(service.name):
                    await self._open(service)
        except BaseException:
            await self.stop()
            raise
        self._watch = asyncio.create_task(self._watch_readiness(), name="watch-readiness")

    async def stop(self) -> None:
        """Drain: unready first, then close the listeners, then stop the services in reverse."""
        for service in self.services:
            service.health.is_draining = True
        if self._watch is not None:
            self._watch.cancel()
            await asyncio.gather(self._watch, return_exceptions=True)
        grace_s = {service.name: service.settings.http.shutdown_grace_s for service in self.services}
        await asyncio.gather(
            *(listener.stop() for listener in self.http.values()),
            *(listener.stop(grace_s[name]) for name, listener in self.grpc.items()),
        )
        for data_dir in {s.settings.data_dir for s in self.services if self._has_socket(s)}:
            remove_socket_folder(data_dir)
        self.http.clear()
        self.grpc.clear()
        for service in reversed(self.services):
            await service.stop()

    def url(self, service: str) -> str:
        """The base URL of a service's HTTP listener, from this machine."""
        host = next(s.settings.http.host for s in self.services if s.name == service)
        address = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, host)  # noqa: S104 - compared, not bound
        return f"http://{address}:{self.http[service].port}"

    def _has_socket(self, service: Service) -> bool:
        return service.name in self.grpc and self.grpc[service.name].unix_socket is not None

    async def _open(self, service: Service) -> None:
        if service.name in self.http:
            await self.http[service.name].start()
            service.logger.info("listening", protocol="http", url=self.url(service.name))
        if service.rpcs and (service.settings.grpc.port or service.settings.mode == "embedded"):
            await self._open_grpc(service)

    async def _open_grpc(self, service: Service) -> None:
        settings, unix_socket, token = service.settings, None, None
        if settings.mode == "embedded":
            make_socket_folder(settings.data_dir)
            unix_socket, token = socket_path(settings.data_dir, service.name), local_token(settings)
        listener = GrpcListener(
            settings.grpc,
            logger=service.logger,
            metrics=service.metrics,
            tracing=service.tracing,
            rpcs=service.rpcs,
            unix_socket=unix_socket,
            token=token,
        )
        await listener.start()
        self.grpc[service.name] = listener
        where = {"port": listener.port} if listener.port else {"socket": str(unix_socket)}
        service.logger.info("listening", protocol="grpc", **where)

    async def _watch_readiness(self) -> None:
        while True:
            for service in self.services:
                if service.is_failed:
                    self.failed.set()
                if service.name in self.grpc:
                    readiness = await service.health.ready()
                    await self.grpc[service.name].set_serving(readiness.ok)
            await asyncio.sleep(READINESS_INTERVAL_S)


async def serve_all(services: Sequence[Service], *, listen: Collection[str] | None = None) -> None:
    """Serve until SIGTERM or SIGINT.

    The process ends within `drain_delay_s`, `shutdown_grace_s` and `FORCED_EXIT_MARGIN_S` of a signal, whatever its
    threads do: messages and requests that were not finished by then are as after a crash, which loses nothing.

    Raises:
        ServiceFailed: a service failed to start after the listeners were open, and a retry would not help.
        ForcedShutdown: a second signal arrived while work in progress was being finished.
        OSError: a port is taken.
    """
    logger = services[0].shared.logger or services[0].logger
    route_standard_logging(logger)
    grace_s = max(service.settings.http.drain_delay_s for service in services) + max(
        service.settings.http.shutdown_grace_s for service in services
    )
    with _signals(logger, grace_s) as signals:
        work = asyncio.create_task(_serve_until(services, listen, signals.stop_requested, logger))
        forced = asyncio.create_task(signals.forced_stop_requested.wait())
        try:
            await asyncio.wait({work, forced}, return_when=asyncio.FIRST_COMPLETED)
            if not work.done():
                raise ForcedShutdown  # the end of the loop cancels what is left; the stores survive a crash
            work.result()
        finally:
            forced.cancel()
            work.cancel()
            for service in services:
                service.shared.log_files.close()


async def _serve_until(
    services: Sequence[Service], listen: Collection[str] | None, stop_requested: asyncio.Event, logger: Logger
) -> None:
    runner = ServiceRunner(services, listen=listen)
    await runner.start()
    try:
        ends = {asyncio.create_task(stop_requested.wait()), asyncio.create_task(runner.failed.wait())}
        await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        for end in ends:
            end.cancel()
        drain_s = max(service.settings.http.drain_delay_s for service in services)
        drain_s = drain_s if stop_requested.is_set() else 0
        for service in services:
            service.health.is_draining = True
        logger.info("draining", delay_s=drain_s)
        await asyncio.sleep(drain_s)
    finally:
        await runner.stop()
    logger.info("stopped")
    if runner.failed.is_set():
        raise ServiceFailed("a service failed to start; the log has the error")


def run(build: Callable[[], Sequence[Service]], *, listen: Collection[str] | None = None) -> None:
    """For a program's main: build the services inside a new event loop and serve them.

    Raises:
        SystemExit: with a message where a port is taken or a service failed; with 130 after a second signal.
    """

    async def main() -> None:
        await serve_all(build(), listen=listen)

    try:
        uvloop.run(main())
    except (OSError, ServiceFailed) as error:
        raise SystemExit(f"cannot serve: {error}") from None
    except ForcedShutdown:
        raise SystemExit(FORCED_STATUS) from None


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.open = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Set `open` when the port is open."""
        await super().startup(sockets)
        self.open.set()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave the signals to `serve_all`."""
        yield


def _bind(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # The protocol is named because asyncio switches Nagle's algorithm off only on sockets that name it, and
    # with it on, an answer of two writes waits 40 ms for the client's delayed acknowledgement.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        raise OSError(error.errno, f"cannot listen on {host}:{port}: {error.strerror}") from None
    return listener


@dataclass(frozen=True, slots=True)
class _Signals:
    stop_requested: asyncio.Event = field(default_factory=asyncio.Event)
    forced_stop_requested: asyncio.Event = field(default_factory=asyncio.Event)


def _end_process_after(seconds: float, logger: Logger, status: int) -> None:
    """End the process at that time if it has not ended by itself: a thread cannot be cancelled."""

    def end() -> None:
        logger.error(
            "shutdown_forced",
            after_s=round(seconds, 1),
            threads=sorted(thread.name for thread in threading.enumerate() if not thread.daemon),
        )
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)

    timer = threading.Timer(seconds, end)
    timer.daemon = True
    timer.start()


@contextlib.contextmanager
def _signals(logger: Logger, grace_s: float) -> Iterator[_Signals]:
    loop = asyncio.get_running_loop()
    signals = _Signals()

    def receive(name: str) -> None:
        logger.info("signal_received", signal=name)
        if signals.stop_requested.is_set():
            signals.forced_stop_requested.set()
            _end_process_after(FORCED_EXIT_MARGIN_S, logger, FORCED_STATUS)
        else:
            _end_process_after(grace_s + FORCED_EXIT_MARGIN_S, logger, 1)
        signals.stop_requested.set()

    handled = (signal.SIGTERM, signal.SIGINT)
    for number in handled:
        loop.add_signal_handler(number, receive, number.name)
    try:
        yield signals
    finally:
        for number in handled:
            loop.remove_signal_handler(number)
