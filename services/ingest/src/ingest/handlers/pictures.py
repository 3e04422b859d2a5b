"""Check and store a camera's picture: JPEG or PNG, complete, within the limit."""

from ingest.domain.errors import ErrorKind, FieldProblem, InputError
from ingest.domain.frame import StoredPicture
from ingest.domain.geometry import Size
from ingest.domain.pictures import PictureHeader
from kit import pictures
from kit.blobs import BlobStore
from kit.pictures import Problem

_CODES = {
    Problem.UNKNOWN_FORMAT: "not_a_picture",
    Problem.DAMAGED: "not_a_picture",
    Problem.TRUNCATED: "picture_truncated",
    Problem.TOO_MANY_PIXELS: "picture_too_large_pixels",
}


def read_header(data: bytes, *, max_pixels: int, field: str = "snapshot") -> PictureHeader:
    """The header of a complete JPEG or PNG with at most `max_pixels`. Nothing is decoded.

    Raises:
        InputError: `not_a_picture`, `picture_truncated` or `picture_too_large_pixels`, naming `field`.
    """
    try:
        header = pictures.read_header(data, max_pixels=max_pixels, formats=("JPEG", "PNG"))
    except pictures.PictureError as error:
        kind = ErrorKind.TOO_LARGE if error.problem is Problem.TOO_MANY_PIXELS else ErrorKind.INVALID
        raise InputError(
            kind, _CODES[error.problem], str(error), (FieldProblem(field, error.reason),)
        ) from error
    return PictureHeader(header.content_type, header.suffix, Size(header.width_px, header.height_px))


async def store_picture(
    blobs: BlobStore, key: str, data: bytes, header: PictureHeader, *, sha256: str | None = None
) -> StoredPicture:
    """Write the picture to the blob store.

    Raises:
        Unavailable, StorageFull: the blob store.
    """
    blob = await blobs.put(key, data, header.content_type, sha256=sha256)
    return StoredPicture(
        blob.key,
        blob.content_type,
        blob.size_bytes,
        blob.sha256,
        header.size.width_px,
        header.size.height_px,
    )
