"""What a subscription needs on RabbitMQ, as data: `rabbitmq_admin` declares it.

Order per partition key: the publisher hashes the key to one of `SLOTS` slots and sends the slot as a second
routing key (the `BCC` header, "sender-selected distribution"); a subscription's own direct exchange takes it
to the shard queue that has the slot. Why not the broker's consistent-hash exchange: docs/adr/0006.

The same for RabbitMQ 3.10 and 4.x. Quorum queues throughout, each with an explicit delivery limit (4.x has
a default of 20 and drops messages beyond it) and confirmed dead-lettering.
"""

import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from kit.bus.failure import RetryPolicy
from kit.bus.interface import dead_letter_queue
from kit.bus.subscription import Subscription
from kit.settings import BusSettings

PARTITION_HEADER = "partition_key"

SLOTS = 64
"""Never to be changed: where a key's events go depends on it."""

NEVER = 2_000_000_000
"""A delivery limit that is never reached: 3.10 does not accept -1 for "none", and 4.x uses 20 if none is given."""

Argument = str | int | bool

_QUORUM: Mapping[str, Argument] = {"x-queue-type": "quorum", "x-delivery-limit": NEVER}


@dataclass(frozen=True, slots=True)
class Exchange:
    """A durable exchange."""

    name: str
    kind: Literal["topic", "direct"]


@dataclass(frozen=True, slots=True)
class Queue:
    """A durable queue."""

    name: str
    arguments: Mapping[str, Argument]


@dataclass(frozen=True, slots=True)
class Binding:
    """From an exchange to a queue, or to another exchange."""

    source: str
    destination: str
    key: str
    is_to_exchange: bool = False


@dataclass(frozen=True, slots=True)
class Topology:
    """In the order to declare in: exchanges, queues, bindings. `consumed` are the queues to attach to."""

    exchanges: tuple[Exchange, ...]
    queues: tuple[Queue, ...]
    bindings: tuple[Binding, ...]
    consumed: tuple[str, ...]


def events_exchange(settings: BusSettings) -> Exchange:
    """The one exchange that all events are published to."""
    return Exchange(settings.exchange, "topic")


def catalogue_queue(settings: BusSettings) -> Queue:
    """Where the bus keeps what subscriptions there are: AMQP has no way to list queues."""
    return _browsed_queue(f"{settings.exchange}.catalogue")


def subscription_topology(
    subscription: Subscription, policy: RetryPolicy, settings: BusSettings, *, shards: int
) -> Topology:
    """All that `subscription` needs; an ordered one is spread over `shards` queues by its partition key."""
    name = subscription.queue
    dead_letters = _browsed_queue(dead_letter_queue(name))
    events = events_exchange(settings)
    if not subscription.is_ordered:
        work = _work_queue(name, dead_letters.name, settings, is_single=False)
        return Topology(
            exchanges=(events,),
            queues=(dead_letters, work, *retry_queues(name, policy)),
            bindings=(Binding(events.name, name, subscription.binding),),
            consumed=(name,),
        )
    by_slot = Exchange(name, "direct")
    works = tuple(
        _work_queue(queue, dead_letters.name, settings, is_single=True)
        for queue in shard_queues(name, shards)
    )
    # The shards are bound before events can come: no slot must be without a queue then.
    return Topology(
        exchanges=(events, by_slot),
        queues=(dead_letters, Queue(members_queue(name), _QUORUM), *works),
        bindings=(
            *(Binding(by_slot.name, works[slot % shards].name, slot_key(slot)) for slot in range(SLOTS)),
            Binding(events.name, by_slot.name, subscription.binding, is_to_exchange=True),
        ),
        consumed=tuple(work.name for work in works),
    )


def slot_of(partition_key: str) -> int:
    """The slot of a key. CRC-32, because it is the same in every process and version."""
    return zlib.crc32(partition_key.encode()) % SLOTS


def slot_key(slot: int) -> str:
    """The routing key of a slot. No event's own key begins so: those begin with an area's name."""
    return f"slot.{slot}"


def shard_queues(queue: str, shards: int) -> tuple[str, ...]:
    """The queues behind an ordered subscription, by name; two digits, so that they sort."""
    return tuple(f"{queue}.{number:02}" for number in range(shards))


def members_queue(queue: str) -> str:
    """A queue that stays empty: every replica consumes it, so that its consumers are the replicas.

    A queue with a single active consumer lists only that consumer.
    """
    return f"{queue}.members"


def retry_queue(queue: str, delay_s: float) -> str:
    """Where a message of `queue` waits that long. The delay is in the name: another one is another queue."""
    return f"{queue}.retry.{round(delay_s * 1000)}ms"


def retry_queues(queue: str, policy: RetryPolicy) -> tuple[Queue, ...]:
    """The ladder. Nobody reads them: what expires returns through the default exchange to its own queue."""
    return tuple(
        Queue(
            retry_queue(queue, delay_s),
            {
                **_QUORUM,
                "x-message-ttl": round(delay_s * 1000),
                **_dead_letters_to(queue),
            },
        )
        for delay_s in sorted(set(policy.delays_s))
    )


def _work_queue(name: str, dead_letters: str, settings: BusSettings, *, is_single: bool) -> Queue:
    arguments: dict[str, Argument] = {
        "x-queue-type": "quorum",
        "x-delivery-limit": settings.delivery_limit,
        **_dead_letters_to(dead_letters),
    }
    if is_single:
        arguments["x-single-active-consumer"] = True
    return Queue(name, arguments)


def _browsed_queue(name: str) -> Queue:
    """A queue that is browsed. That counts as a delivery of its messages, so there is no limit to those."""
    return Queue(name, _QUORUM)


def _dead_letters_to(queue: str) -> dict[str, Argument]:
    # At least once: the broker itself waits for a confirm. It demands reject-publish in exchange.
    return {
        "x-dead-letter-exchange": "",
        "x-dead-letter-routing-key": queue,
        "x-dead-letter-strategy": "at-least-once",
        "x-overflow": "reject-publish",
    }
