"""Parse the body of a parking push. Nothing waits here: it runs on a thread."""

import binascii
import hashlib
from dataclasses import dataclass

import pybase64

from ingest.domain.parking_push import ParkingPush, parse_json, parse_push, raw_push
from ingest.domain.pictures import PictureHeader
from ingest.domain.snapshot import decode_snapshot, decode_strict
from ingest.handlers.pictures import read_header
from ingest.settings import ParkingPushSettings
from kit.picture_limits import PictureLimits


@dataclass(frozen=True, slots=True)
class ParsedPush:
    """All that the body contains. `raw_push` is its JSON without the picture, `sha256` the picture's, in hex."""

    push: ParkingPush
    raw_push: str
    picture: bytes
    header: PictureHeader
    sha256: str


def parse_parking_push(body: bytes, settings: ParkingPushSettings, limits: PictureLimits) -> ParsedPush:
    """Parse and check everything that needs no registry.

    Raises:
        InputError: no JSON, missing or invalid fields, bad base64, no picture, or one that is too large.
    """
    # A value and its comma are two characters of what is kept, so no push is refused here that is taken below.
    document = parse_json(body, max_values=settings.max_raw_push_chars)
    push, coded = parse_push(document)
    raw = raw_push(document, max_chars=settings.max_raw_push_chars)
    picture = decode_snapshot(coded, max_bytes=settings.max_picture_bytes, decode=decode_base64)
    # The camera does not send it again, so a JPEG without its end is taken; plate-ocr reads it as far as it goes.
    header = read_header(picture, limits=limits, is_incomplete_jpeg_read=True)
    return ParsedPush(push, raw, picture, header, hashlib.sha256(picture).hexdigest())


def decode_base64(coded: bytes) -> bytes:
    """As `decode_strict`, and five times faster: decoding takes half of the time that parsing a push takes."""
    try:
        return pybase64.b64decode(coded, validate=True)
    except binascii.Error:
        # It rejects some texts that the standard library accepts, and accepts none that that one rejects.
        return decode_strict(coded)
