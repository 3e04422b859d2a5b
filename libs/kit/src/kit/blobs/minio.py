"""Blobs in MinIO or another S3 server."""

import asyncio
import io
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any, TypeVar

import urllib3
from minio import Minio
from minio.error import MinioException, S3Error
from minio.helpers import check_bucket_name
from urllib3.exceptions import EmptyPoolError, HTTPError

from kit.blobs.store import (
    STREAM_CHUNK_BYTES,
    StoredBlob,
    StoredBlobInfo,
    checked_key,
    checked_prefix,
    sha256_hex,
)
from kit.errors import LookoutError, NotFound, StorageFull, Unavailable
from kit.health import CheckResult
from kit.settings import BlobSettings

THREADS = 16
"""Calls in flight at once; each holds one connection of the pool."""

LIST_BATCH = 500
SHA256_HEADER = "sha256"
REGION = "us-east-1"
"""Given, so that the client does not ask the server for it before its first call; MinIO's own default."""

_MISSING = {"NoSuchKey", "NoSuchObject", "NoSuchVersion"}
_FULL = {"XMinioStorageFull", "QuotaExceeded", "XMinioAdminBucketQuotaExceeded"}

T = TypeVar("T")


class MinioBlobs:
    """A `BlobStore` in one bucket, which is made when missing.

    The client blocks, so it runs in threads of its own: a slow store fills these and not the event loop's.

    Raises:
        ValueError: `bucket` is no name for a bucket.
    """

    def __init__(self, settings: BlobSettings, *, endpoint: str, bucket: str) -> None:
        check_bucket_name(bucket, strict=True)
        self._bucket = bucket
        self._retry_after_s = settings.retry_after_s
        # No retries here: the caller gets `Unavailable` while it still waits, and the camera repeats.
        self._pool = _PatientPool(
            settings.timeout_s,
            num_pools=2,
            maxsize=THREADS,
            block=True,
            timeout=urllib3.Timeout(connect=min(2.0, settings.timeout_s), read=settings.timeout_s),
            retries=urllib3.Retry(total=0, redirect=0),
        )
        self._client = Minio(
            endpoint,
            access_key=settings.access_key,
            secret_key=settings.secret_key.get_secret_value(),
            secure=settings.is_secure,
            region=REGION,
            http_client=self._pool,
        )
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="blobs")
        self._bucket_lock = threading.Lock()
        self._has_bucket = False

    async def start(self) -> None:
        """Make the bucket; when the store is away that happens on the first use."""
        with suppress(Unavailable, StorageFull):
            await self._run(lambda: None)

    async def stop(self) -> None:
        """Wait for the calls in hand and hang up. The store can be used again afterwards."""
        threads, self._threads = self._threads, ThreadPoolExecutor(THREADS, thread_name_prefix="blobs")
        await asyncio.to_thread(threads.shutdown)
        self._pool.clear()

    async def ping(self) -> CheckResult:
        """One call."""

        def probe() -> None:
            if not self._client.bucket_exists(bucket_name=self._bucket):
                self._has_bucket = False
                self._ensure_bucket()

        await self._run(probe)
        return CheckResult(ok=True, detail=f"bucket {self._bucket}")

    async def put(self, key: str, data: bytes, content_type: str) -> StoredBlob:
        """One PUT: S3 shows an object whole or not at all."""
        blob = StoredBlob(checked_key(key), content_type, len(data), sha256_hex(data))

        def write() -> StoredBlob:
            self._client.put_object(
                bucket_name=self._bucket,
                object_name=key,
                data=io.BytesIO(data),
                length=len(data),
                content_type=content_type,
                metadata={SHA256_HEADER: blob.sha256},
            )
            return blob

        return await self._run(write)

    async def get(self, key: str) -> bytes:
        """All bytes."""

        def read() -> bytes:
            response = self._open(checked_key(key))
            try:
                return bytes(response.read())
            finally:
                _hang_up(response)

        return await self._run(read)

    async def stream(self, key: str) -> AsyncIterator[bytes]:
        """In pieces."""
        checked_key(key)
        job = self._submit(lambda: self._open(key))
        try:
            response = await self._result(job)
        except asyncio.CancelledError:
            # The thread goes on, and nobody else would hang up on the answer that it gets.
            job.add_done_callback(_hang_up_on_answer)
            raise
        try:
            while True:
                job = self._submit(lambda: response.read(STREAM_CHUNK_BYTES))
                if not (chunk := await self._result(job)):
                    break
                yield bytes(chunk)
        finally:
            # At once, or when the thread is done that still reads for a cancelled caller: never beside it.
            job.add_done_callback(lambda _: _hang_up(response))

    async def stat(self, key: str) -> StoredBlob:
        """From the object's headers; one that another program put there is read for its checksum."""
        checked_key(key)

        def look() -> StoredBlob:
            found = self._client.stat_object(bucket_name=self._bucket, object_name=key)
            headers = {name.lower(): value for name, value in (found.metadata or {}).items()}
            checksum = headers.get(f"x-amz-meta-{SHA256_HEADER}")
            return StoredBlob(
                key, found.content_type or "application/octet-stream", found.size or 0, str(checksum or "")
            )

        blob = await self._run(look)
        if blob.sha256:
            return blob
        data = await self.get(key)
        return StoredBlob(key, blob.content_type, len(data), sha256_hex(data))

    async def delete(self, key: str) -> None:
        """S3 says the same whether it was there or not."""
        checked_key(key)
        await self._run(lambda: self._client.remove_object(bucket_name=self._bucket, object_name=key))

    async def list(self, prefix: str) -> AsyncIterator[StoredBlobInfo]:
        """S3 lists in the order of keys."""
        checked_prefix(prefix)

        def begin() -> Iterator[Any]:
            return iter(self._client.list_objects(bucket_name=self._bucket, prefix=prefix, recursive=True))

        objects = await self._run(begin)

        def next_batch() -> list[StoredBlobInfo]:
            batch = [found for found, _ in zip(objects, range(LIST_BATCH), strict=False)]
            return [
                StoredBlobInfo(found.object_name, found.size or 0, found.last_modified.astimezone(UTC))
                for found in batch
            ]

        while batch := await self._run(next_batch):
            for blob in batch:
                yield blob

    async def discard_unfinished(self, older_than: datetime) -> int:
        """Nothing: MinIO removes stale uploads by itself after a day, other servers by a lifecycle rule."""
        return 0

    def _open(self, key: str) -> Any:
        return self._client.get_object(bucket_name=self._bucket, object_name=key)

    def _ensure_bucket(self) -> None:
        with self._bucket_lock:
            if self._has_bucket:
                return
            try:
                if not self._client.bucket_exists(bucket_name=self._bucket):
                    self._client.make_bucket(bucket_name=self._bucket, location=REGION)
            except S3Error as error:
                # Another replica was quicker.
                if error.code not in {"BucketAlreadyOwnedByYou", "BucketAlreadyExists"}:
                    raise
            self._has_bucket = True

    async def _run(self, call: Callable[[], T]) -> T:
        return await self._result(self._submit(call))

    def _submit(self, call: Callable[[], T]) -> Future[T]:
        return self._threads.submit(self._in_bucket, call)

    async def _result(self, job: Future[T]) -> T:
        """A cancelled caller leaves at once. Its job goes on, unless it has not begun."""
        try:
            return await asyncio.wrap_future(job)
        except (MinioException, HTTPError, OSError) as error:
            raise self._fault(error) from error

    def _in_bucket(self, call: Callable[[], T]) -> T:
        self._ensure_bucket()
        try:
            return call()
        except S3Error as error:
            if error.code != "NoSuchBucket":
                raise
            # Removed, or the server came back empty: made again once, as at the start.
            self._has_bucket = False
            self._ensure_bucket()
            return call()

    def _fault(self, error: Exception) -> LookoutError:
        if isinstance(error, EmptyPoolError):
            return Unavailable(
                "every connection to the store of the pictures is in use",
                code="blobs_away",
                retry_after_s=self._retry_after_s,
            )
        code = error.code if isinstance(error, S3Error) else None
        if code in _MISSING:
            return NotFound("no such picture or clip", code="blob_not_found")
        if code in _FULL:
            return StorageFull("the store of the pictures is full", code="blobs_full")
        # A refused key is the operator's to mend; until then the store is as good as away.
        return Unavailable(
            f"the store of the pictures {f'refuses ({code})' if code else 'does not answer'}",
            code="blobs_away",
            retry_after_s=self._retry_after_s,
        )


class _PatientPool(urllib3.PoolManager):
    """Waits for a free connection, and not for ever: a stream holds one for as long as its reader takes."""

    def __init__(self, patience_s: float, **options: Any) -> None:
        super().__init__(**options)
        self._patience_s = patience_s

    def urlopen(  # type: ignore[override] # as urllib3's own
        self, method: str, url: str, redirect: bool = True, **options: Any
    ) -> urllib3.BaseHTTPResponse:
        """See urllib3. Raises: EmptyPoolError when none becomes free in time."""
        options.setdefault("pool_timeout", self._patience_s)
        return super().urlopen(method, url, redirect, **options)


def _hang_up(response: Any) -> None:
    # What was not read would be the start of the next answer. Read to its end it has let go of its connection.
    response.close()
    response.release_conn()


def _hang_up_on_answer(job: Future[Any]) -> None:
    if not job.cancelled() and job.exception() is None:
        _hang_up(job.result())
