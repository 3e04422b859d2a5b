"""What an operator may set. Every limit, timeout and default of ingest stands here."""

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Self

from pydantic import Field, SecretStr, model_validator

from kit.settings import BlobSettings, Block, BusSettings, DatabaseSettings, ServiceSettings

Seconds = Annotated[float, Field(allow_inf_nan=False)]


class ParkingPushSettings(Block):
    """What `POST /post` takes."""

    max_body_bytes: int = Field(8_388_608, gt=0, description="largest report in bytes, its picture included")
    max_raw_chars: int = Field(16_384, gt=0, description="largest report in characters, its picture left out")
    max_picture_bytes: int = Field(5_242_880, gt=0, description="largest picture in bytes")
    max_picture_pixels: int = Field(
        40_000_000, gt=0, description="largest picture in pixels, width times height"
    )
    max_bytes_in_hand: int = Field(
        100_663_296,
        gt=0,
        description="bytes of reports read at once; more wait, then are asked to come again",
    )
    admission_timeout_s: Seconds = Field(5.0, gt=0, description="seconds a report may wait to be read")
    body_timeout_s: Seconds = Field(30.0, gt=0, description="seconds a camera may take to send its report")
    threads: int = Field(2, gt=0, description="threads that parse reports and check pictures")
    learns_spots: bool = Field(
        True, description="a camera of which nobody has drawn a spot teaches its spots with its reports"
    )
    max_learned_spots: int = Field(
        16, ge=0, description="spots that a camera may teach while its number_of_parking is 0"
    )
    clock_ahead_limit_s: Seconds = Field(
        600.0, ge=0, description="seconds a camera's clock may be ahead; beyond that the receive time counts"
    )
    clock_behind_limit_s: Seconds = Field(
        604_800.0, ge=0, description="seconds an event may be late; beyond that the receive time counts"
    )
    max_wait_s: int = Field(30, ge=0, description="longest `Prefer: wait` in seconds that is honoured")
    max_waiting: int = Field(500, ge=0, description="reports that may wait for their outcome at once")
    outcome_poll_s: Seconds = Field(
        0.5, gt=0, description="seconds between looks for outcomes that another replica has written"
    )
    registry_cache_s: Seconds = Field(
        5.0, ge=0, description="seconds for which a replica may not see what another changed in the registry"
    )
    max_cached_cameras: int = Field(10_000, gt=0, description="cameras kept in that cache")
    remembered_repeats: int = Field(
        20_000, ge=0, description="events remembered in memory, so that a repeat costs no statement"
    )


class DeviceSettings(Block):
    """How cameras are called."""

    frame_timeout_s: Seconds = Field(5.0, gt=0, description="seconds a camera may take for a snapshot")
    connect_timeout_s: Seconds = Field(2.0, gt=0, description="seconds a camera may take to pick up")
    clip_timeout_s: Seconds = Field(60.0, gt=0, description="seconds a camera may take for a clip, each try")
    clip_attempts: int = Field(3, gt=0, description="times a clip is asked for; they are often broken")
    clip_backoff_s: Seconds = Field(2.0, gt=0, description="seconds before the second try, doubled each time")
    max_clip_bytes: int = Field(67_108_864, gt=0, description="largest clip in bytes")
    max_clip_length_s: Seconds = Field(
        120.0, gt=0, description="longest clip in seconds that may be asked for"
    )
    max_clips_at_once: int = Field(4, gt=0, description="clips fetched and checked at once")
    snapshot_path: str = Field("/snapshot.cgi", description="path of a camera's snapshot")
    clip_path: str = Field("/dataloader.cgi", description="path of a camera's recordings")
    clip_segment: str = Field("SEGMENT", description="`filename` that recordings are asked for under")
    failures_to_open: int = Field(
        2, gt=0, description="failed calls in a row after which a camera is left alone"
    )
    rest_s: Seconds = Field(30.0, gt=0, description="seconds that it is left alone")
    is_loopback_allowed: bool = Field(
        False, description="cameras may stand on this machine (demo, tests); always so in embedded mode"
    )


class DispatchSettings(Block):
    """How events that had to wait go out."""

    concurrency: int = Field(64, gt=0, description="cameras served side by side")
    lease_s: Seconds = Field(
        20.0, gt=0, description="seconds after which a replica that vanished loses the event it had in hand"
    )
    poll_s: Seconds = Field(1.0, gt=0, description="seconds between looks for what another replica left")
    retry_s: Seconds = Field(1.0, gt=0, description="seconds before an event is taken up again after a fault")


class RetentionSettings(Block):
    """How long things are kept; 0 days is forever."""

    raw_report_days: int = Field(90, ge=0, description="days that a report is kept word for word")
    event_days: int = Field(400, ge=0, description="days that an event and its pictures are kept")
    capture_days: int = Field(30, ge=0, description="days that frames and clips asked for by hand are kept")
    orphan_age_s: Seconds = Field(
        3_600.0, ge=60, description="seconds after which a picture that no event names is swept"
    )
    sweep_interval_s: Seconds = Field(3_600.0, gt=0, description="seconds between sweeps")


class IngestSettings(ServiceSettings):
    """The settings of ingest."""

    service_name: ClassVar[str] = "ingest"
    defaults: ClassVar[Mapping[str, Any]] = {"http.port": 8101, "grpc.port": 9101}
    embedded_defaults: ClassVar[Mapping[str, Any]] = {"devices.is_loopback_allowed": True}

    database: DatabaseSettings = Field(description="the site and what its cameras reported")
    bus: BusSettings = Field(description="event bus")
    blobs: BlobSettings = Field(description="pictures and clips")
    secrets_key: SecretStr = Field(
        SecretStr(""),
        description="key that camera and portal passwords are encrypted with; required in distributed mode",
    )
    reports: ParkingPushSettings = Field(default_factory=ParkingPushSettings, description="what cameras push")
    devices: DeviceSettings = Field(default_factory=DeviceSettings, description="calls to cameras")
    dispatch: DispatchSettings = Field(default_factory=DispatchSettings, description="order of events")
    retention: RetentionSettings = Field(
        default_factory=RetentionSettings, description="how long things stay"
    )

    @model_validator(mode="after")
    def _secrets_have_a_key(self) -> Self:
        if self.mode == "distributed" and not self.secrets_key.get_secret_value():
            raise ValueError("secrets_key: required in distributed mode")
        return self
