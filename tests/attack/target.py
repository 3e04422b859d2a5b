"""The Lookout that is attacked, its site, and the honest cameras whose service must not suffer."""

from __future__ import annotations

import base64
import re
import socket
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Literal, Self

import httpx

from all_in_one.pictures import SIZE_PX, ParkedCar, draw_scene, spot_polygon, vehicle_box
from attack.memory import memory_mb, reset_peak
from load_with_kills import create
from stack import SERVICES, Servers, Stack, distributed, embedded
from testkit.pictures import parking_push
from testkit.postgres import postgres
from testkit.rabbitmq import rabbitmq
from testkit.s3 import s3

Mode = Literal["embedded", "distributed"]

LOCATION = "STM"
SPOTS = 3
CAMERAS = 6
ANSWER_TIMEOUT_S = 60


class MemoryGrowth:
    """The most resident memory that each process had since this was made, above what it had then."""

    def __init__(self, processes: Mapping[str, int]) -> None:
        self._processes = processes
        self._idle_mb = {name: memory_mb(pid) for name, pid in processes.items()}
        for pid in processes.values():
            reset_peak(pid)

    def by_process_mb(self) -> dict[str, float]:
        """In MB, by name of the process."""
        return {name: memory_mb(pid, "VmHWM") - self._idle_mb[name] for name, pid in self._processes.items()}


@dataclass
class Target:
    """A running Lookout with a site of six cameras. `folder` holds its data and logs."""

    stack: Stack
    mode: Mode
    folder: Path
    camera_ids: Mapping[str, int] = field(default_factory=dict)

    @property
    def url(self) -> str:
        return self.stack.gateway_url

    @property
    def data_dir(self) -> Path:
        return self.folder / "data"

    @property
    def process_ids(self) -> list[int]:
        """The processes of the services."""
        return [
            service.process.pid for service in self.stack.services.values() if service.process is not None
        ]

    def memory_mb(self) -> float:
        """Resident memory of all processes in MB."""
        return sum(memory_mb(pid) for pid in self.process_ids)

    def watch_memory(self) -> MemoryGrowth:
        """Measure from now on how much memory each process takes."""
        processes = {
            name: service.process.pid
            for name, service in self.stack.services.items()
            if service.process is not None
        }
        return MemoryGrowth(processes)

    def processor_s(self) -> float:
        """Processor time of all processes so far, in seconds."""
        return sum(service.processor_s() for service in self.stack.services.values())

    def stranger(self, timeout_s: float = ANSWER_TIMEOUT_S) -> httpx.Client:
        """An HTTP client without a token."""
        return httpx.Client(base_url=self.url, timeout=timeout_s)

    def socket(self, timeout_s: float = 30) -> socket.socket:
        """A TCP connection to the public port."""
        host, port = re.fullmatch(r"http://([^:]+):(\d+)", self.url).groups()  # type: ignore[union-attr]
        return socket.create_connection((host, int(port)), timeout_s)

    def log(self) -> str:
        return self.stack.logs()


@contextmanager
def running(
    mode: Mode, folder: Path, settings: Mapping[str, str] | None = None, *, has_site: bool = True
) -> Iterator[Target]:
    """Start Lookout. `settings`: by service and name, as `INGEST__PUSH__RATE`."""
    folder.mkdir(parents=True, exist_ok=True)
    values = {"INGEST__DEVICES__IS_LOOPBACK_ALLOWED": "true", **(settings or {})}
    with ExitStack() as on_exit:
        if mode == "embedded":
            environment = {f"LOOKOUT_{name}": value for name, value in values.items()}
            stack = on_exit.enter_context(embedded(folder, **environment))
        else:
            extra: dict[str, dict[str, str]] = {name: {} for name in SERVICES}
            for name, value in values.items():
                service, _, setting = name.partition("__")
                extra[service.lower().replace("_", "-")][setting] = value
            stack = on_exit.enter_context(distributed(start_servers(on_exit), folder, extra=extra))
        target = Target(stack, mode, folder)
        if has_site:
            with stack.client() as client:
                target.camera_ids = make_site(client)
        yield target


def start_servers(on_exit: ExitStack) -> Servers:
    database = on_exit.enter_context(postgres())
    broker = on_exit.enter_context(rabbitmq())
    store = on_exit.enter_context(s3())
    return Servers(
        amqp_url=broker.fresh_vhost(),
        databases={service: database.fresh_database() for service in ("gateway", "ingest", "tickets")},
        blobs_url=store.fresh_bucket_url(),
        blobs_access_key=store.access_key,
        blobs_secret_key=store.secret_key,
    )


def make_site(client: httpx.Client) -> dict[str, int]:
    """Register the cameras with their spots; returns camera ids by api code."""
    location = create(client, "/locations", name="Attacked", code=LOCATION, time_zone="UTC")
    zone = create(client, "/zones", location_id=location, code="Z1")
    pole = create(client, "/poles", zone_id=zone, name="Pole", code="P1")
    ids = {}
    for number in range(1, CAMERAS + 1):
        ids[str(number)] = camera = create(
            client,
            "/cameras",
            pole_id=pole,
            name=f"Camera {number}",
            api_code=str(number),
            number_of_parking=SPOTS,
        )
        for spot in range(1, SPOTS + 1):
            corners = {
                f"p{i}_{axis}": value
                for i, corner in enumerate(spot_polygon(spot, SPOTS), 1)
                for axis, value in zip("xy", corner, strict=True)
            }
            create(client, "/spots", camera_id=camera, spot_number=spot, status=0, **corners)
    return ids


def push(
    camera: str, spot: int, picture: bytes, at: datetime, *, is_exit: bool = False, **fields: Any
) -> dict[str, Any]:
    """The body of a push to `POST /post`."""
    x1, y1, x2, y2 = vehicle_box(spot, SPOTS)
    corners: dict[str, Any] = {
        f"coordinate_{axis}{i}": value
        for i, corner in enumerate(spot_polygon(spot, SPOTS), 1)
        for axis, value in zip("xy", corner, strict=True)
    }
    return parking_push(
        **{
            "time": at.strftime("%Y-%m-%d %H:%M:%S"),
            "device": f"cam-{camera}",
            "parking_area": f"{LOCATION}{camera}",
            "index_number": spot,
            "occupancy": 0 if is_exit else 1,
            "resolution_w": SIZE_PX[0],
            "resolution_y": SIZE_PX[1],
            "vehicle_frame_x1": x1,
            "vehicle_frame_y1": y1,
            "vehicle_frame_x2": x2,
            "vehicle_frame_y2": y2,
            "snapshot": base64.b64encode(picture).decode(),
            **corners,
            **fields,
        }
    )


class HonestCamera:
    """Cars come and go in the spots of a camera; each entry waits for its ticket.

    The camera's clock runs an hour ahead with each car, so that none counts as one that returned.
    """

    def __init__(self, url: str, camera: str) -> None:
        self._client = httpx.Client(base_url=url, timeout=ANSWER_TIMEOUT_S)
        self._camera = camera
        self._number = 0
        self._at = datetime.now(UTC).replace(microsecond=0) - timedelta(days=20)
        self.wrong: list[str] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()

    def car(self) -> float:
        """A car parks and leaves. Returns the seconds from the entry's POST until its ticket was decided."""
        number, self._number = self._number, self._number + 1
        spot = number % SPOTS + 1
        self._at += timedelta(hours=1)
        plate = f"{'ABCDEFGHJK'[number % 10]} {(number * 7919 + int(self._camera) * 101) % 90000 + 10000}"
        picture = draw_scene({spot: ParkedCar(plate)}, spot_count=SPOTS)
        entry = push(self._camera, spot, picture, self._at)
        started_s = time.perf_counter()
        answer = self._client.post("/post", json=entry, headers={"Prefer": f"wait={ANSWER_TIMEOUT_S - 5}"})
        elapsed_s = time.perf_counter() - started_s
        if answer.status_code >= 300 or answer.json().get("status") not in {"opened", "reopened"}:
            self.wrong.append(f"entry of {plate}: {answer.status_code} {answer.text[:200]}")
        empty = draw_scene({}, spot_count=SPOTS, caption=f"{number}")
        leaving = push(self._camera, spot, empty, self._at + timedelta(minutes=40), is_exit=True)
        self._client.post("/post", json=leaving)
        return elapsed_s

    def cars(self, count: int) -> list[float]:
        return [self.car() for _ in range(count)]


@contextmanager
def repeated(*actions: Any) -> Iterator[None]:
    """Each action is called without end in a thread of its own, until the block ends. Its HTTP errors are ignored."""
    is_over = threading.Event()

    def work(action: Any) -> None:
        while not is_over.is_set():
            try:
                action()
            except (httpx.HTTPError, OSError):
                continue

    threads = [threading.Thread(target=work, args=(action,), daemon=True) for action in actions]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        is_over.set()
        for thread in threads:
            thread.join(ANSWER_TIMEOUT_S)
