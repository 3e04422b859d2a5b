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
"""Concurrent calls; each uses one connection of the pool."""

LIST_BATCH = 500
SHA256_HEADER = "sha256"
REGION = "us-east-1"
"""Set, so that the client does not ask the server for it before its first call; MinIO's default."""

_MISSING = {"NoSuchKey", "NoSuchObject", "NoSuchVersion"}
_FULL = {"XMinioStorageFull", "QuotaExceeded", "XMinioAdminBucketQuotaExceeded"}

T = TypeVar("T")


class MinioBlobs:
    """A `BlobStore` in one bucket, which is created when missing.

    The client is synchronous and runs in its own threads: a slow server does not use up the event loop's.

    Raises:
        ValueError: `bucket` is not a valid bucket name.
    """

    def __init__(self, settings: BlobSettings, *, endpoint: str, bucket: str) -> None:
        check_bucket_name(bucket, strict=True)
        self._bucket = bucket
        self._retry_after_s = settings.retry_after_s
        # No retries here: the caller gets `Unavailable` in time and decides about a retry.
        self._pool = _WaitingPool(
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
        """Create the bucket; if the server cannot be reached, on first use."""
        with suppress(Unavailable, StorageFull):
            await self._run(lambda: None)

    async def stop(self) -> None:
        """Wait for the calls in progress and close the connections. The store can be used again afterwards."""
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

    async def put(self, key: str, data: bytes, content_type: str, *, sha256: str | None = None) -> StoredBlob:
        """One PUT: an S3 object is complete or absent."""
        blob = StoredBlob(checked_key(key), content_type, len(data), sha256 or sha256_hex(data))

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
                _close(response)

        return await self._run(read)

    async def stream(self, key: str) -> AsyncIterator[bytes]:
        """In chunks."""
        checked_key(key)
        job = self._submit(lambda: self._open(key))
        try:
            response = await self._result(job)
        except asyncio.CancelledError:
            # The thread continues, and its response has to be closed.
            job.add_done_callback(_close_result)
            raise
        try:
            while True:
                job = self._submit(lambda: response.read(STREAM_CHUNK_BYTES))
                if not (chunk := await self._result(job)):
                    break
                yield bytes(chunk)
        finally:
            # Not before the thread has ended that may still read for a cancelled caller.
            job.add_done_callback(lambda _: _close(response))

    async def stat(self, key: str) -> StoredBlob:
        """From the object's headers; an object without a checksum (of another program) is read to compute it."""
        checked_key(key)

        def read_headers() -> StoredBlob:
            found = self._client.stat_object(bucket_name=self._bucket, object_name=key)
            headers = {name.lower(): value for name, value in (found.metadata or {}).items()}
            checksum = headers.get(f"x-amz-meta-{SHA256_HEADER}")
            return StoredBlob(
                key, found.content_type or "application/octet-stream", found.size or 0, str(checksum or "")
            )

        blob = await self._run(read_headers)
        if blob.sha256:
            return blob
        data = await self.get(key)
        return StoredBlob(key, blob.content_type, len(data), sha256_hex(data))

    async def delete(self, key: str) -> None:
        """S3 answers the same whether it existed or not."""
        checked_key(key)
        await self._run(lambda: self._client.remove_object(bucket_name=self._bucket, object_name=key))

    async def list(self, prefix: str) -> AsyncIterator[StoredBlobInfo]:
        """In the order of keys, as S3 lists them."""
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
        """Nothing: MinIO removes unfinished uploads after a day, other servers by a lifecycle rule."""
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
                # Another replica has created it meanwhile.
                if error.code not in {"BucketAlreadyOwnedByYou", "BucketAlreadyExists"}:
                    raise
            self._has_bucket = True

    async def _run(self, call: Callable[[], T]) -> T:
        return await self._result(self._submit(call))

    def _submit(self, call: Callable[[], T]) -> Future[T]:
        return self._threads.submit(self._in_bucket, call)

    async def _result(self, job: Future[T]) -> T:
        """Wait for the job. Cancelling ends the wait at once; the job continues if it has begun."""
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
            # The bucket was removed, or the server restarted without data: create it again, once.
            self._has_bucket = False
            self._ensure_bucket()
            return call()

    def _fault(self, error: Exception) -> LookoutError:
        if isinstance(error, EmptyPoolError):
            return Unavailable(
                "every connection to the blob store is in use",
                code="blobs_unavailable",
                retry_after_s=self._retry_after_s,
            )
        code = error.code if isinstance(error, S3Error) else None
        if code in _MISSING:
            return NotFound("no such blob", code="blob_not_found")
        if code in _FULL:
            return StorageFull(
                "the disk of the blob store is full",
                code="blobs_full",
                retry_after_s=self._retry_after_s,
            )
        # Refused credentials have to be corrected by an operator; until then the store cannot be used.
        return Unavailable(
            f"the blob store {f'refuses the request ({code})' if code else 'does not answer'}",
            code="blobs_unavailable",
            retry_after_s=self._retry_after_s,
        )


class _WaitingPool(urllib3.PoolManager):
    """Waits a limited time for a free connection: a stream uses one for as long as its reader takes."""

    def __init__(self, max_wait_s: float, **options: Any) -> None:
        super().__init__(**options)
        self._max_wait_s = max_wait_s

    def urlopen(  # type: ignore[override] # the signature of urllib3's own method
        self, method: str, url: str, redirect: bool = True, **options: Any
    ) -> urllib3.BaseHTTPResponse:
        """See urllib3. Raises: EmptyPoolError when none becomes free in time."""
        options.setdefault("pool_timeout", self._max_wait_s)
        return super().urlopen(method, url, redirect, **options)


def _close(response: Any) -> None:
    # close() first: unread bytes would be taken for the start of the next response on this connection.
    response.close()
    response.release_conn()


def _close_result(job: Future[Any]) -> None:
    if not job.cancelled() and job.exception() is None:
        _close(job.result())
