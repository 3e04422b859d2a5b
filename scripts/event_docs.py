#!/usr/bin/env python3
"""Writes docs/events.md and docs/asyncapi.yaml from the .proto files and the services' declarations.

event_docs.py --write    write both files
event_docs.py --check    exit with status 1 if a file differs
"""

import argparse
import importlib
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

import yaml
from google.protobuf import descriptor_pb2, message_factory
from grpc_tools import protoc

from all_in_one.embedded import build
from kit.bus import EventType, Subscription, event_type
from kit.service import Service

ROOT = Path(__file__).resolve().parents[1]
PROTO = ROOT / "proto"
EXCHANGE = "lookout.events"
GENERATED = "Generated from proto/ and the services by scripts/event_docs.py (make docs); do not edit."

_MESSAGES, _FIELDS = 4, 2  # numbers in the paths of protobuf's source code info
_Field = descriptor_pb2.FieldDescriptorProto


@dataclass(frozen=True)
class Field:
    """A field of an event's message, as text."""

    name: str
    type_name: str
    comment: str


@dataclass(frozen=True)
class EventDoc:
    """An event with the comments of its .proto file, its publishers and the subscriptions to it."""

    type: EventType[Any]
    message: str
    proto_file: str
    comment: str
    fields: tuple[Field, ...]
    publishers: tuple[str, ...]
    subscriptions: tuple[Subscription, ...]

    @property
    def name(self) -> str:
        """Name and version, such as `camera.frame_captured.v1`."""
        return f"{self.type.name}.v{self.type.version}"

    @property
    def address(self) -> str:
        """The routing key, with its scope words in braces."""
        return ".".join((self.name, *(f"{{{word}}}" for word in self.type.routing_scope)))


def services() -> list[Service]:
    """Every service, built for the embedded mode and not started."""
    with tempfile.TemporaryDirectory() as folder:
        return build(Path(folder))


def event_docs(built: Sequence[Service]) -> list[EventDoc]:
    """Every event that a .proto file declares, by name."""
    docs = []
    for file in _proto_files():
        module = importlib.import_module(file.name.removesuffix(".proto").replace("/", ".") + "_pb2")
        comments = {
            tuple(location.path): location.leading_comments for location in file.source_code_info.location
        }
        for number, message in enumerate(file.message_type):
            cls: Any = message_factory.GetMessageClass(module.DESCRIPTOR.message_types_by_name[message.name])
            try:
                declared = event_type(cls)
            except ValueError:
                continue  # not an event
            fields = tuple(
                Field(
                    field.name,
                    _type_name(field),
                    _one_line(comments.get((_MESSAGES, number, _FIELDS, index), "")),
                )
                for index, field in enumerate(message.field)
            )
            docs.append(
                EventDoc(
                    declared,
                    f"{file.package}.{message.name}",
                    file.name,
                    _one_line(comments.get((_MESSAGES, number), "")),
                    fields,
                    tuple(s.name for s in built if s.publishes and declared in s.publishes.event_types),
                    tuple(
                        consumer.subscription(service.name)
                        for service in built
                        for consumer in service.consumers
                        if consumer.event_type == declared
                    ),
                )
            )
    return sorted(docs, key=lambda doc: doc.name)


def markdown(docs: Sequence[EventDoc]) -> str:
    """The content of docs/events.md."""
    lines = [
        "# Events",
        "",
        f"<!-- {GENERATED} -->",
        "",
        f"Every event is a protobuf message on the topic exchange `{EXCHANGE}`; events with the same partition key are",
        "delivered in the order in which they were published. The same in AsyncAPI 3: [asyncapi.yaml](asyncapi.yaml).",
        "How to add one: [adding-an-event.md](adding-an-event.md).",
        "",
        "| event | published by | consumed by |",
        "|---|---|---|",
    ]
    for doc in docs:
        consumers = ", ".join(subscription.service for subscription in doc.subscriptions)
        anchor = doc.name.replace(".", "")
        lines.append(
            f"| [`{doc.name}`](#{anchor}) | {', '.join(doc.publishers) or 'none'} | {consumers or 'none'} |"
        )
    for doc in docs:
        lines += ["", *_section(doc)]
    return "\n".join(lines) + "\n"


def _section(doc: EventDoc) -> list[str]:
    needs = (
        "required: without one the event stays in the publisher's outbox"
        if doc.type.is_subscriber_required
        else "optional"
    )
    queues = ", ".join(
        f"`{each.queue}` ({'ordered' if each.is_ordered else 'unordered'})" for each in doc.subscriptions
    )
    lines = [
        f"## {doc.name}",
        "",
        doc.comment,
        "",
        f"- Message: `{doc.message}` ([{doc.proto_file}](../proto/{doc.proto_file}))",
        f"- Routing key: `{doc.address}`; partitioned by {doc.type.partitioned_by}",
        f"- Published by: {', '.join(doc.publishers) or 'none'}",
        f"- Queues: {queues or 'none'}; a subscriber is {needs}",
        "",
        "| field | type | |",
        "|---|---|---|",
    ]
    return lines + [f"| `{f.name}` | `{f.type_name}` | {f.comment.replace('|', '/')} |" for f in doc.fields]


def asyncapi(docs: Sequence[EventDoc]) -> dict[str, Any]:
    """The AsyncAPI 3.0 document; see https://www.asyncapi.com/docs/reference/specification/v3.0.0."""
    operations = {}
    for doc in docs:
        channel = {"$ref": f"#/channels/{doc.name}"}
        for publisher in doc.publishers:
            operations[f"{publisher}.publish.{doc.name}"] = {
                "action": "send",
                "channel": channel,
                "summary": f"{publisher} publishes {doc.name}.",
                "bindings": {"amqp": {"deliveryMode": 2, "mandatory": doc.type.is_subscriber_required}},
            }
        for subscription in doc.subscriptions:
            operations[f"{subscription.service}.consume.{doc.name}"] = {
                "action": "receive",
                "channel": channel,
                "summary": f"{subscription.service} consumes {doc.name} from the queue {subscription.queue}.",
                "bindings": {"amqp": {"ack": True}},
            }
    return {
        "asyncapi": "3.0.0",
        "info": {"title": "Lookout events", "version": "1.0.0", "description": GENERATED},
        "defaultContentType": "application/x-protobuf",
        "channels": {doc.name: _channel(doc) for doc in docs},
        "operations": operations,
        "components": {
            "messages": {doc.message: _message(doc) for doc in docs},
            "schemas": {name: _schema(name) for name in sorted({doc.proto_file for doc in docs})},
        },
    }


def _channel(doc: EventDoc) -> dict[str, Any]:
    return {
        "address": doc.address,
        "title": doc.name,
        "description": doc.comment,
        "messages": {doc.message: {"$ref": f"#/components/messages/{doc.message}"}},
        "parameters": {
            word: {"description": f"{word.replace('_', ' ')}; other characters than A-Z a-z 0-9 _ - become _"}
            for word in doc.type.routing_scope
        },
        "bindings": {
            "amqp": {"is": "routingKey", "exchange": {"name": EXCHANGE, "type": "topic", "durable": True}}
        },
    }


def _message(doc: EventDoc) -> dict[str, Any]:
    text = {"type": "string"}
    return {
        "name": doc.message,
        "title": doc.message.rsplit(".", 1)[1],
        "summary": doc.comment,
        "contentType": "application/x-protobuf",
        "headers": {
            "type": "object",
            "required": ["partition_key", "routing_key", "occurred_at"],
            "properties": {
                "partition_key": {**text, "description": f"names the {doc.type.partitioned_by}"},
                "routing_key": text,
                "occurred_at": {**text, "format": "date-time"},
                "traceparent": {**text, "description": "W3C Trace Context"},
            },
        },
        "payload": {"$ref": f"#/components/schemas/{_escaped(doc.proto_file)}"},
        "bindings": {"amqp": {"messageType": doc.message}},
    }


def _schema(proto_file: str) -> dict[str, str]:
    return {
        "schemaFormat": "application/vnd.google.protobuf;version=3",
        "schema": (PROTO / proto_file).read_text(),
    }


def _escaped(name: str) -> str:
    return name.replace("~", "~0").replace("/", "~1")  # JSON Pointer, RFC 6901


def _proto_files() -> list[descriptor_pb2.FileDescriptorProto]:
    """The .proto files with their comments, which the generated code does not have."""
    names = sorted(str(path.relative_to(PROTO)) for path in PROTO.glob("lookout/*/v*/*.proto"))
    with tempfile.NamedTemporaryFile() as out:
        includes = (PROTO, files("grpc_tools") / "_proto")
        options = [
            *(f"-I{folder}" for folder in includes),
            "--include_source_info",
            f"--descriptor_set_out={out.name}",
        ]
        if protoc.main(["protoc", *options, *names]) != 0:
            raise SystemExit("protoc cannot read the .proto files; see its message above")
        return list(descriptor_pb2.FileDescriptorSet.FromString(Path(out.name).read_bytes()).file)


def _type_name(field: descriptor_pb2.FieldDescriptorProto) -> str:
    plain = field.type_name.removeprefix(".") or _Field.Type.Name(field.type).removeprefix("TYPE_").lower()
    return f"repeated {plain}" if field.label == _Field.LABEL_REPEATED else plain


def _one_line(comment: str) -> str:
    return " ".join(comment.split())


class _Dumper(yaml.SafeDumper):
    """Multi-line text as a block, and no anchors for repeated values."""

    def ignore_aliases(self, _: Any) -> bool:
        return True


def _text(dumper: yaml.SafeDumper, value: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style="|" if "\n" in value else None)


_Dumper.add_representer(str, _text)


def as_yaml(document: dict[str, Any]) -> str:
    """The document in YAML, in the order of its keys."""
    return yaml.dump(document, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=120)


def main() -> None:
    """Write or check both files."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    mode = parser.add_mutually_exclusive_group(required=True)
    mode.add_argument("--write", action="store_true")
    mode.add_argument("--check", action="store_true")
    args = parser.parse_args()
    docs = event_docs(services())
    for path, content in (
        (ROOT / "docs/events.md", markdown(docs)),
        (ROOT / "docs/asyncapi.yaml", as_yaml(asyncapi(docs))),
    ):
        if args.write:
            path.write_text(content)
        elif not path.exists() or path.read_text() != content:
            sys.exit(f"{path.relative_to(ROOT)} is out of date: run make docs")


if __name__ == "__main__":
    main()
