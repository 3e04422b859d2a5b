"""The merged API document, made when somebody looks and kept for a while."""

import asyncio
import time
from collections.abc import Callable, Mapping
from typing import Any

import orjson

from gateway.asking import ask
from gateway.domain.openapi import ServiceDocument, merge_openapi
from gateway.domain.paths import clean_path
from gateway.domain.routes import OWN_SERVICE, RouteTable
from gateway.upstream import Upstream
from kit.errors import LookoutError

DESCRIPTION = (
    "Everything that Lookout serves, behind one address. Sign in at `/token` (the Authorize button does) "
    "and send the token as `Authorization: Bearer …`. Refusals are problems (RFC 9457): `code` is for "
    "programs, `trace_id` finds the request in the logs."
)


class ApiPage:
    """Collects the services' documents. One that does not answer is named, and asked again next time."""

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
        self._kept: tuple[bytes, float] | None = None
        self._one_look = asyncio.Lock()

    async def document(self) -> bytes:
        """The OpenAPI document as JSON."""
        async with self._one_look:
            if self._kept is not None and self._monotonic() < self._kept[1]:
                return self._kept[0]
            asked = await asyncio.gather(*(self._ask(service) for service in self._table.services))
            # On a thread: it takes some hundred milliseconds, in which cameras are not to wait.
            body = await asyncio.to_thread(self._merge, asked)
            is_whole = all(one.document is not None for one in asked)
            # Half a page is shown, and not kept: the missing service may be up in a second.
            self._kept = (body, self._monotonic() + self._cache_s) if is_whole else None
            return body

    def _merge(self, asked: list[ServiceDocument]) -> bytes:
        merged = merge_openapi(
            [ServiceDocument(OWN_SERVICE, self._own_document()), *asked],
            title="Lookout",
            version=self._version,
            description=DESCRIPTION,
            is_routed=self._is_routed,
            aliases_of=self._aliases_of,
        )
        return orjson.dumps(merged)

    async def _ask(self, service: str) -> ServiceDocument:
        try:
            answered = await ask(self._upstreams[service], "/openapi.json", self._timeout_s)
        except LookoutError as error:
            return ServiceDocument(service, None, error.detail.rstrip("."))
        if answered.status != 200:
            return ServiceDocument(service, None, f"it answered {answered.status}")
        try:
            document = orjson.loads(answered.body)
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
    """A path of the template, its parameters filled in with something harmless."""
    return "/".join("x" if "{" in part else part for part in path.split("/")).encode()
