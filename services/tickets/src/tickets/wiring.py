"""Builds the service: the only place that names concrete classes."""

from datetime import timedelta
from importlib.metadata import version

import grpc
from fastapi import FastAPI

from kit import migrations
from kit.auth import HttpJwks, JwksSource, TokenVerifier
from kit.blobs import open_blobs
from kit.bus import Bus, open_bus
from kit.clock import Clock, SystemClock
from kit.db import Database
from kit.health import Health
from kit.http import create_app
from kit.inbox import Inbox
from kit.logging import Logger, make_logger
from kit.metrics import Metrics
from kit.outbox import Outbox, Relay
from kit.service import Resource, Service
from kit.tracing import Tracing, open_tracing
from lookout.parking.v1 import parking_pb2_grpc as stubs
from tickets.adapters.outline import outline_spot
from tickets.consumers import consumers
from tickets.handlers.decide_trigger import DecideTrigger
from tickets.handlers.fetch_pictures import FetchPictures
from tickets.handlers.housekeeping import Housekeeping
from tickets.handlers.outline_exit_pictures import OutlineExitPictures
from tickets.handlers.queries import Queries
from tickets.http import add_routes
from tickets.mapping import EVENTS
from tickets.metrics import TicketsMetrics
from tickets.rpc import TicketsRpc
from tickets.settings import TicketsSettings
from tickets.store.tables import inbox as inbox_rows
from tickets.store.tables import outbox as outbox_rows

NAME = "tickets"
VERSION = version("lookout-tickets")


def build(
    settings: TicketsSettings,
    *,
    clock: Clock | None = None,
    bus: Bus | None = None,
    keys: JwksSource | None = None,
) -> Service:
    """The service, not started. A given `bus` is shared: its owner starts and stops it."""
    clock = clock or SystemClock()
    logger = make_logger(NAME, settings.log)
    tracing = open_tracing(NAME, VERSION, settings.tracing, logger)
    metrics, health = Metrics(NAME), Health()
    db = Database(settings.database, NAME, is_traced=tracing.is_on)
    blobs = open_blobs(settings.blobs)
    own_bus = bus is None
    bus = bus or open_bus(settings.bus, logger=logger, metrics=metrics, clock=clock, app_id=NAME)

    tickets_metrics = TicketsMetrics(metrics)
    outbox, inbox = Outbox(outbox_rows), Inbox(inbox_rows, metrics)
    relay = Relay(db, outbox, bus, settings.bus, logger, metrics)
    outliner = OutlineExitPictures(
        db=db,
        blobs=blobs,
        logger=logger,
        metrics=tickets_metrics,
        outline=outline_spot,
        batch_size=settings.exit_pictures.batch_size,
        poll_interval_s=settings.exit_pictures.poll_interval_s,
        max_picture_px=settings.exit_pictures.max_picture_px,
    )

    decide = DecideTrigger(
        outbox=outbox,
        rules=settings.rules.rules(),
        history_limit=settings.rules.history_limit,
        clock=clock,
        logger=logger,
        metrics=tickets_metrics,
        on_decided=outliner.notify,
    )
    housekeeping = Housekeeping(db=db, clock=clock, logger=logger, metrics=tickets_metrics)
    queries = Queries(db)

    health.add("database", db.ping)
    # Not required: without the bus the API still answers, and without the blob store only the pictures are missing.
    health.add("bus", bus.ready, required=False)
    health.add("blobs", blobs.ping, required=False)

    app = _app(settings, logger, metrics, health, keys, clock, tracing)
    pictures = FetchPictures(queries, blobs, outliner)
    add_routes(app, queries=queries, pictures=pictures, clock=clock)

    async def migrate() -> None:
        if settings.database.migrate_on_start:
            await migrations.upgrade(settings.database, NAME)

    async def keep_inbox() -> None:
        await inbox.keep_swept(db, settings.bus, clock, logger)

    async def keep_counting() -> None:
        await housekeeping.keep_counting(settings.housekeeping.gauge_interval_s)

    async def keep_sweeping() -> None:
        max_wait = timedelta(seconds=settings.rules.max_wait_s)
        await housekeeping.keep_sweeping(max_wait, settings.housekeeping.sweep_interval_s)

    def register_grpc(server: grpc.aio.Server) -> None:
        stubs.add_TicketsServicer_to_server(TicketsRpc(queries), server)

    resources: list[Resource] = [db, blobs]
    if own_bus:
        resources.append(bus)
    return Service(
        name=NAME,
        version=VERSION,
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
        consumers=consumers(decide, db, inbox),
        publishes=EVENTS,
        background=[
            ("relay", relay.run),
            ("exit_pictures", outliner.run),
            ("gauges", keep_counting),
            ("waiting", keep_sweeping),
            ("inbox", keep_inbox),
        ],
        register_grpc=register_grpc,
    )


def _app(
    settings: TicketsSettings,
    logger: Logger,
    metrics: Metrics,
    health: Health,
    keys: JwksSource | None,
    clock: Clock,
    tracing: Tracing,
) -> FastAPI:
    return create_app(
        NAME,
        VERSION,
        settings=settings.http,
        logger=logger,
        metrics=metrics,
        health=health,
        verifier=TokenVerifier(settings.auth, keys or HttpJwks(settings.auth), clock=clock),
        clock=clock,
        tracing=tracing,
        description="Parking sessions: tickets, occupancy, ignored triggers and manual reviews.",
    )
