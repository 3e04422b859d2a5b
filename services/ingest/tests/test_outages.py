"""The database, the blob store or the bus is unavailable, the disk is full, or somebody sends too much."""

import asyncio
import errno
import os
import random
import resource
from collections.abc import Awaitable
from contextlib import AsyncExitStack
from typing import Any

import pytest

from kit.byte_budget import ByteBudget
from kit.errors import Unavailable
from testkit import eventually
from testkit.disk import SmallDisk
from testkit.pictures import noise
from testkit.postgres import PostgresServer

from .conftest import Ingest, Starter


async def test_without_the_database_a_push_gets_a_503(
    start_ingest: Starter, private_postgres_server: PostgresServer
) -> None:
    ingest = await start_ingest(private_postgres_server.fresh_database())
    await ingest.make_camera()
    assert (await ingest.post()).status_code == 200
    private_postgres_server.kill()
    answer = await ingest.post(duration=1)
    assert answer.status_code == 503
    assert int(answer.headers["retry-after"]) > 0
    assert answer.headers["content-type"] == "application/problem+json"
    assert (await ingest.client.get("/health/ready")).status_code == 503
    private_postgres_server.start()

    async def is_accepted() -> Any:
        return (await ingest.post(duration=1)).status_code == 200

    await eventually(is_accepted, 30)
    assert len(await ingest.rows()) == 2
    assert len(await eventually(ingest.outbox)) == 2


@pytest.fixture
def broken_disk(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Syncing a file fails with this errno, from when it is set."""
    fault: dict[str, int | None] = {"errno": None}
    fsync = os.fsync

    def failing(descriptor: int) -> None:
        if fault["errno"] is not None:
            raise OSError(fault["errno"], "the disk failed")
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", failing)
    return fault


@pytest.mark.parametrize(
    ("fault", "status", "has_retry"),
    [(errno.ENOSPC, 507, True), (errno.EIO, 503, True), (errno.EROFS, 503, True)],
)
async def test_without_room_for_the_picture_nothing_is_kept(
    sqlite_ingest: Ingest, broken_disk: Any, fault: Any, status: Any, has_retry: Any
) -> None:
    await sqlite_ingest.make_camera()
    broken_disk["errno"] = fault
    answer = await sqlite_ingest.post()
    assert answer.status_code == status
    assert ("retry-after" in answer.headers) == has_retry
    assert await sqlite_ingest.rows() == []
    assert await sqlite_ingest.outbox() == []
    broken_disk["errno"] = None
    assert (await sqlite_ingest.post()).status_code == 200


async def test_pictures_are_refused_while_the_reserve_of_the_disk_is_reached(
    start_ingest: Starter, sqlite_url: str, small_disk: SmallDisk
) -> None:
    ingest = await start_ingest(
        sqlite_url,
        blobs={"url": f"file://{small_disk.folder}/blobs"},
        disk={"check_interval_s": 0.02, "retry_after_s": 7},
    )
    camera = await ingest.make_camera()
    assert (await ingest.post(duration=0)).status_code == 200
    small_disk.fill(leave_bytes=200_000)

    async def disk() -> dict[str, object]:
        ready = await ingest.client.get("/health/ready")
        assert ready.status_code == 200, "what needs no room goes on"
        found: dict[str, object] = ready.json()["checks"]["disk"]
        return found

    await eventually(lambda: _is(disk(), ok=False))
    for number in range(1, 4):
        refused = await ingest.post(duration=number)
        assert (refused.status_code, refused.json()["code"]) == (507, "disk_reserve")
        assert refused.headers["retry-after"] == "7"
    for capture in ("clip", "frame?store=true"):
        url = f"/api/v1/cameras/{camera['id']}/{capture}"
        assert (await ingest.client.get(url, headers=ingest.admin)).json()["code"] == "disk_reserve"
    assert len(await ingest.rows()) == 1
    assert (await ingest.client.get("/api/v1/cameras", headers=ingest.admin)).status_code == 200
    small_disk.free()
    await eventually(lambda: _is(disk(), ok=True))
    assert (await ingest.post(duration=9)).status_code == 200


async def _is(answer: Awaitable[dict[str, object]], *, ok: bool) -> bool:
    return (await answer)["ok"] is ok


async def test_a_failed_push_does_not_block_the_next_one_of_its_camera(
    sqlite_ingest: Ingest, broken_disk: Any
) -> None:
    await sqlite_ingest.make_camera()
    broken_disk["errno"] = errno.EIO
    answers = await asyncio.gather(*(sqlite_ingest.post(duration=n) for n in range(5)))
    assert {answer.status_code for answer in answers} == {503}
    broken_disk["errno"] = None
    assert (await sqlite_ingest.post(duration=9)).status_code == 200


async def test_without_a_bus_pushes_are_accepted_and_their_events_wait(
    start_ingest: Starter, sqlite_url: str
) -> None:
    ingest = await start_ingest(sqlite_url)
    await ingest.make_camera()
    await ingest.bus.stop()
    assert (await ingest.post()).status_code == 200
    assert len(await ingest.outbox()) == 1


@pytest.mark.filterwarnings("default::ResourceWarning")
async def test_many_large_pushes_at_once_stay_within_the_memory_budget(
    start_ingest: Starter, sqlite_url: str
) -> None:
    ingest = await start_ingest(sqlite_url, push={"max_buffered_bytes": 8_000_000, "buffer_timeout_s": 60})
    await ingest.make_camera()
    await ingest.post(picture=noise(3_000_000), duration=0)
    before_kb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    answers = await asyncio.gather(*(ingest.post(picture=noise(3_000_000), duration=n) for n in range(1, 13)))
    assert {answer.status_code for answer in answers} == {200}
    # The test's own client holds all twelve bodies (4 MB each, twice); the service holds two at a time.
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before_kb < 250_000


async def test_bytes_are_granted_in_the_order_of_arrival() -> None:
    budget = ByteBudget(100, timeout_s=5, detail="too many")
    order = []

    async def use(name: Any, size: Any) -> None:
        async with budget.reserve(size):
            order.append(name)
            await asyncio.sleep(0)

    async with budget.reserve(80):
        tasks = [asyncio.create_task(use(name, size)) for name, size in [("a", 90), ("b", 10), ("c", 500)]]
        await asyncio.sleep(0)
        assert order == []  # b would fit, but a is before it
    await asyncio.gather(*tasks)
    assert order == ["a", "b", "c"]
    async with budget.reserve(100):
        pass


async def test_a_request_that_waits_too_long_gets_a_503_and_reserves_nothing() -> None:
    budget = ByteBudget(100, timeout_s=0.05, detail="too many")
    async with budget.reserve(100):
        with pytest.raises(Unavailable) as raised:
            async with budget.reserve(1):
                pass
        assert raised.value.retry_after_s
        cancelled = asyncio.create_task(wait_for(budget, 50))
        await asyncio.sleep(0)
        cancelled.cancel()
        await asyncio.gather(cancelled, return_exceptions=True)
    async with budget.reserve(100):
        pass


async def wait_for(budget: ByteBudget, size_bytes: int) -> None:
    async with budget.reserve(size_bytes):
        await asyncio.sleep(0)


@pytest.mark.parametrize("order", ["release, cancel", "cancel, release"])
@pytest.mark.parametrize("size_bytes", [70, 100])
async def test_bytes_are_freed_while_the_request_that_waits_for_them_is_cancelled(
    order: str, size_bytes: int
) -> None:
    budget = ByteBudget(100, timeout_s=5, detail="too many")
    async with AsyncExitStack() as held:
        await held.enter_async_context(budget.reserve(100))
        cancelled = asyncio.create_task(wait_for(budget, size_bytes))
        behind = asyncio.create_task(wait_for(budget, 100))
        await asyncio.sleep(0)
        # Nothing below waits: both happen within one pass of the loop, before the waiter can run.
        if order == "release, cancel":
            await held.aclose()
            cancelled.cancel()
        else:
            cancelled.cancel()
            await held.aclose()
    results = await asyncio.gather(cancelled, behind, return_exceptions=True)
    assert [type(error) for error in results] == [asyncio.CancelledError, type(None)]
    assert budget.free_bytes == 100


async def test_a_reservation_that_ends_while_a_waiter_is_cancelled_frees_its_bytes() -> None:
    budget = ByteBudget(100, timeout_s=5, detail="too many")
    is_read = asyncio.Event()

    async def read() -> None:
        async with budget.reserve(100):
            await is_read.wait()

    holder = asyncio.create_task(read())
    await asyncio.sleep(0)
    waiter = asyncio.create_task(wait_for(budget, 100))
    await asyncio.sleep(0)
    is_read.set()
    waiter.cancel()
    results = await asyncio.gather(holder, waiter, return_exceptions=True)
    assert [type(error) for error in results] == [type(None), asyncio.CancelledError]
    assert budget.free_bytes == 100


async def test_after_many_reservations_and_cancellations_the_whole_budget_is_free() -> None:
    budget = ByteBudget(100, timeout_s=0.01, detail="too many")
    chance = random.Random(3)
    reserved_bytes = [0]

    async def use(size_bytes: int, hold_s: float) -> None:
        async with budget.reserve(size_bytes):
            reserved_bytes.append(reserved_bytes[-1] + size_bytes)
            assert reserved_bytes[-1] <= 100
            try:
                await asyncio.sleep(hold_s)  # a body of this size being read
            finally:
                reserved_bytes.append(reserved_bytes[-1] - size_bytes)

    tasks: list[asyncio.Task[None]] = []
    for number in range(1500):
        tasks.append(asyncio.create_task(use(chance.choice([20, 30, 50, 100]), chance.random() * 0.01)))
        if chance.random() < 0.3:
            chance.choice(tasks[-20:]).cancel()
        if number % 4 == 0:
            await asyncio.sleep(chance.choice([0, 0.002]))  # paced load: some release before the next arrive
    results = {type(error) for error in await asyncio.gather(*tasks, return_exceptions=True)}
    assert results == {type(None), Unavailable, asyncio.CancelledError}
    assert budget.free_bytes == 100
