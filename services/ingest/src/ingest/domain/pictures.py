"""What a picture's header says about it."""

from dataclasses import dataclass

from ingest.domain.geometry import Size


@dataclass(frozen=True, slots=True)
class PictureHeader:
    """`suffix` is the blob's file name extension; `size` is that of the picture as it is shown, turned upright."""

    content_type: str
    suffix: str
    size: Size
