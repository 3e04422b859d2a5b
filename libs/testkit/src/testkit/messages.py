"""Protobuf messages for tests, created without a .proto file."""

from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.message import Message

from lookout.common.v1 import event_pb2

_PACKAGE = "lookout.things.v1"
_Field = descriptor_pb2.FieldDescriptorProto


def message_class(
    name: str,
    *,
    package: str = _PACKAGE,
    is_subscriber_required: bool = True,
    routing_scope: tuple[str, ...] = ("location_code", "camera_api_code"),
    is_event: bool = True,
) -> type[Message]:
    """A message class with the fields `number` and `payload` (bytes).

    It declares an event unless `is_event` is False.
    """
    file = descriptor_pb2.FileDescriptorProto(
        name=f"testkit/{package}.{name}.proto",
        package=package,
        syntax="proto3",
        dependency=[event_pb2.DESCRIPTOR.name],
    )
    message = file.message_type.add(name=name)
    message.field.add(name="number", number=1, type=_Field.TYPE_INT64, label=_Field.LABEL_OPTIONAL)
    message.field.add(name="payload", number=2, type=_Field.TYPE_BYTES, label=_Field.LABEL_OPTIONAL)
    if is_event:
        declared = event_pb2.EventOptions(
            is_subscriber_required=is_subscriber_required,
            partitioned_by="camera",
            routing_scope=routing_scope,
        )
        message.options.Extensions[event_pb2.event].CopyFrom(declared)
    pool = descriptor_pool.Default()
    pool.AddSerializedFile(file.SerializeToString())
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{package}.{name}"))


ThingHappened: Any = message_class("ThingHappened")
"""The event `things.thing_happened`, version 1."""
