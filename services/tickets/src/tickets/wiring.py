"""Builds the service: the only place that names what is behind each part."""

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
from lookout.parking.v1 import parking_pb2_grpc as stubs
from tickets.consumers import consumers
from tickets.events import EVENTS
from tickets.handlers.decide_trigger import DecideTrigger
from tickets.handlers.housekeeping import Housekeeping
from tickets.handlers.mark_exit_pictures import MarkExitPictures
from tickets.handlers.pictures import Pictures
from tickets.handlers.read import Read
from tickets.http import add_routes
from tickets.rpc import TicketsRpc
from tickets.settings import TicketsSettings
from tickets.sight import Sight
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
    """The service, not started. A `bus` that is given is shared: who made it starts and stops it."""
    clock = clock or SystemClock()
    logger = make_logger(NAME, settings.log)
    metrics, health = Metrics(NAME), Health()
    db = Database(settings.database, NAME)
    blobs = open_blobs(settings.blobs)
    own_bus = bus is None
    bus = bus or open_bus(settings.bus, logger=logger, metrics=metrics, clock=clock, app_id=NAME)

    sight = Sight(metrics)
    rules = settings.rules.rules()
    outbox, inbox = Outbox(outbox_rows), Inbox(inbox_rows, metrics)
    relay = Relay(db, outbox, bus, settings.bus, logger, metrics)
    marker = MarkExitPictures(
        db=db,
        blobs=blobs,
        logger=logger,
        sight=sight,
        batch=settings.exit_pictures.batch,
        poll_s=settings.exit_pictures.poll_s,
        max_picture_px=settings.exit_pictures.max_picture_pixels,
    )

    decide = DecideTrigger(
        outbox=outbox,
        rules=rules,
        history_limit=settings.rules.history_limit,
        clock=clock,
        logger=logger,
        sight=sight,
        on_decided=marker.notify,
    )
    housekeeping = Housekeeping(db=db, clock=clock, logger=logger, sight=sight)
    read = Read(db)

    health.add("database", db.ping)
    # Told, and no reason to take the service off the air: without the bus the pages stand as they were, and
    # without pictures all but the pictures does.
    health.add("bus", bus.ready, required=False)
    health.add("blobs", blobs.ping, required=False)

    app = _app(settings, logger, metrics, health, keys, clock)
    add_routes(app, read=read, pictures=Pictures(read, blobs, marker), clock=clock)

    async def migrate() -> None:
        if settings.database.migrate_on_start:
            await migrations.upgrade(settings.database, NAME)

    async def keep_inbox() -> None:
        await inbox.keep_swept(db, settings.bus, clock, logger)

    async def keep_counting() -> None:
        await housekeeping.keep_counting(settings.housekeeping.gauge_interval_s)

    async def keep_sweeping() -> None:
        # The latest that an event may come, and the furthest that it may reach back then.
        age = rules.clock_behind_limit + rules.late_event_window
        await housekeeping.keep_sweeping(age, settings.housekeeping.sweep_interval_s)

    def register_grpc(server: grpc.aio.Server) -> None:
        stubs.add_TicketsServicer_to_server(TicketsRpc(read), server)

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
        app=app,
        resources=resources,
        migrate=migrate,
        bus=bus,
        consumers=consumers(decide, rules, db, inbox),
        publishes=EVENTS,
        background=[
            ("relay", relay.run),
            ("exit_pictures", marker.run),
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
        description="Parking sessions: who stands where, since when, and what a person has to look at.",
    )
