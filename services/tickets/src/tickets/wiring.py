"""Builds the service: the only place that names concrete classes."""

from datetime import timedelta
from functools import partial

from kit.service import Service, Shared
from lookout.parking.v1 import parking_pb2, parking_pb2_grpc
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


def build(settings: TicketsSettings, shared: Shared | None = None) -> Service:
    """The service, not started."""
    service = Service(
        settings,
        shared,
        description="Parking sessions: which vehicle occupies which spot since when, and manual reviews.",
    )
    logger, clock = service.logger, service.clock
    db = service.database(settings.database)
    # Not required: without the blob store only the pictures are missing.
    blobs = service.blobs(settings.blobs, is_required=False)
    bus = service.event_bus(settings.bus)
    outbox = service.outbox(outbox_rows, db, bus, settings.bus)
    inbox = service.inbox(inbox_rows, db, settings.bus)

    tickets_metrics = TicketsMetrics(service.metrics)
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
    housekeeping = Housekeeping(db=db, clock=clock, metrics=tickets_metrics)
    queries = Queries(db)

    service.publishes = EVENTS
    service.consumers.extend(consumers(decide, db, inbox))
    service.run_in_background("exit_pictures", outliner.run)
    service.every("gauges", settings.housekeeping.gauge_interval_s, housekeeping.count)
    stop_waiting = partial(housekeeping.stop_waiting, timedelta(seconds=settings.rules.max_wait_s))
    service.every("waiting_triggers", settings.housekeeping.sweep_interval_s, stop_waiting)

    pictures = FetchPictures(queries, blobs, outliner)
    add_routes(service.http_app(), queries=queries, pictures=pictures, clock=clock)
    service.add_rpc(
        parking_pb2_grpc.add_TicketsServicer_to_server,
        TicketsRpc(queries),
        parking_pb2.DESCRIPTOR.services_by_name["Tickets"],
    )
    return service
