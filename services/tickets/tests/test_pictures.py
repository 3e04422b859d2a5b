"""Pictures of tickets, reviews and triggers; the spot outlined in the exit picture."""

import asyncio
import shutil
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from lookout.common.v1 import common_pb2 as common
from testkit import pictures
from testkit.waiting import eventually
from tickets.adapters.outline import NotDrawable, outline_spot

from .conftest import POLYGON, Frames, House, running

Pixels = NDArray[np.uint8]


def decoded(encoded: bytes) -> Pixels:
    pixels = cv2.imdecode(np.frombuffer(encoded, dtype=np.uint8), cv2.IMREAD_COLOR)
    assert pixels is not None
    return pixels.astype(np.uint8)


def is_red(pixels: Pixels, x: int, y: int) -> bool:
    blue, green, red = (int(value) for value in pixels[y, x])
    return red > 180 and blue < 90 and green < 90


async def stored(house: House, key: str, content: bytes, kind: str = "image/jpeg") -> common.BlobRef:
    blob = await house.blobs.put(key, content, kind)
    return common.BlobRef(
        key=key, content_type=kind, size_bytes=blob.size_bytes, sha256=blob.sha256, width_px=80, height_px=60
    )


async def state_of(house: House, ticket_id: int) -> Any:
    return (await house.get(f"/tickets/{ticket_id}"))["exit_image_state"]


async def until(house: House, ticket_id: int, state: str) -> None:
    async def is_there() -> bool:
        return bool(await state_of(house, ticket_id) == state)

    _: bool = await eventually(is_there, message=f"exit picture {state}")


class TestOutline:
    def test_the_edge_is_red_and_the_rest_is_left_alone(self) -> None:
        marked = decoded(outline_spot(pictures.solid(80, 60), POLYGON))
        assert marked.shape == (60, 80, 3)
        for x, y in ((40, 10), (65, 25), (40, 40), (15, 25)):  # the middle of each edge
            assert is_red(marked, x, y), (x, y)
        for x, y in ((40, 25), (5, 5), (75, 55)):
            assert abs(int(marked[y, x, 2]) - 90) < 30, (x, y)

    def test_the_line_grows_with_the_picture(self) -> None:
        polygon = [(600.0, 300.0), (1800.0, 300.0), (1800.0, 900.0), (600.0, 900.0)]
        marked = decoded(outline_spot(pictures.solid(2400, 1200), polygon))
        assert all(is_red(marked, 1200, 300 + dy) for dy in range(-2, 3))
        assert not is_red(marked, 1200, 320)

    @pytest.mark.parametrize("far", [1e6, 1e18, 1e308, -1e308])
    def test_corners_far_outside_are_clipped(self, far: float) -> None:
        marked = decoded(outline_spot(pictures.solid(80, 60), [(far, 30.0), (10.0, 30.0), (10.0, far)]))
        assert marked.shape == (60, 80, 3)

    @pytest.mark.parametrize(
        ("encoded", "polygon"),
        [
            (b"", POLYGON),
            (pictures.no_picture(), POLYGON),
            (pictures.solid()[:20], POLYGON),
            (pictures.bomb(), POLYGON),
            (pictures.solid(), ()),
            (pictures.solid(), POLYGON[:2]),
        ],
    )
    def test_what_cannot_be_drawn_is_said(self, encoded: bytes, polygon: Any) -> None:
        with pytest.raises(NotDrawable):
            outline_spot(encoded, polygon)


async def test_a_closed_ticket_has_its_three_pictures(house: House, frames: Frames) -> None:
    entry_picture = pictures.solid(80, 60, (10, 120, 10))
    crop = await stored(house, "crops/1.png", b"a crop", "image/png")
    entry = frames.entry(0, picture=await stored(house, "frames/1.jpg", entry_picture), crop=crop)
    leaving = frames.leaving(30, picture=await stored(house, "frames/2.jpg", pictures.solid(80, 60)))
    await house.play(entry, leaving)
    image = await house.http.get("/api/v1/tickets/1/image")
    assert (image.status_code, image.headers["content-type"], image.content) == (
        200,
        "image/jpeg",
        entry_picture,
    )
    assert image.headers["x-content-type-options"] == "nosniff"
    plate = await house.http.get("/api/v1/tickets/1/plate-image")
    assert (plate.headers["content-type"], plate.content) == ("image/png", b"a crop")
    await until(house, 1, "MARKED")
    marked = await house.http.get("/api/v1/tickets/1/exit-image")
    assert (marked.status_code, marked.headers["content-type"]) == (200, "image/jpeg")
    assert "x-image-note" not in marked.headers
    assert is_red(decoded(marked.content), 40, 10)
    assert not is_red(decoded(marked.content), 40, 25)
    # The picture as it came is not touched.
    assert await house.blobs.get("frames/2.jpg") == pictures.solid(80, 60)
    keys = [blob.key async for blob in house.blobs.list("exits/2026/03/14/")]
    assert len(keys) == 1


async def test_whoever_asks_before_it_is_drawn_gets_it_drawn(
    sqlite_url: str, tmp_path: Path, manual_clock: Any, frames: Frames
) -> None:
    async with running(sqlite_url, tmp_path, manual_clock) as house:
        house.service.background.clear()
        tasks = [task for task in asyncio.all_tasks() if task.get_name() == "tickets:exit_pictures"]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        picture = await stored(house, "frames/2.jpg", pictures.solid(80, 60))
        await house.play(frames.entry(0), frames.leaving(30, picture=picture))
        assert await state_of(house, 1) == "PENDING"
        marked = await house.http.get("/api/v1/tickets/1/exit-image")
        assert is_red(decoded(marked.content), 40, 10)
        assert await state_of(house, 1) == "MARKED"


async def test_what_was_not_drawn_before_the_end_is_drawn_after_the_start(
    sqlite_url: str, tmp_path: Path, manual_clock: Any, frames: Frames
) -> None:
    async with running(sqlite_url, tmp_path, manual_clock) as house:
        blobs = tmp_path / "blobs"
        picture = await stored(house, "frames/2.jpg", pictures.solid(80, 60))
        blobs.rename(tmp_path / "unplugged")
        blobs.write_bytes(b"a file where the folder was: the store is away")
        await house.play(frames.entry(0), frames.leaving(30, picture=picture))
        assert await state_of(house, 1) == "PENDING"
    blobs.unlink()
    (tmp_path / "unplugged").rename(blobs)
    async with running(sqlite_url, tmp_path, manual_clock) as house:
        await until(house, 1, "MARKED")


@pytest.mark.parametrize(
    ("content", "note"),
    [
        (pictures.truncated(pictures.noise(20_000), 0.01), "the picture does not decode"),
        (pictures.no_picture(), "the picture does not decode"),
    ],
)
async def test_a_broken_exit_picture_is_kept_plain_and_told(
    house: House, frames: Frames, content: bytes, note: str
) -> None:
    picture = await stored(house, "frames/2.jpg", content)
    await house.play(frames.entry(0), frames.leaving(30, picture=picture))
    await until(house, 1, "PLAIN")
    image = await house.http.get("/api/v1/tickets/1/exit-image")
    assert (image.status_code, image.content) == (200, content)
    assert image.headers["x-image-note"] == note
    assert (await house.get("/tickets/1"))["exit_image_note"] == note


async def test_an_exit_picture_that_says_it_is_huge_is_not_opened(house: House, frames: Frames) -> None:
    picture = await stored(house, "frames/2.jpg", pictures.solid(80, 60))
    picture.width_px, picture.height_px = 50_000, 50_000
    await house.play(frames.entry(0), frames.leaving(30, picture=picture))
    await until(house, 1, "PLAIN")
    assert "pixels" in (await house.get("/tickets/1"))["exit_image_note"]


async def test_an_exit_picture_that_is_gone_does_not_hold_up_the_others(house: House, frames: Frames) -> None:
    picture = await stored(house, "frames/2.jpg", pictures.solid(80, 60))
    await house.play(frames.entry(0), frames.leaving(30))
    await house.play(frames.entry(0, spot=2), frames.leaving(30, spot=2, picture=picture))
    await until(house, 1, "PLAIN")
    await until(house, 2, "MARKED")
    await house.refused("/tickets/1/exit-image", 404)


async def test_a_ticket_reopened_meanwhile_gets_no_exit_picture(house: House, frames: Frames) -> None:
    picture = await stored(house, "frames/2.jpg", pictures.solid(80, 60))
    await house.play(frames.entry(0), frames.leaving(30, picture=picture), frames.entry(31))
    await house.refused("/tickets/1/exit-image", 404)
    ticket = await house.get("/tickets/1")
    assert (ticket["exit_image_state"], ticket["reopened_count"]) == (None, 1)
    assert ticket["earlier_exit_times"] == ["2026-03-14T08:30:00Z"]


async def test_pictures_that_are_not_there(house: House, frames: Frames) -> None:
    await house.play(frames.entry(0, None))
    await house.refused("/tickets/1/image", 404)  # a row, and no blob
    assert "is open" in (await house.refused("/tickets/1/exit-image", 404))["detail"]
    await house.refused("/tickets/1/plate-image", 404)
    for path in ("image", "exit-image", "plate-image"):
        await house.refused(f"/tickets/9/{path}", 404)
    await house.refused("/manual-reviews/1/plate-image", 404)
    await house.refused("/manual-reviews/9/image", 404)
    await house.refused("/ignored-triggers/9/image", 404)


async def test_pictures_of_reviews_and_ignored_triggers(house: House, frames: Frames) -> None:
    snapshot = await stored(house, "frames/1.jpg", b"a snapshot")
    crop = await stored(house, "crops/1.jpg", b"a crop")
    second = await stored(house, "frames/2.jpg", b"the second")
    await house.play(
        frames.entry(0, confidence=0.2, picture=snapshot, crop=crop), frames.entry(5, picture=second)
    )
    for path, content in (
        ("manual-reviews/1/image", b"a snapshot"),
        ("manual-reviews/1/plate-image", b"a crop"),
        ("tickets/1/plate-image", b"a crop"),
        ("ignored-triggers/2/image", b"the second"),
    ):
        image = await house.http.get(f"/api/v1/{path}")
        assert (image.status_code, image.content) == (200, content), path


async def test_a_picture_that_calls_itself_a_page_is_not_served_as_one(house: House, frames: Frames) -> None:
    picture = await stored(house, "frames/1.jpg", b"<script>", "text/html")
    await house.play(frames.entry(0, picture=picture))
    image = await house.http.get("/api/v1/tickets/1/image")
    assert image.headers["content-type"] == "application/octet-stream"


async def test_without_the_blob_store_only_the_pictures_are_missing(
    house: House, frames: Frames, tmp_path: Path
) -> None:
    picture = await stored(house, "frames/1.jpg", pictures.solid())
    await house.play(frames.entry(0, picture=picture), frames.leaving(30, picture=picture))
    await until(house, 1, "MARKED")
    shutil.rmtree(tmp_path / "blobs")
    (tmp_path / "blobs").write_bytes(b"not a folder any more")
    problem = await house.refused("/tickets/1/image", 503)
    assert problem["status"] == 503
    await house.play(frames.entry(40, "K77310"), frames.leaving(50))
    assert (await house.get("/tickets/2"))["status"] == "CLOSED"
    await house.refused("/tickets/2/exit-image", 503)


async def test_drawing_does_not_hold_up_the_event_loop(house: House, frames: Frames) -> None:
    """A picture that takes long to draw; meanwhile the loop answers in a fraction of that time."""
    large = await stored(house, "frames/1.jpg", pictures.solid(6000, 4000))
    await house.play(frames.entry(0), frames.leaving(30, picture=large))
    loop = asyncio.get_running_loop()
    pauses, last = [], loop.time()
    asked = asyncio.create_task(house.http.get("/api/v1/tickets/1/exit-image"))
    while not asked.done():
        await asyncio.sleep(0)
        pauses.append(loop.time() - last)
        last = loop.time()
    assert (await asked).status_code == 200
    started = loop.time()
    outline_spot(await house.blobs.get("frames/1.jpg"), POLYGON)
    # On a busy machine the loop waits for a core now and then, but not for the whole of the drawing.
    assert max(pauses) < max(0.8 * (loop.time() - started), 0.2)
