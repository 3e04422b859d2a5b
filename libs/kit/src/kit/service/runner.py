"""The process around services: their HTTP and gRPC listeners, the signals, the graceful end."""

import asyncio
import contextlib
import signal
import socket
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field

import uvicorn
import uvloop

from kit.grpc import GrpcListener
from kit.logging import Logger, route_standard_logging
from kit.service.lifecycle import Service
from kit.settings import HttpSettings

# How often the listeners' gRPC health follows the readiness, and a failed start is noticed.
WATCH_S = 2.0


class ServiceFailed(Exception):  # noqa: N818 - says what happened, as the errors of the kit do
    """A service cannot be brought up, and waiting would not mend it."""


class Interrupted(Exception):  # noqa: N818 - as above
    """Somebody insisted on an end at once."""


class HttpListener:
    """One app on one port, inside the running loop; signals are the process's and not the server's."""

    def __init__(self, service: Service) -> None:
        self._settings: HttpSettings = service.settings.http
        self._server = _Server(
            uvicorn.Config(
                service.app,
                http="httptools",
                ws="auto",
                lifespan="off",
                log_config=None,
                access_log=False,
                server_header=False,
                proxy_headers=False,  # whom to believe about a client's address is the gateway's business
                backlog=self._settings.backlog,
                timeout_keep_alive=self._settings.keep_alive_s,
                timeout_graceful_shutdown=max(1, round(self._settings.shutdown_grace_s)),
            )
        )
        self._task: asyncio.Task[None] | None = None
        self.port = self._settings.port

    async def start(self) -> None:
        """Listen; `port` then holds the real one.

        Raises:
            OSError: the address cannot be had.
        """
        listener = _bind(self._settings.host, self._settings.port)
        self.port = listener.getsockname()[1]
        self._task = asyncio.create_task(self._server.serve(sockets=[listener]))
        await self._server.open.wait()

    async def stop(self) -> None:
        """Close the port, finish the calls in hand within the grace."""
        self._server.should_exit = True
        if self._task is not None:
            await self._task


class ServiceRunner:
    """Services with their listeners. `listen` names those that get an HTTP port; None means all.

    The others' apps are called in the same process, by a gateway. gRPC ports follow each service's settings.
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
            Exception: a service cannot start, and waiting would not mend it.
        """
        try:
            for service in self.services:
                await service.start()
                await self._open(service)
        except BaseException:
            await self.stop()
            raise
        self._watch = asyncio.create_task(self._watch_readiness(), name="serving:watch")

    async def stop(self) -> None:
        """Drain and end: unready first, then the listeners, then the services, the last one first."""
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
        self.http.clear()
        self.grpc.clear()
        for service in reversed(self.services):
            await service.stop()

    def url(self, service: str) -> str:
        """Where a service's HTTP listener is reached from this machine."""
        host = next(s.settings.http.host for s in self.services if s.name == service)
        shown = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, host)  # noqa: S104 - shown, not bound
        return f"http://{shown}:{self.http[service].port}"

    async def _open(self, service: Service) -> None:
        if self._listen is None or service.name in self._listen:
            listener = HttpListener(service)
            await listener.start()
            self.http[service.name] = listener
            service.logger.info("listening", protocol="http", url=self.url(service.name))
        if service.register_grpc is not None and service.settings.grpc.port:
            grpc_listener = GrpcListener(
                service.settings.grpc,
                logger=service.logger,
                metrics=service.metrics,
                tracing=service.tracing,
                register=service.register_grpc,
            )
            await grpc_listener.start()
            self.grpc[service.name] = grpc_listener
            service.logger.info("listening", protocol="grpc", port=grpc_listener.port)

    async def _watch_readiness(self) -> None:
        while True:
            for service in self.services:
                if service.is_failed:
                    self.failed.set()
                if service.name in self.grpc:
                    readiness = await service.health.ready()
                    await self.grpc[service.name].set_serving(readiness.ok)
            await asyncio.sleep(WATCH_S)


async def serve(service: Service) -> None:
    """Serve one service until SIGTERM or SIGINT."""
    await serve_all([service])


async def serve_all(services: Sequence[Service], *, listen: Collection[str] | None = None) -> None:
    """Serve several until SIGTERM or SIGINT; the first one's logger takes the lines of libraries.

    Raises:
        ServiceFailed: a service failed for good after the listeners were open.
        Interrupted: a second signal came while work in hand was being finished.
        OSError: a port is taken.
    """
    logger = services[0].logger
    route_standard_logging(logger)
    with _signals(logger) as signals:
        work = asyncio.create_task(_serve_until(services, listen, signals.asked))
        insisted = asyncio.create_task(signals.insisted.wait())
        try:
            await asyncio.wait({work, insisted}, return_when=asyncio.FIRST_COMPLETED)
            if not work.done():
                raise Interrupted  # the loop's end breaks off what is left; the stores are made for that
            work.result()
        finally:
            insisted.cancel()
            work.cancel()


async def _serve_until(
    services: Sequence[Service], listen: Collection[str] | None, asked: asyncio.Event
) -> None:
    logger = services[0].logger
    runner = ServiceRunner(services, listen=listen)
    await runner.start()
    try:
        ends = {asyncio.create_task(asked.wait()), asyncio.create_task(runner.failed.wait())}
        await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        for end in ends:
            end.cancel()
        drain_s = max(service.settings.http.drain_delay_s for service in services) if asked.is_set() else 0
        for service in services:
            service.health.is_draining = True
        logger.info("draining", delay_s=drain_s)
        await asyncio.sleep(drain_s)
    finally:
        await runner.stop()
    logger.info("stopped")
    if runner.failed.is_set():
        raise ServiceFailed("a service failed to start; the log says why")


def run(build: Callable[[], Sequence[Service]], *, listen: Collection[str] | None = None) -> None:
    """For a program's main: build the services inside a new event loop and serve them.

    Raises:
        SystemExit: with a sentence where a port is taken or a service failed; with 130 after a second signal.
    """

    async def main() -> None:
        await serve_all(build(), listen=listen)

    try:
        uvloop.run(main())
    except (OSError, ServiceFailed) as error:
        raise SystemExit(f"cannot serve: {error}") from None
    except Interrupted:
        raise SystemExit(130) from None


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.open = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Tell when the port is open."""
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
    asked: asyncio.Event = field(default_factory=asyncio.Event)
    insisted: asyncio.Event = field(default_factory=asyncio.Event)


@contextlib.contextmanager
def _signals(logger: Logger) -> Iterator[_Signals]:
    loop = asyncio.get_running_loop()
    signals = _Signals()

    def take(name: str) -> None:
        logger.info("signal", signal=name)
        if signals.asked.is_set():
            signals.insisted.set()
        signals.asked.set()

    taken = (signal.SIGTERM, signal.SIGINT)
    for number in taken:
        loop.add_signal_handler(number, take, number.name)
    try:
        yield signals
    finally:
        for number in taken:
            loop.remove_signal_handler(number)
