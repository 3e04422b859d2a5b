"""Merge the services' OpenAPI documents into one, on request, and cache it."""

import asyncio
import time
from collections.abc import Callable, Mapping
from typing import Any

import orjson

from gateway.domain.openapi import ServiceDocument, merge_openapi
from gateway.domain.paths import clean_path
from gateway.domain.routes import OWN_SERVICE, RouteTable
from gateway.handlers.upstreams import Upstream, get
from kit.errors import LookoutError

DESCRIPTION = (
    "Everything that Lookout serves, behind one address. Sign in at `/token` (the Authorize button does) "
    "and send the token as `Authorization: Bearer …`. Refusals are problems (RFC 9457): `code` is for "
    "programs, `trace_id` finds the request in the logs."
)


class MergedApiDocument:
    """A service that does not respond is named in the description, and asked again at the next request."""

    def __init__(
        self,
        *,
        table: RouteTable,
        upstreams: Mapping[str, Upstream],
        own_document: Callable[[], dict[str, Any]],
        version: str,
        timeout_s: float,
        cache_s: float,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._table = table
        self._upstreams = upstreams
        self._own_document = own_document
        self._version = version
        self._timeout_s = timeout_s
        self._cache_s = cache_s
        self._monotonic = monotonic
        self._cached: tuple[bytes, float] | None = None
        self._lock = asyncio.Lock()

    async def __call__(self) -> bytes:
        """The OpenAPI document as JSON."""
        async with self._lock:
            if self._cached is not None and self._monotonic() < self._cached[1]:
                return self._cached[0]
            documents = await asyncio.gather(*(self._fetch(service) for service in self._table.services))
            # On a thread: it takes some hundred milliseconds, in which requests of cameras would wait.
            body = await asyncio.to_thread(self._merge, documents)
            is_complete = all(one.document is not None for one in documents)
            # An incomplete document is not cached: the missing service may be up in a second.
            self._cached = (body, self._monotonic() + self._cache_s) if is_complete else None
            return body

    def _merge(self, documents: list[ServiceDocument]) -> bytes:
        merged = merge_openapi(
            [ServiceDocument(OWN_SERVICE, self._own_document()), *documents],
            title="Lookout",
            version=self._version,
            description=DESCRIPTION,
            is_routed=self._is_routed,
            aliases_of=self._aliases_of,
        )
        return orjson.dumps(merged)

    async def _fetch(self, service: str) -> ServiceDocument:
        try:
            response = await get(self._upstreams[service], "/openapi.json", self._timeout_s)
        except LookoutError as error:
            return ServiceDocument(service, None, error.detail.rstrip("."))
        if response.status != 200:
            return ServiceDocument(service, None, f"it answered {response.status}")
        try:
            document = orjson.loads(response.body)
        except orjson.JSONDecodeError:
            return ServiceDocument(service, None, "its document is not JSON")
        if not isinstance(document, dict):
            return ServiceDocument(service, None, "its document is not an object")
        return ServiceDocument(service, document)

    def _is_routed(self, service: str, path: str) -> bool:
        match = self._table.match(clean_path(_example(path)))
        return match is not None and match.route.service == service and match.upstream_path == _example(path)

    def _aliases_of(self, path: str) -> list[str]:
        match = self._table.match(clean_path(_example(path)))
        if match is None:
            return []
        prefix = match.route.path
        return [alias + path[len(prefix) :] for alias in self._table.aliases.get(prefix, ())]


def _example(path: str) -> bytes:
    """A path of the template, with `x` for each parameter."""
    return "/".join("x" if "{" in part else part for part in path.split("/")).encode()
