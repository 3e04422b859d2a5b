"""Builds the service: the only place that names what is behind each part."""

from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version

from ingest.adapters.clip_check import is_playable_clip
from ingest.adapters.http_camera import HttpCameras
from ingest.consumers import consumers
from ingest.handlers.accept_parking_push import AcceptParkingPush
from ingest.handlers.apply_retention import ApplyRetention
from ingest.handlers.camera_events import CameraEvents
from ingest.handlers.device_calls import DeviceCalls
from ingest.handlers.dispatch_pending import PendingEventDispatcher
from ingest.handlers.outcome_waiters import OutcomeWaiters, RecordOutcome
from ingest.handlers.registry import Registry
from ingest.handlers.site_directory import SiteDirectory
from ingest.http import POST_PATH, camera_event_routes, device_routes, post_routes, registry_routes
from ingest.mapping import EVENTS
from ingest.rpc import Cameras, registering
from ingest.settings import IngestSettings
from ingest.store.tables import inbox_rows, outbox_rows
from kit import migrations
from kit.auth import HttpJwks, JwksSource, TokenVerifier
from kit.blobs import open_blobs
from kit.bus import Bus, open_bus
from kit.clock import Clock, SystemClock
from kit.db import Database
from kit.health import Health
from kit.http import create_app
from kit.inbox import Inbox
from kit.logging import make_logger
from kit.metrics import Metrics
from kit.outbox import Outbox, Relay
from kit.secrets import SecretBox, key_in_file
from kit.service import Resource, Service
from kit.tracing import open_tracing

NAME = "ingest"


def build(
    settings: IngestSettings,
    *,
    clock: Clock | None = None,
    bus: Bus | None = None,
    keys: JwksSource | None = None,
) -> Service:
    """The service, not started. A `bus` that is given is shared: who made it starts and stops it."""
    clock = clock or SystemClock()
    logger = make_logger(NAME, settings.log)
    tracing = open_tracing(NAME, version("lookout-ingest"), settings.tracing, logger)
    metrics = Metrics(NAME)
    health = Health()
    db = Database(settings.database, NAME, is_traced=tracing.is_on)
    blobs = open_blobs(settings.blobs)
    own_bus = bus is None
    bus = bus or open_bus(settings.bus, logger=logger, metrics=metrics, clock=clock, app_id=NAME)
    cameras = HttpCameras(settings.devices, metrics)
    threads = _Threads(settings.reports.threads)
    secret_box = SecretBox(_secrets_key(settings), purpose=NAME)

    outbox, inbox = Outbox(outbox_rows), Inbox(inbox_rows, metrics)
    relay = Relay(db, outbox, bus, settings.bus, logger, metrics)
    directory = SiteDirectory(
        db, clock, ttl_s=settings.reports.registry_cache_s, max_cameras=settings.reports.max_cached_cameras
    )
    devices = DeviceCalls(
        cameras=cameras,
        directory=directory,
        secret_box=secret_box,
        blobs=blobs,
        clock=clock,
        settings=settings.devices,
        reports=settings.reports,
        is_playable_clip=is_playable_clip,
        logger=logger,
    )
    dispatcher = PendingEventDispatcher(
        db=db,
        blobs=blobs,
        outbox=outbox,
        directory=directory,
        devices=devices,
        clock=clock,
        settings=settings.dispatch,
        logger=logger,
        metrics=metrics,
    )
    accept = AcceptParkingPush(
        db=db,
        blobs=blobs,
        outbox=outbox,
        directory=directory,
        clock=clock,
        settings=settings.reports,
        threads=threads.executor,
        logger=logger,
        on_waiting=dispatcher.wake,
    )
    board = OutcomeWaiters(
        db, logger, poll_s=settings.reports.outcome_poll_s, max_waiting=settings.reports.max_waiting
    )
    sweeper = ApplyRetention(
        db=db, blobs=blobs, clock=clock, settings=settings.retention, logger=logger, metrics=metrics
    )
    record_outcome = RecordOutcome(logger, board.tell)

    health.add("database", db.ping)
    health.add("blobs", blobs.ping)
    # Without the bus reports are accepted all the same, and the outbox keeps them: told, but not required.
    health.add("bus", bus.ready, required=False)

    app = create_app(
        NAME,
        version("lookout-ingest"),
        settings=settings.http,
        logger=logger,
        metrics=metrics,
        health=health,
        verifier=TokenVerifier(settings.auth, keys or HttpJwks(settings.auth), clock=clock),
        clock=clock,
        tracing=tracing,
        description="The site, and all that comes from or goes to a camera.",
        body_limits={POST_PATH: settings.reports.max_body_bytes},
    )
    app.include_router(post_routes(accept, board, settings.reports, metrics))
    app.include_router(device_routes(devices, blobs))
    app.include_router(
        registry_routes(Registry(db=db, secret_box=secret_box, clock=clock, directory=directory))
    )
    app.include_router(camera_event_routes(CameraEvents(db), blobs))

    resources: list[Resource] = [db, blobs, cameras, threads]
    if own_bus:
        resources.append(bus)

    async def migrate() -> None:
        if settings.database.migrate_on_start:
            await migrations.upgrade(settings.database, NAME)

    async def keep_inbox() -> None:
        await inbox.keep_swept(db, settings.bus, clock, logger)

    return Service(
        name=NAME,
        version=version("lookout-ingest"),
        settings=settings,
        logger=logger,
        metrics=metrics,
        health=health,
        clock=clock,
        tracing=tracing,
        app=app,
        resources=resources,
        migrate=migrate,
        bus=bus,
        consumers=consumers(record_outcome, db, inbox),
        publishes=EVENTS,
        background=[
            ("relay", relay.run),
            ("dispatch", dispatcher.run),
            ("outcomes", board.run),
            ("sweep", sweeper.run),
            ("inbox", keep_inbox),
        ],
        register_grpc=registering(Cameras(directory, devices)),
    )


def _secrets_key(settings: IngestSettings) -> str:
    """The key that was set; in embedded mode one of our own, kept beside the data."""
    return settings.secrets_key.get_secret_value() or key_in_file(settings.data_dir / "ingest.key")


class _Threads:
    """The threads that parse reports, closed with the service."""

    def __init__(self, count: int) -> None:
        self.executor = ThreadPoolExecutor(count, thread_name_prefix="reports")

    async def start(self) -> None:
        """They start by themselves."""

    async def stop(self) -> None:
        """Wait for what is in hand."""
        self.executor.shutdown()
