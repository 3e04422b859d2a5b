"""The methods that a path takes, for the `Allow` header of a 405."""

from typing import Any

from starlette.routing import BaseRoute, Match
from starlette.types import Scope

_METHODS = ("DELETE", "GET", "OPTIONS", "PATCH", "POST", "PUT", "TRACE")


def allowed_methods(routes: list[BaseRoute], scope: Scope) -> list[str]:
    """The methods for which one of the routes takes the path of that call, sorted; HEAD where GET is.

    The framework names only those of the first route of a path, and a path often has several.
    """
    found = {method for method in _METHODS if _is_taken(routes, {**scope, "method": method})}
    return sorted(found | {"HEAD"} if "GET" in found else found)


def _is_taken(routes: list[BaseRoute], scope: dict[str, Any]) -> bool:
    return any(route.matches(scope)[0] is Match.FULL for route in routes)
