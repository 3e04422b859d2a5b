"""The body of `POST /post`, as a camera sends it."""

import base64
from collections.abc import Sequence
from datetime import datetime
from typing import Any


def push_body(
    *,
    device: str,
    area: str,
    spot: int,
    is_exit: bool,
    at: datetime,
    picture: bytes,
    size_px: tuple[int, int],
    corners: Sequence[tuple[float, float]],
    vehicle_box: tuple[float, float, float, float],
) -> dict[str, Any]:
    """`area`: location and camera code, as in NAD95. `at`: in the location's time zone. `corners` of the spot and
    `vehicle_box` (left, top, right, bottom) are in pixels of a picture of `size_px`.
    """
    left, top, right, bottom = vehicle_box
    body: dict[str, Any] = {
        "event": "parking",
        "device": device,
        "report_type": "spot",
        "time": at.strftime("%Y-%m-%d %H:%M:%S"),
        "resolution_w": size_px[0],
        "resolution_y": size_px[1],
        "parking_area": area,
        "index_number": spot,
        "occupancy": 0 if is_exit else 1,
        "duration": 60,
        "vehicle_frame_x1": left,
        "vehicle_frame_y1": top,
        "vehicle_frame_x2": right,
        "vehicle_frame_y2": bottom,
        "snapshot": base64.b64encode(picture).decode(),
    }
    for i, (x, y) in enumerate(corners, 1):
        body[f"coordinate_x{i}"], body[f"coordinate_y{i}"] = x, y
    return body
