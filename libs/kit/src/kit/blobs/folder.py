"""Blobs in a folder: the embedded store.

A blob is the file `<root>/<key>`. `.<name>.meta` beside it is one line of JSON with the content type and the checksum:
not extended attributes, which tmpfs, NFS and most backups lose. It is not synced to disk, as it can be computed again.
It contains size, modification time and inode of the file that it describes; where they differ (after a crash, a
concurrent write or a restore) the checksum is computed again, and the content type is the recorded one, else that of
the suffix.
"""

import asyncio
import errno
import hashlib
import mimetypes
import os
import threading
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO, TypeVar

import orjson

from kit.blobs.store import (
    STREAM_CHUNK_BYTES,
    StoredBlob,
    StoredBlobInfo,
    checked_key,
    checked_prefix,
    sha256_hex,
)
from kit.errors import Invalid, LookoutError, NotFound, StorageFull, Unavailable
from kit.health import CheckResult

UNKNOWN_TYPE = "application/octet-stream"
THREADS = 8
"""Threads wait for the disk in fsync, not for a core; eight let the file system combine several syncs."""

LIST_BATCH = 500

_CONFLICTING = (FileExistsError, NotADirectoryError, IsADirectoryError)
_MISSING = (FileNotFoundError, NotADirectoryError, IsADirectoryError)

T = TypeVar("T")


class FolderBlobs:
    """A `BlobStore` below `root`, which is created when missing. Several processes may share it."""

    def __init__(self, root: Path, *, retry_after_s: int) -> None:
        self._root = root
        self._retry_after_s = retry_after_s
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="blobs")
        self._folders = _FolderSync()

    async def start(self) -> None:
        """Create the folder, if possible."""
        with suppress(Unavailable, StorageFull):
            await self._run(lambda: self._root.mkdir(parents=True, exist_ok=True))

    async def stop(self) -> None:
        """Wait for the writes in progress. The store can be used again afterwards."""
        threads, self._threads = self._threads, ThreadPoolExecutor(THREADS, thread_name_prefix="blobs")
        await asyncio.to_thread(threads.shutdown)

    async def ping(self) -> CheckResult:
        """Write and remove a byte."""

        def probe() -> None:
            self._root.mkdir(parents=True, exist_ok=True)
            path = _temporary(self._root / "ping")
            try:
                path.write_bytes(b"1")
            finally:
                path.unlink(missing_ok=True)

        await self._run(probe)
        return CheckResult(ok=True, detail="folder")

    async def put(self, key: str, data: bytes, content_type: str, *, sha256: str | None = None) -> StoredBlob:
        """Temporary file, sync, rename, sync of the folder: after a crash the blob is complete or absent."""
        path = self._path(key)
        return await self._run(lambda: self._write(key, path, data, content_type, sha256), is_reading=False)

    async def get(self, key: str) -> bytes:
        """All bytes."""
        path = self._path(key)
        return await self._run(path.read_bytes)

    async def stream(self, key: str) -> AsyncIterator[bytes]:
        """In chunks; a blob that is replaced or deleted meanwhile is read to its end."""
        path = self._path(key)
        file: BinaryIO = await self._run(lambda: path.open("rb"))
        try:
            while chunk := await self._run(lambda: file.read(STREAM_CHUNK_BYTES)):
                yield chunk
        finally:
            file.close()

    async def stat(self, key: str) -> StoredBlob:
        """From the metadata file, or by reading the blob where that is outdated."""
        path = self._path(key)
        return await self._run(lambda: _stat(key, path))

    async def delete(self, key: str) -> None:
        """The metadata first: a crash in between leaves a blob that is still complete."""
        path = self._path(key)

        def remove() -> None:
            with suppress(NotADirectoryError, IsADirectoryError):
                _metadata_path(path).unlink(missing_ok=True)
                path.unlink(missing_ok=True)

        await self._run(remove)

    async def list(self, prefix: str) -> AsyncIterator[StoredBlobInfo]:
        """Traverses the folders in the order of keys, in batches, in a thread."""
        blobs = _traverse(self._root, "", checked_prefix(prefix))

        def next_batch() -> list[StoredBlobInfo]:
            return [blob for blob, _ in zip(blobs, range(LIST_BATCH), strict=False)]

        while batch := await self._run(next_batch):
            for blob in batch:
                yield blob

    async def discard_unfinished(self, older_than: datetime) -> int:
        """Temporary files of processes that crashed."""

        def discard() -> int:
            count = 0
            for path in self._root.rglob(".*.part"):
                with suppress(FileNotFoundError):
                    if path.stat().st_mtime < older_than.timestamp():
                        path.unlink()
                        count += 1
            return count

        return await self._run(discard)

    def _path(self, key: str) -> Path:
        return self._root / checked_key(key)

    def _write(self, key: str, path: Path, data: bytes, content_type: str, sha256: str | None) -> StoredBlob:
        blob = StoredBlob(key, content_type, len(data), sha256 or sha256_hex(data))
        path.parent.mkdir(parents=True, exist_ok=True)
        part = _temporary(path)
        metadata_part = _temporary(_metadata_path(path))
        try:
            with part.open("xb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
                status = os.fstat(file.fileno())
            metadata = {
                "type": content_type,
                "sha256": blob.sha256,
                "size": len(data),
                "mtime_ns": status.st_mtime_ns,
                "inode": status.st_ino,
            }
            metadata_part.write_bytes(orjson.dumps(metadata))
            part.rename(path)
            metadata_part.rename(_metadata_path(path))
        except BaseException:
            for temporary in (part, metadata_part):
                with suppress(OSError):
                    temporary.unlink(missing_ok=True)
            raise
        self._folders.sync(path.parent, self._root)
        return blob

    async def _run(self, work: Callable[[], T], *, is_reading: bool = True) -> T:
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, work)
        except OSError as error:
            raise self._fault(error, is_reading) from error

    def _fault(self, error: OSError, is_reading: bool) -> LookoutError:
        if error.errno in {errno.ENOSPC, errno.EDQUOT}:
            return StorageFull(
                "the disk of the blob store is full",
                code="blobs_full",
                retry_after_s=self._retry_after_s,
            )
        # If the root is missing, the disk is not mounted: then no key is unknown.
        if isinstance(error, _MISSING if is_reading else _CONFLICTING) and self._root.is_dir():
            if is_reading:
                return NotFound("no such blob", code="blob_not_found")
            return Invalid("the key is that of another blob, or below it", code="blob_key_invalid")
        return Unavailable(
            "the folder of the blob store cannot be used",
            code="blobs_unavailable",
            retry_after_s=self._retry_after_s,
        )


class _FolderSync:
    """Makes renames durable. Concurrent writers to one folder share one sync, which begins after their renames."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: dict[Path, _Round] = {}
        self._folder_locks: dict[Path, threading.Lock] = {}
        self._known: set[Path] = set()

    def sync(self, folder: Path, root: Path) -> None:
        """Return when the entries of the folder and of its parents up to `root` are on disk."""
        with self._lock:
            round_ = self._waiting.setdefault(folder, _Round(threading.Lock()))
            folder_lock = self._folder_locks.setdefault(folder, threading.Lock())
        with round_.lock:
            if not round_.is_done:
                with folder_lock:
                    with self._lock:
                        # A rename from here on may be too late for this round.
                        self._waiting.pop(folder, None)
                    self._sync_new_parents(folder, root)
                    _fsync_folder(folder)
                round_.is_done = True

    def _sync_new_parents(self, folder: Path, root: Path) -> None:
        if folder in self._known:
            return
        for parent in folder.parents:
            _fsync_folder(parent)
            if parent == root.parent:
                break
        with self._lock:
            if len(self._known) > 1000:  # one folder a day: that is years
                self._known.clear()
                self._folder_locks.clear()
            self._known.add(folder)


@dataclass(slots=True)
class _Round:
    lock: threading.Lock
    is_done: bool = False


def _fsync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _temporary(path: Path) -> Path:
    return path.with_name(f".{path.name.lstrip('.')[:100]}.{uuid.uuid4().hex}.part")


def _metadata_path(path: Path) -> Path:
    return path.with_name(f".{path.name}.meta")


def _stat(key: str, path: Path) -> StoredBlob:
    with path.open("rb") as file:
        status = os.fstat(file.fileno())
        metadata = _read_metadata(path)
        content_type = metadata.get("type") or mimetypes.guess_type(path.name)[0] or UNKNOWN_TYPE
        is_current = (metadata.get("size"), metadata.get("mtime_ns")) == (status.st_size, status.st_mtime_ns)
        # Blobs that are written within one tick of the kernel's clock have the same time. Older metadata has no inode.
        is_current = is_current and metadata.get("inode", status.st_ino) == status.st_ino
        checksum = metadata.get("sha256") if is_current else None
        if not isinstance(checksum, str):
            checksum = hashlib.file_digest(file, "sha256").hexdigest()
        return StoredBlob(key, str(content_type), status.st_size, checksum)


def _read_metadata(path: Path) -> dict[str, object]:
    try:
        metadata = orjson.loads(_metadata_path(path).read_bytes())
    except (OSError, orjson.JSONDecodeError):
        return {}
    return metadata if isinstance(metadata, dict) else {}


def _traverse(root: Path, inside: str, prefix: str) -> Iterator[StoredBlobInfo]:
    """Blobs below `root/inside` in the order of their keys; only folders that can contain `prefix` are entered."""
    try:
        with os.scandir(root / inside) as found:
            # A folder is sorted by its name with the slash, as the keys of its blobs are.
            entries = sorted(
                ((entry.name + "/" if entry.is_dir() else entry.name), entry)
                for entry in found
                if not entry.name.startswith(".")
            )
    except FileNotFoundError:
        return
    for name, entry in entries:
        key = inside + name
        if name.endswith("/"):
            if key.startswith(prefix) or prefix.startswith(key):
                yield from _traverse(root, key, prefix)
        elif key.startswith(prefix):
            with suppress(FileNotFoundError):
                status = entry.stat()
                yield StoredBlobInfo(key, status.st_size, datetime.fromtimestamp(status.st_mtime, UTC))
