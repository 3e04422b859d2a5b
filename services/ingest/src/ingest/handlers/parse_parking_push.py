"""From the bytes of a request to a report and a picture that may be kept. No waiting: it runs on a thread."""

import hashlib
from dataclasses import dataclass

from ingest.domain.parking_push import ParkingPush, parse_json, parse_push, raw_text
from ingest.domain.pictures import PictureHeader
from ingest.domain.snapshot import decode_snapshot
from ingest.handlers.pictures import read_header
from ingest.settings import ParkingPushSettings


@dataclass(frozen=True, slots=True)
class ParsedPush:
    """All that was in the request. `sha256` is lower-case hex of the picture's bytes."""

    report: ParkingPush
    raw_text: str
    picture: bytes
    header: PictureHeader
    sha256: str


def parse_parking_push(body: bytes, settings: ParkingPushSettings) -> ParsedPush:
    """Parse and check everything that needs no registry.

    Raises:
        InputError: not JSON, fields missing or senseless, bad base64, no picture, or too large a one.
    """
    document = parse_json(body)
    report, coded = parse_push(document)
    raw = raw_text(document, max_chars=settings.max_raw_chars)
    picture = decode_snapshot(coded, max_bytes=settings.max_picture_bytes)
    header = read_header(picture, max_pixels=settings.max_picture_pixels)
    return ParsedPush(report, raw, picture, header, hashlib.sha256(picture).hexdigest())
