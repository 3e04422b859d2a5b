"""Schemas of the site's hierarchy; field names are those that parking portals and installers use."""

import re
from collections.abc import Callable
from copy import copy
from datetime import datetime
from typing import Annotated, Any, ClassVar, Literal, Self

import orjson
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    JsonValue,
    SecretStr,
    create_model,
    field_serializer,
    model_validator,
)

from ingest.domain.parking_push import HIGHEST_SPOT_NUMBER
from ingest.domain.push_access import MIN_SECRET_CHARS, MOST_NETWORKS, check_networks
from ingest.domain.site import (
    FURTHEST_PX,
    MOST_CORNERS,
    SMALLEST_CORNERS,
    TEXT_CHARS,
    CameraStatus,
    SpotOrigin,
    check_address,
    check_api_code,
    check_code,
    check_crop_zone,
    check_location_code,
    check_name,
    check_regions,
    check_text,
    check_time_zone,
)
from ingest.domain.site_status import Occupancy, StatusReason
from kit.json_types import JSON_NUMBER, JsonBool
from kit.pagination import MAX_ID

_MAX_PARAMETERS_BYTES = 65_536
_MAX_SECRET_CHARS = 500
_MAX_REGIONS = 100
_PATH_SECRET = re.compile(rf"[A-Za-z0-9_-]{{{MIN_SECRET_CHARS},100}}")


def _check_parameters(value: dict[str, Any]) -> dict[str, Any]:
    try:
        size_bytes = len(orjson.dumps(value))
    except TypeError as error:
        raise ValueError("contains a number or a nesting that cannot be stored") from error
    if size_bytes > _MAX_PARAMETERS_BYTES:
        raise ValueError(f"is larger than {_MAX_PARAMETERS_BYTES} bytes")
    return value


def _check_path_secret(value: SecretStr) -> SecretStr:
    text = value.get_secret_value()
    if text and not _PATH_SECRET.fullmatch(text):
        raise ValueError(f"must be {MIN_SECRET_CHARS} to 100 letters, digits, - and _")
    return value


def _check_hmac_key(value: SecretStr) -> SecretStr:
    text = value.get_secret_value()
    if text and not MIN_SECRET_CHARS <= len(text) <= _MAX_SECRET_CHARS:
        raise ValueError(f"must have {MIN_SECRET_CHARS} to {_MAX_SECRET_CHARS} characters")
    return value


def _check_push_user(value: str) -> str:
    if ":" in value or '"' in value:
        raise ValueError('must not contain : or "')
    return value


def _pattern(pattern: str) -> dict[str, JsonValue]:
    """For the schema alone, where the check has a better message."""
    return {"pattern": pattern}


def _lengths(least: int, most: int) -> dict[str, JsonValue]:
    return {"minLength": least, "maxLength": most}


def _list_of(check: Callable[[list[Any]], tuple[Any, ...]]) -> Callable[[list[Any]], list[Any]]:
    return lambda values: list(check(values))


RowId = Annotated[int, Field(ge=1, le=MAX_ID)]
BodyId = Annotated[int, Field(ge=1, le=MAX_ID), JSON_NUMBER]
Line = Annotated[str, Field(max_length=TEXT_CHARS), AfterValidator(check_text)]
Name = Annotated[
    str,
    Field(min_length=1, max_length=TEXT_CHARS, json_schema_extra=_pattern(r"\S")),
    AfterValidator(check_name),
]
Code = Annotated[
    str,
    Field(json_schema_extra=_pattern(r"^\s*[A-Za-z0-9][A-Za-z0-9_.-]{0,31}\s*$")),
    AfterValidator(check_code),
]
LocationCode = Annotated[
    str, Field(json_schema_extra=_pattern(r"^\s*[A-Za-z]{1,16}\s*$")), AfterValidator(check_location_code)
]
ApiCode = Annotated[
    str, Field(json_schema_extra=_pattern(r"^\s*[0-9]{1,9}\s*$")), AfterValidator(check_api_code)
]
Address = Annotated[str, Field(max_length=TEXT_CHARS), AfterValidator(check_address)]
Secret = Annotated[SecretStr, Field(max_length=_MAX_SECRET_CHARS)]
PathSecret = Annotated[
    SecretStr,
    Field(json_schema_extra=_pattern(rf"^([A-Za-z0-9_-]{{{MIN_SECRET_CHARS},100}})?$")),
    AfterValidator(_check_path_secret),
]
HmacKey = Annotated[
    SecretStr,
    Field(json_schema_extra={"anyOf": [{"maxLength": 0}, _lengths(MIN_SECRET_CHARS, _MAX_SECRET_CHARS)]}),
    AfterValidator(_check_hmac_key),
]
PushUser = Annotated[Line, Field(json_schema_extra=_pattern(r'^[^:"]*$')), AfterValidator(_check_push_user)]
Network = Annotated[str, Field(json_schema_extra=_pattern(r"^\s*[0-9A-Fa-f.:]+(/[0-9.]+)?\s*$"))]
PushNetworks = Annotated[
    list[Network], Field(max_length=MOST_NETWORKS), AfterValidator(_list_of(check_networks))
]
Parameters = Annotated[dict[str, Any], AfterValidator(_check_parameters)]
Region = Annotated[str, Field(json_schema_extra=_pattern(r"^\s*[A-Za-z]{2}(-[A-Za-z0-9]{1,3})?\s*$"))]
Regions = Annotated[list[Region], Field(max_length=_MAX_REGIONS), AfterValidator(_list_of(check_regions))]
Pixels = Annotated[float, Field(ge=-FURTHEST_PX, le=FURTHEST_PX, allow_inf_nan=False), JSON_NUMBER]
Point = Annotated[list[Pixels], Field(min_length=2, max_length=2)]
CropPoints = Annotated[
    list[Point],
    Field(min_length=SMALLEST_CORNERS, max_length=MOST_CORNERS),
    AfterValidator(_list_of(check_crop_zone)),
]


class Create(BaseModel):
    """A request. An unknown field is an error."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    ignored_in_put: ClassVar[frozenset[str]] = frozenset()


class Out(BaseModel):
    """An answer, made from the domain's value."""

    model_config = ConfigDict(from_attributes=True)

    id: int
    created_at: datetime
    updated_at: datetime


class SpotCountsOut(BaseModel):
    """The spots, by what their entries and exits show. `total` is occupied + free + unknown."""

    model_config = ConfigDict(from_attributes=True)

    total: int = Field(
        description="of each camera `number_of_parking`, or its registered spots if they are more"
    )
    occupied: int
    free: int
    unknown: int = Field(description="no entry or exit yet, or the last one contradicts its picture")


class LocationFields(BaseModel):
    """A location without its secrets."""

    name: Name
    code: LocationCode = Field(
        description="letters; pushes name a camera by it and the camera's api_code, as in NAD95"
    )
    portal_name: Line = ""
    ip_schema: Line = ""
    camera_user: Line = ""
    parameters: Parameters = Field(default_factory=dict)
    time_zone: Annotated[str, AfterValidator(check_time_zone)] = Field(
        "UTC", description="IANA name; times without a zone in its cameras' pushes are in it"
    )
    regions: Regions = Field(
        default_factory=list, description="allowed plate regions, as in ae or ae-du; empty for any"
    )


class LocationCreate(LocationFields, Create):
    """A location. A secret that is left out stays as it is; null deletes it."""

    portal_password: Secret | None = None
    parkonic_api_token: Secret | None = None
    camera_pass: Secret | None = None


class LocationOut(LocationFields, Out):
    """A location; its secrets are never returned."""

    location_id: int
    has_portal_password: bool
    has_parkonic_api_token: bool
    has_camera_pass: bool
    spot_counts: SpotCountsOut = Field(description="of all its cameras")


class ZoneFields(BaseModel):
    """A zone."""

    location_id: BodyId
    code: Code
    parameters: Parameters = Field(default_factory=dict)


class ZoneCreate(ZoneFields, Create):
    """A zone."""


class ZoneOut(ZoneFields, Out):
    """A zone."""

    zone_id: int


class PoleFields(BaseModel):
    """A pole."""

    zone_id: BodyId
    name: Name
    code: Code
    coordinates: Line = ""
    server: Line = ""
    router: Line = ""
    router_ip: Line = ""
    router_vpn_ip: Line = ""
    api_pole_id: Line = ""


class PoleCreate(PoleFields, Create):
    """A pole."""


class PoleOut(PoleFields, Out):
    """A pole."""

    pole_id: int


class CameraFields(BaseModel):
    """A camera."""

    pole_id: BodyId
    name: Name
    api_code: ApiCode = Field(description="digits, unique within the location")
    p_ip: Address = Field("", description="its address, with a port where it is not 80")
    vpn_ip: Address = Field(
        "", description="its address through the VPN; called if the first does not answer"
    )
    number_of_parking: Annotated[int, Field(ge=0, le=HIGHEST_SPOT_NUMBER), JSON_NUMBER] = 0
    portal_id: Line = ""
    is_enabled: JsonBool = Field(
        True, description="false: it is never called, and its status is OFFLINE; its pushes are accepted"
    )
    push_networks: PushNetworks = Field(
        default=[], description="its pushes are accepted from these networks only; empty: from any"
    )
    push_user: PushUser = Field("", description="the user name of `push_password`")


class CameraCreate(CameraFields, Create):
    """A camera. Where one of the three secrets is set, its pushes must have one of those that are set."""

    ignored_in_put: ClassVar[frozenset[str]] = frozenset({"status"})

    status: CameraStatus | None = Field(
        None,
        exclude=True,
        description="older name of `is_enabled`: OFFLINE is false. PUT ignores it, since what is read is observed",
    )
    push_password: Secret | None = Field(None, description="for HTTP Digest and Basic; null or empty: none")
    push_path_secret: PathSecret | None = Field(
        None, description="the last part of the address that the camera pushes to: `/post/SECRET`"
    )
    push_hmac_key: HmacKey | None = Field(
        None, description="the key of `X-Lookout-Signature`: HMAC-SHA256 of time and body"
    )

    @model_validator(mode="after")
    def _enabled_by_status(self) -> Self:
        if self.status is not None and "is_enabled" not in self.model_fields_set:
            self.is_enabled = self.status is CameraStatus.ONLINE
        return self


class CameraOut(CameraFields, Out):
    """A camera. Secrets are never shown."""

    camera_id: int
    location_id: int
    status: CameraStatus = Field(description="whether it works, as far as its pushes and calls to it show")
    status_reason: StatusReason = Field(
        description="PUSHED, ANSWERED: its last sign; DISABLED: see is_enabled; NO_ANSWER: the last call failed with"
        " last_failure; SILENT: no sign for a long time; NEVER_SEEN: none at all"
    )
    last_push_at: datetime | None
    last_answer_at: datetime | None = Field(
        description="when it last answered a call, to about half a minute"
    )
    last_failure: str = Field(description="the error code of the last call that failed; empty: none has")
    last_failure_at: datetime | None
    spot_counts: SpotCountsOut
    has_push_password: bool
    has_push_path_secret: bool
    has_push_hmac_key: bool


class SpotFields(BaseModel):
    """A spot; its corners are in pixels of the camera's snapshot."""

    camera_id: BodyId
    spot_number: Annotated[int, Field(ge=1, le=HIGHEST_SPOT_NUMBER), JSON_NUMBER]
    p1_x: Pixels
    p1_y: Pixels
    p2_x: Pixels
    p2_y: Pixels
    p3_x: Pixels
    p3_y: Pixels
    p4_x: Pixels
    p4_y: Pixels


class SpotCreate(SpotFields, Create):
    """A spot."""

    status: Literal[0, 1] = Field(
        0, exclude=True, description="ignored: the status follows from entries and exits"
    )


class SpotOut(SpotFields, Out):
    """A spot."""

    spot_id: int
    status: Literal[0, 1] = Field(description="1 if it is OCCUPIED, else 0; see occupancy")
    occupancy: Occupancy = Field(
        description="what its entries and exits show; UNKNOWN: there were none, or the last one contradicts its picture"
    )
    occupancy_at: datetime | None = Field(description="the time of the entry or exit that it follows from")
    origin: SpotOrigin = Field(description="CAMERA: learned from the camera's pushes")


class CropZoneFields(BaseModel):
    """A part of a camera's picture."""

    camera_id: BodyId
    points: CropPoints = Field(description="corners as [x, y] in pixels of the camera's snapshot")


class CropZoneCreate(CropZoneFields, Create):
    """A part of a camera's picture."""


class CropZoneOut(CropZoneFields, Out):
    """A part of a camera's picture."""

    crop_zone_id: int


class Filter(BaseModel):
    """Filters of a list."""

    model_config = ConfigDict(extra="ignore")


class LocationFilter(Filter):
    """Filters of locations."""

    code: str | None = Field(None, description="exactly this code, in capitals")
    search: str | None = Field(
        None, min_length=1, max_length=TEXT_CHARS, description="a part of the name or code"
    )


class ZoneFilter(Filter):
    """Filters of zones."""

    location_id: RowId | None = None
    code: str | None = None
    search: str | None = Field(None, min_length=1, max_length=TEXT_CHARS, description="a part of the code")


class PoleFilter(Filter):
    """Filters of poles."""

    location_id: RowId | None = None
    zone_id: RowId | None = None
    code: str | None = None
    search: str | None = Field(
        None, min_length=1, max_length=TEXT_CHARS, description="a part of the name or code"
    )


class CameraFilter(Filter):
    """Filters of cameras."""

    location_id: RowId | None = None
    zone_id: RowId | None = None
    pole_id: RowId | None = None
    api_code: str | None = None
    status: CameraStatus | None = None
    is_enabled: bool | None = None
    search: str | None = Field(
        None, min_length=1, max_length=TEXT_CHARS, description="a part of the name or api_code"
    )


class SpotFilter(Filter):
    """Filters of spots."""

    location_id: RowId | None = None
    camera_id: RowId | None = None
    spot_number: int | None = Field(None, ge=1, le=HIGHEST_SPOT_NUMBER)
    status: Literal["0", "1"] | None = None
    occupancy: Occupancy | None = None
    origin: SpotOrigin | None = None

    @field_serializer("status", when_used="unless-none")
    def _as_stored(self, value: str) -> int:
        return int(value)


class CropZoneFilter(Filter):
    """Filters of crop zones."""

    camera_id: RowId | None = None


def update_of(create: type[Create]) -> type[Create]:
    """The same schema with every field optional, for PATCH; null is an error wherever it is one in `create`."""
    fields: dict[str, Any] = {}
    for name, info in create.model_fields.items():
        optional = copy(info)
        optional.default, optional.default_factory = None, None
        fields[name] = (info.annotation, optional)
    return create_model(create.__name__.replace("Create", "Update"), __base__=create, **fields)


def replace_of(create: type[Create], out: type[Out]) -> type[Create]:
    """The same schema for PUT: what was read can be changed and sent back; what cannot be changed is ignored."""
    read_only = (frozenset(out.model_fields) - frozenset(create.model_fields)) | create.ignored_in_put

    def drop_read_only(values: Any) -> Any:
        if not isinstance(values, dict):
            return values
        return {name: value for name, value in values.items() if name not in read_only}

    validators: dict[str, Any] = {"_drop_read_only": model_validator(mode="before")(drop_read_only)}
    ignored: dict[str, Any] = {
        name: (Any, Field(None, exclude=True, description="ignored")) for name in create.ignored_in_put
    }
    return create_model(
        create.__name__.replace("Create", "Replace"), __base__=create, __validators__=validators, **ignored
    )
