import asyncio
import contextvars
from collections.abc import Sequence

import pytest

from ingest.handlers.group_commit import GroupCommit
from kit.errors import Unavailable

CALLER = contextvars.ContextVar("CALLER", default=0)


class Writer:
    """Records the groups; each write waits until it is allowed."""

    def __init__(self) -> None:
        self.groups: list[list[int]] = []
        self.is_writing = asyncio.Event()
        self.may_finish = asyncio.Event()
        self.bad: set[int] = set()
        self.failure: BaseException | None = None

    async def __call__(self, items: Sequence[int]) -> list[int]:
        self.groups.append(list(items))
        self.is_writing.set()
        await self.may_finish.wait()
        if self.failure is not None:
            raise self.failure
        if self.bad & set(items):
            raise ValueError("a bad item")
        return [item * 10 for item in items]


async def submit_during_a_write(
    writer: Writer, commits: GroupCommit[int, int], *items: int
) -> list[asyncio.Task[int]]:
    """The first item is being written when the others are submitted."""
    tasks = [asyncio.create_task(commits.submit(items[0]))]
    await writer.is_writing.wait()
    tasks += [asyncio.create_task(commits.submit(item)) for item in items[1:]]
    await asyncio.sleep(0)
    return tasks


async def test_items_that_arrive_during_a_write_are_written_together_in_order() -> None:
    writer = Writer()
    commits = GroupCommit(writer, max_items=3)
    tasks = await submit_during_a_write(writer, commits, 1, 2, 3, 4, 5)
    writer.may_finish.set()
    assert await asyncio.gather(*tasks) == [10, 20, 30, 40, 50]
    assert writer.groups == [[1], [2, 3, 4], [5]]


async def test_a_bad_item_fails_alone() -> None:
    writer = Writer()
    writer.bad = {3}
    commits = GroupCommit(writer, max_items=10)
    tasks = await submit_during_a_write(writer, commits, 1, 2, 3, 4)
    writer.may_finish.set()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert [str(result) for result in results] == ["10", "20", "a bad item", "40"]
    assert writer.groups == [[1], [2, 3, 4], [2], [3], [4]]


async def test_when_the_database_is_unavailable_the_whole_group_fails_at_once() -> None:
    writer = Writer()
    commits = GroupCommit(writer, max_items=10)
    tasks = await submit_during_a_write(writer, commits, 1, 2, 3)
    writer.failure = Unavailable("no database")
    writer.may_finish.set()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert {type(result) for result in results} == {Unavailable}
    assert writer.groups == [[1], [2, 3]]


async def test_a_cancelled_item_is_not_written_and_one_being_written_is() -> None:
    writer = Writer()
    commits = GroupCommit(writer, max_items=10)
    tasks = await submit_during_a_write(writer, commits, 1, 2, 3)
    tasks[0].cancel()
    tasks[1].cancel()
    await asyncio.gather(*tasks[:2], return_exceptions=True)
    writer.may_finish.set()
    assert await tasks[2] == 30
    assert writer.groups == [[1], [3]]


async def test_stopping_waits_for_the_write_in_progress() -> None:
    writer = Writer()
    commits = GroupCommit(writer, max_items=10)
    (task,) = await submit_during_a_write(writer, commits, 1)
    stopping = asyncio.create_task(commits.stop())
    await asyncio.sleep(0)
    assert not stopping.done()
    writer.may_finish.set()
    await stopping
    assert await task == 10


async def test_after_a_failure_the_next_item_is_written() -> None:
    writer = Writer()
    writer.may_finish.set()
    writer.bad = {1}
    commits = GroupCommit(writer, max_items=10)
    with pytest.raises(ValueError, match="bad"):
        await commits.submit(1)
    assert await commits.submit(2) == 20


async def test_when_the_write_is_cancelled_no_caller_waits_for_ever() -> None:
    writer = Writer()
    commits = GroupCommit(writer, max_items=2)
    tasks = await submit_during_a_write(writer, commits, 1, 2, 3, 4)
    writer.failure = asyncio.CancelledError()
    writer.may_finish.set()
    results = await asyncio.wait_for(asyncio.gather(*tasks, return_exceptions=True), 10)
    assert {type(result) for result in results} == {Unavailable}
    writer.failure = None
    assert await commits.submit(5) == 50


async def test_a_write_with_too_few_results_fails_its_whole_group_and_is_not_repeated() -> None:
    groups = []

    async def write(items: Sequence[int]) -> list[int]:
        groups.append(list(items))
        await asyncio.sleep(0)
        return [0] if len(items) > 1 else [item * 10 for item in items]

    commits = GroupCommit(write, max_items=10)
    submitted = asyncio.gather(*(commits.submit(item) for item in (1, 2, 3)), return_exceptions=True)
    results = await asyncio.wait_for(submitted, 10)
    assert [type(result) for result in results] == [RuntimeError] * 3
    assert "1 results for 3 items" in str(results[0])
    assert groups == [[1, 2, 3]]
    assert await commits.submit(4) == 40


async def test_each_item_of_a_split_group_is_written_in_the_context_of_its_caller() -> None:
    callers: list[int] = []

    async def write(items: Sequence[int]) -> list[int]:
        if len(items) > 1:
            raise ValueError("a bad item")
        callers.append(CALLER.get())
        return list(items)

    commits = GroupCommit(write, max_items=10)

    async def submit(item: int) -> int:
        CALLER.set(item)
        return await commits.submit(item)

    assert list(await asyncio.gather(submit(1), submit(2), submit(3))) == [1, 2, 3]
    assert callers == [1, 2, 3]
