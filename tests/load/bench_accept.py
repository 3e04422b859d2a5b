"""Accepted camera events a second through the gateway, 200 kB pictures, PostgreSQL and RabbitMQ, no OCR."""

from __future__ import annotations

import asyncio
import base64
import itertools
import json
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import aiohttp
import httpx

from figures import Figure, median, percentile, publish
from kit.bus import Subscription, event_type, open_bus
from kit.clock import SystemClock
from kit.logging import make_logger
from kit.metrics import Metrics
from kit.settings import BusSettings, LogSettings
from load_with_kills import create
from lookout.camera.v1.camera_pb2 import FrameCaptured
from stack import Servers, distributed
from testkit.pictures import noise, parking_push
from testkit.postgres import postgres
from testkit.processes import free_port, spawn, wait_until
from testkit.rabbitmq import rabbitmq

CLIENTS = 16
CAMERAS = 40
PICTURE_BYTES = 200_000
WARM_UP_S = 3.0
ROUND_S = 10.0
ROUNDS = 3

Body = Callable[[], bytes]


async def load(url: str, body: Body, seconds: float) -> tuple[int, list[float]]:
    """The number of accepted events, and the duration of each request in seconds."""
    took: list[float] = []
    end = time.monotonic() + seconds

    async def client(session: aiohttp.ClientSession) -> None:
        while time.monotonic() < end:
            started_s = time.monotonic()
            async with session.post(url, data=body(), headers={"Content-Type": "application/json"}) as answer:
                text = await answer.read()
                assert answer.status < 300, text
            took.append(time.monotonic() - started_s)

    async with aiohttp.ClientSession() as session:
        await asyncio.gather(*(client(session) for _ in range(CLIENTS)))
    return len(took), took


def bodies() -> Body:
    """A function that returns a new event at each call. The picture is encoded once, to keep the clients cheap."""
    picture = base64.b64encode(noise(PICTURE_BYTES)).decode()
    start = datetime.now(UTC).replace(microsecond=0) - timedelta(days=1)
    number = itertools.count()
    template = parking_push(
        parking_area="STM@CAMERA@",
        time="@TIME@",
        index_number=1,
        snapshot=picture,
    )
    parts = json.dumps(template).encode().replace(b"@CAMERA@", b"@@").replace(b"@TIME@", b"@@").split(b"@@")
    names = list(template)
    is_time_first = names.index("time") < names.index("parking_area")

    def body() -> bytes:
        n = next(number)
        at = (start + timedelta(seconds=n // CAMERAS)).strftime("%Y-%m-%d %H:%M:%S").encode()
        camera = str(n % CAMERAS + 1).encode()
        first, second = (at, camera) if is_time_first else (camera, at)
        return parts[0] + first + parts[1] + second + parts[2]

    return body


async def declare_frame_queue(amqp_url: str) -> None:
    """Declare plate-ocr's queue, because frames require a subscriber and plate-ocr is not started."""
    bus = open_bus(
        BusSettings(url=amqp_url),
        logger=make_logger("bench", LogSettings(level="WARNING")),
        metrics=Metrics("bench"),
        clock=SystemClock(),
        app_id="bench",
    )
    await bus.start()
    await bus.declare(Subscription.to(event_type(FrameCaptured), "plate-ocr"))
    await bus.stop()


def register(client: httpx.Client) -> None:
    """Register the site that sends the events."""
    location = create(client, "/locations", name="Bench", code="STM", time_zone="UTC")
    zone = create(client, "/zones", location_id=location, code="Z1")
    pole = create(client, "/poles", zone_id=zone, name="Pole", code="P1")
    for number in range(1, CAMERAS + 1):
        create(
            client,
            "/cameras",
            pole_id=pole,
            name=f"Camera {number}",
            api_code=str(number),
            number_of_parking=4,
        )


def measure() -> tuple[list[Figure], list[str]]:
    """Measure Lookout and the floor in turn, on the same servers."""
    body = bodies()
    with (
        tempfile.TemporaryDirectory() as name,
        postgres() as database,
        rabbitmq() as broker,
    ):
        folder = Path(name)
        (folder / "floor").mkdir()
        amqp_url = broker.fresh_vhost()
        asyncio.run(declare_frame_queue(amqp_url))
        servers = Servers(
            amqp_url=amqp_url,
            databases={service: database.fresh_database() for service in ("gateway", "ingest")},
            blobs_url=f"file://{folder}/blobs",
        )
        with distributed(servers, folder, services=("gateway", "ingest")) as stack:
            with stack.client() as client:
                register(client)
            floor_port = free_port()
            floor = spawn(
                [
                    sys.executable,
                    __file__.replace("bench_accept", "floor_app"),
                    database.fresh_database(),
                    folder / "floor",
                    str(floor_port),
                ],
                log=folder / "floor.log",
            )
            floor_url = f"http://127.0.0.1:{floor_port}/"
            wait_until(lambda: responds(floor_url), timeout_s=20, what="the floor responding")
            targets = {"lookout": f"{stack.gateway_url}/post", "floor": floor_url}
            rates: dict[str, list[float]] = {"lookout": [], "floor": []}
            took: list[float] = []
            for url in targets.values():
                asyncio.run(load(url, body, WARM_UP_S))
            before = {name: service.processor_s() for name, service in stack.services.items()}
            for _ in range(ROUNDS):
                for target, url in targets.items():
                    count, times = asyncio.run(load(url, body, ROUND_S))
                    rates[target].append(count / ROUND_S)
                    took += times if target == "lookout" else []
            used = {
                name: (service.processor_s() - before[name]) / len(took) * 1000
                for name, service in stack.services.items()
            }
            floor.kill()
            floor.wait()
    rate, floor_rate = median(rates["lookout"]), median(rates["floor"])
    figures = [
        Figure("accepted_per_s", rate, "events/s", floor=floor_rate, ratio=rate / floor_rate, goal=">= 100"),
        Figure("accept_p50", percentile(took, 0.5) * 1000, "ms"),
        Figure("accept_p95", percentile(took, 0.95) * 1000, "ms"),
        *(Figure(f"{name}_processor", value, "ms/event") for name, value in used.items()),
    ]
    rounds = {target: ", ".join(f"{value:.0f}" for value in values) for target, values in rates.items()}
    notes = [
        f"{CLIENTS} clients, {PICTURE_BYTES // 1000} kB each, {ROUNDS} rounds of {ROUND_S:.0f} s, medians.",
        f"Events/s, each round: {rounds['lookout']}; floor {rounds['floor']}.",
        "Floor: a bare ASGI app that reads the body, writes and syncs the file, commits one row.",
        "Clients, services, broker and database share the cores.",
    ]
    return figures, notes


def responds(url: str) -> bool:
    try:
        return httpx.get(url, timeout=1).status_code == 200
    except httpx.HTTPError:
        return False


def main() -> None:
    figures, notes = measure()
    publish("accept", figures, notes)


if __name__ == "__main__":
    main()
