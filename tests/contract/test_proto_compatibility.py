"""The contracts may only change additively: consumers of another release still read them."""

from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import pytest
from google.protobuf import descriptor_pb2 as descriptor

PROTO = Path(__file__).parents[2] / "proto"
Messages = dict[str, descriptor.DescriptorProto]
Enums = dict[str, descriptor.EnumDescriptorProto]


def breaking_changes(
    before: descriptor.FileDescriptorSet, after: descriptor.FileDescriptorSet
) -> Iterator[str]:
    old_messages, old_enums, old_methods = index(before)
    new_messages, new_enums, new_methods = index(after)
    for name, message in old_messages.items():
        if name not in new_messages:
            yield f"message {name} was removed"
            continue
        yield from changed_fields(name, message, new_messages[name])
    for name, enum in old_enums.items():
        numbers = {value.name: value.number for value in new_enums[name].value} if name in new_enums else {}
        for value in enum.value:
            if numbers.get(value.name) != value.number:
                yield f"enum value {name}.{value.name} was removed or has another number"
    for method, signature in old_methods.items():
        if new_methods.get(method) != signature:
            yield f"method {method} was removed or has another signature"


def changed_fields(
    name: str, old: descriptor.DescriptorProto, new: descriptor.DescriptorProto
) -> Iterator[str]:
    fields = {field.number: field for field in new.field}
    reserved = {number for span in new.reserved_range for number in range(span.start, span.end)}
    for field in old.field:
        new_field = fields.get(field.number)
        if new_field is None:
            if field.number not in reserved:
                yield f"field {name}.{field.name} was removed and its number {field.number} is not reserved"
        elif signature(new_field) != signature(field):
            yield f"field {name}.{field.name} has another name, type, label or oneof"


def signature(field: descriptor.FieldDescriptorProto) -> tuple[str, int, str, int, bool]:
    return (field.name, field.type, field.type_name, field.label, field.HasField("oneof_index"))


def index(
    files: descriptor.FileDescriptorSet,
) -> tuple[Messages, Enums, dict[str, tuple[str, str, bool, bool]]]:
    messages: Messages = {}
    enums: Enums = {}
    methods: dict[str, tuple[str, str, bool, bool]] = {}

    def add(prefix: str, message: descriptor.DescriptorProto) -> None:
        name = f"{prefix}.{message.name}"
        messages[name] = message
        for nested in message.nested_type:
            add(name, nested)
        for enum in message.enum_type:
            enums[f"{name}.{enum.name}"] = enum

    for file in files.file:
        if file.package.startswith("google."):  # imports that the set may contain; not Lookout's contracts
            continue
        for message in file.message_type:
            add(file.package, message)
        for enum in file.enum_type:
            enums[f"{file.package}.{enum.name}"] = enum
        for service in file.service:
            for method in service.method:
                methods[f"{file.package}.{service.name}/{method.name}"] = (
                    method.input_type,
                    method.output_type,
                    method.client_streaming,
                    method.server_streaming,
                )
    return messages, enums, methods


def current() -> descriptor.FileDescriptorSet:
    files = descriptor.FileDescriptorSet()
    for path in sorted(PROTO.glob("src/lookout/*/v1/*_pb2.py")):
        module = import_module(".".join(path.relative_to(PROTO / "src").with_suffix("").parts))
        module.DESCRIPTOR.CopyToProto(files.file.add())
    return files


def released() -> descriptor.FileDescriptorSet:
    return descriptor.FileDescriptorSet.FromString((PROTO / "released.binpb").read_bytes())


def test_the_contracts_have_no_breaking_change() -> None:
    assert list(breaking_changes(released(), current())) == []


def test_every_proto_file_is_compared() -> None:
    files = {str(path.relative_to(PROTO)) for path in PROTO.glob("lookout/*/v1/*.proto")}
    assert files == {file.name for file in current().file}


def remove_field(files: descriptor.FileDescriptorSet) -> None:
    del files.file[0].message_type[0].field[0]


def change_type(files: descriptor.FileDescriptorSet) -> None:
    files.file[0].message_type[0].field[0].type = descriptor.FieldDescriptorProto.TYPE_STRING


def rename_field(files: descriptor.FileDescriptorSet) -> None:
    files.file[0].message_type[0].field[0].name = "other"


def remove_message(files: descriptor.FileDescriptorSet) -> None:
    del files.file[0].message_type[0]


def renumber_enum(files: descriptor.FileDescriptorSet) -> None:
    next(file for file in files.file if file.enum_type).enum_type[0].value[1].number = 99


def remove_method(files: descriptor.FileDescriptorSet) -> None:
    del next(file for file in files.file if file.service).service[0].method[0]


@pytest.mark.parametrize(
    "change", [remove_field, change_type, rename_field, remove_message, renumber_enum, remove_method]
)
def test_a_breaking_change_is_found(change) -> None:
    changed = current()
    change(changed)
    assert list(breaking_changes(current(), changed))


def test_an_addition_is_not_a_breaking_change() -> None:
    extended = current()
    extended.file[0].message_type[0].field.add(
        name="more", number=99, type=descriptor.FieldDescriptorProto.TYPE_STRING
    )
    assert list(breaking_changes(current(), extended)) == []
