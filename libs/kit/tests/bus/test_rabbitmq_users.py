"""Services with users of their own, on a real broker: what the bus needs is allowed, the rest is refused."""

import json
import re
import urllib.parse
from collections.abc import Iterator

import aio_pika
import pytest
from aiormq.exceptions import ChannelAccessRefused

from kit.__main__ import main
from kit.bus import Rejected
from kit.bus.rabbitmq_users import BrokerAccounts, BrokerUser, rights_of, topic_rights_of, users_of
from kit.errors import Forbidden, Unavailable
from testkit.bus import THING, BusBackend, RecordingHandler, make_event
from testkit.waiting import eventually

EXCHANGE = "lookout.events"
READER = BrokerUser("reader", "reader's", subscribes=("things",))
WRITER = BrokerUser("a-writer", "writer's", publishes=("things",))


@pytest.mark.parametrize(
    ("right", "name", "is_allowed"),
    [
        ("configure", "reader.thing_happened.v1", True),
        ("configure", "reader.thing_happened.v1.00", True),
        ("configure", "reader.thing_happened.v1.retry.100ms", True),
        ("configure", "reader.thing_happened.v1.crashes.0190", True),
        ("configure", "lookout.events.catalogue.look", True),
        ("configure", "lookout.last.0190", True),
        ("configure", "lookout.events", False),
        ("configure", "lookout.events.catalogue", False),
        ("configure", "a-writer.thing_happened.v1", False),
        ("configure", "readers.thing_happened.v1", False),
        ("configure", "x.reader.thing_happened.v1", False),
        ("write", "lookout.events", True),
        ("write", "amq.default", True),
        ("write", "reader.thing_happened.v1", True),
        ("write", "a-writer.thing_happened.v1", False),
        ("write", "amq.topic", False),
        ("read", "lookout.events", True),
        ("read", "lookout.events.catalogue", True),
        ("read", "reader.thing_happened.v1.00", True),
        ("read", "a-writer.thing_happened.v1", False),
        ("read", "lookoutXevents", False),
    ],
)
def test_the_rights_of_a_service(right: str, name: str, is_allowed: bool) -> None:
    pattern = getattr(rights_of(READER, EXCHANGE), right)
    assert bool(re.search(pattern, name)) is is_allowed


@pytest.mark.parametrize(
    ("user", "right", "key", "is_allowed"),
    [
        (WRITER, "write", "things.thing_happened.v1.NAD.95", True),
        (WRITER, "write", "slot.63", True),
        (WRITER, "write", "thingsx.thing_happened.v1", False),
        (WRITER, "write", "parcels.sent.v1", False),
        (WRITER, "read", "things.#", False),
        (READER, "read", "things.thing_happened.v1.#", True),
        (READER, "read", "#", False),
        (READER, "write", "slot.1", False),
        (READER, "write", "things.thing_happened.v1", False),
    ],
)
def test_the_topics_of_a_service(user: BrokerUser, right: str, key: str, is_allowed: bool) -> None:
    assert bool(re.search(getattr(topic_rights_of(user), right), key)) is is_allowed


def test_users_need_a_password_and_the_right_form() -> None:
    document = '{"a-writer": {"publishes": ["things"]}}'
    assert users_of(document, {"A_WRITER": "writer's"}) == [WRITER]
    with pytest.raises(ValueError, match="A_WRITER_RABBITMQ_PASSWORD is not set"):
        users_of(document, {})
    for text in ("", "[]", '{"reader": []}', '{"reader": {"publishes": 1}}'):
        with pytest.raises(ValueError, match="write JSON such as"):
            users_of(text, {"READER": "x"})


class Broker:
    """A virtual host with the two users."""

    def __init__(self, server) -> None:
        self.admin_url = server.fresh_vhost()
        parts = urllib.parse.urlsplit(self.admin_url)
        self.host, self.vhost = f"{parts.hostname}:{parts.port}", urllib.parse.unquote(parts.path[1:])
        self.management_url = server.management_url
        self.admin = (parts.username, parts.password)
        self.accounts = BrokerAccounts(self.management_url, *self.admin, vhost=self.vhost)
        self.accounts.set_up([READER, WRITER], BusBackend("rabbitmq", self.admin_url).settings())

    def backend(self, user: BrokerUser) -> BusBackend:
        return BusBackend("rabbitmq", self.url(user))

    def url(self, user: BrokerUser) -> str:
        return f"amqp://{user.name}:{urllib.parse.quote(user.password)}@{self.host}/{self.vhost}"


@pytest.fixture
def broker(rabbitmq_server) -> Iterator[Broker]:
    yield Broker(rabbitmq_server)
    for user in (READER, WRITER):  # users belong to the server, not to the test's virtual host
        rabbitmq_server.call_management_api("DELETE", f"users/{user.name}")


@pytest.mark.integration
async def test_the_bus_works_with_a_user_for_each_service(broker: Broker) -> None:
    reader, writer = broker.backend(READER), broker.backend(WRITER)
    try:
        seen = RecordingHandler()
        receiving = await reader.open()

        async def handle(delivery):
            if delivery.event.body == b"3":
                raise Rejected("not this one")
            if delivery.event.body == b"2" and delivery.attempt == 1:
                raise ConnectionError("try again")
            await seen(delivery)

        await receiving.consume(THING, handle)
        await eventually(lambda: _is_ready(receiving))
        sending = await writer.open()
        assert await sending.publish_many([make_event(i, f"key {i}") for i in range(5)]) == [None] * 5
        await eventually(lambda: sorted(seen.numbers) == [0, 1, 2, 4])
        await eventually(lambda: _dead(receiving, 1))
        assert await receiving.replay(THING.queue) == 1
    finally:
        await reader.close_all()
        await writer.close_all()


async def _is_ready(bus) -> bool:
    return (await bus.ready()).ok


async def _dead(bus, count: int) -> bool:
    return len(await bus.dead_letters(THING.queue)) >= count


@pytest.mark.integration
async def test_a_user_cannot_touch_what_is_not_its_own(broker: Broker) -> None:
    reader = broker.backend(READER)
    try:
        bus = await reader.open()
        await bus.declare(THING)
    finally:
        await reader.close_all()

    async def consume(channel):
        await (await channel.get_queue("reader.thing_happened.v1.00", ensure=False)).get(fail=False)

    async def delete_queue(channel):
        await channel.queue_delete("reader.thing_happened.v1.00")

    async def delete_exchange(channel):
        await channel.exchange_delete(EXCHANGE)

    async def delete_catalogue(channel):
        await channel.queue_delete(f"{EXCHANGE}.catalogue")

    async def bind_everything(channel):
        queue = await channel.declare_queue("a-writer.all.v1", durable=True)
        await queue.bind(EXCHANGE, "#")

    async def publish_foreign_area(channel):
        exchange = await channel.get_exchange(EXCHANGE, ensure=False)
        await exchange.publish(aio_pika.Message(b"x"), "parcels.sent.v1", mandatory=False)

    async with await aio_pika.connect(broker.url(WRITER)) as connection:
        for attempt in (
            consume,
            delete_queue,
            delete_exchange,
            delete_catalogue,
            bind_everything,
            publish_foreign_area,
        ):
            channel = await connection.channel()
            with pytest.raises(ChannelAccessRefused):
                await attempt(channel)


@pytest.mark.integration
async def test_an_event_of_an_area_that_is_not_allowed_is_reported_as_failed(broker: Broker) -> None:
    writer = broker.backend(WRITER)
    try:
        sending = await writer.open()
        with pytest.raises(Unavailable):
            await sending.publish(make_event(routing_key="parcels.sent.v1", must_route=False))
    finally:
        await writer.close_all()


@pytest.mark.integration
async def test_a_repeated_set_up_replaces_the_password(broker: Broker) -> None:
    renewed = BrokerUser(WRITER.name, "another", WRITER.publishes)
    broker.accounts.set_up([renewed], BusBackend("rabbitmq", broker.admin_url).settings())
    with pytest.raises(aio_pika.exceptions.ProbableAuthenticationError):
        await aio_pika.connect(broker.url(WRITER))
    await (await aio_pika.connect(broker.url(renewed))).close()


@pytest.mark.integration
async def test_a_wrong_administrator_is_told(broker: Broker) -> None:
    with pytest.raises(Forbidden, match="refuses the administrator guest"):
        BrokerAccounts(broker.management_url, "guest", "wrong").wait(5)


@pytest.mark.integration
def test_the_command_makes_the_users(rabbitmq_server, monkeypatch, capsys) -> None:
    user, password = urllib.parse.urlsplit(rabbitmq_server.fresh_vhost()).netloc.partition("@")[0].split(":")
    monkeypatch.setenv("RABBITMQ_PASSWORD", password)
    monkeypatch.setenv("BROKER_USERS", json.dumps({"reader": {"subscribes": ["things"]}}))
    words = ["broker-users", "--json", "--management-url", rabbitmq_server.management_url, "--user", user]
    with pytest.raises(SystemExit) as ended:
        main(words)
    assert ended.value.code == 2
    assert "READER_RABBITMQ_PASSWORD is not set" in capsys.readouterr().err
    monkeypatch.setenv("READER_RABBITMQ_PASSWORD", "reader's")
    with pytest.raises(SystemExit) as ended:
        main(words)
    assert ended.value.code == 0
    line = json.loads(capsys.readouterr().out)
    assert (line["event"], line["user"], line["subscribes"]) == ("broker_user_ready", "reader", ["things"])
    rabbitmq_server.call_management_api("DELETE", "users/reader")
