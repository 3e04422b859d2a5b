"""Pictures that cost much: one row of a million pixels, thousands of scans, many large ones at once."""

from __future__ import annotations

import base64
import io
import struct
import tempfile
import time
import zlib
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

import httpx
from PIL import Image

from attack.checks import Check
from attack.target import HonestCamera, MemoryGrowth, Mode, Target, push, repeated, running
from testkit.pictures import noise

MEMORY_LIMIT_MB = 150
CALLS_MEMORY_LIMIT_MB = 210
"""What the costliest picture may take, and twice the 26 MB of `PICTURES__MAX_BUFFERED_CALL_BYTES`: body and picture."""
WARM_UP_CARS, CARS = 3, 12
SLOWER = 3.0
CALLS, CALL_BYTES = 40, 12_000_000


def grey_png(width_px: int, height_px: int) -> bytes:
    """A PNG of one grey, at most some kilobytes however large it is."""

    def chunk(name: bytes, content: bytes) -> bytes:
        checksum = struct.pack(">I", zlib.crc32(name + content))
        return struct.pack(">I", len(content)) + name + content + checksum

    header = struct.pack(">IIBBBBB", width_px, height_px, 8, 0, 0, 0, 0)
    rows = zlib.compressobj(9)
    row = b"\0" + b"\x7f" * width_px
    data = b"".join(rows.compress(row) for _ in range(height_px)) + rows.flush()
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def many_scans(scans: int, size_px: tuple[int, int] = (1600, 1200)) -> bytes:
    """A progressive JPEG whose last scan is repeated until there are `scans`."""
    buffer = io.BytesIO()
    Image.effect_noise(size_px, 20).convert("RGB").resize(size_px).save(
        buffer, "JPEG", quality=30, progressive=True
    )
    jpeg = buffer.getvalue()
    blank = io.BytesIO()
    Image.new("RGB", size_px, (90, 90, 90)).save(blank, "JPEG", quality=30, progressive=True)
    small = blank.getvalue()
    last = small[small.rindex(b"\xff\xda") : -2]
    return jpeg[:-2] + last * scans + b"\xff\xd9"


def strips(mode: Mode) -> Iterator[Check]:
    """Finding: a PNG of 1,000,000 x 1 pixels, 1 kB, took 5 GB and stopped all tickets for 65 s."""
    with running_with_camera(mode) as (target, quiet_s, camera):
        growth = target.watch_memory()
        hostile = [grey_png(1_000_000, 1), grey_png(1, 1_000_000), grey_png(300_000, 100)]
        with suppress(httpx.HTTPError):
            yield from answers(target, hostile)
        attacked_s = worst(camera.cars(CARS))
        yield memory_check("memory", growth)
        yield slowdown(quiet_s, attacked_s, camera)


def answers(target: Target, pictures: list[bytes]) -> Iterator[Check]:
    """Each picture is refused at both public ways in."""
    with target.stranger() as client:
        for number, picture in enumerate(pictures, 1):
            body = push("2", 1, picture, datetime.now(UTC))
            pushed = client.post("/post", json=body)
            called = client.post("/ocr-image", files={"image": ("a.png", picture)})
            is_refused = 400 <= pushed.status_code < 500 and 400 <= called.status_code < 500
            yield Check(
                f"picture {number} is refused",
                is_refused,
                f"/post {pushed.status_code}, /ocr-image {called.status_code} {problem(called)}",
            )


def problem(answer: httpx.Response) -> str:
    with suppress(ValueError):
        return str(answer.json().get("detail", ""))[:120]
    return answer.text[:120]


def scans(mode: Mode) -> Iterator[Check]:
    """Finding: 23 kB of a progressive JPEG with 3,000 scans cost 12 s of processor time."""
    with running_with_camera(mode) as (target, quiet_s, camera), target.stranger() as client:
        for count in (500, 3000):
            picture = many_scans(count)
            used_s = target.processor_s()
            answer = client.post("/ocr-image", files={"image": ("a.jpg", picture)})
            used_s = target.processor_s() - used_s
            yield Check(
                f"{count} scans, {len(picture) // 1000} kB",
                answer.status_code < 500 and used_s < 2,
                f"{answer.status_code} {problem(answer)}; {used_s:.1f} s of processor time",
            )
        with repeated(*[lambda: upload(target, picture)] * 4):
            attacked_s = worst(camera.cars(CARS))
        yield slowdown(quiet_s, attacked_s, camera)


def upload(target: Target, picture: bytes) -> None:
    with target.stranger() as client:
        client.post("/ocr-image", files={"image": ("a.jpg", picture)})


def memory_check(name: str, growth: MemoryGrowth, limit_mb: float = MEMORY_LIMIT_MB) -> Check:
    """Each process by itself: a container's memory limit is that of its process."""
    grown_mb = growth.by_process_mb()
    detail = ", ".join(f"{process} {mb:+.0f} MB" for process, mb in grown_mb.items())
    return Check(name, max(grown_mb.values()) <= limit_mb, detail)


def large_calls(mode: Mode) -> Iterator[Check]:
    """Finding: `/ocr-image` held 40 bodies of 12 MB at a time."""
    with running_with_camera(mode) as (target, quiet_s, camera):
        body = noise(CALL_BYTES)
        growth = target.watch_memory()

        def call(_: int) -> int:
            with target.stranger() as client:
                return client.post("/ocr-image", files={"image": ("a.jpg", body)}).status_code

        with ThreadPoolExecutor(CALLS) as pool:
            codes = sorted(set(pool.map(call, range(CALLS))))
        yield memory_check(f"{CALLS} calls of {CALL_BYTES // 1_000_000} MB", growth, CALLS_MEMORY_LIMIT_MB)
        yield Check("they are answered", set(codes) <= {200, 413, 422, 429, 503}, f"answers {codes}")
        yield slowdown(quiet_s, worst(camera.cars(CARS)), camera)


def public_reads_without_end(mode: Mode) -> Iterator[Check]:
    """Finding: the public reader could take the workers of the cameras."""
    with running_with_camera(mode) as (target, quiet_s, camera):
        picture = noise(1_500_000)
        with repeated(*[lambda: upload(target, picture)] * 4):
            time.sleep(1)
            attacked_s = worst(camera.cars(CARS))
        yield slowdown(quiet_s, attacked_s, camera)


class running_with_camera:  # noqa: N801 - used as a context manager only
    """A target, its camera, and the time from POST to ticket while nothing else happens, 95th percentile in s."""

    def __init__(self, mode: Mode, settings: Mapping[str, str] | None = None) -> None:
        self._mode = mode
        self._settings = settings

    def __enter__(self) -> tuple[Target, float, HonestCamera]:
        self._folder = tempfile.TemporaryDirectory()
        self._running = running(self._mode, Path(self._folder.name), self._settings)
        target = self._running.__enter__()
        self._camera = HonestCamera(target.url, "1")
        self._camera.cars(WARM_UP_CARS)
        return target, worst(self._camera.cars(CARS)), self._camera

    def __exit__(self, *error: object) -> None:
        self._camera.__exit__()
        self._running.__exit__(*error)  # type: ignore[arg-type]
        self._folder.cleanup()


def worst(took_s: list[float]) -> float:
    """The 95th percentile."""
    return sorted(took_s)[min(len(took_s) - 1, int(len(took_s) * 0.95))]


def slowdown(quiet_s: float, attacked_s: float, camera: HonestCamera) -> Check:
    """Whether the honest camera got its tickets, and in time."""
    return Check(
        "another camera's tickets",
        not camera.wrong and attacked_s <= SLOWER * quiet_s,
        f"POST to ticket p95 {quiet_s * 1000:.0f} ms quiet, {attacked_s * 1000:.0f} ms attacked"
        + "".join(f"; {wrong}" for wrong in camera.wrong[:2]),
    )


def as_push(picture: bytes) -> str:
    return base64.b64encode(picture).decode()
