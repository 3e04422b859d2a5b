"""How the `kit` command shows queues and dead letters. Bytes are never printed, only their size."""

import importlib
from collections.abc import Mapping, Sequence
from typing import Any

import orjson
from google.protobuf import descriptor_pool, message_factory
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.json_format import MessageToDict
from google.protobuf.message import DecodeError, Message

from kit.bus import DeadLetter, QueueInfo

MAX_CELL_CHARS = 80
MAX_TEXT_CHARS = 500


def to_json(document: object) -> str:
    """Indented JSON."""
    return orjson.dumps(document, option=orjson.OPT_INDENT_2).decode()


def table_of(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Columns, left aligned. Long cells are cut, except in the last column."""
    cells = [tuple(head), *((*(_cut(cell) for cell in row[:-1]), " ".join(row[-1].split())) for row in rows)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(head))]
    lines = [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in cells
    ]
    return "\n".join(lines)


def document_of(
    thing: QueueInfo | DeadLetter, proto_modules: Sequence[str] = (), *, is_whole: bool = False
) -> dict[str, Any]:
    """A queue or a dead letter as JSON; `is_whole` adds body and traceback."""
    if isinstance(thing, QueueInfo):
        return {
            "queue": thing.queue,
            "binding": thing.binding,
            "is_ordered": thing.is_ordered,
            "waiting": thing.depth,
            "dead_letters": thing.dead_letters,
        }
    document: dict[str, Any] = {
        "id": thing.dead_letter_id,
        "queue": thing.queue,
        "reason": thing.reason,
        "attempts": thing.attempts,
        "dead_lettered_at": thing.dead_lettered_at.isoformat(),
        "event": dict(_envelope(thing)),
    }
    if is_whole:
        document["traceback"] = thing.traceback
        document["body"] = body_of(thing.event.type, thing.event.body, proto_modules)
    return document


def page_of(message: DeadLetter, proto_modules: Sequence[str]) -> str:
    """A dead letter as text."""
    facts = {
        "id": message.dead_letter_id,
        "queue": message.queue,
        "reason": message.reason,
        "attempts": str(message.attempts),
        "since": message.dead_lettered_at.isoformat(),
        **_envelope(message),
    }
    lines = [f"{name + ':':16}{value}" for name, value in facts.items()]
    body = body_of(message.event.type, message.event.body, proto_modules)
    lines += ["", "body:", body if isinstance(body, str) else to_json(body)]
    if message.traceback:
        lines += ["", "traceback:", message.traceback.rstrip()]
    lines += [
        "",
        f"Next: kit dead-letters replay --queue {message.queue} --id {message.dead_letter_id} (or discard)",
    ]
    return "\n".join(lines)


def body_of(type_name: str, body: bytes, proto_modules: Sequence[str] = ()) -> dict[str, Any] | str:
    """The body's fields, or, where its type is not known, a sentence with its size."""
    cls = _message_class(type_name, proto_modules)
    if cls is None:
        return f"{len(body)} bytes; the type {type_name or '(none)'} is not known here (try --proto-module)"
    message = cls()
    try:
        message.ParseFromString(body)
    except DecodeError as error:
        return f"{len(body)} bytes that are no valid {type_name}: {error}"
    document = MessageToDict(message, preserving_proto_field_name=True)
    _hide_bytes(message, document)
    shortened = _shorten(document)
    assert isinstance(shortened, dict)
    return shortened


def _hide_bytes(message: Message, document: dict[str, Any]) -> None:
    """Replace every `bytes` value by its size."""
    for field, value in message.ListFields():
        name = field.name
        kind = _map_value_kind(field)
        if kind is not None:
            for key, shown in list(document[name].items()):
                document[name][key] = _hidden(kind, value[_map_key(value, key)], shown)
        elif field.is_repeated:
            document[name] = [_hidden(field.type, *pair) for pair in zip(value, document[name], strict=True)]
        else:
            document[name] = _hidden(field.type, value, document[name])


def _hidden(kind: int, value: Any, shown: Any) -> Any:
    if kind == FieldDescriptor.TYPE_BYTES:
        return f"({len(value)} bytes)"
    if kind == FieldDescriptor.TYPE_MESSAGE and isinstance(shown, dict):
        _hide_bytes(value, shown)
    return shown


def _map_key(values: Mapping[Any, Any], shown: str) -> Any:
    """The key that JSON, which knows only text, shows so."""
    return next(key for key in values if str(key).lower() == shown.lower())


def _map_value_kind(field: FieldDescriptor) -> int | None:
    """The type of a map's values; None where the field is no map."""
    entry = field.message_type
    if entry is None or not entry.GetOptions().map_entry:
        return None
    return entry.fields_by_name["value"].type


def _envelope(message: DeadLetter) -> Mapping[str, str]:
    event = message.event
    return {
        "type": event.type,
        "routing key": event.routing_key,
        "partition key": event.partition_key,
        "occurred at": event.occurred_at.isoformat(),
        "app": event.app_id,
        "correlation id": event.correlation_id,
        "traceparent": event.traceparent or "",
        "size": f"{len(event.body)} bytes",
    }


def _message_class(type_name: str, proto_modules: Sequence[str]) -> type[Message] | None:
    package, _, _ = type_name.rpartition(".")
    modules = list(proto_modules)
    if package.startswith("lookout."):
        modules.append(f"{package}.{package.split('.')[1]}_pb2")
    for module in modules:
        try:
            importlib.import_module(module)
        except ImportError:
            continue
    try:
        found = descriptor_pool.Default().FindMessageTypeByName(type_name)
    except KeyError:
        return None
    return message_factory.GetMessageClass(found)


def _shorten(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _shorten(part) for key, part in value.items()}
    if isinstance(value, list):
        return [_shorten(part) for part in value]
    if isinstance(value, str) and len(value) > MAX_TEXT_CHARS:
        return f"{value[:MAX_TEXT_CHARS]}… ({len(value)} characters)"
    return value


def _cut(cell: str) -> str:
    text = " ".join(cell.split())
    return text if len(text) <= MAX_CELL_CHARS else text[: MAX_CELL_CHARS - 1] + "…"
