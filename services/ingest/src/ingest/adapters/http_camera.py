"""Calls to a street-parking camera: HTTP with Digest, `/snapshot.cgi` for a frame and `/dataloader.cgi` for a clip.

The address comes from the registry, so it is checked after its name has been resolved, and the connection is made to
the address that was checked: what the name resolves to later does not matter. Redirects are not followed.
"""

import asyncio
import ipaddress
import socket
import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import aiohttp
from yarl import URL

from ingest.domain.addresses import Address, parse_address, rejection_reason
from ingest.domain.clips import Window
from ingest.domain.site import CameraAccess
from kit.errors import LookoutError, UpstreamFailed, UpstreamTimeout, UpstreamUnreachable
from kit.tracing import SpanKind, span

_MAX_DIGESTS = 2_000
_MAX_CONNECTIONS = 500
_CAMERA_TIME = "%Y-%m-%d %H:%M:%S"


@dataclass(frozen=True, slots=True, kw_only=True)
class CallOptions:
    """Limits and paths of the calls. Timeouts are in seconds; the paths are those of a camera's CGI programs."""

    frame_timeout_s: float
    connect_timeout_s: float
    clip_timeout_s: float
    max_clip_bytes: int
    snapshot_path: str
    clip_path: str
    clip_segment: str
    is_loopback_allowed: bool


ObserveCall = Callable[[str, float, str], None]
"""Called after each call with the operation, its duration in seconds, and the error code, empty if it succeeded."""


class HttpCameras:
    """All cameras, one connection pool. Every call raises:

    UpstreamUnreachable: it has no address at which it can be called.
    UpstreamTimeout: it did not answer in time.
    UpstreamFailed: it answered with something else.
    """

    def __init__(self, options: CallOptions, observe_call: ObserveCall) -> None:
        self._options = options
        self._session: aiohttp.ClientSession | None = None
        # The last challenge of each camera: with it the first request is signed already.
        self._digests: OrderedDict[tuple[int, str, str], aiohttp.DigestAuthMiddleware] = OrderedDict()
        self._observe_call = observe_call

    async def start(self) -> None:
        """Make the connection pool. Nothing is opened before the first call."""
        # Proxies from the environment are not used (aiohttp's default): one would be asked for private addresses.
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=_MAX_CONNECTIONS, force_close=True),
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            headers={"Accept-Encoding": "identity", "User-Agent": "lookout"},
            timeout=aiohttp.ClientTimeout(
                total=max(self._options.frame_timeout_s, self._options.clip_timeout_s),
                sock_connect=self._options.connect_timeout_s,
            ),
        )

    async def stop(self) -> None:
        """Close what is open."""
        if self._session is not None:
            await self._session.close()

    async def fetch_frame(self, access: CameraAccess, *, max_bytes: int) -> bytes:
        """The camera's current picture, as it was sent."""
        with self._measured("frame"):
            async with (
                _deadline(self._options.frame_timeout_s),
                self._get(access, self._options.snapshot_path, {}) as response,
            ):
                return b"".join([chunk async for chunk in _limited(response, max_bytes)])

    async def fetch_clip(self, access: CameraAccess, window: Window, to: Path) -> int:
        """Write the recording of `window` (aware, in the camera's own zone) to a file; its size in bytes."""
        query = {
            "dw": "sd",
            "filename": self._options.clip_segment,
            "starttime": window.start.strftime(_CAMERA_TIME),
            "endtime": window.end.strftime(_CAMERA_TIME),
            "index": "0",
            "sid": "0",
            "uuid": uuid4().hex,
        }
        size_bytes = 0
        with self._measured("clip"):
            async with (
                _deadline(self._options.clip_timeout_s),
                self._get(access, self._options.clip_path, query) as response,
            ):
                with to.open("wb") as file:
                    async for chunk in _limited(response, self._options.max_clip_bytes):
                        await asyncio.to_thread(file.write, chunk)
                        size_bytes += len(chunk)
        return size_bytes

    @asynccontextmanager
    async def _get(
        self, access: CameraAccess, path: str, query: dict[str, str]
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """The response of the first address that accepts a connection."""
        unreachable: Exception | None = None
        for written in access.addresses:
            address = parse_address(written)
            try:
                response = await self._send(access, address, await self._resolve(address), path, query)
            except (
                UpstreamUnreachable,
                aiohttp.ClientConnectorError,
                aiohttp.ConnectionTimeoutError,
            ) as error:
                unreachable = error
                continue
            except TimeoutError as error:
                raise UpstreamTimeout("the camera does not answer", code="camera_timeout") from error
            except aiohttp.ClientError as error:
                raise _failed("closed the connection or does not speak HTTP") from error
            try:
                _check(response)
                yield response
            except TimeoutError as error:
                raise UpstreamTimeout("the camera stopped while answering", code="camera_timeout") from error
            except aiohttp.ClientError as error:
                raise _failed("closed the connection while answering") from error
            finally:
                response.close()
            return
        if isinstance(unreachable, UpstreamUnreachable):
            raise unreachable
        if isinstance(unreachable, aiohttp.ConnectionTimeoutError):
            raise UpstreamTimeout(
                "the camera does not accept the connection in time", code="camera_timeout"
            ) from unreachable
        if unreachable is not None:
            raise _unreachable("the camera refuses the connection") from unreachable
        raise _unreachable("the camera has no address")

    async def _send(
        self, access: CameraAccess, address: Address, ip: str, path: str, query: dict[str, str]
    ) -> aiohttp.ClientResponse:
        assert self._session is not None, "started"
        return await self._session.get(
            URL.build(scheme="http", host=ip, port=address.port, path=path, query=query),
            headers={"Host": address.written},
            allow_redirects=False,
            middlewares=self._digest(access, address, ip),
        )

    def _digest(
        self, access: CameraAccess, address: Address, ip: str
    ) -> tuple[aiohttp.DigestAuthMiddleware, ...]:
        if not access.user:
            return ()
        # By address too: the middleware signs for the one origin that it called first.
        key = (access.camera_id, f"{ip}:{address.port}", f"{access.user}\0{access.password}")
        auth = self._digests.get(key)
        if auth is None:
            try:
                auth = aiohttp.DigestAuthMiddleware(access.user, access.password)
            except ValueError as error:
                raise _failed(
                    "cannot be signed in to: its user name has a colon", code="camera_credentials_refused"
                ) from error
            self._digests[key] = auth
            if len(self._digests) > _MAX_DIGESTS:
                self._digests.popitem(last=False)
        return (auth,)

    async def _resolve(self, address: Address) -> str:
        try:
            async with asyncio.timeout(self._options.connect_timeout_s):
                found = await asyncio.get_running_loop().getaddrinfo(
                    address.host, address.port, type=socket.SOCK_STREAM
                )
        except TimeoutError as error:
            raise _unreachable("the camera's name was not resolved in time") from error
        except (OSError, UnicodeError) as error:
            raise _unreachable("the camera's name does not resolve") from error
        reason: str | None = None
        for *_, socket_address in found:
            ip = ipaddress.ip_address(str(socket_address[0]).partition("%")[0])
            reason = rejection_reason(ip, is_loopback_allowed=self._options.is_loopback_allowed)
            if reason is None:
                return str(ip)
        raise _unreachable(
            f"the camera may not be called: {reason or 'its name has no address'}",
            code="camera_address_refused",
        )

    @contextmanager
    def _measured(self, operation: str) -> Iterator[None]:
        began, error_code = time.perf_counter(), ""
        try:
            with span(f"GET {operation}", SpanKind.CLIENT, {"http.request.method": "GET"}):
                yield
        except LookoutError as error:
            error_code = error.code
            raise
        finally:
            self._observe_call(operation, time.perf_counter() - began, error_code)


@asynccontextmanager
async def _deadline(timeout_s: float) -> AsyncIterator[None]:
    """The time for the whole call, name resolution and every address included."""
    try:
        async with asyncio.timeout(timeout_s):
            yield
    except TimeoutError as error:
        raise UpstreamTimeout(
            f"the camera did not answer within {timeout_s:g} s", code="camera_timeout"
        ) from error


def _check(response: aiohttp.ClientResponse) -> None:
    if response.status in {401, 403}:
        raise _failed("refuses our user name or password", code="camera_credentials_refused")
    if response.status != 200:
        raise _failed(f"answered with status {response.status}")
    if response.headers.get("Content-Encoding", "identity").lower() not in {"", "identity"}:
        raise _failed("answered in an encoding that was not asked for")


async def _limited(response: aiohttp.ClientResponse, max_bytes: int) -> AsyncIterator[bytes]:
    size_bytes = 0
    async for chunk in response.content.iter_any():
        size_bytes += len(chunk)
        if size_bytes > max_bytes:
            raise _failed(f"sent more than {max_bytes} bytes", code="camera_answer_too_large")
        yield chunk


def _failed(what: str, *, code: str = "camera_failed") -> UpstreamFailed:
    return UpstreamFailed(f"the camera {what}", code=code)


def _unreachable(detail: str, *, code: str = "camera_unreachable") -> UpstreamUnreachable:
    return UpstreamUnreachable(detail, code=code)
