"""A street-parking camera's push: `POST /post`.

Tolerant of what firmware really sends (numbers in strings, several notations of time, empty vehicle boxes), strict
about the rest: every invalid field is named, all of them in one error.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from typing import NoReturn, TypeVar

from ingest.domain.camera_time import ReportedTime, parse_time
from ingest.domain.errors import ErrorKind, FieldProblem, InputError, InvalidValue
from ingest.domain.geometry import Box, Quad, Size, box_between, is_degenerate
from ingest.domain.numbers import decimal_number, whole_number
from ingest.domain.parking_area import ParkingArea, parse_parking_area

T = TypeVar("T")

CORNER_FIELDS = tuple(f"coordinate_{axis}{corner}" for corner in range(1, 5) for axis in "xy")
VEHICLE_FIELDS = tuple(f"vehicle_frame_{axis}{corner}" for corner in range(1, 3) for axis in "xy")
FIELDS = (
    "event",
    "device",
    "time",
    "report_type",
    "resolution_w",
    "resolution_y",
    "parking_area",
    "index_number",
    "occupancy",
    "duration",
    *CORNER_FIELDS,
    *VEHICLE_FIELDS,
    "snapshot",
)

HIGHEST_SPOT_NUMBER = 9999
LARGEST_SIDE_PX = 65_535
LONGEST_TEXT_CHARS = 200
LONGEST_DURATION_S = 50 * 365 * 86_400
# Cameras put a spot's corner a little outside their picture; further out the resolution is wrong.
OUTSIDE_SHARE = 0.1


class Purpose(StrEnum):
    """Why there is a picture; the names of `lookout.camera.v1.Purpose` without its prefix."""

    ENTRY = "ENTRY"
    EXIT = "EXIT"


@dataclass(frozen=True, slots=True)
class ParkingPush:
    """What a camera pushed. Corners and box are in pixels of `resolution`, not of the snapshot."""

    event: str
    device: str
    report_type: str
    time: ReportedTime
    resolution: Size
    area: ParkingArea
    index_number: int
    purpose: Purpose
    duration_s: float
    corners: Quad
    vehicle_box: Box | None


def parse_json(body: bytes, *, max_values: int) -> dict[str, object]:
    """The JSON object in `body`, which has at most `max_values` values.

    The standard library's parser, because its hook sees duplicate names; other parsers keep one of them silently.

    Raises:
        InputError: `report_too_large`, `invalid_json`, `duplicate_field` or `not_an_object`.
    """
    # Each value takes some 60 bytes of memory and has 2 in the body. There is no comma in base64.
    if body.count(b",") >= max_values:
        raise InputError(
            ErrorKind.TOO_LARGE, "report_too_large", f"the push has more than {max_values} values"
        )
    try:
        document = json.loads(
            body.decode("utf-8-sig"), object_pairs_hook=_without_duplicates, parse_constant=_reject_constant
        )
    except UnicodeDecodeError as error:
        raise _malformed("invalid_json", "the body is not UTF-8") from error
    except RecursionError as error:
        raise _malformed("invalid_json", "the body is nested too deeply") from error
    except ValueError as error:
        # The parser's message names the line and column; it never quotes the content.
        reason = (
            error.msg if isinstance(error, json.JSONDecodeError) else "a number in it has too many digits"
        )
        raise _malformed("invalid_json", f"the body is not JSON: {reason}") from error
    if not isinstance(document, dict):
        raise _malformed("not_an_object", "the body must be one JSON object")
    return document


def raw_push(document: Mapping[str, object], *, max_chars: int) -> str:
    """The push as it was received, without the picture, as JSON in ASCII.

    ASCII because cameras send what a text column does not accept: NUL characters, unpaired surrogates.

    Raises:
        InputError: `report_too_large` or `invalid_json`.
    """
    try:
        text = json.dumps({name: value for name, value in document.items() if name != "snapshot"})
    except RecursionError as error:
        raise _malformed("invalid_json", "the body is nested too deeply") from error
    if len(text) > max_chars:
        raise InputError(
            ErrorKind.TOO_LARGE,
            "report_too_large",
            f"the push without its picture is longer than {max_chars} characters",
        )
    return text


def parse_push(document: Mapping[str, object]) -> tuple[ParkingPush, str]:
    """The push and its snapshot in base64.

    Raises:
        InputError: it names every missing field, or else every invalid field.
    """
    missing = [name for name in FIELDS if document.get(name) is None]
    if missing:
        raise _missing(missing)
    reader = _FieldReader(document)
    resolution = Size(
        reader.read("resolution_w", partial(whole_number, low=1, high=LARGEST_SIDE_PX), LARGEST_SIDE_PX),
        reader.read("resolution_y", partial(whole_number, low=1, high=LARGEST_SIDE_PX), LARGEST_SIDE_PX),
    )
    corners = _corners(reader, resolution)
    x1, y1, x2, y2 = _vehicle_frame(reader, resolution)
    push = ParkingPush(
        event=reader.read("event", _short_text, ""),
        device=reader.read("device", _short_text, ""),
        report_type=reader.read("report_type", _short_text, ""),
        time=reader.read("time", parse_time, _NEVER),
        resolution=resolution,
        area=reader.read("parking_area", parse_parking_area, ParkingArea("", "")),
        index_number=reader.read("index_number", partial(whole_number, low=1, high=HIGHEST_SPOT_NUMBER), 0),
        purpose=Purpose.ENTRY if reader.read("occupancy", _occupancy, 0) else Purpose.EXIT,
        duration_s=reader.read("duration", partial(decimal_number, low=0, high=LONGEST_DURATION_S), 0.0),
        corners=corners,
        vehicle_box=box_between(x1, y1, x2, y2),
    )
    snapshot = reader.read("snapshot", _coded_text, "")
    reader.raise_problems()
    return push, snapshot


def fingerprint(push: ParkingPush, *, camera_id: int, snapshot_sha256: str) -> bytes:
    """The same 32 bytes for every notation of the same push with the same picture from the same camera.

    Only the documented fields are included: a retry counter that some firmware adds must not make a repeat new.
    """
    box = push.vehicle_box
    parts = [
        camera_id,
        snapshot_sha256,
        push.event,
        push.device,
        push.report_type,
        push.time.key,
        push.resolution.width_px,
        push.resolution.height_px,
        push.index_number,
        push.purpose.value,
        push.duration_s,
        push.corners,
        [box.x, box.y, box.width, box.height] if box is not None else None,
    ]
    return hashlib.sha256(json.dumps(parts).encode()).digest()


class _FieldReader:
    """Reads one field after the other and collects the problems: the installer sees all of them at once."""

    def __init__(self, document: Mapping[str, object]) -> None:
        self._document = document
        self.problems: list[FieldProblem] = []

    def read(self, name: str, parse: Callable[[object], T], placeholder: T) -> T:
        """The parsed field. After a problem it is `placeholder`, which never leaves `parse_push`."""
        try:
            return parse(self._document[name])
        except ValueError as error:
            self.problems.append(FieldProblem(name, str(error)))
            return placeholder

    def is_blank(self, name: str) -> bool:
        """Whether the field is an empty text."""
        value = self._document[name]
        return isinstance(value, str) and not value.strip()

    def raise_problems(self) -> None:
        """Raise, with the field's own code if it is a single field."""
        if not self.problems:
            return
        names = ", ".join(problem.field for problem in self.problems)
        code = f"invalid_{self.problems[0].field}" if len(self.problems) == 1 else "invalid_fields"
        raise InputError(ErrorKind.INVALID, code, f"these fields are not valid: {names}", self.problems)


def _corners(reader: _FieldReader, resolution: Size) -> Quad:
    known = len(reader.problems)
    xs = [reader.read(f"coordinate_x{n}", _within("x", resolution), 0.0) for n in range(1, 5)]
    ys = [reader.read(f"coordinate_y{n}", _within("y", resolution), 0.0) for n in range(1, 5)]
    corners: Quad = ((xs[0], ys[0]), (xs[1], ys[1]), (xs[2], ys[2]), (xs[3], ys[3]))
    if len(reader.problems) == known and is_degenerate(corners):
        reader.problems.append(FieldProblem("coordinate_x1", "the four corners enclose no area"))
    return corners


def _vehicle_frame(reader: _FieldReader, resolution: Size) -> tuple[float, ...]:
    """Without a vehicle some firmware leaves all four empty, other firmware writes zeros."""
    if all(reader.is_blank(name) for name in VEHICLE_FIELDS):
        return (0.0,) * len(VEHICLE_FIELDS)
    return tuple(reader.read(name, _within(name, resolution), 0.0) for name in VEHICLE_FIELDS)


def _within(name: str, resolution: Size) -> Callable[[object], float]:
    """A coordinate in a picture of `resolution`; the field's name contains its axis, x or y."""
    side_px = resolution.width_px if "x" in name else resolution.height_px
    return partial(decimal_number, low=-side_px * OUTSIDE_SHARE, high=side_px * (1 + OUTSIDE_SHARE))


def _short_text(value: object) -> str:
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) < 10**18:
        return str(value)
    if not isinstance(value, str):
        raise InvalidValue("must be text")
    text = value.strip()
    if len(text) > LONGEST_TEXT_CHARS:
        raise InvalidValue(f"is longer than {LONGEST_TEXT_CHARS} characters")
    # Databases and logs do not accept control characters and unpaired surrogates; both are "not printable".
    if not text.isprintable():
        raise InvalidValue("holds a character that cannot be printed")
    return text


def _coded_text(value: object) -> str:
    if not isinstance(value, str):
        raise InvalidValue("must be a picture in base64")
    return value


def _occupancy(value: object) -> int:
    try:
        return whole_number(value, low=0, high=1)
    except ValueError as error:
        raise InvalidValue("must be 1 (a vehicle came) or 0 (it left)") from error


def _without_duplicates(pairs: list[tuple[str, object]]) -> dict[str, object]:
    document = dict(pairs)
    if len(document) != len(pairs):
        counts = Counter(name for name, _ in pairs)
        repeated = sorted(name for name, count in counts.items() if count > 1)
        problems = [FieldProblem(_printable(name), "is given more than once") for name in repeated[:20]]
        raise InputError(ErrorKind.MALFORMED, "duplicate_field", "a field is given more than once", problems)
    return document


def _printable(name: str) -> str:
    return name[:LONGEST_TEXT_CHARS].encode("ascii", "backslashreplace").decode("ascii")


def _reject_constant(name: str) -> NoReturn:
    raise json.JSONDecodeError(f"{name} is not a JSON number", name, 0)


def _missing(names: list[str]) -> InputError:
    code = "snapshot_missing" if names == ["snapshot"] else "missing_fields"
    problems = [FieldProblem(name, "is missing") for name in names]
    return InputError(ErrorKind.MALFORMED, code, f"missing: {', '.join(names)}", problems)


def _malformed(code: str, detail: str) -> InputError:
    return InputError(ErrorKind.MALFORMED, code, detail)


_NEVER = parse_time(0)
