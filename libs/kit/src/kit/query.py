"""Refuses query parameters that a route does not declare: a misspelt filter must not return the whole list."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, get_args, get_origin
from urllib.parse import parse_qsl

from pydantic import BaseModel
from starlette.requests import Request

from kit.errors import FieldError, Invalid

# A caller chooses how many names there are and how long each is; these bound the work and the answer.
MAX_REPORTED = 20
MAX_NAME_CHARS = 64
_SEQUENCES = (list, set, frozenset, tuple, Sequence)


@dataclass(frozen=True, slots=True)
class Declared:
    """The query parameters of a route: name → whether it may be given more than once."""

    is_repeatable: Mapping[str, bool]
    is_open: bool = False


async def any_query() -> None:
    """A dependency for a route that ignores parameters which it does not declare, and says there why."""


async def refuse_unknown_query(request: Request) -> None:
    """Dependency of every route: refuse parameters that it does not declare, and repeats of those with one value.

    Raises:
        Invalid: 422 with each of them, and the declared name that is nearest.
    """
    raw = request.scope["query_string"]
    if not raw:
        return
    declared = _declared_by_route(request)
    if declared.is_open:
        return
    names = [name for name, _ in parse_qsl(raw.decode("latin-1"), keep_blank_values=True)]
    errors = faults(names, declared.is_repeatable)
    if errors:
        raise Invalid(
            "The query has parameters that this operation does not take.",
            code="invalid_query",
            errors=errors,
        )


def faults(given: Iterable[str], is_repeatable: Mapping[str, bool]) -> list[FieldError]:
    """What is wrong with the names in a query, in their order; at most MAX_REPORTED entries."""
    found: dict[str, FieldError] = {}
    seen: set[str] = set()
    for name in given:
        if len(found) >= MAX_REPORTED:
            break
        if name not in is_repeatable:
            short = name[:MAX_NAME_CHARS]
            found.setdefault(short, FieldError(short, _unknown(short, is_repeatable)))
        elif name in seen and not is_repeatable[name]:
            found.setdefault(name, FieldError(name, "is given more than once"))
        seen.add(name)
    return list(found.values())


def _unknown(name: str, known: Iterable[str]) -> str:
    names = sorted(known)
    if not names:
        return "is not a parameter of this operation, which takes none"
    # The names are short and few: a loose match is more useful than none.
    nearest = get_close_matches(name.lower(), names, n=1, cutoff=0.5)
    if nearest:
        return f"is not a parameter of this operation; did you mean {nearest[0]}?"
    return f"is not a parameter of this operation; it takes {', '.join(names)}"


def _declared_by_route(request: Request) -> Declared:
    # A router that is included has one route object for all its inclusions; FastAPI keeps the dependencies of the
    # inclusion in a context of its own.
    context = request.scope.get("fastapi", {}).get("effective_route_context")
    dependant = getattr(context, "dependant", None) or getattr(request.scope.get("route"), "dependant", None)
    if dependant is None:
        return Declared({}, is_open=True)  # not a route of FastAPI, or a release that keeps them elsewhere
    cache: dict[int, tuple[Any, Declared]] = request.app.state.declared_queries
    cached = cache.get(id(dependant))
    if cached is None:
        # The dependant is kept with its result: its id would be given to another object otherwise.
        cached = cache[id(dependant)] = (dependant, declared_by(dependant))
    return cached[1]


def declared_by(dependant: Any) -> Declared:
    """The query parameters of a route's dependencies, those of nested ones and of parameter models included."""
    parts = list(_walk(dependant))
    is_repeatable: dict[str, bool] = {}
    for part in parts:
        for field in part.query_params:
            annotation = field.field_info.annotation
            if isinstance(annotation, type) and issubclass(annotation, BaseModel):
                for name, info in annotation.model_fields.items():
                    is_repeatable[info.alias or name] = _is_sequence(info.annotation)
            else:
                is_repeatable[field.alias] = _is_sequence(annotation)
    return Declared(is_repeatable, any(part.call is any_query for part in parts))


def _walk(dependant: Any) -> Iterator[Any]:
    yield dependant
    for inner in dependant.dependencies:
        yield from _walk(inner)


def _is_sequence(annotation: Any) -> bool:
    if (get_origin(annotation) or annotation) in _SEQUENCES:
        return True
    return any(_is_sequence(part) for part in get_args(annotation))
