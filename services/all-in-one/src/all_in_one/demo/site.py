"""The demo's site, made through the public API as an operator would, and the pushes of its cameras."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import aiohttp

from all_in_one.demo.camera import DemoCamera
from all_in_one.demo.scenario import SpotKey, Step
from all_in_one.pictures import SIZE_PX, passing_vehicle_box, spot_polygon, vehicle_box
from all_in_one.push_body import push_body

LOCATION_CODE = "NAD"
SPOTS_PER_CAMERA = 2
TIME_ZONE = "Asia/Dubai"


class ApiError(Exception):
    """The API rejected a request; the message has its response."""


@dataclass(frozen=True)
class Site:
    """The registered site: cameras by api code, api codes by camera id, the last picture pushed for each spot."""

    cameras: Mapping[str, DemoCamera]
    camera_ids: Mapping[int, str]
    last_pictures: dict[SpotKey, bytes] = field(default_factory=dict)


@asynccontextmanager
async def make_site(client: aiohttp.ClientSession, codes: tuple[str, ...]) -> AsyncIterator[Site]:
    """Register the location with its zone, pole, cameras and spots, and start the cameras.

    Raises:
        ApiError: a request was rejected.
    """
    location = await create(
        client,
        "/locations",
        name="Nad Al Hamar",
        code=LOCATION_CODE,
        time_zone=TIME_ZONE,
        camera_user="admin",
        camera_pass="demo",  # noqa: S106 - of a camera that this program simulates
    )
    zone = await create(client, "/zones", location_id=location, code="Z1")
    pole = await create(client, "/poles", zone_id=zone, name="Pole 1", code="P1")
    cameras: dict[str, DemoCamera] = {}
    ids: dict[int, str] = {}
    running: list[DemoCamera] = []
    try:
        for code in codes:
            cameras[code] = camera = DemoCamera(SPOTS_PER_CAMERA)
            running.append(camera.__enter__())
            camera_id = await create(
                client,
                "/cameras",
                pole_id=pole,
                name=f"Camera {code}",
                api_code=code,
                p_ip=camera.address,
                number_of_parking=SPOTS_PER_CAMERA,
                status="ONLINE",
            )
            ids[camera_id] = code
            for number in range(1, SPOTS_PER_CAMERA + 1):
                corners = {
                    f"p{i}_{axis}": value
                    for i, corner in enumerate(spot_polygon(number, SPOTS_PER_CAMERA), 1)
                    for axis, value in zip("xy", corner, strict=True)
                }
                await create(client, "/spots", camera_id=camera_id, spot_number=number, status=0, **corners)
        yield Site(cameras, ids)
    finally:
        for camera in running:
            camera.__exit__(None, None, None)


async def create(client: aiohttp.ClientSession, path: str, **fields: Any) -> int:
    """Create a resource; returns its id."""
    async with client.post(path, json=fields) as answer:
        if answer.status not in {200, 201}:
            raise ApiError(f"POST {path} failed with status {answer.status}: {await answer.text()}")
        created: int = (await answer.json())["id"]
        return created


def parking_push(step: Step, picture: bytes, at: datetime) -> dict[str, Any]:
    """The body of `POST /post`. `at` is the camera's local time."""
    code, number = step.spot
    corners = spot_polygon(number, SPOTS_PER_CAMERA)
    box = passing_vehicle_box() if step.is_passing else vehicle_box(number, SPOTS_PER_CAMERA)
    return push_body(
        device=f"cam-{code}",
        area=f"{LOCATION_CODE}{code}",
        spot=number,
        is_exit=step.kind != "entry",
        at=at,
        picture=picture,
        size_px=SIZE_PX,
        corners=corners,
        vehicle_box=box,
    )


def spot_of(ticket: Mapping[str, Any], site: Site) -> SpotKey:
    """The spot of a ticket, as the scenario names it."""
    return site.camera_ids[ticket["camera_id"]], ticket["spot_number"]
