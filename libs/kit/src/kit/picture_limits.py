"""What a picture from outside may need; `kit.pictures` checks it. Apart from it, because settings need no Pillow."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class PictureLimits:
    """What is admitted. `max_side_px`: of width and height. `max_aspect`: the longer side divided by the shorter.

    `max_decoding_bytes`: what a decoder may need at the same time: 6 bytes a pixel for a JPEG of 18 million pixels.
    `max_jpeg_scans`: of a progressive JPEG, for each of which the decoder processes the whole picture; encoders write
    about ten. `max_metadata_bytes`: texts, profiles and other chunks of a PNG, unpacked.
    """

    max_pixels: int = 40_000_000
    max_side_px: int = 16_384
    max_aspect: float = 25.0
    max_decoding_bytes: int = 110_000_000
    max_jpeg_scans: int = 32
    max_metadata_bytes: int = 4_194_304


DEFAULT_LIMITS = PictureLimits()
