"""What the bus decides, as tables: no broker, no file."""

from dataclasses import replace
from datetime import UTC, datetime
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from psycopg.errors import AdminShutdown, DeadlockDetected
from sqlalchemy.exc import IntegrityError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from kit import errors
from kit.bus import (
    Consumer,
    Event,
    EventSource,
    Metadata,
    Rejected,
    RetryPolicy,
    Subscription,
    Transient,
    Unroutable,
    classify,
    event_type,
)
from kit.bus.event import matches
from kit.bus.failure import Failure, GiveUp, Retry, next_step
from kit.bus.topology import (
    SLOTS,
    catalogue_queue,
    retry_queue,
    shard_queues,
    slot_key,
    slot_of,
    subscription_topology,
)
from kit.settings import BusSettings
from kit.tracing import use_trace
from testkit.bus import make_event
from testkit.messages import ThingHappened, message_class

POLICY = RetryPolicy((1.0, 5.0), outage_retry_limit_s=60.0)
SETTINGS = BusSettings(url="amqp://localhost/")


PlainMessage = message_class("PlainMessage", is_event=False)

AT = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


@pytest.mark.parametrize(
    ("error", "failure"),
    [
        (Rejected("no"), Failure.REJECTED),
        (errors.Invalid("no"), Failure.REJECTED),
        (errors.NotFound("no"), Failure.REJECTED),
        (Transient("soon"), Failure.TRANSIENT),
        (errors.UpstreamTimeout("slow"), Failure.TRANSIENT),
        (errors.UpstreamFailed("odd"), Failure.TRANSIENT),
        (errors.RateLimited("often"), Failure.TRANSIENT),
        (errors.Unavailable("collided", code="transaction_conflict"), Failure.TRANSIENT),
        (TimeoutError(), Failure.TRANSIENT),
        (errors.Unavailable("stopped"), Failure.OUTAGE),
        (Unroutable("no queue is bound"), Failure.OUTAGE),
        (errors.StorageFull("full"), Failure.OUTAGE),
        (ConnectionResetError(), Failure.OUTAGE),
        (PoolTimeoutError(), Failure.OUTAGE),
        (OperationalError("select", {}, AdminShutdown("gone")), Failure.OUTAGE),
        (OperationalError("select", {}, DeadlockDetected("collided")), Failure.TRANSIENT),
        (AdminShutdown("gone"), Failure.OUTAGE),
        (IntegrityError("insert", {}, ValueError("twice")), Failure.BUG),
        (KeyError("plate"), Failure.BUG),
        (AssertionError(), Failure.BUG),
    ],
)
def test_errors_are_classified(error, failure):
    assert classify(error) is failure


@pytest.mark.parametrize(
    ("failure", "failures", "elapsed_s", "step"),
    [
        (Failure.REJECTED, 1, 0.0, GiveUp("rejected")),
        (Failure.BUG, 1, 0.0, GiveUp("bug")),
        (Failure.TRANSIENT, 1, 0.0, Retry(1.0)),
        (Failure.TRANSIENT, 2, 1.0, Retry(5.0)),
        (Failure.TRANSIENT, 3, 6.0, GiveUp("gave up after 3 attempts")),
        (Failure.OUTAGE, 1, 0.0, Retry(1.0, is_outage=True)),
        (Failure.OUTAGE, 9, 59.0, Retry(5.0, is_outage=True)),
        (Failure.OUTAGE, 15, 60.0, GiveUp("still unavailable after 60 s and 15 attempts")),
    ],
)
def test_what_follows_a_failure(failure, failures, elapsed_s, step):
    assert next_step(POLICY, failure, failures, elapsed_s) == step


def test_an_outage_does_not_count_against_a_failure_of_another_kind():
    assert next_step(POLICY, Failure.TRANSIENT, 10, 30.0, outages=8) == Retry(5.0)
    assert isinstance(next_step(POLICY, Failure.TRANSIENT, 11, 30.0, outages=8), GiveUp)


def test_without_delays_everything_becomes_a_dead_letter_at_once():
    for failure in Failure:
        assert isinstance(next_step(RetryPolicy(()), failure, 1, 0.0), GiveUp)


@pytest.mark.parametrize(
    ("tokens", "key"),
    [
        (("NAD", "95"), "NAD.95"),
        (("N.A*D#", " "), "N_A_D_._"),
        (("", "ü"), "_._"),
        (("x" * 100, "95"), "x" * 64 + ".95"),
    ],
)
def test_routing_keys_are_made_safe(tokens, key):
    assert event_type(ThingHappened).routing_key(tokens) == f"things.thing_happened.v1.{key}"


@given(st.tuples(st.text(), st.text()))
def test_a_scope_word_is_one_word_whatever_it_contains(words):
    key = event_type(ThingHappened).routing_key(words)
    assert key.count(".") == 4
    assert matches(event_type(ThingHappened).binding, key)


@pytest.mark.parametrize("words", [(), ("NAD",), ("NAD", "95", "more")])
def test_a_scope_with_too_few_or_too_many_words_is_refused(words):
    with pytest.raises(ValueError, match="takes the scope words location_code, camera_api_code"):
        event_type(ThingHappened).routing_key(words)


def test_an_event_type_follows_from_its_message():
    announcement = message_class("GateOpenedByHand", package="site.gates.v3", is_subscriber_required=False)
    declared = event_type(announcement)
    assert (declared.name, declared.version) == ("gates.gate_opened_by_hand", 3)
    assert declared.binding == "gates.gate_opened_by_hand.v3.#"
    assert not declared.is_subscriber_required
    assert Subscription.to(declared, "reports").queue == "reports.gate_opened_by_hand.v3"


def test_a_message_that_declares_no_event_cannot_be_published_or_consumed():
    async def handle(message, metadata):
        raise AssertionError

    for use in (event_type, lambda cls: EventSource("x", cls), lambda cls: Consumer(cls, handle)):
        with pytest.raises(ValueError, match=r"PlainMessage is not an event: add the message option"):
            use(PlainMessage)
    with pytest.raises(ValueError, match="is not named"):
        event_type(message_class("Unversioned", package="things"))


def test_a_source_publishes_only_what_it_declares():
    source = EventSource("writer", message_class("Declared"))
    with pytest.raises(ValueError, match="writer does not declare that it publishes"):
        source.event(
            ThingHappened(number=1), scope=("a", "b"), partition_key="k", occurred_at=AT, correlation_id="c"
        )


def test_an_event_after_another_is_the_same_each_time_the_cause_is_handled():
    cause = Metadata(
        message_id=UUID(int=7),
        partition_key="camera:1",
        occurred_at=AT,
        app_id="other",
        correlation_id="c",
        attempt=1,
    )
    source = EventSource("writer", ThingHappened)
    first = source.event_after(cause, ThingHappened(number=1), scope=("a", "b"))
    again = source.event_after(replace(cause, attempt=2), ThingHappened(number=1), scope=("a", "b"))
    assert (first.partition_key, first.occurred_at, first.correlation_id) == ("camera:1", AT, "c")
    assert first.message_id == again.message_id != cause.message_id


def _matches_by_definition(pattern, words):
    if not pattern:
        return not words
    head, *rest = pattern
    if head == "#":
        return any(_matches_by_definition(rest, words[i:]) for i in range(len(words) + 1))
    return bool(words) and head in ("*", words[0]) and _matches_by_definition(rest, words[1:])


@given(st.lists(st.sampled_from("ab*#"), min_size=1, max_size=6), st.lists(st.sampled_from("ab"), max_size=6))
def test_topics_match_by_their_definition(pattern, words):
    key = ".".join(words)
    assert matches(".".join(pattern), key) == _matches_by_definition(pattern, key.split("."))


def test_an_event_is_made_of_a_message_in_the_running_trace():
    with use_trace() as trace:
        event = Event.of(
            ThingHappened(number=7),
            scope=("NAD", "95"),
            partition_key="camera:1",
            app_id="ingest",
            occurred_at=AT,
            correlation_id="c",
        )
    assert event.type == "lookout.things.v1.ThingHappened"
    assert event.routing_key == "things.thing_happened.v1.NAD.95"
    assert event.must_route
    assert event.traceparent == trace.traceparent
    assert event.message_id.version == 7
    assert event.parse(ThingHappened).number == 7
    with pytest.raises(Rejected, match=r"expected lookout\.things\.v1\.PlainMessage"):
        event.parse(PlainMessage)
    with pytest.raises(Rejected, match="not a valid"):
        make_event(type=ThingHappened.DESCRIPTOR.full_name, body=b"\xff").parse(ThingHappened)


@pytest.mark.parametrize(
    "wrong",
    [
        {"occurred_at": datetime(2026, 1, 2)},  # noqa: DTZ001 - what must be refused
        {"scope": ("NAD",)},
    ],
)
def test_a_wrong_envelope_is_refused(wrong):
    right = {
        "scope": ("NAD", "95"),
        "partition_key": "k",
        "app_id": "x",
        "occurred_at": AT,
        "correlation_id": "c",
    }
    with pytest.raises(ValueError, match=r"time zone|scope"):
        Event.of(ThingHappened(), **{**right, **wrong})


@pytest.mark.parametrize("name", ["", "Tickets", "a b", "1x", "a.b"])
def test_names_that_are_not_valid_in_a_queue_name_are_refused(name):
    with pytest.raises(ValueError, match="queue name"):
        Subscription(name, "plates_read", "#")


def test_the_topology_of_an_ordered_subscription():
    subscription = Subscription("tickets", "plates_read", "plates.plates_read.v1.#")
    topology = subscription_topology(subscription, POLICY, SETTINGS, shards=3)
    assert [(e.name, e.kind) for e in topology.exchanges] == [
        ("lookout.events", "topic"),
        ("tickets.plates_read.v1", "direct"),
    ]
    assert topology.consumed == tuple(f"tickets.plates_read.v1.0{i}" for i in range(3))
    assert [q.name for q in topology.queues] == [
        "tickets.plates_read.v1.parked",
        "tickets.plates_read.v1.members",
        *topology.consumed,
    ]
    slots = {b.key: b.destination for b in topology.bindings if b.source == "tickets.plates_read.v1"}
    assert set(slots) == {slot_key(slot) for slot in range(SLOTS)}
    assert set(slots.values()) == set(topology.consumed)
    last = topology.bindings[-1]
    assert (last.source, last.destination, last.key, last.is_to_exchange) == (
        "lookout.events",
        "tickets.plates_read.v1",
        "plates.plates_read.v1.#",
        True,
    )


def test_the_topology_of_an_unordered_subscription():
    subscription = Subscription("reports", "plates_read", "plates.#", is_ordered=False)
    topology = subscription_topology(subscription, POLICY, SETTINGS, shards=3)
    assert topology.consumed == ("reports.plates_read.v1",)
    assert [q.name for q in topology.queues] == [
        "reports.plates_read.v1.parked",
        "reports.plates_read.v1",
        "reports.plates_read.v1.retry.1000ms",
        "reports.plates_read.v1.retry.5000ms",
    ]
    ladder = topology.queues[-1].arguments
    assert (ladder["x-message-ttl"], ladder["x-dead-letter-exchange"]) == (5000, "")
    assert ladder["x-dead-letter-routing-key"] == "reports.plates_read.v1"


@pytest.mark.parametrize("ordered", [True, False])
def test_every_queue_is_a_quorum_queue_with_a_limit_and_confirmed_dead_lettering(ordered):
    subscription = Subscription("tickets", "plates_read", "#", is_ordered=ordered)
    topology = subscription_topology(subscription, POLICY, SETTINGS, shards=4)
    for queue in (*topology.queues, catalogue_queue(SETTINGS)):
        assert queue.arguments["x-queue-type"] == "quorum"
        assert isinstance(queue.arguments["x-delivery-limit"], int)
        if "x-dead-letter-exchange" in queue.arguments:
            assert queue.arguments["x-dead-letter-strategy"] == "at-least-once"
            assert queue.arguments["x-overflow"] == "reject-publish"
    for name in topology.consumed:
        [queue] = [q for q in topology.queues if q.name == name]
        assert queue.arguments["x-delivery-limit"] == SETTINGS.delivery_limit
        assert queue.arguments["x-dead-letter-routing-key"] == "tickets.plates_read.v1.parked"
        assert ("x-single-active-consumer" in queue.arguments) is ordered


def test_names_sort_and_carry_their_delay():
    assert shard_queues("q", 12)[9:] == ("q.09", "q.10", "q.11")
    assert retry_queue("q", 0.25) == "q.retry.250ms"


def test_the_slot_of_a_key_never_changes():
    assert [slot_of(key) for key in ("camera:1", "camera:2", "", "ü")] == [26, 32, 0, 21]
