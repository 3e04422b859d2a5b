"""What is registered of the site: one value type for each level of its hierarchy.

Fields whose name begins with `sealed_` are encrypted secrets, empty when none is set.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from ingest.domain.site import CameraStatus
from ingest.domain.site_status import CameraState, SpotCounts, StatusReason


@dataclass(frozen=True, slots=True, kw_only=True)
class Location:
    """The top level: a site with its time zone and plate regions."""

    location_id: int
    name: str
    code: str
    portal_name: str
    sealed_portal_password: str = field(repr=False)
    ip_schema: str
    sealed_parkonic_api_token: str = field(repr=False)
    camera_user: str
    sealed_camera_pass: str = field(repr=False)
    parameters: Mapping[str, Any]
    time_zone: str
    regions: Sequence[str]
    created_at: datetime
    updated_at: datetime
    # Of all its cameras.
    spot_counts: SpotCounts = field(default=SpotCounts(), compare=False)

    @property
    def id(self) -> int:
        """Its id."""
        return self.location_id

    @property
    def has_portal_password(self) -> bool:
        """Whether one is set."""
        return bool(self.sealed_portal_password)

    @property
    def has_parkonic_api_token(self) -> bool:
        """Whether one is set."""
        return bool(self.sealed_parkonic_api_token)

    @property
    def has_camera_pass(self) -> bool:
        """Whether one is set."""
        return bool(self.sealed_camera_pass)


@dataclass(frozen=True, slots=True, kw_only=True)
class Zone:
    """A part of a location."""

    zone_id: int
    location_id: int
    code: str
    parameters: Mapping[str, Any]
    created_at: datetime
    updated_at: datetime

    @property
    def id(self) -> int:
        """Its id."""
        return self.zone_id


@dataclass(frozen=True, slots=True, kw_only=True)
class Pole:
    """A pole with cameras."""

    pole_id: int
    zone_id: int
    name: str
    code: str
    coordinates: str
    server: str
    router: str
    router_ip: str
    router_vpn_ip: str
    api_pole_id: str
    created_at: datetime
    updated_at: datetime

    @property
    def id(self) -> int:
        """Its id."""
        return self.pole_id


@dataclass(frozen=True, slots=True, kw_only=True)
class Camera:
    """A camera. `set_status` is a `CameraStatus` that an operator has set; `state` is what is observed."""

    camera_id: int
    pole_id: int
    location_id: int
    name: str
    api_code: str
    p_ip: str
    vpn_ip: str
    number_of_parking: int
    portal_id: str
    set_status: str
    push_networks: Sequence[str]
    push_user: str
    sealed_push_password: str = field(repr=False)
    sealed_push_path_secret: str = field(repr=False)
    sealed_push_hmac_key: str = field(repr=False)
    created_at: datetime
    updated_at: datetime
    state: CameraState | None = field(default=None, compare=False)

    @property
    def id(self) -> int:
        """Its id."""
        return self.camera_id

    @property
    def is_enabled(self) -> bool:
        """Whether it may be called."""
        return self.set_status == CameraStatus.ONLINE

    @property
    def observed(self) -> CameraState:
        """What is observed of it.

        Raises:
            ValueError: it was not looked up with it.
        """
        if self.state is None:
            raise ValueError("the camera was read without its state")
        return self.state

    @property
    def status(self) -> CameraStatus:
        """Whether it works."""
        return self.observed.status

    @property
    def status_reason(self) -> StatusReason:
        """Why."""
        return self.observed.reason

    @property
    def last_push_at(self) -> datetime | None:
        """When it last pushed."""
        return self.observed.signs.pushed_at

    @property
    def last_answer_at(self) -> datetime | None:
        """When it last answered a call."""
        return self.observed.signs.answered_at

    @property
    def last_failure(self) -> str:
        """What the last failed call ended with."""
        return self.observed.signs.failure

    @property
    def last_failure_at(self) -> datetime | None:
        """When a call last failed."""
        return self.observed.signs.failed_at

    @property
    def spot_counts(self) -> SpotCounts:
        """Its spots, by occupancy."""
        return self.observed.spots

    @property
    def has_push_password(self) -> bool:
        """Whether one is set."""
        return bool(self.sealed_push_password)

    @property
    def has_push_path_secret(self) -> bool:
        """Whether one is set."""
        return bool(self.sealed_push_path_secret)

    @property
    def has_push_hmac_key(self) -> bool:
        """Whether one is set."""
        return bool(self.sealed_push_hmac_key)


@dataclass(frozen=True, slots=True, kw_only=True)
class Spot:
    """A parking spot; its corners are in pixels of the camera's snapshot. `origin` is a `SpotOrigin`."""

    spot_id: int
    camera_id: int
    spot_number: int
    p1_x: float
    p1_y: float
    p2_x: float
    p2_y: float
    p3_x: float
    p3_y: float
    p4_x: float
    p4_y: float
    status: int
    occupancy: str
    occupancy_at: datetime | None
    occupancy_decided_at: datetime | None
    origin: str
    created_at: datetime
    updated_at: datetime

    @property
    def id(self) -> int:
        """Its id."""
        return self.spot_id


@dataclass(frozen=True, slots=True, kw_only=True)
class CropZone:
    """A part of a camera's picture; `points` are (x, y) in pixels of the camera's snapshot."""

    crop_zone_id: int
    camera_id: int
    points: Sequence[Sequence[float]]
    created_at: datetime
    updated_at: datetime

    @property
    def id(self) -> int:
        """Its id."""
        return self.crop_zone_id


Entry = Location | Zone | Pole | Camera | Spot | CropZone
"""Anything that is registered."""


@dataclass(frozen=True, slots=True)
class Level:
    """One level of the hierarchy, and the field of its entries' ids.

    `unique_field`: no two entries with the same parent have the same value in it. `searched`: the fields that a text
    search looks in.
    """

    word: str
    entry: type[Entry]
    id_field: str
    parent: "Level | None" = None
    unique_field: str | None = None
    searched: tuple[str, ...] = ()


LOCATION = Level("location", Location, "location_id", unique_field="code", searched=("name", "code"))
ZONE = Level("zone", Zone, "zone_id", LOCATION, "code", ("code",))
POLE = Level("pole", Pole, "pole_id", ZONE, "code", ("name", "code"))
CAMERA = Level("camera", Camera, "camera_id", POLE, "api_code", ("name", "api_code"))
SPOT = Level("spot", Spot, "spot_id", CAMERA, "spot_number")
CROP_ZONE = Level("crop zone", CropZone, "crop_zone_id", CAMERA)

LEVELS = (LOCATION, ZONE, POLE, CAMERA, SPOT, CROP_ZONE)
