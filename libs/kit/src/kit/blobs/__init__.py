"""Blobs by key: in a folder when embedded, in MinIO or another S3 server when distributed."""

from pathlib import Path
from urllib.parse import unquote, urlsplit

from kit.blobs.folder import FolderBlobs
from kit.blobs.store import (
    STREAM_CHUNK_BYTES,
    BlobStore,
    StoredBlob,
    StoredBlobInfo,
    checked_key,
    new_blob_key,
)
from kit.settings import BlobSettings

__all__ = [
    "STREAM_CHUNK_BYTES",
    "BlobStore",
    "FolderBlobs",
    "StoredBlob",
    "StoredBlobInfo",
    "checked_key",
    "new_blob_key",
    "open_blobs",
]


def open_blobs(settings: BlobSettings) -> BlobStore:
    """The store that the settings select. It does nothing before its `start()`."""
    parts = urlsplit(settings.url)
    if parts.scheme == "file":
        return FolderBlobs(Path(unquote(parts.path)), retry_after_s=settings.retry_after_s)
    # Imported here: a process that keeps its blobs in a folder does without 7 MB of libraries.
    from kit.blobs.minio import MinioBlobs  # noqa: PLC0415

    return MinioBlobs(settings, endpoint=parts.netloc, bucket=parts.path.strip("/"))
