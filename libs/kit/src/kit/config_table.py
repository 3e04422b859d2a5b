"""The documentation of the settings as Markdown tables, generated from the settings classes."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin

from pydantic import SecretStr

from kit.settings.service import Leaf, ServiceSettings, leaves

_HEADER = ("Environment name", "Also", "Type", "Default", "Meaning")


def config_tables(classes: Iterable[type[ServiceSettings]]) -> str:
    """One Markdown section with a table for each class, in the order given; it ends with a newline."""
    return "\n".join(f"## {cls.service_name}\n\n{config_table(cls)}" for cls in classes)


def config_table(cls: type[ServiceSettings]) -> str:
    """The Markdown table of one service: a row for each value that can be set.

    Raises:
        ValueError: a field has no description.
    """
    rows = [_row(cls, leaf) for leaf in leaves(cls)]
    lines = [_line(_HEADER), _line(["---"] * len(_HEADER)), *(_line(row) for row in rows)]
    return "\n".join(lines) + "\n"


def _row(cls: type[ServiceSettings], leaf: Leaf) -> list[str]:
    if not leaf.field.description:
        raise ValueError(f"{cls.__name__}: {leaf.path} has no description")
    return [
        f"`{leaf.env}`",
        ", ".join(f"`{alias}`" for alias in leaf.aliases),
        "secret" if leaf.is_secret else _type_words(leaf.field.annotation),
        _default_words(cls, leaf),
        leaf.field.description,
    ]


def _default_words(cls: type[ServiceSettings], leaf: Leaf) -> str:
    defaults, embedded = cls.merged("defaults"), cls.merged("embedded_defaults")
    if leaf.path in defaults:
        words = _value_words(defaults[leaf.path])
    elif leaf.field.is_required():
        words = "required"
    else:
        words = _value_words(leaf.field.get_default(call_default_factory=True))
    if leaf.path in embedded:
        words += f"; embedded: {_value_words(_shown(cls, embedded[leaf.path]))}"
    return words


def _shown(cls: type[ServiceSettings], value: Any) -> Any:
    # A placeholder: the absolute path would be that of the machine that generates the table.
    return value.format(data_dir="<data_dir>", service=cls.service_name) if isinstance(value, str) else value


def _value_words(value: Any) -> str:
    if isinstance(value, SecretStr):
        return "`(hidden)`" if value.get_secret_value() else "none"
    if value is None or value in ("", (), [], {}):
        return "none"
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if isinstance(value, tuple | list):
        return f"`{','.join(_plain(item) for item in value)}`"
    return f"`{_plain(value)}`"


def _plain(value: Any) -> str:
    return str(value).removesuffix(".0") if isinstance(value, float) else str(value)


def _type_words(annotation: Any) -> str:
    origin = get_origin(annotation)
    if origin is Literal:
        return " or ".join(f"`{value}`" for value in get_args(annotation))
    if origin in {Union, UnionType}:
        return " or ".join(_type_words(kind) for kind in get_args(annotation) if kind is not NoneType)
    if origin in {tuple, list, frozenset, set}:
        item = next(kind for kind in get_args(annotation) if kind is not Ellipsis)
        return f"list of {_type_words(item)}"
    if origin is not None and origin is not dict:
        return _type_words(get_args(annotation)[0])  # Annotated
    words = {
        str: "text",
        int: "integer",
        float: "number",
        bool: "true or false",
        Path: "path",
        SecretStr: "secret",
    }
    return "JSON object" if origin is dict else words.get(annotation, getattr(annotation, "__name__", "text"))


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in cells) + " |"
