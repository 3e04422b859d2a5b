"""Processes killed with -9 at the worst moments, on both back ends."""

import os
import signal
import sys
from pathlib import Path

import pytest

from testkit.bus import THING, BusBackend, RecordingHandler, make_event, number_of
from testkit.processes import spawn
from testkit.waiting import eventually

ACTOR = Path(__file__).with_name("actor.py")

pytestmark = pytest.mark.chaos


class Actor:
    def __init__(self, what: str, backend: BusBackend, log: Path, *options: object) -> None:
        self.log = log
        command = [sys.executable, str(ACTOR), what, backend.url, str(log), *map(str, options)]
        self.process = spawn(command, log=log.with_suffix(".out"))

    def lines(self, verb: str) -> list[list[int]]:
        if not self.log.exists():
            return []
        rows = [line.split() for line in self.log.read_text().splitlines()]
        return [[int(word) for word in row[1:]] for row in rows if row[0] == verb]

    def numbers(self, verb: str) -> list[int]:
        return [row[0] for row in self.lines(verb)]

    @property
    def is_dead(self) -> bool:
        return self.process.poll() is not None

    def kill(self) -> None:
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


async def test_unacknowledged_messages_of_a_killed_consumer_are_delivered_again(
    backend: BusBackend, tmp_path
):
    bus = await backend.open()
    await bus.declare(THING)
    await bus.publish_many([make_event(i, key=f"k{i % 5}") for i in range(50)])
    actor = Actor("consume", backend, tmp_path / "log", "--hang-on", 30)
    await eventually(lambda: 30 in actor.numbers("begun"), timeout_s=30)
    await eventually(lambda: len(actor.numbers("done")) == 46, timeout_s=30)  # 30, 35, 40, 45 wait
    actor.kill()

    seen = RecordingHandler()
    await bus.consume(THING, seen)
    await eventually(lambda: {30, 35, 40, 45} <= set(seen.numbers))
    again = {number_of(d.event): d for d in seen.deliveries}
    assert again[30].redelivered
    assert again[30].attempt == 2
    assert [n for n in seen.numbers_of("k0") if n >= 30] == [30, 35, 40, 45]
    assert set(actor.numbers("done")) | set(seen.numbers) == set(range(50))


async def test_a_message_that_kills_its_process_becomes_a_dead_letter_and_no_other_does(
    backend: BusBackend, tmp_path
):
    """Over several shards too, with the settings' defaults."""
    bus = await backend.open()
    await bus.declare(THING)
    await bus.publish_many([make_event(i, key=f"k{i}") for i in range(20)])
    lives = 0
    while True:
        lives += 1
        actor = Actor("consume", backend, tmp_path / "log", "--die-on", 3)
        # Bound now: the loop goes on with another one.

        async def is_over(actor: Actor = actor) -> bool:
            is_done = len(set(actor.numbers("done"))) == 19
            return actor.is_dead or (is_done and await _dead_letter_numbers(bus, [3]))

        await eventually(is_over, timeout_s=30)
        if not actor.is_dead:
            break
    assert lives - 1 == 3, "crashes"
    assert set(actor.numbers("done")) == set(range(20)) - {3}
    [dead_letter] = await bus.dead_letters(THING.queue)
    assert "the process crashed" in dead_letter.reason
    assert dead_letter.event.routing_key == make_event().routing_key
    actor.kill()


async def test_several_messages_that_kill_the_process_become_dead_letters_and_no_others_do(
    backend: BusBackend, tmp_path
):
    """Each crash is counted for the one that was handled. Events of a key keep their order."""
    bus = await backend.open()
    await bus.declare(THING)
    deadly = [3, 11]
    await bus.publish_many([make_event(i, key=f"k{i % 6}") for i in range(30)])
    lives = 0
    while True:
        lives += 1
        actor = Actor("consume", backend, tmp_path / "log", "--die-on", *deadly)

        async def is_over(actor: Actor = actor) -> bool:
            return actor.is_dead or len(await bus.dead_letters(THING.queue)) == len(deadly)

        await eventually(is_over, timeout_s=30)
        if not actor.is_dead:
            break
    await eventually(lambda: len(set(actor.numbers("done"))) == 28, timeout_s=30)
    actor.kill()
    assert await _dead_letter_numbers(bus, deadly)
    # The first crash of several of them can be the same one.
    assert 2 * len(deadly) + 1 <= lives - 1 <= 3 * len(deadly), "crashes"
    done = actor.numbers("done")
    for key in range(6):
        firsts = list(dict.fromkeys(number for number in done if number % 6 == key))
        assert firsts == sorted(firsts)


async def _dead_letter_numbers(bus, wanted):
    return (
        sorted(number_of(dead_letter.event) for dead_letter in await bus.dead_letters(THING.queue)) == wanted
    )


async def test_confirmed_messages_survive_the_end_of_the_publisher(backend: BusBackend, tmp_path):
    bus = await backend.open()
    await bus.declare(THING)
    actor = Actor("publish", backend, tmp_path / "log")
    await eventually(lambda: len(actor.numbers("confirmed")) > 100, timeout_s=30)
    actor.kill()
    seen = RecordingHandler()
    await bus.consume(THING, seen)
    await eventually(lambda: set(actor.numbers("confirmed")) <= set(seen.numbers), timeout_s=30)
    for key in range(10):
        numbers = seen.numbers_of(f"k{key}")
        assert numbers == sorted(numbers)
