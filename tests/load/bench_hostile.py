"""What hostile clients cost the honest ones, embedded: pictures, unfinished requests, a stop, memory.

`HOSTILE_PICTURES` (1000; the goal is over 10,000) and `HOSTILE_MINUTES` (3; the goal is over an hour) say how much.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from socket import socket

import httpx

from all_in_one.pictures import ParkedCar, draw_scene
from attack.clients import DRIPPING, IDLE, post_times
from attack.faults import GRACE_MARGIN_S, GRACE_S, stop_in_the_worst_moment
from attack.pictures import WORST_OF_MEMORY, WORST_OF_TIME
from attack.pictures_through_http import CARS, running_with_camera, upload, worst
from attack.target import SPOTS, Target, push, repeated
from figures import Figure, publish
from testkit.pictures import noise, solid

PICTURES = int(os.environ.get("HOSTILE_PICTURES", "1000"))
MINUTES = float(os.environ.get("HOSTILE_MINUTES", "3"))
SEED = 1
CLIENTS = 4
SETTLE_S = 20


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        figures, notes = generated_pictures(Path(name))
        costly = [Path(name, file).read_bytes() for file in (WORST_OF_MEMORY, WORST_OF_TIME)]
    print("measuring: pictures without end ...", flush=True)
    figures += pictures_without_end(costly)
    for measure in (unfinished_requests, stop, memory_over_time):
        print(f"measuring: {measure.__name__.replace('_', ' ')} ...", flush=True)
        figures += measure()
    publish("hostile", figures, notes)


def generated_pictures(folder: Path) -> tuple[list[Figure], list[str]]:
    """In a process of their own, as plate-ocr reads them. The costliest ones are written into the folder."""
    print(f"measuring: {PICTURES} generated pictures ...", flush=True)
    command = [sys.executable, "-m", "attack.pictures", str(PICTURES), str(SEED), str(folder)]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
    output = subprocess.run(command, check=True, stdout=subprocess.PIPE, env=environment).stdout
    cost = json.loads(output.splitlines()[-1])
    if cost["errors"]:
        sys.exit("pictures that caused an unexpected error:\n" + "\n".join(cost["errors"]))
    note = (
        f"{cost['admitted']} of {PICTURES} pictures admitted; most memory: {cost['worst_memory_of']};"
        f" most processor time: {cost['worst_processor_of']}"
    )
    figures = [
        Figure("worst picture: memory", cost["worst_memory_mb"], "MB", goal="150 above idle"),
        Figure("worst picture: processor", cost["worst_processor_s"], "s", goal="2"),
        Figure("memory kept after them", cost["end_mb"] - cost["idle_mb"], "MB"),
    ]
    return figures, [note]


def pictures_without_end(costly: list[bytes]) -> list[Figure]:
    """Four clients that send the costliest generated pictures to the public reader."""
    with running_with_camera("embedded") as (target, quiet_s, camera):
        clients = [partial(upload, target, costly[number % len(costly)]) for number in range(CLIENTS)]
        with repeated(*clients):
            time.sleep(1)
            attacked_s = worst(camera.cars(CARS))
        if camera.wrong:
            sys.exit(f"the honest camera got wrong tickets: {camera.wrong[:3]}")
    return [ratio("POST to ticket p95, pictures without end", attacked_s, quiet_s, 3.0)]


def unfinished_requests() -> list[Figure]:
    """Connections that send nothing, and requests whose body arrives a byte a second."""
    with running_with_camera("embedded") as (target, _, _), ExitStack() as opened:
        quiet_s = worst(post_times(target, "2", 60))
        dripping: list[socket] = []
        for number in range(IDLE + DRIPPING):
            with suppress(OSError):
                one = opened.enter_context(target.socket())
                if number >= IDLE:
                    one.sendall(b"POST /post HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n{")
                    dripping.append(one)
        with repeated(partial(drip, dripping)):
            attacked_s = worst(post_times(target, "2", 60))
    return [ratio(f"POST p95, {IDLE} idle and {DRIPPING} dripping", attacked_s, quiet_s, 1.5)]


def drip(sockets: list[socket]) -> None:
    """One byte on each, then a pause."""
    for one in sockets:
        with suppress(OSError):
            one.send(b" ")
    time.sleep(1)


def stop() -> list[Figure]:
    """SIGTERM while large pictures are read and cameras push."""
    checks = list(stop_in_the_worst_moment("embedded"))
    for check in checks:
        if not check.is_held:
            sys.exit(f"{check.what}: {check.detail}")
    took_s = float(checks[0].detail.partition(" took ")[2].partition(" s")[0])
    return [Figure("SIGTERM to the end", took_s, "s", goal=f"{GRACE_S + GRACE_MARGIN_S:g}")]


def memory_over_time() -> list[Figure]:
    """Honest cars and hostile requests of every kind at the same time."""
    with running_with_camera("embedded") as (target, _, camera):
        before_mb = settled_mb(target)
        over = time.monotonic() + MINUTES * 60
        with repeated(*mixture(target)):
            while time.monotonic() < over:
                camera.cars(2)
                print(
                    f"  {max(0, over - time.monotonic()):.0f} s left, {target.memory_mb():.0f} MB", flush=True
                )
        after_mb = settled_mb(target)
    return [
        Figure(
            f"memory after {MINUTES:g} minutes",
            after_mb,
            "MB",
            before_mb,
            after_mb / before_mb,
            goal="ratio 1.10",
        )
    ]


def settled_mb(target: Target) -> float:
    """After every kind of work was done once, and at rest."""
    upload(target, noise(8_000_000))
    time.sleep(SETTLE_S)
    return target.memory_mb()


def mixture(target: Target) -> list[Callable[[], object]]:
    """What hostile clients do, one thing each."""
    large, small = noise(6_000_000), solid()
    scene = draw_scene({1: ParkedCar("D 71026")}, spot_count=SPOTS)
    numbers = iter(range(10**9))

    def unknown_camera() -> None:
        with target.stranger() as client:
            area = f"ZZ{next(numbers) % 10**6}"
            client.post("/post", json={**push("1", 1, small, datetime.now(UTC)), "parking_area": area})

    def busy_camera() -> None:
        with target.stranger() as client:
            client.post("/post", json=push("3", 1 + next(numbers) % SPOTS, scene, datetime.now(UTC)))

    def unfinished() -> None:
        with suppress(OSError), target.socket() as one:
            one.sendall(b"POST /post HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\n{")
            time.sleep(0.5)

    def unknown_path() -> None:
        with target.stranger() as client, suppress(httpx.HTTPError):
            client.get(f"/{next(numbers)}?x={'y' * 1000}", headers={"X-Request-Id": str(next(numbers))})

    return [lambda: upload(target, large), unknown_camera, busy_camera, unfinished, unknown_path]


def ratio(key: str, attacked_s: float, quiet_s: float, limit: float) -> Figure:
    return Figure(key, attacked_s * 1000, "ms", quiet_s * 1000, attacked_s / quiet_s, goal=f"ratio {limit:g}")


if __name__ == "__main__":
    main()
