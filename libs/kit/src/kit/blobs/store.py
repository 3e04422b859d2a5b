"""The protocol of blob stores and the format of keys."""

import hashlib
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Protocol
from uuid import UUID

from kit.errors import Invalid
from kit.health import CheckResult
from kit.ids import uuid7

MAX_KEY_CHARACTERS = 512
STREAM_CHUNK_BYTES = 256 * 1024

# ASCII only, and no segment that begins with a dot: such a key is the same name on every file system and in every URL,
# cannot leave its folder, and the store itself can use names with a dot.
_SEGMENT = r"[A-Za-z0-9_][A-Za-z0-9._-]{0,199}"
_KEY = re.compile(rf"{_SEGMENT}(?:/{_SEGMENT})*", re.ASCII)
_PREFIX = re.compile(rf"(?:{_SEGMENT}/)*(?:{_SEGMENT})?", re.ASCII)


@dataclass(frozen=True, slots=True)
class StoredBlob:
    """A blob without its bytes. `sha256` of the bytes is lower-case hex."""

    key: str
    content_type: str
    size_bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class StoredBlobInfo:
    """A blob in a listing; `modified_at` is by the clock of the store, in UTC."""

    key: str
    size_bytes: int
    modified_at: datetime


class BlobStore(Protocol):
    """Blobs by key.

    Every method raises `Unavailable` when the store does not answer, `StorageFull` when its disk is full, and
    `Invalid` (code `blob_key_invalid`) for a key that does not consist of `[A-Za-z0-9._-]` segments.
    """

    async def start(self) -> None:
        """Prepare. A store that cannot be reached is reported by `ping()`, not here."""
        ...

    async def stop(self) -> None:
        """Finish the calls in progress."""
        ...

    async def ping(self) -> CheckResult:
        """Check that it can be written to; raises `Unavailable` if not."""
        ...

    async def put(self, key: str, data: bytes, content_type: str, *, sha256: str | None = None) -> StoredBlob:
        """Write, durably and atomically. An existing blob of that key is replaced.

        `sha256`: lower-case hex of the checksum, for a caller that has computed it already.
        """
        ...

    async def get(self, key: str) -> bytes:
        """All bytes. Raises `NotFound`."""
        ...

    def stream(self, key: str) -> AsyncIterator[bytes]:
        """The bytes in chunks of at most `STREAM_CHUNK_BYTES`. Raises `NotFound` before the first."""
        ...

    async def stat(self, key: str) -> StoredBlob:
        """Without the bytes. Raises `NotFound`."""
        ...

    async def delete(self, key: str) -> None:
        """Delete it; a key that does not exist is not an error."""
        ...

    def list(self, prefix: str) -> AsyncIterator[StoredBlobInfo]:
        """Every blob whose key begins with `prefix`, in the order of keys; one written meanwhile may be missing."""
        ...

    async def discard_unfinished(self, older_than: datetime) -> int:
        """Remove temporary data of writes interrupted before `older_than`; returns how many."""
        ...


def new_blob_key(area: str, at: datetime, suffix: str, blob_id: UUID | None = None) -> str:
    """`<area>/<yyyy>/<mm>/<dd>/<uuid>.<suffix>`, by the UTC day of `at`.

    Raises:
        Invalid: `area` or `suffix` has characters that keys may not have.
        ValueError: `at` is naive.
    """
    if at.tzinfo is None:
        raise ValueError(f"a datetime needs a time zone: {at!r}")
    day = at.astimezone(UTC).strftime("%Y/%m/%d")
    return checked_key(f"{area}/{day}/{blob_id or uuid7()}.{suffix.removeprefix('.')}")


def checked_key(key: str) -> str:
    """The key, unchanged.

    Raises:
        Invalid: it is not a valid key.
    """
    if len(key) > MAX_KEY_CHARACTERS or not _KEY.fullmatch(key):
        raise Invalid(f"not a valid blob key: {key[:80]!r}", code="blob_key_invalid")
    return key


def checked_prefix(prefix: str) -> str:
    """The prefix, unchanged; the empty one is valid.

    Raises:
        Invalid: no key can begin with it.
    """
    if len(prefix) > MAX_KEY_CHARACTERS or not _PREFIX.fullmatch(prefix):
        raise Invalid(f"not a valid blob prefix: {prefix[:80]!r}", code="blob_key_invalid")
    return prefix


def sha256_hex(data: bytes) -> str:
    """The checksum as in `StoredBlob.sha256`."""
    return hashlib.sha256(data).hexdigest()
