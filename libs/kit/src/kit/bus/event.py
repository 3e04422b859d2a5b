"""An event as the bus carries it: an envelope around a protobuf body."""

import builtins
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Self, TypeVar
from uuid import UUID

from google.protobuf.message import DecodeError, Message

from kit.bus.failure import Rejected
from kit.ids import uuid7
from kit.tracing import current_trace

M = TypeVar("M", bound=Message)

MAX_ROUTING_KEY_BYTES = 255  # AMQP 0-9-1, "shortstr"
_MAX_TOKEN_CHARS = 64
_NO_TOKEN = re.compile(r"[^A-Za-z0-9_-]+")


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened. `type` is the protobuf full name of `body`.

    Events of one `partition_key` reach an ordered subscription in the order in which they were published.
    `must_route`: publishing fails with `Unroutable` when no queue wants the event; set it to False only for
    announcements that nobody need listen to.
    """

    message_id: UUID
    type: str
    routing_key: str
    partition_key: str
    body: bytes
    occurred_at: datetime
    app_id: str
    correlation_id: str
    traceparent: str | None = None
    must_route: bool = True

    @classmethod
    def of(
        cls,
        message: Message,
        *,
        routing_key: str,
        partition_key: str,
        app_id: str,
        occurred_at: datetime,
        correlation_id: str,
        message_id: UUID | None = None,
        must_route: bool = True,
    ) -> Self:
        """Wrap `message`, in the trace of the running task. `message_id` is a new one unless given.

        Raises:
            ValueError: `occurred_at` has no zone, or the routing key is empty or longer than AMQP allows.
        """
        if occurred_at.tzinfo is None:
            raise ValueError("occurred_at has no time zone")
        if not 0 < len(routing_key.encode()) <= MAX_ROUTING_KEY_BYTES:
            raise ValueError(f"a routing key has 1 to {MAX_ROUTING_KEY_BYTES} bytes: {routing_key!r}")
        trace = current_trace()
        return cls(
            message_id=message_id or uuid7(),
            type=message.DESCRIPTOR.full_name,
            routing_key=routing_key,
            partition_key=partition_key,
            body=message.SerializeToString(),
            occurred_at=occurred_at.astimezone(UTC),
            app_id=app_id,
            correlation_id=correlation_id,
            traceparent=trace.traceparent if trace is not None else None,
            must_route=must_route,
        )

    def parse(self, cls: builtins.type[M]) -> M:
        """The body as that message.

        Raises:
            Rejected: the event is of another type, or its body is not valid protobuf.
        """
        wanted = cls.DESCRIPTOR.full_name
        if self.type != wanted:
            raise Rejected(f"expected {wanted}, got {self.type or 'an event without a type'}")
        try:
            return cls.FromString(self.body)
        except DecodeError as error:
            raise Rejected(f"the body is not a valid {wanted}: {error}") from error


def routing_key(event: str, *tokens: str) -> str:
    """`event` (such as `camera.frame_captured.v1`) followed by the tokens, each made safe to stand in a key.

    Dots separate words and `*` and `#` are wildcards in AMQP; all but letters, digits, `_`, `-` becomes `_`.
    """
    words = [_NO_TOKEN.sub("_", token)[:_MAX_TOKEN_CHARS] or "_" for token in tokens]
    return ".".join((event, *words))


def matches(binding: str, key: str) -> bool:
    """Whether a topic binding takes a routing key: `*` is one word, `#` any number (AMQP 0-9-1, 3.1.3.3)."""
    return _matches(binding.split("."), key.split("."))


def _matches(pattern: list[str], words: list[str]) -> bool:
    # Row by row over the pattern: reached[i] says whether it can have consumed words[:i]. Linear in
    # pattern times words, where trying every split of several `#` would be exponential.
    reached = [True] + [False] * len(words)
    for token in pattern:
        if token == "#":  # noqa: S105 - a wildcard, no password
            first = reached.index(True) if True in reached else len(reached)
            reached = [i >= first for i in range(len(words) + 1)]
        else:
            reached = [False] + [reached[i] and (token in ("*", word)) for i, word in enumerate(words)]
    return reached[-1]
