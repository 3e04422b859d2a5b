"""The settings of ingest: every limit, timeout and default."""

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar

from pydantic import Field

from kit.picture_limits import PictureLimits
from kit.settings import (
    BlobSettings,
    Block,
    BusSettings,
    DatabaseSettings,
    DiskSettings,
    PictureLimitSettings,
    SecretsSettings,
)
from kit.size_limits import MAX_PICTURE_BYTES, BodyLimit, base64_body_bytes

Seconds = Annotated[float, Field(allow_inf_nan=False)]


class ParkingPushSettings(Block):
    """What `POST /post` accepts."""

    max_body_bytes: int | None = Field(
        None,
        gt=0,
        description="largest body in bytes, picture included; not set: 1.5 times `max_picture_bytes` and 64 KiB",
    )
    max_raw_push_chars: int = Field(
        16_384, gt=0, description="largest JSON in characters, without the picture"
    )
    max_picture_bytes: int = Field(
        MAX_PICTURE_BYTES, gt=0, description="largest picture in bytes, pushed or fetched from a camera"
    )
    max_picture_pixels: int = Field(
        40_000_000, gt=0, description="largest picture in pixels, width times height"
    )
    max_buffered_bytes: int = Field(
        100_663_296,
        gt=0,
        description="bytes of bodies in memory at the same time; further pushes wait, then get a 503",
    )
    buffer_timeout_s: Seconds = Field(5.0, gt=0, description="seconds a push may wait for room in memory")
    body_timeout_s: Seconds = Field(30.0, gt=0, description="seconds a camera may take to send the body")
    threads: int = Field(2, gt=0, description="threads that parse pushes and check pictures")
    is_spot_learning_enabled: bool = Field(
        True, description="a camera without spots drawn by an operator registers the spots that it reports"
    )
    max_learned_spots: int = Field(
        16, ge=0, description="spots that a camera may register while its number_of_parking is 0"
    )
    clock_ahead_limit_s: Seconds = Field(
        600.0, ge=0, description="seconds a camera's clock may be ahead; beyond that the receive time is used"
    )
    clock_behind_limit_s: Seconds = Field(
        604_800.0, ge=0, description="seconds an event may be late; beyond that the receive time is used"
    )
    is_authentication_required: bool = Field(
        False,
        description="refuse pushes for cameras for which neither networks nor a credential is set, and answer those for"
        " unknown cameras as those that are refused",
    )
    gateway_networks: tuple[str, ...] = Field(
        ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "127.0.0.0/8", "fc00::/7", "::1/128"),
        description="networks of the gateways whose X-Forwarded-For is trusted, comma separated; cameras must not reach"
        " this service's own port",
    )
    nonce_lifetime_s: Seconds = Field(
        300.0, gt=0, description="seconds that the nonce of a Digest challenge is valid"
    )
    signature_tolerance_s: Seconds = Field(
        300.0, gt=0, description="seconds that the time of a signature may differ from the clock"
    )
    max_refusals: int = Field(
        1000, gt=0, description="refused pushes that are listed, by parking area, address and reason"
    )
    camera_events_per_minute: float = Field(
        240.0, ge=0, description="pushes of one camera a minute; above that 429. 0: no limit"
    )
    camera_bytes_per_minute: float = Field(
        60_000_000.0, ge=0, description="bytes of pushes of one camera a minute; above that 429. 0: no limit"
    )
    address_events_per_minute: float = Field(
        6000.0,
        ge=0,
        description="pushes from one address a minute, which many cameras may share; above that 429. 0: no limit",
    )
    address_bytes_per_minute: float = Field(
        200_000_000.0,
        ge=0,
        description="bytes of pushes from one address a minute; above that 429. 0: no limit",
    )
    max_budget_keys: int = Field(
        100_000, gt=0, description="cameras, addresses and nonces whose use is held in memory, of each kind"
    )
    max_outcome_wait_s: int = Field(30, ge=0, description="longest `Prefer: wait` in seconds that is applied")
    max_outcome_waiters: int = Field(
        500, ge=0, description="events whose outcome requests may wait for at once"
    )
    outcome_poll_interval_s: Seconds = Field(
        0.5, gt=0, description="seconds between queries for outcomes that another replica has stored"
    )
    registry_cache_ttl_s: Seconds = Field(
        5.0, ge=0, description="seconds until a replica sees what another one changed in the registry"
    )
    max_cached_cameras: int = Field(10_000, gt=0, description="cameras in that cache")
    duplicate_cache_size: int = Field(
        20_000, ge=0, description="events remembered in memory, so that a repeat needs no database query"
    )

    @property
    def body_limit(self) -> BodyLimit:
        """The largest body, with the setting that it follows from."""
        if self.max_body_bytes is not None:
            return BodyLimit(self.max_body_bytes, "LOOKOUT_INGEST__PUSH__MAX_BODY_BYTES")
        return BodyLimit(base64_body_bytes(self.max_picture_bytes), "LOOKOUT_INGEST__PUSH__MAX_PICTURE_BYTES")


class DeviceSettings(Block):
    """Calls to cameras."""

    frame_timeout_s: Seconds = Field(5.0, gt=0, description="seconds a camera may take for a snapshot")
    frame_share_s: Seconds = Field(
        1.0,
        ge=0,
        description="seconds for which a picture that was fetched for an exit serves others that came before",
    )
    connect_timeout_s: Seconds = Field(
        2.0, gt=0, description="seconds a camera may take to accept a connection"
    )
    clip_timeout_s: Seconds = Field(
        60.0, gt=0, description="seconds a camera may take for a clip, each attempt"
    )
    clip_attempts: int = Field(
        3, gt=0, description="attempts to fetch a clip; cameras often send broken ones"
    )
    clip_backoff_s: Seconds = Field(
        2.0, gt=0, description="seconds before the second attempt, doubled for each further one"
    )
    max_clip_bytes: int = Field(67_108_864, gt=0, description="largest clip in bytes")
    max_clip_length_s: Seconds = Field(
        120.0, gt=0, description="longest clip in seconds that may be requested"
    )
    max_clips_at_once: int = Field(4, gt=0, description="clips fetched and checked at the same time")
    snapshot_path: str = Field("/snapshot.cgi", description="path of a camera's snapshot")
    clip_path: str = Field("/dataloader.cgi", description="path of a camera's recordings")
    clip_segment: str = Field("SEGMENT", description="`filename` in requests for recordings")
    circuit_max_failures: int = Field(
        2, gt=0, description="failed calls in a row after which a camera is not called for a while"
    )
    circuit_open_s: Seconds = Field(30.0, gt=0, description="seconds for which it is not called")
    is_loopback_allowed: bool = Field(
        False, description="cameras may run on this machine (demo, tests); the default in embedded mode"
    )


class HealthSettings(Block):
    """Whether cameras are ONLINE."""

    check_interval_s: Seconds = Field(
        300.0,
        ge=0,
        description="seconds after its last sign at which a camera is called to see that it works; 0: never called for"
        " that. A camera whose last push or answer is not older is ONLINE, whatever calls to it end with",
    )
    check_attempts: int = Field(2, gt=0, description="calls that must fail before such a camera is OFFLINE")
    checks_at_once: int = Field(8, gt=0, description="cameras that are called for that at the same time")
    silent_after_s: Seconds = Field(
        86_400.0, gt=0, description="seconds without push and answer after which a camera is OFFLINE"
    )
    note_interval_s: Seconds = Field(
        30.0, ge=0, description="seconds between two writes that say the same of calls to a camera"
    )


class DispatchSettings(Block):
    """Dispatch of pending events."""

    concurrency: int = Field(64, gt=0, description="cameras whose pending events are dispatched in parallel")
    lease_s: Seconds = Field(
        20.0, gt=0, description="seconds after which another replica takes over the event of one that crashed"
    )
    poll_interval_s: Seconds = Field(
        1.0, gt=0, description="seconds between queries for pending events that another replica left"
    )
    retry_delay_s: Seconds = Field(
        1.0, gt=0, description="seconds before an event is retried after a failure"
    )


class RetentionSettings(Block):
    """How long data is kept; 0 days: forever."""

    raw_push_days: int = Field(90, ge=0, description="days that the JSON of a push is kept")
    event_days: int = Field(400, ge=0, description="days that an event and its pictures are kept")
    capture_days: int = Field(30, ge=0, description="days that frames and clips requested by users are kept")
    orphan_min_age_s: Seconds = Field(
        3_600.0, ge=60, description="seconds after which a picture without an event is deleted"
    )
    sweep_interval_s: Seconds = Field(3_600.0, gt=0, description="seconds between two sweeps")
    hold: bool = Field(False, description="delete nothing for now, whatever its age")
    max_share: float = Field(
        0.05,
        gt=0,
        le=1,
        description="largest share, 0 to 1, of what is stored of a kind that one sweep deletes",
    )
    min_deletions: int = Field(
        20, gt=0, description="things of a kind that a sweep may delete however small that share is"
    )
    max_clock_step_s: Seconds = Field(
        604_800.0,
        gt=0,
        description="seconds that the clock may be ahead of the time that is known to have passed, such as after the"
        " service was off; beyond that nothing more is deleted until the clock is confirmed",
    )
    clock_confirm_s: Seconds = Field(
        604_800.0,
        gt=0,
        description="seconds of running time after which such a clock is believed; at once: `ingest accept-clock`",
    )


class IngestSettings(SecretsSettings):
    """The settings of ingest."""

    service_name: ClassVar[str] = "ingest"
    defaults: ClassVar[Mapping[str, Any]] = {"http.port": 8101, "grpc.port": 9101}
    embedded_defaults: ClassVar[Mapping[str, Any]] = {"devices.is_loopback_allowed": True}
    aliases: ClassVar[Mapping[str, str]] = {"LOOKOUT_MAX_PICTURE_BYTES": "push.max_picture_bytes"}

    database: DatabaseSettings = Field(description="the site and its camera events")
    bus: BusSettings = Field(description="event bus")
    blobs: BlobSettings = Field(description="pictures and clips")
    disk: DiskSettings = Field(default_factory=DiskSettings, description="free space that is kept")
    push: ParkingPushSettings = Field(default_factory=ParkingPushSettings, description="parking pushes")
    picture_limits: PictureLimitSettings = Field(
        default_factory=PictureLimitSettings, description="limits of pictures"
    )
    devices: DeviceSettings = Field(default_factory=DeviceSettings, description="calls to cameras")
    health: HealthSettings = Field(default_factory=HealthSettings, description="whether cameras are ONLINE")
    dispatch: DispatchSettings = Field(
        default_factory=DispatchSettings, description="dispatch of pending events"
    )
    retention: RetentionSettings = Field(
        default_factory=RetentionSettings, description="how long data is kept"
    )

    @property
    def limits_of_pictures(self) -> PictureLimits:
        """What pushes and cameras may send."""
        return self.picture_limits.limits(self.push.max_picture_pixels)
