"""The schema: the site's hierarchy, camera events, outbox and inbox."""

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    Float,
    ForeignKey,
    Identity,
    Index,
    Integer,
    LargeBinary,
    SmallInteger,
    String,
    Table,
    Text,
    UniqueConstraint,
    Uuid,
    text,
)

from ingest.domain.site import TEXT_CHARS
from kit.db import BigIntId, JsonDocument, UtcDateTime, new_metadata
from kit.inbox import inbox_table
from kit.outbox import outbox_table

metadata = new_metadata()


def _stamps() -> tuple[Column[object], Column[object]]:
    return Column("created_at", UtcDateTime, nullable=False), Column(
        "updated_at", UtcDateTime, nullable=False
    )


def _parent(name: str, target: str) -> Column[int]:
    """A foreign key that forbids deleting the parent: entries are deleted from the bottom up, on purpose."""
    return Column(name, BigInteger, ForeignKey(target, ondelete="RESTRICT"), nullable=False, index=True)


locations = Table(
    "locations",
    metadata,
    Column("location_id", BigIntId, Identity(), primary_key=True),
    Column("name", String(TEXT_CHARS), nullable=False),
    Column("code", String(16), nullable=False, unique=True),
    Column("portal_name", String(TEXT_CHARS), nullable=False),
    Column("sealed_portal_password", Text, nullable=False, default=""),
    Column("ip_schema", String(TEXT_CHARS), nullable=False),
    Column("sealed_parkonic_api_token", Text, nullable=False, default=""),
    Column("camera_user", String(TEXT_CHARS), nullable=False),
    Column("sealed_camera_pass", Text, nullable=False, default=""),
    Column("parameters", JsonDocument, nullable=False),
    Column("time_zone", String(64), nullable=False),
    Column("regions", JsonDocument, nullable=False),
    *_stamps(),
    sqlite_autoincrement=True,
)

zones = Table(
    "zones",
    metadata,
    Column("zone_id", BigIntId, Identity(), primary_key=True),
    _parent("location_id", "locations.location_id"),
    Column("code", String(32), nullable=False),
    Column("parameters", JsonDocument, nullable=False),
    *_stamps(),
    UniqueConstraint("location_id", "code"),
    sqlite_autoincrement=True,
)

poles = Table(
    "poles",
    metadata,
    Column("pole_id", BigIntId, Identity(), primary_key=True),
    _parent("zone_id", "zones.zone_id"),
    Column("name", String(TEXT_CHARS), nullable=False),
    Column("code", String(32), nullable=False),
    Column("coordinates", String(TEXT_CHARS), nullable=False),
    Column("server", String(TEXT_CHARS), nullable=False),
    Column("router", String(TEXT_CHARS), nullable=False),
    Column("router_ip", String(TEXT_CHARS), nullable=False),
    Column("router_vpn_ip", String(TEXT_CHARS), nullable=False),
    Column("api_pole_id", String(TEXT_CHARS), nullable=False),
    *_stamps(),
    UniqueConstraint("zone_id", "code"),
    sqlite_autoincrement=True,
)

cameras = Table(
    "cameras",
    metadata,
    Column("camera_id", BigIntId, Identity(), primary_key=True),
    _parent("pole_id", "poles.pole_id"),
    # The pole's location again: the constraint "api_code is unique within its location" needs it here.
    _parent("location_id", "locations.location_id"),
    Column("name", String(TEXT_CHARS), nullable=False),
    Column("api_code", String(9), nullable=False),
    Column("p_ip", String(TEXT_CHARS), nullable=False),
    Column("vpn_ip", String(TEXT_CHARS), nullable=False),
    Column("number_of_parking", Integer, nullable=False),
    Column("portal_id", String(TEXT_CHARS), nullable=False),
    # Whether an operator has enabled it, ONLINE or OFFLINE. The column keeps its old name: renaming it would break the
    # running replicas of the release before during an upgrade.
    Column("status", String(8), key="set_status", nullable=False),
    Column("push_networks", JsonDocument, nullable=False, server_default="[]"),
    Column("push_user", String(TEXT_CHARS), nullable=False, server_default=""),
    Column("sealed_push_password", Text, nullable=False, server_default=""),
    Column("sealed_push_path_secret", Text, nullable=False, server_default=""),
    Column("sealed_push_hmac_key", Text, nullable=False, server_default=""),
    *_stamps(),
    UniqueConstraint("location_id", "api_code"),
    CheckConstraint("status IN ('ONLINE', 'OFFLINE')", name="status"),
    CheckConstraint("number_of_parking >= 0", name="number_of_parking"),
    sqlite_autoincrement=True,
)

spots = Table(
    "spots",
    metadata,
    Column("spot_id", BigIntId, Identity(), primary_key=True),
    _parent("camera_id", "cameras.camera_id"),
    Column("spot_number", Integer, nullable=False),
    *(Column(f"p{corner}_{axis}", Float, nullable=False) for corner in range(1, 5) for axis in "xy"),
    # 1 if the spot is OCCUPIED, else 0: what older clients read.
    Column("status", SmallInteger, nullable=False, default=0),
    # As tickets said last, at `occupancy_decided_at`; see ingest.domain.site_status.
    Column("occupancy", String(8), nullable=False, server_default="UNKNOWN"),
    Column("occupancy_at", UtcDateTime),
    Column("occupancy_decided_at", UtcDateTime),
    Column("origin", String(8), nullable=False),
    *_stamps(),
    UniqueConstraint("camera_id", "spot_number"),
    CheckConstraint("status IN (0, 1)", name="status"),
    CheckConstraint("occupancy IN ('OCCUPIED', 'FREE', 'UNKNOWN')", name="occupancy"),
    CheckConstraint("origin IN ('OPERATOR', 'CAMERA')", name="origin"),
    sqlite_autoincrement=True,
)

crop_zones = Table(
    "crop_zones",
    metadata,
    Column("crop_zone_id", BigIntId, Identity(), primary_key=True),
    _parent("camera_id", "cameras.camera_id"),
    Column("points", JsonDocument, nullable=False),
    *_stamps(),
    sqlite_autoincrement=True,
)

# What the last calls to each camera ended with.
camera_health = Table(
    "camera_health",
    metadata,
    Column(
        "camera_id",
        BigInteger,
        ForeignKey("cameras.camera_id", ondelete="CASCADE"),
        primary_key=True,
        autoincrement=False,
    ),
    Column("answered_at", UtcDateTime),
    Column("failed_at", UtcDateTime),
    # The code of the error.
    Column("failure", String(64)),
)

# No foreign key to the camera: events stay after their camera is deleted, and accepting one needs no look-up.
camera_events = Table(
    "camera_events",
    metadata,
    Column("event_no", BigIntId, Identity(), primary_key=True),
    # Also the id of the frame and of its message, in the key of its picture, and the correlation id.
    Column("event_id", Uuid, nullable=False, unique=True),
    Column("fingerprint", LargeBinary(32), nullable=False, unique=True),
    Column("camera_id", BigInteger, nullable=False),
    Column("location_id", BigInteger, nullable=False),
    Column("parking_area", String(25), nullable=False),
    Column("spot_number", Integer, nullable=False),
    Column("purpose", String(8), nullable=False),
    Column("device", String(TEXT_CHARS), nullable=False),
    Column("reported_time", String(40), nullable=False),
    Column("captured_at", UtcDateTime, nullable=False),
    Column("received_at", UtcDateTime, nullable=False, index=True),
    Column("clock_state", String(8), nullable=False),
    Column("clock_skew_s", Float, nullable=False),
    # The JSON of the push, as text, because cameras send what JSONB does not accept. NULL after its retention. The
    # column keeps its old name: renaming it would break the running replicas of the release before during an upgrade.
    Column("raw_report", Text),
    Column("pushed_picture", JsonDocument, nullable=False),
    # The picture that was published with the event; NULL until then.
    Column("picture", JsonDocument),
    Column("picture_source", String(16), nullable=False),
    Column("picture_note", String(TEXT_CHARS), nullable=False),
    Column("state", String(12), nullable=False),
    # The FrameCaptured of a pending event, and its trace; NULL after it is dispatched.
    Column("frame", LargeBinary),
    Column("traceparent", String(60)),
    Column("lease_id", Uuid),
    Column("lease_until", UtcDateTime),
    Column("dispatched_at", UtcDateTime),
    Column("outcome", String(16), nullable=False),
    Column("outcome_document", JsonDocument),
    Column("decided_at", UtcDateTime),
    CheckConstraint("state IN ('PENDING', 'DISPATCHED')", name="state"),
    CheckConstraint("state = 'DISPATCHED' OR frame IS NOT NULL", name="frame_of_pending"),
    Index("ix_camera_events_camera_id_event_no", "camera_id", "event_no"),
    Index(
        "ix_camera_events_pending",
        "camera_id",
        "event_no",
        postgresql_where=text("state = 'PENDING'"),
        sqlite_where=text("state = 'PENDING'"),
    ),
    sqlite_autoincrement=True,
)

# One row: how far time is known to have passed; see ingest.domain.retention.
retention_clock = Table(
    "retention_clock",
    metadata,
    Column("retention_clock_id", Integer, primary_key=True, autoincrement=False),
    Column("trusted_until", UtcDateTime, nullable=False),
    Column("checked_at", UtcDateTime, nullable=False),
    Column("waited_s", Float, nullable=False),
)

outbox_rows = outbox_table(metadata)
inbox_rows = inbox_table(metadata)
