"""A bus that several services share: what it logs of a subscription names the service that subscribes."""

import logging
from io import StringIO
from pathlib import Path

import orjson

from kit.bus import Delivery, Rejected, open_bus
from kit.clock import SystemClock
from kit.logging import make_logger, route_standard_logging
from kit.metrics import Metrics
from kit.settings import BusSettings, LogSettings
from testkit.bus import THING, make_event
from testkit.waiting import eventually


async def reject(_delivery: Delivery) -> None:
    logging.getLogger("a.library").warning("while the handler runs")
    raise Rejected("no such thing")


async def test_lines_about_a_subscription_name_the_service_that_subscribes(tmp_path: Path) -> None:
    out, root = StringIO(), logging.getLogger()
    handlers, level = root.handlers, root.level
    bus = open_bus(
        BusSettings(url=f"sqlite:///{tmp_path / 'bus.db'}"),
        logger=make_logger("process", LogSettings(), stream=out),
        metrics=Metrics("process"),
        clock=SystemClock(),
        app_id="process",
    )
    try:
        route_standard_logging(make_logger("process", LogSettings(), stream=out, is_of_process=True))
        await bus.start()
        await bus.declare(THING)
        await bus.consume(THING, reject)
        await bus.publish(make_event(1))
        await eventually(lambda: "message dead-lettered" in out.getvalue())
    finally:
        await bus.stop()
        root.handlers = handlers
        root.setLevel(level)
    services = {line["event"]: line["service"] for line in map(orjson.loads, out.getvalue().splitlines())}
    assert services == {
        "while the handler runs": THING.service,
        "message dead-lettered": THING.service,
    }
