"""What a blob store is, how its keys look, and how blobs that no row names are swept."""

import hashlib
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Protocol
from uuid import UUID

from kit.errors import Invalid
from kit.health import CheckResult
from kit.ids import uuid7

MAX_KEY_CHARACTERS = 512
STREAM_CHUNK_BYTES = 256 * 1024

# ASCII only, and no segment that begins with a dot: what stands here is one name on every file system and in
# every URL, cannot climb out of a folder, and leaves the dotted names to the store itself.
_SEGMENT = r"[A-Za-z0-9_][A-Za-z0-9._-]{0,199}"
_KEY = re.compile(rf"{_SEGMENT}(?:/{_SEGMENT})*", re.ASCII)
_PREFIX = re.compile(rf"(?:{_SEGMENT}/)*(?:{_SEGMENT})?", re.ASCII)


@dataclass(frozen=True, slots=True)
class StoredBlob:
    """What stands under a key. `sha256` is lower-case hex, over the bytes."""

    key: str
    content_type: str
    size_bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class StoredBlobInfo:
    """A blob as a listing tells it; `modified_at` is the store's clock, in UTC."""

    key: str
    size_bytes: int
    modified_at: datetime


class BlobStore(Protocol):
    """Pictures and clips by key.

    Every method raises `Unavailable` when the store does not answer, `StorageFull` when it has no room, and
    `Invalid` (code `blob_key_invalid`) for a key that is not made of `[A-Za-z0-9._-]` segments.
    """

    async def start(self) -> None:
        """Get ready. A store that is away is no failure: `ping()` tells it."""
        ...

    async def stop(self) -> None:
        """Finish what is in hand."""
        ...

    async def ping(self) -> CheckResult:
        """Ask whether it can be written to; raises `Unavailable` when not."""
        ...

    async def put(self, key: str, data: bytes, content_type: str) -> StoredBlob:
        """Write, durably, whole or not at all. The same key again replaces what stood there."""
        ...

    async def get(self, key: str) -> bytes:
        """All bytes. Raises `NotFound`."""
        ...

    def stream(self, key: str) -> AsyncIterator[bytes]:
        """The bytes in pieces of at most `STREAM_CHUNK_BYTES`. Raises `NotFound` before the first."""
        ...

    async def stat(self, key: str) -> StoredBlob:
        """Without the bytes. Raises `NotFound`."""
        ...

    async def delete(self, key: str) -> None:
        """Afterwards it is gone; that it was gone before is no error."""
        ...

    def list(self, prefix: str) -> AsyncIterator[StoredBlobInfo]:
        """Every blob whose key begins with `prefix`, by key; written while listing may or may not show."""
        ...

    async def discard_unfinished(self, older_than: datetime) -> int:
        """Remove what interrupted writes left behind before `older_than`; how many."""
        ...


def new_blob_key(area: str, at: datetime, suffix: str, blob_id: UUID | None = None) -> str:
    """`<area>/<yyyy>/<mm>/<dd>/<uuid>.<suffix>`, by the UTC day of `at`.

    Raises:
        Invalid: `area` or `suffix` has characters that no key has.
        ValueError: `at` is naive.
    """
    if at.tzinfo is None:
        raise ValueError(f"a datetime without a time zone is no instant: {at!r}")
    day = at.astimezone(UTC).strftime("%Y/%m/%d")
    return checked_key(f"{area}/{day}/{blob_id or uuid7()}.{suffix.removeprefix('.')}")


def checked_key(key: str) -> str:
    """The key, when it is one.

    Raises:
        Invalid: it is not.
    """
    if len(key) > MAX_KEY_CHARACTERS or not _KEY.fullmatch(key):
        raise Invalid(f"no blob key: {key[:80]!r}", code="blob_key_invalid")
    return key


def checked_prefix(prefix: str) -> str:
    """The prefix, when keys can begin with it (the empty one included).

    Raises:
        Invalid: none can.
    """
    if len(prefix) > MAX_KEY_CHARACTERS or not _PREFIX.fullmatch(prefix):
        raise Invalid(f"no blob prefix: {prefix[:80]!r}", code="blob_key_invalid")
    return prefix


def sha256_hex(data: bytes) -> str:
    """As `StoredBlob.sha256` has it."""
    return hashlib.sha256(data).hexdigest()


async def sweep(
    store: BlobStore,
    prefix: str,
    older_than: datetime,
    is_kept: Callable[[str], Awaitable[bool]],
) -> int:
    """Delete the blobs under `prefix` that are older than `older_than` and not kept; how many.

    A blob is written before the row that names it, so a young one without a row may be in mid-flight:
    `older_than` has to leave that time. `is_kept` gets a key and says whether a row names it.
    """
    swept = 0
    async for blob in store.list(prefix):
        if blob.modified_at < older_than and not await is_kept(blob.key):
            await store.delete(blob.key)
            swept += 1
    await store.discard_unfinished(older_than)
    return swept
