"""The demo's site, made through the public API as an operator would, and the pushes of its cameras."""

import secrets
import string
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import aiohttp

from all_in_one.demo.camera import LOOPBACK, DemoCamera
from all_in_one.demo.scenario import SpotKey, Step
from all_in_one.pictures import SIZE_PX, passing_vehicle_box, spot_polygon, vehicle_box
from all_in_one.push_body import push_body

LOCATION_CODE = "NAD"
CODE_LETTERS = 4
SECRET_BYTES = 18
SPOTS_PER_CAMERA = 2
TIME_ZONE = "Asia/Dubai"


class ApiError(Exception):
    """The API rejected a request; the message has its response."""


@dataclass(frozen=True)
class Site:
    """The registered site: cameras by api code, api codes by camera id, the last picture pushed for each spot.

    `push_secret`: part of the path that its cameras push to; empty: anybody may push for them.
    """

    code: str
    location_id: int
    push_secret: str
    cameras: Mapping[str, DemoCamera]
    camera_ids: Mapping[int, str]
    last_pictures: dict[SpotKey, bytes] = field(default_factory=dict)


@dataclass(frozen=True)
class Plan:
    """How the site is made. `camera_host`: an address of this machine that Lookout reaches."""

    code: str = LOCATION_CODE
    camera_host: str = LOOPBACK
    push_secret: str = ""


ONLY_SITE = Plan()
"""For a Lookout that was started for the demo."""


def guest_plan(camera_host: str) -> Plan:
    """A site in an installation with others: a code of its own, and a secret that its cameras push with."""
    letters = "".join(secrets.choice(string.ascii_uppercase) for _ in range(CODE_LETTERS))
    return Plan(letters, camera_host, secrets.token_urlsafe(SECRET_BYTES))


@asynccontextmanager
async def make_site(
    client: aiohttp.ClientSession, codes: tuple[str, ...], plan: Plan = ONLY_SITE
) -> AsyncIterator[Site]:
    """Register the location with its zone, pole, cameras and spots, and start the cameras.

    Raises:
        ApiError: a request was rejected.
        OSError: a camera cannot listen on its address.
    """
    location = await create(
        client,
        "/locations",
        name="Nad Al Hamar" if plan.code == LOCATION_CODE else f"Demo {plan.code}",
        code=plan.code,
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
            cameras[code] = camera = DemoCamera(SPOTS_PER_CAMERA, plan.camera_host)
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
                **({"push_path_secret": plan.push_secret} if plan.push_secret else {}),
            )
            ids[camera_id] = code
            for number in range(1, SPOTS_PER_CAMERA + 1):
                corners = {
                    f"p{i}_{axis}": value
                    for i, corner in enumerate(spot_polygon(number, SPOTS_PER_CAMERA), 1)
                    for axis, value in zip("xy", corner, strict=True)
                }
                await create(client, "/spots", camera_id=camera_id, spot_number=number, status=0, **corners)
        yield Site(plan.code, location, plan.push_secret, cameras, ids)
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


def parking_push(site_code: str, step: Step, picture: bytes, at: datetime) -> dict[str, Any]:
    """The body of `POST /post`. `at` is the camera's local time."""
    code, number = step.spot
    corners = spot_polygon(number, SPOTS_PER_CAMERA)
    box = passing_vehicle_box() if step.is_passing else vehicle_box(number, SPOTS_PER_CAMERA)
    return push_body(
        device=f"cam-{code}",
        area=f"{site_code}{code}",
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
