"""Cameras with all that their events need, in two queries."""

from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import Row, select
from sqlalchemy.ext.asyncio import AsyncSession

from ingest.domain.geometry import Quad
from ingest.domain.parking_area import ParkingArea
from ingest.domain.site import CameraSite, CameraStatus, RegisteredSpot, SpotOrigin
from ingest.store.tables import cameras, locations, poles, spots, zones

_CAMERA = select(
    cameras,
    poles.c.code.label("pole_code"),
    zones.c.zone_id,
    zones.c.code.label("zone_code"),
    locations.c.code.label("location_code"),
    locations.c.time_zone,
    locations.c.regions,
    locations.c.camera_user,
    locations.c.sealed_camera_pass,
).select_from(cameras.join(poles).join(zones).join(locations, zones.c.location_id == locations.c.location_id))


async def find_by_area(session: AsyncSession, area: ParkingArea) -> CameraSite | None:
    """The camera that a push's `parking_area` names."""
    query = _CAMERA.where(locations.c.code == area.location_code, cameras.c.api_code == area.api_code)
    return await _load(session, query)


async def find_by_id(session: AsyncSession, camera_id: int) -> CameraSite | None:
    """The camera of that id."""
    return await _load(session, _CAMERA.where(cameras.c.camera_id == camera_id))


async def has_location(session: AsyncSession, code: str) -> bool:
    """Whether a location has that code."""
    return await session.scalar(select(locations.c.location_id).where(locations.c.code == code)) is not None


async def _load(session: AsyncSession, query: Any) -> CameraSite | None:
    row = (await session.execute(query)).one_or_none()
    if row is None:
        return None
    found = await session.execute(
        select(spots).where(spots.c.camera_id == row.camera_id).order_by(spots.c.spot_number)
    )
    return CameraSite(
        camera_id=row.camera_id,
        camera_name=row.name,
        api_code=row.api_code,
        is_enabled=row.set_status == CameraStatus.ONLINE.value,
        p_ip=row.p_ip,
        vpn_ip=row.vpn_ip,
        number_of_parking=row.number_of_parking,
        portal_id=row.portal_id,
        pole_id=row.pole_id,
        pole_code=row.pole_code,
        zone_id=row.zone_id,
        zone_code=row.zone_code,
        location_id=row.location_id,
        location_code=row.location_code,
        time_zone=ZoneInfo(row.time_zone),
        regions=tuple(row.regions),
        camera_user=row.camera_user,
        sealed_camera_pass=row.sealed_camera_pass,
        push_networks=tuple(row.push_networks),
        push_user=row.push_user,
        sealed_push_password=row.sealed_push_password,
        sealed_push_path_secret=row.sealed_push_path_secret,
        sealed_push_hmac_key=row.sealed_push_hmac_key,
        spots={spot.spot_number: _spot(spot) for spot in found.all()},
    )


def _spot(row: Row[Any]) -> RegisteredSpot:
    corners: Quad = (
        (row.p1_x, row.p1_y),
        (row.p2_x, row.p2_y),
        (row.p3_x, row.p3_y),
        (row.p4_x, row.p4_y),
    )
    return RegisteredSpot(row.spot_id, row.spot_number, corners, SpotOrigin(row.origin))
