"""What kind of event a protobuf message is: name, version and routing key, derived from the message itself."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Generic, TypeVar

from google.protobuf import descriptor_pb2
from google.protobuf.message import Message

M = TypeVar("M", bound=Message)

OPTION_NUMBER = 50001
"""Number of the message option that declares an event; it has the fields of `EventType` that are not derived."""

MAX_ROUTING_KEY_BYTES = 255  # AMQP 0-9-1, "shortstr"
_MAX_WORD_CHARS = 64
_NOT_IN_A_WORD = re.compile(r"[^A-Za-z0-9_-]+")
_FULL_NAME = re.compile(r"(?:\w+\.)*(?P<area>\w+)\.v(?P<version>\d+)\.(?P<event>\w+)")
_WORD_START = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")


@dataclass(frozen=True, slots=True)
class EventType(Generic[M]):
    """`lookout.sales.v1.OrderPlaced` is the event `sales.order_placed`, version 1.

    `routing_scope` names the words that follow in the routing key. `is_subscriber_required`: publishing fails
    while no queue is bound for the event.
    """

    message_class: type[M]
    area: str
    event: str
    version: int
    is_subscriber_required: bool
    partitioned_by: str
    routing_scope: tuple[str, ...]

    @property
    def name(self) -> str:
        """Area and event, such as `sales.order_placed`."""
        return f"{self.area}.{self.event}"

    @property
    def binding(self) -> str:
        """The topic binding that matches every routing key of this event."""
        return f"{self.name}.v{self.version}.#"

    def routing_key(self, scope: Sequence[str]) -> str:
        """The routing key: name, version and the words of the scope, each made safe for AMQP.

        Dots separate words and `*` and `#` are wildcards; all but letters, digits, `_` and `-` becomes `_`.

        Raises:
            ValueError: the scope has not the words that the event declares, or the key gets too long.
        """
        if len(scope) != len(self.routing_scope):
            expected = ", ".join(self.routing_scope) or "none"
            raise ValueError(f"{self.name} takes the scope words {expected}; got {list(scope)}")
        words = [_NOT_IN_A_WORD.sub("_", word)[:_MAX_WORD_CHARS] or "_" for word in scope]
        key = ".".join((self.name, f"v{self.version}", *words))
        if len(key) > MAX_ROUTING_KEY_BYTES:
            raise ValueError(f"a routing key has at most {MAX_ROUTING_KEY_BYTES} bytes: {key!r}")
        return key


def event_type(message_class: type[M]) -> EventType[M]:
    """How messages of this class are published.

    Raises:
        ValueError: the message does not declare itself as an event, or its full name has not the form
            `<package>.<area>.v<version>.<Event>`.
    """
    key: Any = message_class  # protobuf's types say that message classes are not hashable
    return _declared(key)


@cache
def _declared(message_class: Any) -> EventType[Any]:
    descriptor = message_class.DESCRIPTOR
    full_name = descriptor.full_name
    match = _FULL_NAME.fullmatch(full_name)
    if match is None:
        raise ValueError(f"{full_name} is not named <package>.<area>.v<version>.<Event>")
    try:
        extension = descriptor.file.pool.FindExtensionByNumber(
            descriptor_pb2.MessageOptions.DESCRIPTOR, OPTION_NUMBER
        )
    except KeyError:
        extension = None
    options = descriptor.GetOptions()
    if extension is None or not options.HasExtension(extension):
        raise ValueError(
            f"{full_name} is not an event: add the message option number {OPTION_NUMBER} in its .proto file"
        )
    # The option's class is generated code that the kit does not import; its fields are known by name.
    declared = options.Extensions[extension]
    return EventType(
        message_class=message_class,
        area=match["area"],
        event=_WORD_START.sub("_", match["event"]).lower(),
        version=int(match["version"]),
        is_subscriber_required=declared.is_subscriber_required,
        partitioned_by=declared.partitioned_by,
        routing_scope=tuple(declared.routing_scope),
    )
