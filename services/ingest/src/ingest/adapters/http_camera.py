"""Calls to a street-parking camera: HTTP with Digest, `/snapshot.cgi` for a frame and `/dataloader.cgi` for a clip.

The address comes from the registry, so it is checked after its name has been resolved, and the call goes to
the address that was checked: a name that resolves differently a moment later leads nowhere. Redirects are not
followed.
"""

import asyncio
import ipaddress
import socket
import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from uuid import uuid4

import httpx

from ingest.domain.addresses import Address, parse_address, why_not_called
from ingest.domain.clips import Window
from ingest.settings import DeviceSettings
from kit.errors import LookoutError, UpstreamFailed, UpstreamTimeout
from kit.metrics import Metrics

_MAX_DIGESTS = 2_000
_CAMERA_TIME = "%Y-%m-%d %H:%M:%S"


class CameraUnreachable(LookoutError):  # noqa: N818 - as the errors of the kit
    """The camera cannot be called at all: nothing was sent. Told as 502."""

    default_status = UpstreamFailed.default_status
    default_code = "camera_unreachable"
    title = UpstreamFailed.title


@dataclass(frozen=True, slots=True)
class CameraAccess:
    """Where a camera is and how to sign in; its addresses in the order to try them."""

    camera_id: int
    addresses: tuple[str, ...]
    user: str
    password: str = field(repr=False)


class HttpCameras:
    """All cameras, one connection pool. Every call raises:

    CameraUnreachable: it has no address at which it can be called.
    UpstreamTimeout: it did not answer in time.
    UpstreamFailed: it answered, and not with what was asked for.
    """

    def __init__(self, settings: DeviceSettings, metrics: Metrics) -> None:
        self._settings = settings
        # trust_env off: a proxy from the environment would be asked for private addresses.
        self._client = httpx.AsyncClient(
            trust_env=False,
            follow_redirects=False,
            verify=False,  # noqa: S501 - cameras speak plain HTTP; no TLS call is ever made
            headers={"Accept-Encoding": "identity", "User-Agent": "lookout"},
            limits=httpx.Limits(max_connections=500, max_keepalive_connections=0),
        )
        # The server's last challenge per camera: with it the first request is signed already.
        self._digests: OrderedDict[tuple[int, str, str], httpx.DigestAuth] = OrderedDict()
        self._seconds = metrics.histogram("camera_call_seconds", "time a camera took", ("what",))
        self._failures = metrics.counter(
            "camera_call_failures_total", "calls to cameras that failed", ("what", "code")
        )

    async def start(self) -> None:
        """Nothing is opened before the first call."""

    async def stop(self) -> None:
        """Close what is open."""
        await self._client.aclose()

    async def fetch_frame(self, access: CameraAccess, *, max_bytes: int) -> bytes:
        """The camera's current picture, as it came."""
        with self._measured("frame"):
            async with (
                _deadline(self._settings.frame_timeout_s),
                self._get(access, self._settings.snapshot_path, {}) as response,
            ):
                return b"".join([chunk async for chunk in _limited(response, max_bytes)])

    async def fetch_clip(self, access: CameraAccess, window: Window, to: Path) -> int:
        """Write the recording of `window` (aware, in the camera's own zone) to a file; its size in bytes."""
        query = {
            "dw": "sd",
            "filename": self._settings.clip_segment,
            "starttime": window.start.strftime(_CAMERA_TIME),
            "endtime": window.end.strftime(_CAMERA_TIME),
            "index": "0",
            "sid": "0",
            "uuid": uuid4().hex,
        }
        size_bytes = 0
        with self._measured("clip"):
            async with (
                _deadline(self._settings.clip_timeout_s),
                self._get(access, self._settings.clip_path, query) as response,
            ):
                with to.open("wb") as file:
                    async for chunk in _limited(response, self._settings.max_clip_bytes):
                        await asyncio.to_thread(file.write, chunk)
                        size_bytes += len(chunk)
        return size_bytes

    @asynccontextmanager
    async def _get(
        self, access: CameraAccess, path: str, query: dict[str, str]
    ) -> AsyncIterator[httpx.Response]:
        """The answer of the first address that picks up."""
        unreachable: Exception | None = None
        for written in access.addresses:
            address = parse_address(written)
            try:
                ip = await self._resolve(address)
                response = await self._send(access, address, ip, path, query)
            except (CameraUnreachable, httpx.ConnectError, httpx.ConnectTimeout) as error:
                unreachable = error
                continue
            except httpx.TimeoutException as error:
                raise UpstreamTimeout("the camera does not answer", code="camera_timeout") from error
            except httpx.HTTPError as error:
                raise _failed("broke the connection off") from error
            try:
                _check(response)
                yield response
            except httpx.TimeoutException as error:
                raise UpstreamTimeout("the camera stopped in mid-answer", code="camera_timeout") from error
            except httpx.HTTPError as error:
                raise _failed("broke its answer off") from error
            finally:
                await response.aclose()
            return
        if isinstance(unreachable, CameraUnreachable):
            raise unreachable
        if isinstance(unreachable, httpx.ConnectTimeout):
            raise UpstreamTimeout("the camera does not pick up", code="camera_timeout") from unreachable
        if unreachable is not None:
            raise CameraUnreachable("the camera refuses the connection") from unreachable
        raise CameraUnreachable("the camera has no address")

    async def _send(
        self, access: CameraAccess, address: Address, ip: str, path: str, query: dict[str, str]
    ) -> httpx.Response:
        url = httpx.URL(scheme="http", host=ip, port=address.port, path=path, params=query)
        request = self._client.build_request(
            "GET",
            url,
            headers={"Host": address.written},
            timeout=httpx.Timeout(
                max(self._settings.frame_timeout_s, self._settings.clip_timeout_s),
                connect=self._settings.connect_timeout_s,
            ),
        )
        return await self._client.send(request, auth=self._digest(access, address), stream=True)

    def _digest(self, access: CameraAccess, address: Address) -> httpx.DigestAuth | None:
        if not access.user:
            return None
        key = (access.camera_id, address.written, f"{access.user}\0{access.password}")
        auth = self._digests.get(key)
        if auth is None:
            auth = self._digests[key] = httpx.DigestAuth(access.user, access.password)
            if len(self._digests) > _MAX_DIGESTS:
                self._digests.popitem(last=False)
        return auth

    async def _resolve(self, address: Address) -> str:
        try:
            async with asyncio.timeout(self._settings.connect_timeout_s):
                found = await asyncio.get_running_loop().getaddrinfo(
                    address.host, address.port, type=socket.SOCK_STREAM
                )
        except TimeoutError as error:
            raise CameraUnreachable("the camera's name is not resolved in time") from error
        except (OSError, UnicodeError) as error:
            raise CameraUnreachable("the camera's name does not resolve") from error
        reason: str | None = None
        for *_, socket_address in found:
            ip = ipaddress.ip_address(str(socket_address[0]).partition("%")[0])
            reason = why_not_called(ip, is_loopback_allowed=self._settings.is_loopback_allowed)
            if reason is None:
                return str(ip)
        raise CameraUnreachable(
            f"the camera may not be called: {reason or 'its name has no address'}",
            code="camera_address_refused",
        )

    @contextmanager
    def _measured(self, what: str) -> Iterator[None]:
        began = time.perf_counter()
        try:
            yield
        except LookoutError as error:
            self._failures.labels(what, error.code).inc()
            raise
        finally:
            self._seconds.labels(what).observe(time.perf_counter() - began)


@asynccontextmanager
async def _deadline(timeout_s: float) -> AsyncIterator[None]:
    """The time for the whole call; httpx only limits each wait in it, and a trickle would go on forever."""
    try:
        async with asyncio.timeout(timeout_s):
            yield
    except TimeoutError as error:
        raise UpstreamTimeout(
            f"the camera did not answer within {timeout_s:g} s", code="camera_timeout"
        ) from error


def _check(response: httpx.Response) -> None:
    if response.status_code in {401, 403}:
        raise _failed("refuses our user name or password", code="camera_credentials_refused")
    if response.status_code != httpx.codes.OK:
        raise _failed(f"answered with status {response.status_code}")
    if response.headers.get("Content-Encoding", "identity").lower() not in {"", "identity"}:
        raise _failed("answered in an encoding that was not asked for")


async def _limited(response: httpx.Response, max_bytes: int) -> AsyncIterator[bytes]:
    size_bytes = 0
    async for chunk in response.aiter_raw():
        size_bytes += len(chunk)
        if size_bytes > max_bytes:
            raise _failed(f"sent more than {max_bytes} bytes", code="camera_answer_too_large")
        yield chunk


def _failed(what: str, *, code: str = "camera_failed") -> UpstreamFailed:
    return UpstreamFailed(f"the camera {what}", code=code)
