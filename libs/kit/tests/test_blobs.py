"""One suite for both stores; test_blobs_folder.py has what only the folder does."""

import asyncio
import hashlib
import os
import socket
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import cast
from uuid import UUID

import pytest

from kit.blobs import STREAM_CHUNK_BYTES, BlobStore, StoredBlob, checked_key, new_blob_key, open_blobs
from kit.errors import Invalid, NotFound, Unavailable
from kit.settings import BlobSettings
from testkit import eventually

pytestmark = pytest.mark.integration
LONG_AGO = datetime(2001, 1, 1, tzinfo=UTC)


@pytest.fixture(params=["folder", "s3"])
def settings(request, tmp_path: Path) -> BlobSettings:
    if request.param == "folder":
        return BlobSettings(url=f"file://{tmp_path}/blobs")
    server = request.getfixturevalue("s3_server")
    return BlobSettings(
        url=server.fresh_bucket_url(),
        access_key=server.access_key,
        secret_key=server.secret_key,
        timeout_s=5,
        retry_after_s=7,
    )


@pytest.fixture
async def blobs(settings: BlobSettings) -> AsyncIterator[BlobStore]:
    store = open_blobs(settings)
    await store.start()
    yield store
    await store.stop()


async def keys(store: BlobStore, prefix: str) -> list[str]:
    return [blob.key async for blob in store.list(prefix)]


async def read_stream(store: BlobStore, key: str) -> list[bytes]:
    return [chunk async for chunk in store.stream(key)]


@pytest.mark.parametrize("size_bytes", [0, 1, STREAM_CHUNK_BYTES, STREAM_CHUNK_BYTES + 1, 5_500_000])
async def test_a_blob_is_read_as_written(blobs: BlobStore, size_bytes: int):
    data = os.urandom(size_bytes)
    put = await blobs.put("snapshots/2026/03/14/a.jpg", data, "image/x-odd")
    assert put == StoredBlob(
        "snapshots/2026/03/14/a.jpg", "image/x-odd", size_bytes, hashlib.sha256(data).hexdigest()
    )
    assert await blobs.get(put.key) == data
    assert await blobs.stat(put.key) == put
    chunks = await read_stream(blobs, put.key)
    assert b"".join(chunks) == data
    assert all(0 < len(chunk) <= STREAM_CHUNK_BYTES for chunk in chunks)


async def test_a_missing_key_is_not_found(blobs: BlobStore):
    await blobs.put("a/b.jpg", b"x", "image/jpeg")
    for key in ("nothing.jpg", "a/nothing.jpg", "a", "a/b.jpg/c"):
        with pytest.raises(NotFound) as caught:
            await blobs.get(key)
        assert caught.value.code == "blob_not_found"
        with pytest.raises(NotFound):
            await blobs.stat(key)
        with pytest.raises(NotFound):
            await read_stream(blobs, key)


async def test_delete_may_be_repeated(blobs: BlobStore):
    await blobs.put("a/b.jpg", b"x", "image/jpeg")
    for _ in range(2):
        await blobs.delete("a/b.jpg")
    with pytest.raises(NotFound):
        await blobs.get("a/b.jpg")
    assert await keys(blobs, "") == []
    await blobs.delete("never/was.jpg")


async def test_the_same_key_again_replaces(blobs: BlobStore):
    first = await blobs.put("a/b.jpg", b"first", "image/jpeg")
    assert await blobs.put("a/b.jpg", b"first", "image/jpeg") == first
    second = await blobs.put("a/b.jpg", b"second one", "image/png")
    assert await blobs.get("a/b.jpg") == b"second one"
    assert await blobs.stat("a/b.jpg") == second
    assert await keys(blobs, "a/") == ["a/b.jpg"]


async def test_many_puts_at_once(blobs: BlobStore):
    wanted = {f"c/{number % 3}/{number}.jpg": os.urandom(20_000 + number) for number in range(40)}
    await asyncio.gather(*(blobs.put(key, data, "image/jpeg") for key, data in wanted.items()))
    found = await asyncio.gather(*(blobs.get(key) for key in wanted))
    assert dict(zip(wanted, found, strict=True)) == wanted


async def test_concurrent_puts_of_one_key_leave_one_of_them_complete(blobs: BlobStore):
    versions = [bytes([number]) * 50_000 for number in range(12)]

    async def put(data: bytes) -> None:
        # moto's server answers 500 now and then when one object is written twice at once.
        while True:
            try:
                await blobs.put("same.bin", data, "application/x-a")
            except Unavailable:
                continue
            return

    await asyncio.gather(*(put(data) for data in versions))
    data = await blobs.get("same.bin")
    assert data in versions
    assert (await blobs.stat("same.bin")).sha256 == hashlib.sha256(data).hexdigest()


async def test_list_takes_any_prefix_and_goes_by_key(blobs: BlobStore):
    names = ["a/1.jpg", "a/10.jpg", "a/2/x.jpg", "a-b/1.jpg", "a.jpg", "b/1.jpg"]
    for name in names:
        await blobs.put(name, name.encode(), "image/jpeg")
    assert await keys(blobs, "") == sorted(names)
    assert await keys(blobs, "a/") == ["a/1.jpg", "a/10.jpg", "a/2/x.jpg"]
    assert await keys(blobs, "a/1") == ["a/1.jpg", "a/10.jpg"]
    assert await keys(blobs, "a/2/") == ["a/2/x.jpg"]
    assert await keys(blobs, "none/") == []
    [blob] = [blob async for blob in blobs.list("b/")]
    assert blob.size_bytes == len("b/1.jpg")
    assert abs(blob.modified_at - datetime.now(UTC)) < timedelta(minutes=5)


ODD_KEYS = [
    *("", "/", "/a", "a/", "a//b", ".", "..", "../a", "a/../b", "a/./b", ".hidden", "a/.hidden"),
    *(
        "a\\b",
        "a b",
        "a\nb",
        "a\x00b",
        "كاميرا/1.jpg",
        "é.jpg",
        "a%2e",
        "a:b",
        "-a",
        "x" * 600,
        "a/" + "y" * 250,
    ),
]


@pytest.mark.parametrize("key", ODD_KEYS)
async def test_invalid_keys_are_refused_by_every_method(blobs: BlobStore, key: str):
    for call in (
        lambda: blobs.put(key, b"x", "image/jpeg"),
        lambda: blobs.get(key),
        lambda: blobs.stat(key),
        lambda: blobs.delete(key),
        lambda: read_stream(blobs, key),
    ):
        with pytest.raises(Invalid) as caught:
            await call()
        assert caught.value.code == "blob_key_invalid"
    with pytest.raises(Invalid):
        checked_key(key)


@pytest.mark.parametrize("prefix", ["../", "a/../b", "/etc", "ä"])
async def test_invalid_prefixes_are_refused(blobs: BlobStore, prefix: str):
    with pytest.raises(Invalid):
        await keys(blobs, prefix)


async def test_ping_succeeds_for_a_working_store(blobs: BlobStore):
    assert (await blobs.ping()).ok
    assert await keys(blobs, "") == []


async def test_a_store_that_was_stopped_can_be_started_again(blobs: BlobStore):
    await blobs.put("a.jpg", b"x", "image/jpeg")
    await blobs.stop()
    await blobs.start()
    assert await blobs.get("a.jpg") == b"x"


async def test_reading_can_be_cancelled(blobs: BlobStore):
    data = os.urandom(3_000_000)
    await blobs.put("a.bin", data, "image/jpeg")
    for _ in range(40):  # more than the store has connections or threads
        stream = cast("AsyncGenerator[bytes]", blobs.stream("a.bin"))
        assert await anext(stream)
        await stream.aclose()
    assert await blobs.get("a.bin") == data


def unavailable_after(seconds: int, calls: list[Callable]):
    async def check() -> None:
        for call in calls:
            with pytest.raises(Unavailable) as caught:
                await call()
            assert caught.value.retry_after_s == seconds
            assert caught.value.code == "blobs_unavailable"

    return check()


async def test_an_s3_server_is_unavailable_while_stopped_and_available_after_a_restart(private_s3_server):
    s3_server = private_s3_server
    store = open_blobs(
        BlobSettings(
            url=s3_server.fresh_bucket_url(),
            access_key=s3_server.access_key,
            secret_key=s3_server.secret_key,
            timeout_s=5,
            retry_after_s=7,
        )
    )
    s3_server.stop()
    try:
        await store.start()
        await unavailable_after(
            7,
            [
                store.ping,
                lambda: store.put("a.jpg", b"x", "image/jpeg"),
                lambda: store.get("a.jpg"),
                lambda: store.delete("a.jpg"),
                lambda: keys(store, ""),
            ],
        )
    finally:
        s3_server.start()

    async def is_back() -> bool:
        try:
            return (await store.ping()).ok
        except Unavailable:
            return False

    await eventually(is_back)
    await store.put("a.jpg", b"x", "image/jpeg")
    assert await store.get("a.jpg") == b"x"

    s3_server.stop()  # while connections are open; after a restart moto has no bucket
    try:
        await unavailable_after(7, [lambda: store.get("a.jpg")])
    finally:
        s3_server.start()
    await store.put("b.jpg", b"x", "image/jpeg")
    await store.stop()


async def test_a_hanging_s3_server_is_unavailable_after_the_timeout():
    with socket.create_server(("127.0.0.1", 0)) as listener:  # takes connections and never says a word
        url = f"s3://127.0.0.1:{listener.getsockname()[1]}/pictures"
        store = open_blobs(
            BlobSettings(url=url, access_key="a", secret_key="b", timeout_s=0.2, retry_after_s=3)
        )
        await unavailable_after(3, [lambda: store.put("a.jpg", b"x", "image/jpeg")])
        await store.stop()


class StallingS3:
    """Sends so much of each object and then nothing, until `go_on` is set."""

    def __init__(self, sent_at_once: bytes, rest: bytes) -> None:
        self.go_on = asyncio.Event()
        self.stalled_requests = 0
        self._sent_at_once = sent_at_once
        self._rest = rest
        self._tasks: set[asyncio.Task] = set()

    @asynccontextmanager
    async def url(self) -> AsyncIterator[str]:
        listener = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        async with listener:
            yield f"s3://127.0.0.1:{listener.sockets[0].getsockname()[1]}/pictures"
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._tasks.add(cast("asyncio.Task", asyncio.current_task()))
        with suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            while head := await reader.readuntil(b"\r\n\r\n"):
                if head.startswith(b"GET"):
                    writer.write(self._sent_at_once)
                    self.stalled_requests += 1
                    await self.go_on.wait()
                    self.stalled_requests -= 1
                    writer.write(self._rest)
                else:
                    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
                await writer.drain()
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()


STALLED_HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: 200000\r\n\r\n"
STALLED_BODY = os.urandom(200_000)
READ_TIMEOUT_S = 3


@pytest.mark.parametrize("sent_bytes", [0, len(STALLED_HEAD), len(STALLED_HEAD) + 100_000])
async def test_cancelled_readers_return_their_connections_while_the_server_stalls(sent_bytes: int):
    answer = STALLED_HEAD + STALLED_BODY
    server = StallingS3(answer[:sent_bytes], answer[sent_bytes:])
    async with server.url() as url:
        store = open_blobs(BlobSettings(url=url, access_key="a", secret_key="b", timeout_s=READ_TIMEOUT_S))
        await store.start()
        for _ in range(3):  # in all more than the store has connections or threads
            server.go_on.clear()
            readers = [asyncio.create_task(read_stream(store, "a.bin")) for _ in range(10)]
            await eventually(lambda: server.stalled_requests > 0)
            for reader in readers:
                reader.cancel()
            async with asyncio.timeout(READ_TIMEOUT_S / 2):  # they do not wait for the server
                await asyncio.wait(readers)
            server.go_on.set()
        assert await asyncio.gather(*(store.get("a.bin") for _ in range(20))) == [STALLED_BODY] * 20
        await store.stop()


async def test_a_call_ends_at_its_deadline_while_readers_use_every_connection(s3_server):
    store = open_blobs(
        BlobSettings(
            url=s3_server.fresh_bucket_url(),
            access_key=s3_server.access_key,
            secret_key=s3_server.secret_key,
            timeout_s=1,
            retry_after_s=7,
        )
    )
    await store.put("a.bin", os.urandom(3_000_000), "image/jpeg")
    streams = [cast("AsyncGenerator[bytes]", store.stream("a.bin")) for _ in range(16)]
    try:
        for stream in streams:
            assert await anext(stream)
        async with asyncio.timeout(10):
            await unavailable_after(7, [lambda: store.get("a.bin")])
    finally:
        for stream in streams:
            await stream.aclose()
    assert len(await store.get("a.bin")) == 3_000_000
    await store.stop()


async def test_a_wrong_secret_is_reported_by_name(s3_server):
    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        await writer.drain()
        writer.close()

    # moto checks no keys, so this server refuses every request.
    listener = await asyncio.start_server(refuse, "127.0.0.1", 0)
    port = listener.sockets[0].getsockname()[1]
    store = open_blobs(BlobSettings(url=f"s3://127.0.0.1:{port}/pictures", access_key="a", secret_key="b"))
    async with listener:
        with pytest.raises(Unavailable, match="AccessDenied"):
            await store.get("a.jpg")
        await store.stop()


def test_new_keys_are_dated_in_utc():
    blob_id = UUID("0195953a-8f00-7000-8000-000000000001")
    at = datetime(2026, 3, 15, 1, 0, tzinfo=UTC).astimezone()
    assert new_blob_key("snapshots", at, ".jpg", blob_id) == f"snapshots/2026/03/15/{blob_id}.jpg"
    assert new_blob_key("clips/exit", at, "mp4").startswith("clips/exit/2026/03/15/")
    assert new_blob_key("s", at, "jpg") != new_blob_key("s", at, "jpg")
    with pytest.raises(Invalid):
        new_blob_key("../s", at, "jpg")
    with pytest.raises(ValueError, match="time zone"):
        new_blob_key("s", at.replace(tzinfo=None), "jpg")
