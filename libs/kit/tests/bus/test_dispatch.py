"""Composing batches: the order of a key holds, also where one of its messages is handled alone."""

import asyncio
from collections.abc import AsyncIterator, Callable

import pytest

from kit.bus.dispatch import BatchingDispatcher, Item
from testkit.bus import make_event
from testkit.waiting import eventually


class Processor:
    """Records which items are in progress at the same time. A batch ends when `release` is set."""

    def __init__(self) -> None:
        self.started: list[list[int]] = []
        self.release = asyncio.Event()

    async def process(self, item: Item) -> None:
        self.started.append([item.handle])

    async def process_batch(self, items: list[Item]) -> bool:
        self.started.append([item.handle for item in items])
        await self.release.wait()
        return True


@pytest.fixture
def processor() -> Processor:
    return Processor()


@pytest.fixture
async def dispatcher_of(processor: Processor) -> AsyncIterator[Callable[[bool], BatchingDispatcher]]:
    dispatchers: list[BatchingDispatcher] = []

    def make(is_ordered: bool) -> BatchingDispatcher:
        dispatcher = BatchingDispatcher(
            processor.process, processor.process_batch, 10, asyncio.Lock(), is_ordered=is_ordered
        )
        dispatchers.append(dispatcher)
        return dispatcher

    yield make
    processor.release.set()
    for dispatcher in dispatchers:
        await dispatcher.drain(10)


def item(handle: int, key: str, failures: int = 0) -> Item:
    return Item(make_event(handle, key=key), handle, failures=failures)


async def test_a_message_that_failed_before_waits_for_the_batch_with_its_key(
    dispatcher_of: Callable[[bool], BatchingDispatcher], processor: Processor
) -> None:
    dispatcher = dispatcher_of(True)
    for each in (
        item(1, "a"),
        item(2, "b", failures=1),
        item(3, "a", failures=1),
        item(4, "a"),
        item(5, "c"),
    ):
        dispatcher.submit(each)
    await eventually(lambda: len(processor.started) == 2)
    # 2 is of another key than the batch, and need not wait for it.
    assert sorted(processor.started) == [[1], [2]]
    processor.release.set()
    await eventually(lambda: sum(map(len, processor.started)) == 5)
    order = [handle for started in processor.started for handle in started]
    assert [handle for handle in order if handle in {1, 3, 4}] == [1, 3, 4]


async def test_without_order_a_message_that_failed_before_does_not_wait(
    dispatcher_of: Callable[[bool], BatchingDispatcher], processor: Processor
) -> None:
    dispatcher = dispatcher_of(False)
    for each in (item(1, "a"), item(2, "a", failures=1), item(3, "a")):
        dispatcher.submit(each)
    await eventually(lambda: len(processor.started) == 2)
    assert sorted(processor.started) == [[1, 3], [2]]
