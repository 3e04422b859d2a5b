"""A process to be killed: publishes or consumes on a bus, and writes down what it did, line by line."""

import argparse
import asyncio
import os
import signal
from pathlib import Path

from kit.bus import Delivery
from testkit.bus import THING, BusBackend, make_event, number_of


def note(path: Path, *words: object) -> None:
    with path.open("a") as lines:
        lines.write(" ".join(str(word) for word in words) + "\n")


async def consume(args: argparse.Namespace) -> None:
    async def handler(delivery: Delivery) -> None:
        number = number_of(delivery.event)
        note(args.log, "begun", number, delivery.attempt)
        if number in args.die_on:
            os.kill(os.getpid(), signal.SIGKILL)
        if number in args.hang_on:
            await asyncio.Event().wait()
        note(args.log, "done", number, delivery.attempt)

    backend = BusBackend("", args.url)
    bus = await backend.open(
        delivery_limit=args.delivery_limit,
        shards=args.shards,
    )
    await bus.consume(THING, handler)
    await asyncio.Event().wait()


async def publish(args: argparse.Namespace) -> None:
    backend = BusBackend("", args.url)
    bus = await backend.open()
    number = 0
    while True:
        events = [make_event(number + i, key=f"k{i}") for i in range(10)]
        for event, result in zip(events, await bus.publish_many(events), strict=True):
            if result is None:
                note(args.log, "confirmed", number_of(event))
        number += 10


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("what", choices=["consume", "publish"])
    parser.add_argument("url")
    parser.add_argument("log", type=Path)
    parser.add_argument("--die-on", type=int, nargs="*", default=[])
    parser.add_argument("--hang-on", type=int, nargs="*", default=[])
    parser.add_argument("--delivery-limit", type=int, default=100)
    parser.add_argument("--shards", type=int, default=4)
    args = parser.parse_args()
    asyncio.run(consume(args) if args.what == "consume" else publish(args))


if __name__ == "__main__":
    main()
