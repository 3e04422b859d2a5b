"""Thousands of entries and exits while services and broker are killed at random; then the tickets are compared."""

from __future__ import annotations

import asyncio
import base64
import random
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol

import aiohttp
import httpx

import barcode
from testkit.pictures import parking_push
from testkit.rabbitmq import RabbitMqServer

SPOTS_PER_CAMERA = 5
STEP = timedelta(seconds=40)
"""Between two events of a spot, by the camera's clock."""
REPEAT_AFTER_S = 0.3


class Killable(Protocol):
    """A service process or the broker."""

    name: str

    def kill(self) -> None: ...
    def start(self) -> None: ...


@dataclass
class Broker:
    """The broker as a target of kills."""

    server: RabbitMqServer
    name: str = "broker"

    def kill(self) -> None:
        self.server.kill()

    def start(self) -> None:
        self.server.start()


@dataclass(frozen=True, order=True)
class Session:
    """One parking session, as a ticket must show it. Times are UTC, whole seconds; no exit while it is open."""

    camera_id: int
    spot: int
    plate: str
    entry: str
    exit: str


@dataclass(frozen=True)
class Push:
    """One push of a camera."""

    camera_id: int
    spot: int
    body: dict[str, Any]


@dataclass
class Outcome:
    """Counts of the run, and the differences between expected and actual tickets."""

    events: int
    expected: int
    found: int
    duplicates: int
    missing: list[Session]
    unexpected: list[Session]
    kills: Counter[str]
    repeats: int
    elapsed_s: float
    drained_s: float
    downtime: dict[str, float] = field(default_factory=dict)

    @property
    def is_correct(self) -> bool:
        return (
            not self.missing and not self.unexpected and not self.duplicates and self.found == self.expected
        )


def make_site(client: httpx.Client, cameras: int) -> dict[int, str]:
    """Register the cameras; returns api codes by camera id. They have no address, so exits keep the pushed picture."""
    location = create(client, "/locations", name="Load", code="STM", time_zone="UTC")
    zone = create(client, "/zones", location_id=location, code="Z1")
    pole = create(client, "/poles", zone_id=zone, name="Pole", code="P1")
    api_codes = {}
    for number in range(1, cameras + 1):
        camera = create(
            client,
            "/cameras",
            pole_id=pole,
            name=f"Camera {number}",
            api_code=str(number),
            number_of_parking=SPOTS_PER_CAMERA,
        )
        api_codes[camera] = str(number)
        for spot in range(1, SPOTS_PER_CAMERA + 1):
            corners = {"p1_x": 0, "p1_y": 0, "p2_x": barcode.WIDTH, "p2_y": 0}
            corners |= {"p3_x": barcode.WIDTH, "p3_y": barcode.HEIGHT, "p4_x": 0, "p4_y": barcode.HEIGHT}
            create(client, "/spots", camera_id=camera, spot_number=spot, status=0, **corners)
    return api_codes


def create(client: httpx.Client, path: str, **fields: Any) -> int:
    answer = client.post(path, json=fields)
    assert answer.status_code in {200, 201}, answer.text
    number: int = answer.json()["id"]
    return number


def plan(cameras: dict[int, str], events: int) -> tuple[dict[int, list[Push]], list[Session]]:
    """The pushes of each camera, and the sessions that must result from them."""
    spots = [(camera, spot) for camera in cameras for spot in range(1, SPOTS_PER_CAMERA + 1)]
    rounds = -(-events // len(spots))
    start = (datetime.now(UTC) - STEP * rounds).replace(microsecond=0)
    pushes: dict[int, list[Push]] = {camera: [] for camera in cameras}
    sessions: list[Session] = []
    open_sessions: dict[tuple[int, int], tuple[str, datetime]] = {}
    for i in range(events):
        camera, spot = spots[i % len(spots)]
        at = start + STEP * (i // len(spots))
        if (camera, spot) not in open_sessions:
            plate = f"{chr(65 + camera % 26)}{spot}{i:06d}"
            open_sessions[camera, spot] = (plate, at)
            pushes[camera].append(Push(camera, spot, barcode_push(cameras[camera], spot, at, plate)))
        else:
            plate, entered = open_sessions.pop((camera, spot))
            sessions.append(Session(camera, spot, plate, entered.isoformat(), at.isoformat()))
            pushes[camera].append(Push(camera, spot, barcode_push(cameras[camera], spot, at, None)))
    sessions += [
        Session(camera, spot, plate, entered.isoformat(), "")
        for (camera, spot), (plate, entered) in open_sessions.items()
    ]
    return pushes, sessions


def barcode_push(api_code: str, spot: int, at: datetime, plate: str | None) -> dict[str, Any]:
    """A parking push: an entry if there is a plate, else an exit."""
    corners = ((0, 0), (barcode.WIDTH, 0), (barcode.WIDTH, barcode.HEIGHT), (0, barcode.HEIGHT))
    spot_fields: dict[str, Any] = {
        f"coordinate_{axis}{n}": corner["xy".index(axis)]
        for n, corner in enumerate(corners, 1)
        for axis in "xy"
    }
    return parking_push(
        time=at.strftime("%Y-%m-%d %H:%M:%S"),
        parking_area=f"STM{api_code}",
        index_number=spot,
        occupancy=1 if plate else 0,
        resolution_w=barcode.WIDTH,
        resolution_y=barcode.HEIGHT,
        snapshot=base64.b64encode(barcode.draw(plate)).decode(),
        vehicle_frame_x1=40,
        vehicle_frame_y1=40,
        vehicle_frame_x2=280,
        vehicle_frame_y2=170,
        **spot_fields,
    )


async def send_all(
    url: str, pushes: dict[int, list[Push]], clients: int, progress: Callable[[int], None]
) -> int:
    """Send the pushes as cameras do: one at a time, in order, repeated until a 2xx. Returns the number of repeats."""
    queue: asyncio.Queue[list[Push]] = asyncio.Queue()
    for camera_pushes in pushes.values():
        queue.put_nowait(camera_pushes)
    repeats = sent = 0

    async def work(session: aiohttp.ClientSession) -> None:
        nonlocal repeats, sent
        while not queue.empty():
            for push in queue.get_nowait():
                while not await accepted(session, url, push):
                    repeats += 1
                    await asyncio.sleep(REPEAT_AFTER_S)
                sent += 1
                progress(sent)

    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=15)) as session:
        await asyncio.gather(*(work(session) for _ in range(clients)))
    return repeats


async def accepted(session: aiohttp.ClientSession, url: str, push: Push) -> bool:
    """Whether the push was answered with 2xx. A 4xx is an error of this test."""
    try:
        async with session.post(f"{url}/post", json=push.body) as answer:
            if answer.status == 429 or answer.status >= 500:
                return False
            assert answer.status < 300, await answer.text()
            return True
    except (aiohttp.ClientError, TimeoutError, OSError):
        return False


async def kill_at_random(
    targets: Sequence[Killable],
    times: int,
    is_over: asyncio.Event,
    sent: Callable[[], int],
    total: int,
    seed: int,
) -> Counter[str]:
    """SIGKILL a target and start it again, `times` times, at random moments of the run."""
    rng = random.Random(seed)
    kills: Counter[str] = Counter()
    # Every target is killed at least once if there are enough kills.
    chosen = [targets[i % len(targets)] for i in range(times)]
    rng.shuffle(chosen)
    moments = sorted(rng.uniform(0.03, 0.97) for _ in range(times))
    for target, moment in zip(chosen, moments, strict=True):
        while sent() < moment * total and not is_over.is_set():
            await asyncio.sleep(0.02)
        await asyncio.to_thread(target.kill)
        await asyncio.sleep(rng.uniform(0.0, 1.5))
        await asyncio.to_thread(target.start)
        kills[target.name] += 1
    return kills


def list_sessions(client: httpx.Client) -> Iterator[Session]:
    """Every ticket of the API, as a session."""
    params: dict[str, str | int] = {"page_size": 200, "sort_by": "id", "sort_order": "asc"}
    while True:
        answer = client.get("/tickets", params=params)
        answer.raise_for_status()
        page = answer.json()
        for row in page["items"]:
            yield Session(
                row["camera_id"],
                row["spot_number"],
                "UNKNOWN" if row["is_unknown"] else row["plate_text"],
                seconds(row["entry_time"]),
                seconds(row["exit_time"]),
            )
        if not page["next_cursor"]:
            return
        params["cursor"] = page["next_cursor"]


def seconds(moment: str | None) -> str:
    return datetime.fromisoformat(moment).astimezone(UTC).isoformat() if moment else ""


async def run_load_with_kills(
    url: str,
    client: httpx.Client,
    targets: Sequence[Killable],
    *,
    events: int,
    kills: int,
    cameras: int = 20,
    clients: int = 16,
    seed: int = 1,
    drain_s: float = 180,
    print_line: Callable[[str], None] = lambda _: None,
) -> Outcome:
    """Register the site, send events while killing targets, wait for the tickets and compare them."""
    site = make_site(client, cameras)
    pushes, expected = plan(site, events)
    count = 0
    printed_at_s = 0.0

    def progress(sent: int) -> None:
        nonlocal count, printed_at_s
        count = sent
        if time.monotonic() - printed_at_s > 5:
            printed_at_s = time.monotonic()
            print_line(f"{sent}/{events} events accepted")

    over = asyncio.Event()
    started_s = time.monotonic()
    killer = asyncio.create_task(kill_at_random(targets, kills, over, lambda: count, events, seed))
    repeats = await send_all(url, pushes, clients, progress)
    over.set()
    killed = await killer
    elapsed_s = time.monotonic() - started_s
    found = await wait_for_tickets(client, expected, drain_s, print_line)
    drained_s = time.monotonic() - started_s - elapsed_s
    counts = Counter(found)
    return Outcome(
        events=events,
        expected=len(expected),
        found=len(found),
        duplicates=sum(n - 1 for n in counts.values()),
        missing=sorted((Counter(expected) - counts).elements()),
        unexpected=sorted((Counter(set(found)) - Counter(expected)).elements()),
        kills=killed,
        repeats=repeats,
        elapsed_s=elapsed_s,
        drained_s=drained_s,
    )


async def wait_for_tickets(
    client: httpx.Client, expected: list[Session], drain_s: float, print_line: Callable[[str], None]
) -> list[Session]:
    """The sessions of all tickets, once they are as expected or have not changed for `drain_s`."""
    last: list[Session] = []
    changed_at_s = time.monotonic()
    while True:
        try:
            found = await asyncio.to_thread(lambda: list(list_sessions(client)))
        except httpx.HTTPError:  # the last killed service is still starting
            found = last
        if sorted(found) == sorted(expected):
            return found
        if sorted(found) != sorted(last):
            changed_at_s = time.monotonic()
            last = found
            print_line(f"draining: {len(found)} of {len(expected)} tickets")
        if time.monotonic() - changed_at_s > drain_s:
            return found
        await asyncio.sleep(3)
