"""The site as camera events need it, and the rules for what may be registered."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from ingest.domain.addresses import parse_address
from ingest.domain.errors import InvalidValue
from ingest.domain.geometry import Point, Quad, area_px2, is_degenerate
from ingest.domain.parking_area import API_CODE, LOCATION_CODE

# ISO 3166-1 in lower case, with the subdivision where plates differ by it: "de", "ae-du".
_REGION = re.compile(r"[a-z]{2}(?:-[a-z0-9]{1,3})?")
_CODE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,31}")
FURTHEST_PX = 100_000
"""How far a corner may lie from the picture's origin, in pixels."""
TEXT_CHARS = 200
"""The longest name or other text of an entry of the registry, in characters."""
SMALLEST_CORNERS = 3
MOST_CORNERS = 64


class CameraStatus(StrEnum):
    """Whether it works, as far as its pushes and calls to it show; see `site_status.camera_status`."""

    ONLINE = "ONLINE"
    OFFLINE = "OFFLINE"


class SpotOrigin(StrEnum):
    """Who drew the spot. See `spots.choose_spot`."""

    OPERATOR = "OPERATOR"
    CAMERA = "CAMERA"


@dataclass(frozen=True, slots=True)
class RegisteredSpot:
    """A spot's corners in pixels of the camera's snapshot."""

    spot_id: int
    spot_number: int
    corners: Quad
    origin: SpotOrigin


@dataclass(frozen=True, slots=True)
class CameraRef:
    """A camera and its place in the site."""

    camera_id: int
    camera_name: str
    api_code: str
    pole_id: int
    pole_code: str
    zone_id: int
    zone_code: str
    location_id: int
    location_code: str
    time_zone: ZoneInfo
    number_of_parking: int


@dataclass(frozen=True, slots=True)
class CameraSite(CameraRef):
    """A camera with all that its events and the calls to it need. One that is not enabled is never called."""

    is_enabled: bool
    p_ip: str
    vpn_ip: str
    portal_id: str
    regions: tuple[str, ...]
    camera_user: str
    sealed_camera_pass: str = field(repr=False)
    push_networks: tuple[str, ...]
    push_user: str
    sealed_push_password: str = field(repr=False)
    sealed_push_path_secret: str = field(repr=False)
    sealed_push_hmac_key: str = field(repr=False)
    spots: Mapping[int, RegisteredSpot]


@dataclass(frozen=True, slots=True)
class CameraAccess:
    """How to call a camera; its addresses in the order to try them."""

    camera_id: int
    addresses: tuple[str, ...]
    user: str
    password: str = field(repr=False)


def check_location_code(value: str) -> str:
    """The code in upper case.

    Letters only: in a push's `parking_area` the digits after it are the camera's.

    Raises:
        InvalidValue: with the reason.
    """
    code = value.strip().upper()
    if not LOCATION_CODE.fullmatch(code):
        raise InvalidValue("must be 1 to 16 letters A to Z")
    return code


def check_api_code(value: str) -> str:
    """The camera's number within its location, as pushes write it after the location's letters.

    Raises:
        InvalidValue: with the reason.
    """
    code = value.strip()
    if not API_CODE.fullmatch(code):
        raise InvalidValue("must be 1 to 9 digits")
    return code


def check_code(value: str) -> str:
    """A zone's or pole's code.

    Raises:
        InvalidValue: with the reason.
    """
    code = value.strip()
    if not _CODE.fullmatch(code):
        raise InvalidValue("must be 1 to 32 letters, digits, dots, dashes or underscores")
    return code


def check_text(value: str) -> str:
    """A line of text for people.

    Raises:
        InvalidValue: it holds control characters, which databases and portals refuse.
    """
    text = value.strip()
    if not text.isprintable():
        raise InvalidValue("holds a character that cannot be printed")
    return text


def check_name(value: str) -> str:
    """A name.

    Raises:
        InvalidValue: it is empty, or holds control characters.
    """
    name = check_text(value)
    if not name:
        raise InvalidValue("must not be empty")
    return name


def check_time_zone(value: str) -> str:
    """An IANA name that this machine knows.

    Raises:
        InvalidValue: with the reason.
    """
    try:
        return ZoneInfo(value.strip()).key
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise InvalidValue("must be an IANA time zone, as in Asia/Dubai") from error


def check_regions(values: Sequence[str]) -> tuple[str, ...]:
    """Plate regions in lower case, each once, in the order given.

    Raises:
        InvalidValue: with the reason.
    """
    regions = tuple(dict.fromkeys(value.strip().lower() for value in values))
    for region in regions:
        if not _REGION.fullmatch(region):
            raise InvalidValue("must be ISO 3166 codes, as in ae or ae-du")
    return regions


def check_address(value: str) -> str:
    """An IP address or host name, with or without a port; empty when the camera has none.

    Raises:
        InvalidValue: with the reason.
    """
    text = value.strip()
    return parse_address(text).written if text else ""


def check_corners(corners: Quad) -> Quad:
    """A spot with an area.

    Raises:
        InvalidValue: with the reason.
    """
    _check_points(corners)
    if is_degenerate(corners):
        raise InvalidValue("the four corners enclose no area")
    return corners


def check_crop_zone(points: Sequence[Point]) -> tuple[Point, ...]:
    """A part of the picture, as a polygon of any number of corners.

    Raises:
        InvalidValue: with the reason.
    """
    if not SMALLEST_CORNERS <= len(points) <= MOST_CORNERS:
        raise InvalidValue(f"must be {SMALLEST_CORNERS} to {MOST_CORNERS} points")
    _check_points(points)
    if area_px2(points) == 0:
        raise InvalidValue("the points enclose no area")
    return tuple(points)


def _check_points(points: Sequence[Point]) -> None:
    # NaN fails the comparison as well.
    if not all(abs(x) <= FURTHEST_PX and abs(y) <= FURTHEST_PX for x, y in points):
        raise InvalidValue("a corner lies outside any picture")
