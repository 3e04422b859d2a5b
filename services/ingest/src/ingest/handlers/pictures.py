"""Check and store a camera's picture: JPEG or PNG, complete, within the limit."""

from ingest.domain.errors import ErrorKind, FieldProblem, InputError
from ingest.domain.frame import StoredPicture
from ingest.domain.geometry import Size
from ingest.domain.pictures import PictureHeader
from kit import pictures
from kit.blobs import BlobStore
from kit.picture_limits import PictureLimits
from kit.pictures import Problem

_CODES = {
    Problem.UNKNOWN_FORMAT: "not_a_picture",
    Problem.DAMAGED: "not_a_picture",
    Problem.TRUNCATED: "picture_truncated",
    Problem.TOO_MANY_PIXELS: "picture_too_large_pixels",
    Problem.TOO_COSTLY: "picture_too_costly",
}
_TOO_LARGE = frozenset({Problem.TOO_MANY_PIXELS, Problem.TOO_COSTLY})


def read_header(
    data: bytes, *, limits: PictureLimits, field: str = "snapshot", is_incomplete_jpeg_read: bool = False
) -> PictureHeader:
    """The header of a JPEG or PNG within `limits`, complete unless `is_incomplete_jpeg_read`. Nothing is decoded.

    Raises:
        InputError: `not_a_picture`, `picture_truncated`, `picture_too_large_pixels` or `picture_too_costly`, naming
            `field`.
    """
    try:
        header = pictures.read_header(
            data,
            limits=limits,
            formats=("JPEG", "PNG"),
            is_incomplete_jpeg_read=is_incomplete_jpeg_read,
        )
    except pictures.PictureError as error:
        kind = ErrorKind.TOO_LARGE if error.problem in _TOO_LARGE else ErrorKind.INVALID
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
