"""The `kit` command, on both back ends, as an operator runs it."""

import asyncio
import json
import subprocess
import sys
from dataclasses import replace

import orjson
import pytest

from kit.__main__ import main
from kit.bus import Event, Rejected
from kit.dead_letter_view import body_of
from testkit.bus import THING, UNORDERED, BusBackend, make_event
from testkit.messages import ThingHappened
from testkit.processes import free_port
from testkit.waiting import eventually


class Kit:
    def __init__(self, backend: BusBackend, capsys) -> None:
        self.backend = backend
        self.capsys = capsys

    async def __call__(self, *words: str, code: int = 0) -> str:
        with pytest.raises(SystemExit) as ended:
            # A broker that is started and used by all tests at once may take longer than a person waits.
            await asyncio.to_thread(main, [*words, "--bus", self.backend.url, "--timeout-s", "60"])
        said = self.capsys.readouterr()
        assert ended.value.code == code, said
        return said.out + said.err


@pytest.fixture
def kit(backend, capsys):
    return Kit(backend, capsys)


@pytest.fixture
async def dead_letters(backend: BusBackend) -> list[Event]:
    """Three dead letters of one queue, one of another."""
    bus = await backend.open()

    async def refuse(delivery):
        raise Rejected("the camera is unknown")

    body = ThingHappened(number=20_261, payload=b"x" * 77)
    events = [
        make_event(key=f"camera:{i}", type=body.DESCRIPTOR.full_name, body=body.SerializeToString())
        for i in range(3)
    ]
    other = make_event(routing_key="other.x")
    await bus.declare(THING)
    await bus.declare(unordered := replace(UNORDERED, event="other", binding="other.#"))
    await bus.consume(THING, refuse)
    await bus.consume(unordered, refuse)
    assert await bus.publish_many([*events, other]) == [None] * 4

    async def all_failed():
        return {info.queue: info.dead_letters for info in await bus.queues()} == {
            THING.queue: 3,
            unordered.queue: 1,
        }

    await eventually(all_failed)
    await bus.stop()
    return events


async def test_queues_lists_waiting_messages(kit, dead_letters):
    text = await kit("queues")
    assert "reader.thing_happened.v1" in text
    assert "unordered.other.v1" in text
    assert "kit dead-letters list" in text
    [reader, unordered] = json.loads(await kit("queues", "--json"))
    assert (reader["queue"], reader["dead_letters"], reader["is_ordered"]) == (THING.queue, 3, True)
    assert (unordered["dead_letters"], unordered["is_ordered"]) == (1, False)


async def test_list_shows_the_reason(kit, dead_letters):
    text = await kit("dead-letters", "list")
    for event in dead_letters:
        assert str(event.message_id) in text
    assert "the camera is unknown" in text
    assert "unordered.other.v1" in text
    documents = json.loads(await kit("dead-letters", "list", "--queue", THING.queue, "--json"))
    assert {d["id"] for d in documents} == {str(e.message_id) for e in dead_letters}
    assert documents[0]["reason"] == "rejected: Rejected: the camera is unknown"


async def test_show_decodes_the_body(kit, dead_letters):
    text = await kit("dead-letters", "show", str(dead_letters[1].message_id))
    for part in (
        "lookout.things.v1.ThingHappened",
        "20261",
        "(77 bytes)",
        "Traceback",
        "camera:1",
        dead_letters[1].routing_key,
    ):
        assert part in text
    [document] = json.loads(
        await kit("dead-letters", "show", "--id", str(dead_letters[1].message_id), "--json")
    )
    assert document["body"] == {"number": "20261", "payload": "(77 bytes)"}
    assert "the camera is unknown" in document["traceback"]
    await kit("dead-letters", "show", "no-such-id", code=1)


async def test_replay_and_discard_do_what_they_say(kit, dead_letters, backend: BusBackend):
    assert "replayed 1 of reader.thing_happened.v1" in await kit(
        "dead-letters", "replay", "--id", str(dead_letters[0].message_id)
    )
    assert "discarded 1 of" in await kit("dead-letters", "discard", "--id", str(dead_letters[1].message_id))
    await kit("dead-letters", "discard", "--id", str(dead_letters[1].message_id), code=1)
    done = json.loads(await kit("dead-letters", "replay", "--queue", THING.queue, "--all", "--json"))
    assert done == {"replayed": {THING.queue: 1}, "total": 1}
    assert "No dead letters" in await kit("dead-letters", "list", "--queue", THING.queue)
    bus = await backend.open()
    assert await bus.depth(THING.queue) == 2


async def test_wrong_arguments_are_an_error(kit, dead_letters):
    assert "ids of messages" in await kit("dead-letters", "discard", code=2)
    assert "--queue" in await kit("dead-letters", "discard", "--all", code=2)
    assert "no queue no.such.v1" in await kit("dead-letters", "list", "--queue", "no.such.v1", code=1)


def test_a_missing_bus_file_is_an_error(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("LOOKOUT_BUS_URL", "RABBITMQ_URL"):
        monkeypatch.delenv(name, raising=False)
    for arguments, code in (
        (["queues", "--bus", f"sqlite:///{tmp_path}/none.db"], 3),
        (["queues", "--bus", "kafka://x"], 2),
        (["queues"], 2),
    ):
        with pytest.raises(SystemExit) as ended:
            main(arguments)
        assert ended.value.code == code, capsys.readouterr()
    assert not (tmp_path / "none.db").exists()


@pytest.mark.integration
def test_an_unavailable_broker_prints_one_line():
    # As a process: the test runner has its own say in where the standard module's lines go.
    command = [sys.executable, "-m", "kit", "queues", "--bus", f"amqp://guest:guest@127.0.0.1:{free_port()}/"]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (ended.returncode, ended.stdout) == (3, "")
    (line,) = ended.stderr.splitlines()
    assert line.startswith("kit: the broker cannot be reached")


def test_bytes_are_never_printed():
    message = ThingHappened(payload=b"\xff\xd8" + b"x" * 5000)
    shown = body_of(message.DESCRIPTOR.full_name, message.SerializeToString())
    assert isinstance(shown, dict)
    assert shown["payload"] == "(5002 bytes)"
    assert len(orjson.dumps(shown)) < 100


def test_an_unknown_type_shows_its_size_only():
    assert str(body_of("some.other.Thing", b"\x00" * 77)).startswith("77 bytes")
    name = ThingHappened.DESCRIPTOR.full_name
    assert f"no valid {name}" in str(body_of(name, b"\xff\xff\xff"))
