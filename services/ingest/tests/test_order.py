"""The events of a camera keep the order of arrival, however long their pictures take to be written."""

import asyncio
from typing import Any

import pytest

from ingest.handlers.ordered_locks import OrderedLocks, Reservation
from kit.blobs.folder import FolderBlobs
from testkit import eventually
from testkit.pictures import noise

from .conftest import Ingest

LARGE = noise(9000)


async def test_a_later_push_does_not_overtake_one_whose_picture_takes_longer(
    ingest: Ingest, monkeypatch: pytest.MonkeyPatch
) -> None:
    put, is_writing, may_continue = FolderBlobs.put, asyncio.Event(), asyncio.Event()

    async def slow(self: FolderBlobs, key: str, data: bytes, *arguments: Any, **named: Any) -> Any:
        if data == LARGE:
            is_writing.set()
            await may_continue.wait()
        return await put(self, key, data, *arguments, **named)

    monkeypatch.setattr(FolderBlobs, "put", slow)
    await ingest.make_camera(api_code="1")
    await ingest.make_camera(api_code="2")
    first = asyncio.create_task(ingest.post(parking_area="NAD1", picture=LARGE))
    await is_writing.wait()
    second = asyncio.create_task(ingest.post(parking_area="NAD1", duration=5))
    other = await ingest.post(parking_area="NAD2")
    assert other.status_code == 200
    # The second picture is written, its row waits.
    await eventually(lambda: len(ingest.blobs("snapshots")) == 2)
    may_continue.set()
    accepted = [(await answer).json()["event_id"] for answer in (first, second)]
    frames = [frame.frame_id for frame in await ingest.sent()]
    assert frames == [other.json()["event_id"], *accepted]


async def test_the_order_is_kept_when_a_place_is_released_or_its_waiter_cancelled() -> None:
    locks = OrderedLocks()
    order: list[str] = []
    first, second, third, fourth = (locks.reserve("camera") for _ in range(4))

    async def use(name: str, reservation: Reservation) -> None:
        try:
            async with reservation.acquire():
                order.append(name)
        finally:
            reservation.release()

    fourth_task = asyncio.create_task(use("fourth", fourth))
    third_task = asyncio.create_task(use("third", third))
    second.release()  # its work failed; the places behind it still wait for the first
    await asyncio.sleep(0)
    third_task.cancel()
    await asyncio.gather(third_task, return_exceptions=True)
    assert order == []
    await use("first", first)
    await fourth_task
    assert order == ["first", "fourth"]
    await use("later", locks.reserve("camera"))
    assert len(locks) == 0
