"""The order in which a camera's reports arrived, whatever their pictures take."""

import asyncio
import threading
from typing import Any

import pytest

from ingest.handlers.ordered_locks import OrderedLocks
from kit.blobs.folder import FolderBlobs
from testkit import eventually
from testkit.pictures import noise

from .conftest import Ingest

LARGE = noise(9000)


async def test_a_later_report_does_not_overtake_one_whose_picture_takes_longer(
    ingest: Ingest, monkeypatch: pytest.MonkeyPatch
) -> None:
    write, writing, may_go_on = FolderBlobs._write, threading.Event(), threading.Event()

    def slow(self: FolderBlobs, key: str, path: Any, data: bytes, content_type: str) -> Any:
        if data == LARGE:
            writing.set()
            assert may_go_on.wait(20)
        return write(self, key, path, data, content_type)

    monkeypatch.setattr(FolderBlobs, "_write", slow)
    await ingest.make_camera(api_code="1")
    await ingest.make_camera(api_code="2")
    first = asyncio.create_task(ingest.post(parking_area="NAD1", picture=LARGE))
    await eventually(writing.is_set)
    second = asyncio.create_task(ingest.post(parking_area="NAD1", duration=5))
    other = await ingest.post(parking_area="NAD2")
    assert other.status_code == 200
    await eventually(
        lambda: len(ingest.blobs("snapshots")) == 2
    )  # the second picture is written, its row waits
    may_go_on.set()
    accepted = [(await answer).json()["event_id"] for answer in (first, second)]
    frames = [frame.frame_id for frame in await ingest.sent()]
    assert frames == [other.json()["event_id"], *accepted]


async def test_turns_are_kept_when_somebody_gives_up_or_is_called_off() -> None:
    turns = OrderedLocks()
    order: list[str] = []
    first, second, third, fourth = (turns.take("camera") for _ in range(4))

    async def use(name: str, turn: Any) -> None:
        try:
            async with turn.come():
                order.append(name)
        finally:
            turn.give_up()

    fourth_task = asyncio.create_task(use("fourth", fourth))
    third_task = asyncio.create_task(use("third", third))
    second.give_up()  # its work failed; those behind still wait for the first
    await asyncio.sleep(0)
    third_task.cancel()
    await asyncio.gather(third_task, return_exceptions=True)
    assert order == []
    await use("first", first)
    await fourth_task
    assert order == ["first", "fourth"]
    await use("later", turns.take("camera"))
    assert turns._last == {}
