"""Latency from POST to ticket with OCR, distributed, one car after the other: in total and by stage."""

from __future__ import annotations

import asyncio
import base64
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import httpx

from all_in_one.pictures import SIZE_PX, ParkedCar, draw_scene, spot_polygon, vehicle_box
from figures import Figure, percentile, publish
from kit.bus import Delivery, Subscription, event_type, open_bus
from kit.clock import SystemClock
from kit.logging import make_logger
from kit.metrics import Metrics
from kit.settings import BusSettings, LogSettings
from load_with_kills import create
from lookout.parking.v1 import parking_pb2
from lookout.plates.v1 import plates_pb2
from stack import Servers, Stack, distributed
from testkit.pictures import parking_push
from testkit.postgres import postgres
from testkit.rabbitmq import rabbitmq
from testkit.s3 import s3

CARS = 60
WARM_UP = 5
SPOTS = 3
ANSWER_TIMEOUT_S = 60


@dataclass
class Times:
    """Unix times of the stages of one event. All clocks are this machine's."""

    posted: float = 0.0
    accepted: float = 0.0
    read_started: float = 0.0
    read_ended: float = 0.0
    decided: float = 0.0
    ticket_text: str = ""

    @property
    def is_complete(self) -> bool:
        return bool(self.read_ended and self.decided)


class Listener:
    """Records the times in the events that the services publish about each frame."""

    def __init__(self) -> None:
        self.times: dict[str, Times] = {}
        self.changed = asyncio.Event()

    def times_of(self, frame_id: str) -> Times:
        return self.times.setdefault(frame_id, Times())

    async def on_read(self, delivery: Delivery) -> None:
        read = delivery.event.parse(plates_pb2.PlatesRead)
        times = self.times_of(read.frame.frame_id)
        times.read_ended = read.read_at.ToNanoseconds() / 1e9
        times.read_started = times.read_ended - read.elapsed_ms / 1000
        self.changed.set()

    async def on_decided(self, delivery: Delivery) -> None:
        decided = delivery.event.parse(parking_pb2.TriggerDecided)
        times = self.times_of(decided.frame_id)
        times.decided = decided.decided_at.ToNanoseconds() / 1e9
        times.ticket_text = decided.ticket.plate.text
        self.changed.set()

    async def wait_for(self, frame_id: str) -> Times:
        async with asyncio.timeout(ANSWER_TIMEOUT_S):
            while not self.times_of(frame_id).is_complete:
                self.changed.clear()
                await self.changed.wait()
        return self.times_of(frame_id)


async def drive(stack: Stack, amqp_url: str) -> tuple[list[Times], int]:
    """Push one car after the other. Returns their times, and the number of tickets with the right plate."""
    bus = open_bus(
        BusSettings(url=amqp_url),
        logger=make_logger("bench", LogSettings(level="WARNING")),
        metrics=Metrics("bench"),
        clock=SystemClock(),
        app_id="bench",
    )
    listener = Listener()
    await bus.start()
    for message_class, handler in (
        (plates_pb2.PlatesRead, listener.on_read),
        (parking_pb2.TriggerDecided, listener.on_decided),
    ):
        subscription = Subscription.to(event_type(message_class), "bench")
        await bus.declare(subscription)
        await bus.consume(subscription, handler)
    times: list[Times] = []
    right = 0
    start = datetime.now(UTC).replace(microsecond=0) - timedelta(minutes=CARS + WARM_UP)
    async with httpx.AsyncClient(base_url=stack.gateway_url, timeout=30) as client:
        for n in range(CARS + WARM_UP):
            plate = f"{'ABCDEFGHJK'[n % 10]} {(n * 7919) % 90000 + 10000}"
            body = entry_push(n, plate, start + timedelta(minutes=n))
            posted = time.time()
            answer = await client.post("/post", json=body)
            accepted = time.time()
            answer.raise_for_status()
            one = await listener.wait_for(answer.json()["event_id"])
            one.posted, one.accepted = posted, accepted
            if n >= WARM_UP:
                times.append(one)
                right += one.ticket_text == plate.replace(" ", "")
    await bus.stop()
    return times, right


def entry_push(n: int, plate: str, at: datetime) -> dict[str, object]:
    """The push of an entry. Each car has its own spot, so that each opens a ticket."""
    spot = n % SPOTS + 1
    corners = spot_polygon(spot, SPOTS)
    x1, y1, x2, y2 = vehicle_box(spot, SPOTS)
    spot_fields: dict[str, Any] = {
        f"coordinate_{axis}{i}": value
        for i, corner in enumerate(corners, 1)
        for axis, value in zip("xy", corner, strict=True)
    }
    return parking_push(
        time=at.strftime("%Y-%m-%d %H:%M:%S"),
        parking_area=f"STM{n // SPOTS + 1}",
        index_number=spot,
        resolution_w=SIZE_PX[0],
        resolution_y=SIZE_PX[1],
        vehicle_frame_x1=x1,
        vehicle_frame_y1=y1,
        vehicle_frame_x2=x2,
        vehicle_frame_y2=y2,
        snapshot=base64.b64encode(draw_scene({spot: ParkedCar(plate)}, spot_count=SPOTS)).decode(),
        **spot_fields,
    )


def register(client: httpx.Client) -> None:
    """Register one camera for every three cars."""
    location = create(client, "/locations", name="Bench", code="STM", time_zone="UTC")
    zone = create(client, "/zones", location_id=location, code="Z1")
    pole = create(client, "/poles", zone_id=zone, name="Pole", code="P1")
    for number in range(1, (CARS + WARM_UP) // SPOTS + 2):
        create(
            client,
            "/cameras",
            pole_id=pole,
            name=f"Camera {number}",
            api_code=str(number),
            number_of_parking=SPOTS,
        )


def stage(times: list[Times], key: str, begin: str, end: str) -> list[Figure]:
    took = [(getattr(one, end) - getattr(one, begin)) * 1000 for one in times]
    return [
        Figure(f"{key}_p50", percentile(took, 0.5), "ms"),
        Figure(f"{key}_p95", percentile(took, 0.95), "ms"),
    ]


def main() -> None:
    with TemporaryDirectory() as name, postgres() as database, rabbitmq() as broker, s3() as store:
        amqp_url = broker.fresh_vhost()
        servers = Servers(
            amqp_url=amqp_url,
            databases={service: database.fresh_database() for service in ("gateway", "ingest", "tickets")},
            blobs_url=store.fresh_bucket_url(),
            blobs_access_key=store.access_key,
            blobs_secret_key=store.secret_key,
        )
        with distributed(servers, Path(name)) as stack:
            with stack.client() as client:
                register(client)
            times, right = asyncio.run(drive(stack, amqp_url))
    figures = [
        *stage(times, "post_to_ticket", "posted", "decided"),
        *stage(times, "accept", "posted", "accepted"),
        *stage(times, "queue", "accepted", "read_started"),
        *stage(times, "read", "read_started", "read_ended"),
        *stage(times, "ticket", "read_ended", "decided"),
        Figure("tickets_right", 100 * right / len(times), "percent"),
    ]
    notes = [
        f"{len(times)} drawn cars ({SIZE_PX[0]}x{SIZE_PX[1]}), one after the other; all on the same cores.",
        "queue: from the 2xx to the start of the read; ticket: from the end of the read to the decision.",
    ]
    publish("ticket", figures, notes)


if __name__ == "__main__":
    main()
