"""The OpenAPI schema of a push: what `ingest.domain.parking_push` accepts, as far as a schema can say it."""

from typing import Any

from ingest.domain.parking_push import (
    FIELDS,
    HIGHEST_SPOT_NUMBER,
    LARGEST_SIDE_PX,
    LONGEST_DURATION_S,
    LONGEST_TEXT_CHARS,
    OUTSIDE_SHARE,
)

_BLANKS = "[ \\t\\r\\n]*"


def _whole(low: int, high: int, description: str) -> dict[str, Any]:
    more = len(str(high)) - 1
    digits = rf"0{{0,9}}[1-9][0-9]{{0,{more}}}" if low else "[01]"
    return {
        "anyOf": [
            {"type": "integer", "minimum": low, "maximum": high},
            {"type": "string", "pattern": rf"^{_BLANKS}\+?{digits}(\.0{{1,9}})?{_BLANKS}$"},
        ],
        "description": description,
    }


def _decimal(description: str, low: float, high: float, *, can_be_empty: bool = False) -> dict[str, Any]:
    sign = r"[+-]?" if low < 0 else r"\+?"
    text = rf"{sign}[0-9]{{1,18}}(\.[0-9]{{1,18}})?"
    if can_be_empty:
        text = f"({text})?"
    return {
        "anyOf": [
            {"type": "number", "minimum": low, "maximum": high},
            {"type": "string", "pattern": f"^{_BLANKS}{text}{_BLANKS}$"},
        ],
        "description": description,
    }


def _text(description: str) -> dict[str, Any]:
    return {
        "anyOf": [
            {"type": "string", "maxLength": LONGEST_TEXT_CHARS},
            {"type": "integer", "exclusiveMinimum": -(10**18), "exclusiveMaximum": 10**18},
        ],
        "description": description,
    }


_CORNER = "of the spot in pixels of the resolution, the four corners in order; they enclose an area"
_BOX = "of the vehicle's box in pixels of the resolution; zeros or four empty texts: no vehicle"
_NAMED: dict[str, dict[str, Any]] = {
    "event": _text("the camera's word for the event"),
    "device": _text("the camera's own name"),
    "report_type": _text("the camera's word for the report"),
    "time": {
        "anyOf": [{"type": "string"}, {"type": "number", "minimum": 0}],
        "description": "`YYYY-MM-DD HH:MM:SS` in the location's time zone, ISO 8601, or s or ms since 1970",
    },
    "resolution_w": _whole(1, LARGEST_SIDE_PX, "width in pixels of the picture that coordinates refer to"),
    "resolution_y": _whole(1, LARGEST_SIDE_PX, "its height in pixels"),
    "parking_area": {
        "type": "string",
        "pattern": r"^\s*[A-Za-z]{1,16}\s*[0-9]{1,9}\s*$",
        "description": "the location's code and the camera's `api_code`, as in NAD95",
    },
    "index_number": _whole(1, HIGHEST_SPOT_NUMBER, "the spot's number at that camera"),
    "occupancy": _whole(0, 1, "1: a vehicle came; 0: it left"),
    "duration": _decimal("seconds in the state before", 0, LONGEST_DURATION_S),
    "snapshot": {
        "type": "string",
        "minLength": 1,
        "contentEncoding": "base64",
        "contentMediaType": "image/jpeg",
        "description": "the picture, in base64, with or without a `data:` prefix",
    },
}


def _property(name: str) -> dict[str, Any]:
    if name in _NAMED:
        return _NAMED[name]
    is_corner = name.startswith("coordinate")
    low, high = -OUTSIDE_SHARE * LARGEST_SIDE_PX, (1 + OUTSIDE_SHARE) * LARGEST_SIDE_PX
    return _decimal(f"{name[-2:]} {_CORNER if is_corner else _BOX}", low, high, can_be_empty=not is_corner)


PUSH_SCHEMA: dict[str, Any] = {
    "type": "object",
    "required": list(FIELDS),
    "properties": {name: _property(name) for name in FIELDS},
}
PUSH_EXAMPLE: dict[str, Any] = {
    "event": "parking",
    "device": "cam-95",
    "report_type": "spot",
    "time": "2026-03-14 12:30:00",
    "resolution_w": 1920,
    "resolution_y": 1080,
    "parking_area": "NAD95",
    "index_number": 1,
    "occupancy": 1,
    "duration": 60,
    "coordinate_x1": 400,
    "coordinate_y1": 500,
    "coordinate_x2": 900,
    "coordinate_y2": 500,
    "coordinate_x3": 900,
    "coordinate_y3": 800,
    "coordinate_x4": 400,
    "coordinate_y4": 800,
    "vehicle_frame_x1": 450,
    "vehicle_frame_y1": 520,
    "vehicle_frame_x2": 850,
    "vehicle_frame_y2": 780,
    # A grey picture; cameras send 100 to 600 kB.
    "snapshot": "/9j/4AAQSkZJRgABAQAAAQABAAD/2wBDABALDA4MChAODQ4SERATGCgaGBYWGDEjJR0oOjM9PDkzODdASFxOQERXRTc4UG1RV19i"
    "Z2hnPk1xeXBkeFxlZ2P/wAALCAAgACABAREA/8QAFQABAQAAAAAAAAAAAAAAAAAAAAX/xAAUEAEAAAAAAAAAAAAAAAAAAAAA/9oA"
    "CAEBAAA/AJgAAAAD/9k=",
}
PREFER = {
    "name": "Prefer",
    "in": "header",
    "required": False,
    "schema": {"type": "string"},
    "example": "wait=10",
    "description": "RFC 7240: `wait=N` and `respond-async`",
}
SECRET = {
    "name": "secret",
    "in": "path",
    "required": True,
    "schema": {"type": "string", "minLength": 1},
    "description": "the camera's `push_path_secret`; any text where it has none",
}


def push_openapi(*parameters: dict[str, Any]) -> dict[str, Any]:
    """What the OpenAPI document says of a request to push, with these parameters and `Prefer`."""
    content = {"application/json": {"schema": PUSH_SCHEMA, "example": PUSH_EXAMPLE}}
    return {"parameters": [*parameters, PREFER], "requestBody": {"required": True, "content": content}}
