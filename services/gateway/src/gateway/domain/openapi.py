"""Merge the OpenAPI documents of several services into one."""

import copy
import json
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

_METHODS = frozenset({"get", "put", "post", "delete", "options", "head", "patch", "trace"})
_REF = "#/components/"


@dataclass(frozen=True, slots=True)
class ServiceDocument:
    """A service's document; None where it could not be fetched, with the reason in `fault`."""

    service: str
    document: Mapping[str, Any] | None
    fault: str = ""


def merge_openapi(
    documents: Sequence[ServiceDocument],
    *,
    title: str,
    version: str,
    description: str,
    is_routed: Callable[[str, str], bool],
    aliases_of: Callable[[str], Sequence[str]],
) -> dict[str, Any]:
    """One OpenAPI 3.1 document of every path that the gateway serves.

    `is_routed(service, path)` selects the paths in the route table (a service's own `/metrics` is not in it);
    `aliases_of(path)` are older paths, listed in the operation's description. A component that two services
    define differently gets the service's name as a prefix, in both.
    """
    available = [
        (entry.service, copy.deepcopy(dict(entry.document))) for entry in documents if entry.document
    ]
    missing = [
        f"**{entry.service}** is missing here: {entry.fault}." for entry in documents if not entry.document
    ]
    clashing = _clashing_names([document for _, document in available])
    paths: dict[str, Any] = {}
    components: dict[str, dict[str, Any]] = {}
    seen_operations: set[str] = set()
    for service, document in available:
        _rename_components(document, clashing, _prefix(service))
        for kind, named in _components(document).items():
            components.setdefault(kind, {}).update(named)
        for path, item in document.get("paths", {}).items():
            if isinstance(item, dict) and is_routed(service, path) and path not in paths:
                paths[path] = _label(item, service, aliases_of(path), seen_operations)
    merged: dict[str, Any] = {
        "openapi": "3.1.0",
        "info": {"title": title, "version": version, "description": "\n\n".join([description, *missing])},
        "paths": paths,
        "tags": [{"name": service, "description": _about(document)} for service, document in available],
    }
    if components:
        merged["components"] = components
    return merged


def _about(document: Mapping[str, Any]) -> str:
    info = document.get("info", {})
    return str(info.get("description") or info.get("title") or "")


def _prefix(service: str) -> str:
    return "".join(part.capitalize() for part in service.replace("_", "-").split("-"))


def _components(document: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    sections = document.get("components", {})
    return {kind: named for kind, named in sections.items() if isinstance(named, dict)}


def _clashing_names(documents: Sequence[Mapping[str, Any]]) -> frozenset[tuple[str, str]]:
    """The (kind, name) pairs that are defined in more than one way.

    A component with equal text that refers to a clashing one differs too, so references are followed until no
    further one is found.
    """
    definitions: defaultdict[tuple[str, str], set[str]] = defaultdict(set)
    refers_to: defaultdict[tuple[str, str], set[tuple[str, str]]] = defaultdict(set)
    for document in documents:
        for kind, named in _components(document).items():
            for name, component in named.items():
                definitions[kind, name].add(json.dumps(component, sort_keys=True, default=str))
                refers_to[kind, name] |= _references(component)
    clashing = {pair for pair, texts in definitions.items() if len(texts) > 1}
    shared = _shared(documents)
    while True:
        more = {pair for pair in shared - clashing if refers_to[pair] & clashing}
        if not more:
            return frozenset(clashing)
        clashing |= more


def _shared(documents: Sequence[Mapping[str, Any]]) -> set[tuple[str, str]]:
    count: defaultdict[tuple[str, str], int] = defaultdict(int)
    for document in documents:
        for kind, named in _components(document).items():
            for name in named:
                count[kind, name] += 1
    return {pair for pair, times in count.items() if times > 1}


def _references(node: Any) -> set[tuple[str, str]]:
    found: set[tuple[str, str]] = set()
    if isinstance(node, dict):
        for value in node.values():
            found |= _references(value)
    elif isinstance(node, list):
        for value in node:
            found |= _references(value)
    elif isinstance(node, str) and node.startswith(_REF) and node.count("/") == 3:
        kind, name = node.removeprefix(_REF).split("/")
        found.add((kind, name))
    return found


def _rename_components(document: dict[str, Any], clashing: frozenset[tuple[str, str]], prefix: str) -> None:
    renamed = {
        f"{_REF}{kind}/{name}": f"{_REF}{kind}/{prefix}{name}"
        for kind, named in _components(document).items()
        for name in named
        if (kind, name) in clashing
    }
    if not renamed:
        return
    rewritten = _rewrite(document, renamed)
    document.clear()
    document.update(rewritten)
    for kind, named in _components(document).items():
        document["components"][kind] = {
            (prefix + name if (kind, name) in clashing else name): (
                _titled(component, prefix + name) if (kind, name) in clashing else component
            )
            for name, component in named.items()
        }
    _rename_security(document, clashing, prefix)


def _titled(component: Any, title: str) -> Any:
    """With another title, where it has one: generators of clients name their classes by it."""
    return (
        {**component, "title": title} if isinstance(component, dict) and "title" in component else component
    )


def _rename_security(document: dict[str, Any], clashing: frozenset[tuple[str, str]], prefix: str) -> None:
    """Security requirements contain the scheme's plain name and not a reference."""

    def renamed(requirements: list[dict[str, Any]]) -> list[dict[str, Any]]:
        return [
            {
                (prefix + name if ("securitySchemes", name) in clashing else name): scopes
                for name, scopes in one.items()
            }
            for one in requirements
        ]

    for item in document.get("paths", {}).values():
        for operation in item.values():
            if isinstance(operation, dict) and "security" in operation:
                operation["security"] = renamed(operation["security"])


def _rewrite(node: Any, renamed: Mapping[str, str]) -> Any:
    if isinstance(node, dict):
        return {key: _rewrite(value, renamed) for key, value in node.items()}
    if isinstance(node, list):
        return [_rewrite(value, renamed) for value in node]
    return renamed.get(node, node) if isinstance(node, str) else node


def _label(
    item: dict[str, Any], service: str, aliases: Sequence[str], seen_operations: set[str]
) -> dict[str, Any]:
    for method, operation in item.items():
        if method not in _METHODS or not isinstance(operation, dict):
            continue
        operation["tags"] = [service]
        if aliases:
            also = "Also at " + ", ".join(f"`{alias}`" for alias in aliases) + "."
            operation["description"] = "\n\n".join(filter(None, [operation.get("description"), also]))
        operation_id = operation.get("operationId")
        if operation_id is not None:
            if operation_id in seen_operations:
                operation_id = f"{service.replace('-', '_')}_{operation_id}"
                operation["operationId"] = operation_id
            seen_operations.add(operation_id)
    return item
