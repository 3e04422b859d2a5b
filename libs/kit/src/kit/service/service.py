"""One service: what every service has, and methods that open the parts that a service's wiring asks for."""

from collections.abc import Awaitable, Callable, Collection, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from importlib.metadata import version as package_version
from typing import Any, TextIO, TypeVar

import grpc
from fastapi import FastAPI
from google.protobuf.descriptor import ServiceDescriptor
from sqlalchemy import Table
from starlette.types import ASGIApp

from kit import migrations
from kit.auth import HttpJwks, TokenVerifier
from kit.blobs import BlobStore, open_blobs
from kit.bus import Bus, open_bus
from kit.db import Database
from kit.disk import DiskReserve, local_folders
from kit.errors import ServiceFailed, Unavailable
from kit.grpc import Peers, Rpc
from kit.health import CheckResult, Health
from kit.http import create_app
from kit.inbox import Inbox
from kit.logging import make_logger
from kit.metrics import Metrics
from kit.outbox import Outbox, Relay
from kit.secrets import SecretBox, key_in_file
from kit.service.lifecycle import Lifecycle, Resource, Step
from kit.service.parts import PeriodicJob, ThreadPool
from kit.service.shared import Shared
from kit.settings import (
    BlobSettings,
    Block,
    BusSettings,
    DatabaseSettings,
    DiskSettings,
    SecretsSettings,
    ServiceSettings,
)
from kit.size_limits import BodyLimit
from kit.tracing import open_tracing

R = TypeVar("R", bound=Resource)
S = TypeVar("S")


class Service(Lifecycle):
    """Logger, metrics, health, clock and app of one service, and the parts that were added to it.

    A service's `wiring.build` makes one, asks it for the parts that it needs, and returns it; nothing is opened
    before `start`. Parts start in the order in which they were added. `proxy_networks`: networks of reverse proxies
    before the service, whose number of connections is not limited.
    """

    def __init__(
        self,
        settings: ServiceSettings,
        shared: Shared | None = None,
        *,
        description: str = "",
        version: str | None = None,
        log_stream: TextIO | None = None,
    ) -> None:
        name = settings.service_name
        version = version or package_version(f"lookout-{name}")
        self.shared = shared or Shared()
        file = self.shared.log_files.of(settings.log)
        logger = make_logger(name, settings.log, stream=log_stream, file=file)
        super().__init__(name, version, logger, Metrics(name), Health())
        self.settings = settings
        self.clock = self.shared.clock
        self.description = description
        self.tracing = open_tracing(name, self.version, settings.tracing, self.logger)
        self.package = name.replace("-", "_")
        self.rpcs: list[Rpc] = []
        self.proxy_networks: tuple[str, ...] = ()
        self._app: ASGIApp | None = None

    @property
    def app(self) -> ASGIApp:
        """The HTTP app; one with health and metrics only where the wiring made none."""
        if self._app is None:
            self.http_app()
        assert self._app is not None
        return self._app

    @app.setter
    def app(self, app: ASGIApp) -> None:
        self._app = app
        if self.shared.apps is not None:
            self.shared.apps[self.name] = app

    async def stop(self) -> None:
        """As `Lifecycle.stop`; a line that another service of the process still logs opens the log file again."""
        await super().stop()
        self.shared.log_files.close()

    def add_resource(self, resource: R) -> R:
        """Open it at the start and close it at the end."""
        self.resources.append(resource)
        return resource

    def database(self, settings: DatabaseSettings) -> Database:
        """The service's database, checked for readiness with its schema. Its migrations run at the start; where that is
        switched off, the start waits until somebody has run them.
        """
        db = self.add_resource(
            Database(settings, self.name, logger=self.logger, is_traced=self.tracing.is_on)
        )
        self.health.add("database", db.ping)

        known = migrations.revisions(self.package)

        async def migrate() -> None:
            await migrations.upgrade(settings, self.package)

        async def wait_for_schema() -> None:
            state = await migrations.schema_state(db, self.package, known)
            if state.is_newer:
                raise ServiceFailed(state.sentence)
            if not state.is_current:
                raise Unavailable(state.sentence, code="schema_outdated")

        async def check_schema() -> CheckResult:
            state = await migrations.schema_state(db, self.package, known)
            return CheckResult(ok=state.is_current, detail=state.sentence)

        if known:
            self.startup_steps.append(
                ("migrations", migrate) if settings.migrate_on_start else ("schema", wait_for_schema)
            )
            self.health.add("schema", check_schema)
        return db

    def blobs(self, settings: BlobSettings, *, is_required: bool = True) -> BlobStore:
        """The blob store. `is_required`: the service is not ready without it."""
        store = self.add_resource(open_blobs(settings))
        self.health.add("blobs", store.ping, required=is_required)
        return store

    def disk_reserve(
        self, settings: DiskSettings, *, blobs: BlobSettings, database: DatabaseSettings
    ) -> DiskReserve:
        """The reserve of the local folders among those stores; readiness shows when it is reached."""
        reserve = DiskReserve(local_folders(blobs.url, database.url), settings, self.logger, self.metrics)
        self.health.add("disk", reserve.ready, required=False)
        self.every("disk_reserve", settings.check_interval_s, reserve.measure)
        return reserve

    def event_bus(self, settings: BusSettings) -> Bus:
        """The process's bus where there is one, else the service's own.

        Readiness shows it and does not depend on it: events wait in the outbox, and requests can be served.
        """
        self.is_bus_shared = self.shared.bus is not None
        self.bus = self.shared.bus or open_bus(
            settings, logger=self.logger, metrics=self.metrics, clock=self.clock, app_id=self.name
        )
        self.health.add("bus", self.bus.ready, required=False)
        return self.bus

    def outbox(self, table: Table, db: Database, bus: Bus, settings: BusSettings) -> Outbox:
        """The outbox; what is added to it is published in the background."""
        outbox = Outbox(table)
        relay = Relay(db, outbox, bus, settings, self.logger, self.metrics)
        self.run_in_background("relay", relay.run)
        return outbox

    def inbox(self, table: Table, db: Database, settings: BusSettings) -> Inbox:
        """The inbox; rows past `inbox_retention_s` are deleted periodically."""
        inbox = Inbox(table, self.metrics)

        async def sweep() -> None:
            await inbox.sweep_older_than(db, timedelta(seconds=settings.inbox_retention_s), self.clock.now())

        self.every("inbox_sweep", settings.sweep_interval_s, sweep)
        return inbox

    def thread_pool(self, name: str, threads: int, *, niceness: int = 0) -> ThreadPoolExecutor:
        """Threads for blocking work, shut down with the service. `niceness`: their nice value."""
        return self.add_resource(ThreadPool(name, threads, niceness=niceness)).executor

    def every(self, name: str, interval_s: float, work: Callable[[], Awaitable[Any]]) -> None:
        """Run `work` at the start and then periodically; see `PeriodicJob`."""
        job = PeriodicJob(name, interval_s, work, self.logger, self.metrics, self.tracing)
        self.background_tasks.append((name, job.run))

    def run_in_background(self, name: str, work: Step) -> None:
        """Run `work` until the service stops; it is restarted when it crashes."""
        self.background_tasks.append((name, work))

    def http_app(
        self,
        *,
        verifier: TokenVerifier | None = None,
        body_limits: Mapping[str, BodyLimit] | None = None,
        secret_prefixes: Collection[str] = (),
        docs: bool = True,
        edge: bool = True,
    ) -> FastAPI:
        """The service's app, to which the wiring adds its routes.

        `verifier`: checks access tokens; None: one for the process's or the configured keys. `body_limits`: by
        path prefix, where a route takes more or less than `http.max_body_bytes`. `secret_prefixes`: what follows them
        in a path is not logged.
        `docs=False` leaves `/docs` and `/openapi.json` to the wiring, `edge=False` the middleware around the app.
        """
        auth = self.settings.auth
        app = create_app(
            self.name,
            self.version,
            settings=self.settings.http,
            logger=self.logger,
            metrics=self.metrics,
            health=self.health,
            verifier=verifier or TokenVerifier(auth, self.shared.jwks or HttpJwks(auth), clock=self.clock),
            clock=self.clock,
            tracing=self.tracing,
            description=self.description,
            body_limits=body_limits,
            secret_prefixes=secret_prefixes,
            docs=docs,
            edge=edge,
        )
        self.app = app
        return app

    def add_rpc(
        self, add_to_server: Callable[[S, grpc.aio.Server], None], servicer: S, descriptor: ServiceDescriptor
    ) -> None:
        """Serve a gRPC service: the generated `add_…Servicer_to_server`, its servicer and its descriptor."""
        self.rpcs.append(Rpc(descriptor.full_name, lambda server: add_to_server(servicer, server)))

    def peers(self, addresses: Block) -> Peers:
        """Channels to the services that `addresses` names, closed with the service; see `Peers`."""
        return self.add_resource(Peers(self.settings, addresses))


def open_secret_box(settings: SecretsSettings) -> SecretBox:
    """What encrypts a service's secrets at rest, with the key that is set, else with one kept in the data folder.

    Raises:
        OSError: the file with the key can be neither read nor made.
    """
    name, key = settings.service_name, settings.secrets_key
    return SecretBox(key.get_secret_value() or key_in_file(settings.data_dir / f"{name}.key"), purpose=name)
