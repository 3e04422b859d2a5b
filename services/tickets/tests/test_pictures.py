"""Pictures of tickets, reviews and triggers; the spot outlined in the exit picture."""

import asyncio
import io
import shutil
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import structlog
from numpy.typing import NDArray
from PIL import Image

from kit.blobs import BlobStore, open_blobs
from kit.metrics import Metrics
from kit.settings import BlobSettings
from lookout.common.v1 import common_pb2 as common
from testkit import pictures
from testkit.waiting import eventually
from tickets.adapters.outline import outline_spot
from tickets.domain.tickets import CannotOutline, OutlineState, Point
from tickets.handlers.fetch_pictures import FetchPictures
from tickets.handlers.outline_exit_pictures import Outline, OutlineExitPictures
from tickets.handlers.queries import Queries
from tickets.metrics import TicketsMetrics

from .conftest import POLYGON, Decider, Frames, RunningTickets, running

Pixels = NDArray[np.uint8]


def decoded(encoded: bytes) -> Pixels:
    pixels = cv2.imdecode(np.frombuffer(encoded, dtype=np.uint8), cv2.IMREAD_COLOR)
    assert pixels is not None
    return pixels.astype(np.uint8)


def is_red(pixels: Pixels, x: int, y: int) -> bool:
    blue, green, red = (int(value) for value in pixels[y, x])
    return red > 180 and blue < 90 and green < 90


async def stored(blobs: BlobStore, key: str, content: bytes, kind: str = "image/jpeg") -> common.BlobRef:
    blob = await blobs.put(key, content, kind)
    return common.BlobRef(
        key=key, content_type=kind, size_bytes=blob.size_bytes, sha256=blob.sha256, width_px=80, height_px=60
    )


async def opened_blobs(folder: Path) -> BlobStore:
    blobs = open_blobs(BlobSettings(url=f"file://{folder}/blobs"))
    await blobs.start()
    return blobs


def outliner(decider: Decider, blobs: BlobStore, outline: Outline) -> OutlineExitPictures:
    return OutlineExitPictures(
        db=decider.db,
        blobs=blobs,
        logger=structlog.get_logger(),
        metrics=TicketsMetrics(Metrics("outliner")),
        outline=outline,
        batch_size=32,
        poll_interval_s=5,
        max_picture_px=40_000_000,
    )


async def state_of(service: RunningTickets, ticket_id: int) -> Any:
    return (await service.get(f"/tickets/{ticket_id}"))["exit_image_state"]


async def until(service: RunningTickets, ticket_id: int, state: str) -> None:
    async def is_there() -> bool:
        return bool(await state_of(service, ticket_id) == state)

    _: bool = await eventually(is_there, message=f"exit picture {state}")


def encoded_as(kind: str) -> bytes:
    """A smooth picture, 160 by 120 pixels before it is turned, without red."""
    grey = np.linspace(40, 160, 160, dtype=np.float64)[None, :] + np.linspace(0, 60, 120)[:, None]
    file = io.BytesIO()
    if kind == "16 bit PNG":
        Image.fromarray((grey * 256).astype(np.uint16)).save(file, "PNG")
    elif kind == "grey PNG":
        Image.fromarray(grey.astype(np.uint8)).save(file, "PNG")
    else:
        colour = Image.fromarray(np.stack([grey * 0.5, grey, grey * 0.8], axis=2).astype(np.uint8))
        exif = Image.Exif()
        if kind == "turned JPEG":
            exif[274] = 6  # Exif's orientation: the camera was turned by 90 degrees
        if kind == "WEBP":
            colour.save(file, "WEBP", lossless=True)
        else:
            colour.save(file, kind.rsplit(maxsplit=1)[-1], exif=exif, quality=95)
    return file.getvalue()


class TestOutline:
    def test_the_edge_is_red_and_the_rest_is_unchanged(self) -> None:
        outlined = decoded(outline_spot(pictures.solid(80, 60), POLYGON))
        assert outlined.shape == (60, 80, 3)
        for x, y in ((40, 10), (65, 25), (40, 40), (15, 25)):  # the middle of each edge
            assert is_red(outlined, x, y), (x, y)
        for x, y in ((40, 25), (5, 5), (75, 55)):
            assert abs(int(outlined[y, x, 2]) - 90) < 30, (x, y)

    def test_the_line_grows_with_the_picture(self) -> None:
        polygon = [(600.0, 300.0), (1800.0, 300.0), (1800.0, 900.0), (600.0, 900.0)]
        outlined = decoded(outline_spot(pictures.solid(2400, 1200), polygon))
        assert all(is_red(outlined, 1200, 300 + dy) for dy in range(-2, 3))
        assert not is_red(outlined, 1200, 320)

    @pytest.mark.parametrize("kind", ["JPEG", "turned JPEG", "PNG", "grey PNG", "16 bit PNG", "WEBP", "BMP"])
    def test_the_picture_is_what_another_decoder_makes_of_it(self, kind: str) -> None:
        """OpenCV is the other one: same size, same turn, same pixels, and the same line in the same place."""
        encoded = encoded_as(kind)
        polygon = [(20.0, 20.0), (100.0, 30.0), (90.0, 80.0), (30.0, 70.0)]
        expected = decoded(encoded)
        lines = np.zeros_like(expected)
        cv2.polylines(expected, [np.array(polygon, np.int32)], isClosed=True, color=(0, 0, 255), thickness=2)
        cv2.polylines(lines, [np.array(polygon, np.int32)], isClosed=True, color=(0, 0, 255), thickness=2)
        as_jpeg = decoded(cv2.imencode(".jpg", expected, [cv2.IMWRITE_JPEG_QUALITY, 90])[1].tobytes())
        found = decoded(outline_spot(encoded, polygon))
        assert found.shape == as_jpeg.shape
        difference = np.abs(found.astype(int) - as_jpeg.astype(int)).max(axis=2)
        on_line = lines.any(axis=2)
        away = cv2.dilate(lines.max(axis=2), np.ones((33, 33))) == 0
        # The edges of the two lines differ by a part of a pixel, which JPEG blurs over its blocks.
        assert difference[away].max() <= 16
        assert difference[on_line].mean() < 50

    @pytest.mark.parametrize("far", [1e6, 1e18, 1e308, -1e308])
    def test_corners_far_outside_are_clipped(self, far: float) -> None:
        outlined = decoded(outline_spot(pictures.solid(80, 60), [(far, 30.0), (10.0, 30.0), (10.0, far)]))
        assert outlined.shape == (60, 80, 3)

    @pytest.mark.parametrize(
        ("encoded", "polygon"),
        [
            (b"", POLYGON),
            (pictures.error_page(), POLYGON),
            (pictures.solid()[:20], POLYGON),
            (pictures.bomb(), POLYGON),
            (pictures.truncated(), POLYGON),
            (pictures.solid(), ()),
            (pictures.solid(), POLYGON[:2]),
        ],
    )
    def test_an_outline_that_cannot_be_drawn_is_an_error(self, encoded: bytes, polygon: Any) -> None:
        with pytest.raises(CannotOutline):
            outline_spot(encoded, polygon)


async def test_a_closed_ticket_has_its_three_pictures(service: RunningTickets, frames: Frames) -> None:
    entry_picture = pictures.solid(80, 60, (10, 120, 10))
    crop = await stored(service.blobs, "crops/1.png", b"a crop", "image/png")
    entry = frames.entry(0, picture=await stored(service.blobs, "frames/1.jpg", entry_picture), crop=crop)
    leaving = frames.exit(30, picture=await stored(service.blobs, "frames/2.jpg", pictures.solid(80, 60)))
    await service.publish(entry, leaving)
    image = await service.http.get("/api/v1/tickets/1/image")
    assert (image.status_code, image.headers["content-type"], image.content) == (
        200,
        "image/jpeg",
        entry_picture,
    )
    assert image.headers["x-content-type-options"] == "nosniff"
    plate = await service.http.get("/api/v1/tickets/1/plate-image")
    assert (plate.headers["content-type"], plate.content) == ("image/png", b"a crop")
    await until(service, 1, "MARKED")
    outlined = await service.http.get("/api/v1/tickets/1/exit-image")
    assert (outlined.status_code, outlined.headers["content-type"]) == (200, "image/jpeg")
    assert "x-image-note" not in outlined.headers
    assert is_red(decoded(outlined.content), 40, 10)
    assert not is_red(decoded(outlined.content), 40, 25)
    # The original picture is unchanged.
    assert await service.blobs.get("frames/2.jpg") == pictures.solid(80, 60)
    keys = [blob.key async for blob in service.blobs.list("exits/2026/03/14/")]
    assert len(keys) == 1


async def test_an_exit_picture_requested_before_it_is_outlined_is_outlined_at_once(
    decider: Decider, frames: Frames, tmp_path: Path
) -> None:
    blobs, queries = await opened_blobs(tmp_path), Queries(decider.db)
    fetch = FetchPictures(queries, blobs, outliner(decider, blobs, outline_spot))
    plain = await stored(blobs, "frames/2.jpg", pictures.solid(80, 60))
    await decider.decide(frames.entry(0), frames.exit(30, picture=plain))
    assert (await queries.ticket(1)).outline_state is OutlineState.PENDING
    assert is_red(decoded((await fetch.exit(1)).content), 40, 10)
    assert (await queries.ticket(1)).outline_state is OutlineState.MARKED


async def test_the_outline_is_not_drawn_on_the_event_loop(
    decider: Decider, frames: Frames, tmp_path: Path
) -> None:
    """Drawing ends when the event loop says so, which it cannot while it draws."""
    blobs, loop = await opened_blobs(tmp_path), asyncio.get_running_loop()
    has_started, may_end = asyncio.Event(), threading.Event()

    def outline(encoded: bytes, polygon_px: Sequence[Point]) -> bytes:
        loop.call_soon_threadsafe(has_started.set)
        assert may_end.wait(timeout=30)
        return outline_spot(encoded, polygon_px)

    plain = await stored(blobs, "frames/2.jpg", pictures.solid(80, 60))
    await decider.decide(frames.entry(0), frames.exit(30, picture=plain))
    drawing = asyncio.create_task(outliner(decider, blobs, outline).outline_pending())
    await has_started.wait()
    may_end.set()
    assert await drawing == 1


@pytest.mark.integration
async def test_an_outline_that_was_not_drawn_before_a_stop_is_drawn_after_the_start(
    sqlite_url: str, tmp_path: Path, manual_clock: Any, frames: Frames
) -> None:
    async with running(sqlite_url, tmp_path, manual_clock) as service:
        folder = tmp_path / "blobs/frames"
        picture = await stored(service.blobs, "frames/2.jpg", pictures.solid(80, 60))
        folder.rename(tmp_path / "moved")
        folder.symlink_to(folder)  # reading below it fails with ELOOP, and nothing creates it again
        await service.publish(frames.entry(0), frames.exit(30, picture=picture))
        assert await state_of(service, 1) == "PENDING"
    folder.unlink()
    (tmp_path / "moved").rename(folder)
    async with running(sqlite_url, tmp_path, manual_clock) as service:
        await until(service, 1, "MARKED")


@pytest.mark.parametrize(
    ("content", "note"),
    [
        (pictures.truncated(pictures.noise(20_000), 0.01), "the picture does not decode"),
        (pictures.error_page(), "the picture does not decode"),
    ],
)
async def test_a_broken_exit_picture_stays_plain_with_a_note(
    service: RunningTickets, frames: Frames, content: bytes, note: str
) -> None:
    picture = await stored(service.blobs, "frames/2.jpg", content)
    await service.publish(frames.entry(0), frames.exit(30, picture=picture))
    await until(service, 1, "PLAIN")
    image = await service.http.get("/api/v1/tickets/1/exit-image")
    assert (image.status_code, image.content) == (200, content)
    assert image.headers["x-image-note"] == note
    assert (await service.get("/tickets/1"))["exit_image_note"] == note


async def test_an_exit_picture_with_too_many_pixels_is_not_decoded(
    service: RunningTickets, frames: Frames
) -> None:
    picture = await stored(service.blobs, "frames/2.jpg", pictures.solid(80, 60))
    picture.width_px, picture.height_px = 50_000, 50_000
    await service.publish(frames.entry(0), frames.exit(30, picture=picture))
    await until(service, 1, "PLAIN")
    assert "pixels" in (await service.get("/tickets/1"))["exit_image_note"]


async def test_a_missing_exit_picture_does_not_delay_the_others(
    service: RunningTickets, frames: Frames
) -> None:
    picture = await stored(service.blobs, "frames/2.jpg", pictures.solid(80, 60))
    await service.publish(frames.entry(0), frames.exit(30))
    await service.publish(frames.entry(0, spot=2), frames.exit(30, spot=2, picture=picture))
    await until(service, 1, "PLAIN")
    await until(service, 2, "MARKED")
    await service.get_problem("/tickets/1/exit-image", 404)


async def test_a_reopened_ticket_gets_no_exit_picture(service: RunningTickets, frames: Frames) -> None:
    picture = await stored(service.blobs, "frames/2.jpg", pictures.solid(80, 60))
    await service.publish(frames.entry(0), frames.exit(30, picture=picture), frames.entry(31))
    await service.get_problem("/tickets/1/exit-image", 404)
    ticket = await service.get("/tickets/1")
    assert (ticket["exit_image_state"], ticket["reopened_count"]) == (None, 1)
    assert ticket["earlier_exit_times"] == ["2026-03-14T08:30:00Z"]


async def test_pictures_not_found(service: RunningTickets, frames: Frames) -> None:
    await service.publish(frames.entry(0, None))
    await service.get_problem("/tickets/1/image", 404)  # a row, and no blob
    assert "is open" in (await service.get_problem("/tickets/1/exit-image", 404))["detail"]
    await service.get_problem("/tickets/1/plate-image", 404)
    for path in ("image", "exit-image", "plate-image"):
        await service.get_problem(f"/tickets/9/{path}", 404)
    await service.get_problem("/manual-reviews/1/plate-image", 404)
    await service.get_problem("/manual-reviews/9/image", 404)
    await service.get_problem("/ignored-triggers/9/image", 404)


async def test_pictures_of_reviews_and_ignored_triggers(service: RunningTickets, frames: Frames) -> None:
    snapshot = await stored(service.blobs, "frames/1.jpg", b"a snapshot")
    crop = await stored(service.blobs, "crops/1.jpg", b"a crop")
    second = await stored(service.blobs, "frames/2.jpg", b"the second")
    await service.publish(
        frames.entry(0, confidence=0.2, picture=snapshot, crop=crop), frames.entry(5, picture=second)
    )
    for path, content in (
        ("manual-reviews/1/image", b"a snapshot"),
        ("manual-reviews/1/plate-image", b"a crop"),
        ("tickets/1/plate-image", b"a crop"),
        ("ignored-triggers/2/image", b"the second"),
    ):
        image = await service.http.get(f"/api/v1/{path}")
        assert (image.status_code, image.content) == (200, content), path


async def test_a_stored_content_type_that_is_no_picture_is_not_passed_on(
    service: RunningTickets, frames: Frames
) -> None:
    picture = await stored(service.blobs, "frames/1.jpg", b"<script>", "text/html")
    await service.publish(frames.entry(0, picture=picture))
    image = await service.http.get("/api/v1/tickets/1/image")
    assert image.headers["content-type"] == "application/octet-stream"


async def test_without_the_blob_store_only_the_pictures_are_missing(
    service: RunningTickets, frames: Frames, tmp_path: Path
) -> None:
    picture = await stored(service.blobs, "frames/1.jpg", pictures.solid())
    await service.publish(frames.entry(0, picture=picture), frames.exit(30, picture=picture))
    await until(service, 1, "MARKED")
    shutil.rmtree(tmp_path / "blobs")
    (tmp_path / "blobs").write_bytes(b"a file in place of the folder")
    problem = await service.get_problem("/tickets/1/image", 503)
    assert problem["status"] == 503
    await service.publish(frames.entry(40, "K77310"), frames.exit(50))
    assert (await service.get("/tickets/2"))["status"] == "CLOSED"
    await service.get_problem("/tickets/2/exit-image", 503)
