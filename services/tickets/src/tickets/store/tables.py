"""The tables, for PostgreSQL and SQLite. The migrations are checked against them."""

from sqlalchemy import (
    Boolean,
    CheckConstraint,
    Column,
    Float,
    ForeignKey,
    Identity,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    Uuid,
    false,
    text,
)

from kit.db import BigIntId, JsonDocument, UtcDateTime, new_metadata
from kit.inbox import inbox_table
from kit.outbox import outbox_table

metadata: MetaData = new_metadata()
outbox = outbox_table(metadata)
inbox = inbox_table(metadata)


def _address_columns() -> list[Column[object]]:
    """As the frame named them: a ticket keeps these names when cameras or locations are renamed later."""
    return [
        Column("location_id", BigIntId, nullable=False),
        Column("location_code", Text, nullable=False),
        Column("zone_id", BigIntId, nullable=False),
        Column("zone_code", Text, nullable=False),
        Column("pole_id", BigIntId, nullable=False),
        Column("pole_code", Text, nullable=False),
        Column("camera_id", BigIntId, nullable=False),
        Column("camera_name", Text, nullable=False),
        Column("camera_api_code", Text, nullable=False),
        Column("spot_id", BigIntId, nullable=False),
        Column("spot_number", Integer, nullable=False),
        Column("time_zone", Text, nullable=False),
    ]


tickets = Table(
    "tickets",
    metadata,
    Column("ticket_id", BigIntId, Identity(), primary_key=True),
    Column("status", Text, nullable=False),
    *_address_columns(),
    # "UNKNOWN" if the plate could not be read; the four columns below are empty then.
    Column("plate_text", Text, nullable=False),
    Column("plate_number", Text, nullable=False),
    Column("plate_code", Text, nullable=False),
    Column("plate_city", Text, nullable=False),
    Column("region", Text, nullable=False),
    Column("confidence", Float, nullable=False),
    Column("is_unknown", Boolean, nullable=False),
    # The plate as read at the entry, with any confidence.
    Column("seen", JsonDocument),
    Column("entry_at", UtcDateTime, nullable=False),
    Column("entry_frame_id", Uuid, nullable=False),
    Column("entry_picture", JsonDocument),
    Column("is_picture_incomplete", Boolean, nullable=False, server_default=false()),
    Column("exit_at", UtcDateTime),
    Column("exit_frame_id", Uuid),
    Column("exit_picture", JsonDocument),
    Column("exit_polygon_px", JsonDocument),
    # Whether the spot is outlined in the exit picture.
    Column("mark_state", Text),
    Column("mark_note", Text, nullable=False, server_default=""),
    Column("resumed_at", UtcDateTime),
    Column("earlier_exits", JsonDocument, nullable=False),
    Column("notes", JsonDocument, nullable=False),
    CheckConstraint("status IN ('OPEN', 'CLOSED')", name="status"),
    CheckConstraint("(status = 'OPEN') = (exit_at IS NULL)", name="exit"),
    CheckConstraint("exit_at IS NULL OR exit_at >= entry_at", name="order"),
    # At most one open ticket a spot, whatever the code does.
    Index(
        "uq_tickets_open_spot",
        "camera_id",
        "spot_number",
        unique=True,
        postgresql_where=text("status = 'OPEN'"),
        sqlite_where=text("status = 'OPEN'"),
    ),
    Index("uq_tickets_entry_frame_id", "entry_frame_id", unique=True),
    Index(
        "ix_tickets_mark_pending",
        "ticket_id",
        postgresql_where=text("mark_state = 'PENDING'"),
        sqlite_where=text("mark_state = 'PENDING'"),
    ),
    Index("ix_tickets_camera_id_spot_number_entry_at", "camera_id", "spot_number", "entry_at"),
    Index("ix_tickets_location_id_entry_at", "location_id", "entry_at"),
    Index("ix_tickets_status_entry_at", "status", "entry_at"),
    Index("ix_tickets_entry_at", "entry_at"),
    Index("ix_tickets_exit_at", "exit_at"),
    Index("ix_tickets_spot_number", "spot_number"),
    Index("ix_tickets_plate_text", "plate_text"),
    Index("ix_tickets_plate_number", "plate_number"),
    Index("ix_tickets_plate_code", "plate_code"),
    Index("ix_tickets_plate_city", "plate_city"),
    sqlite_autoincrement=True,
)

reviews = Table(
    "reviews",
    metadata,
    Column("review_id", BigIntId, Identity(), primary_key=True),
    Column("ticket_id", BigIntId, ForeignKey("tickets.ticket_id"), nullable=False, unique=True),
    Column("status", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("frame_id", Uuid, nullable=False),
    Column("guess", JsonDocument),
    Column("picture", JsonDocument),
    Column("requested_at", UtcDateTime, nullable=False),
    Column("resolved_at", UtcDateTime),
    Column("resolved_by", Text),
    CheckConstraint("status IN ('PENDING', 'RESOLVED')", name="status"),
    Index("ix_reviews_status_review_id", "status", "review_id"),
    sqlite_autoincrement=True,
)


def _index_of_ignored(*columns: str) -> Index:
    is_ignored = text("decision = 'IGNORED'")
    name = f"ix_triggers_ignored_{'_'.join(columns)}"
    return Index(name, *columns, postgresql_where=is_ignored, sqlite_where=is_ignored)


triggers = Table(
    "triggers",
    metadata,
    Column("trigger_id", BigIntId, Identity(), primary_key=True),
    Column("frame_id", Uuid, nullable=False),
    Column("purpose", Text, nullable=False),
    Column("decision", Text, nullable=False),
    Column("reason", Text, nullable=False),
    # The reason of the first decision, if a trigger that arrived late changed the decision.
    Column("first_reason", Text),
    Column("ticket_id", BigIntId, ForeignKey("tickets.ticket_id"), index=True),
    *_address_columns(),
    Column("at", UtcDateTime, nullable=False),
    Column("captured_at", UtcDateTime),
    Column("received_at", UtcDateTime, nullable=False),
    Column("decided_at", UtcDateTime, nullable=False),
    Column("plate_text", Text, nullable=False),
    Column("plate", JsonDocument),
    Column("occupancy", Text, nullable=False),
    Column("picture", JsonDocument),
    Column("picture_source", Text, nullable=False),
    Column("picture_note", Text, nullable=False),
    Column("is_picture_incomplete", Boolean, nullable=False, server_default=false()),
    Column("failure", Text, nullable=False),
    Column("notes", JsonDocument, nullable=False),
    # A trigger that arrives late may still complete it. The columns below are what deciding it again needs besides.
    Column("is_waiting", Boolean, nullable=False),
    Column("is_vehicle_seen", Boolean, nullable=False, server_default=false()),
    # Notes of the trigger; `notes` has those of the decision as well.
    Column("trigger_notes", JsonDocument),
    Column("spot_polygon_px", JsonDocument),
    # The message of a waiting trigger, for replicas of the release before 0002, which need it and write no
    # `trigger_notes`. Drop it in the next release.
    Column("body", LargeBinary),
    Index("uq_triggers_frame_id", "frame_id", unique=True),
    Index(
        "ix_triggers_waiting",
        "camera_id",
        "spot_number",
        "at",
        postgresql_where=text("is_waiting"),
        sqlite_where=text("is_waiting"),
    ),
    # Only ignored triggers are listed, and most triggers are not ignored.
    _index_of_ignored("at"),
    _index_of_ignored("reason", "at"),
    _index_of_ignored("camera_id", "spot_number", "at"),
    _index_of_ignored("spot_number", "at"),
    _index_of_ignored("location_id", "at"),
    sqlite_autoincrement=True,
)

# Cameras and spots as the last trigger named them, for this service's own pages. ingest owns the registry.
cameras = Table(
    "cameras",
    metadata,
    Column("camera_id", BigIntId, primary_key=True, autoincrement=False),
    Column("name", Text, nullable=False),
    Column("api_code", Text, nullable=False),
    Column("location_id", BigIntId, nullable=False, index=True),
    Column("location_code", Text, nullable=False, index=True),
    Column("zone_id", BigIntId, nullable=False),
    Column("zone_code", Text, nullable=False),
    Column("pole_id", BigIntId, nullable=False),
    Column("pole_code", Text, nullable=False),
    Column("time_zone", Text, nullable=False),
    Column("number_of_parking", Integer, nullable=False, server_default="0"),
)

spots = Table(
    "spots",
    metadata,
    Column("camera_id", BigIntId, ForeignKey("cameras.camera_id"), primary_key=True, autoincrement=False),
    Column("spot_number", Integer, primary_key=True, autoincrement=False),
    Column("spot_id", BigIntId, nullable=False),
    # What its entries and exits show, and the time of the one that it follows from; see tickets.domain.spot_state.
    Column("status", Text, nullable=False, server_default="UNKNOWN"),
    Column("status_at", UtcDateTime),
    CheckConstraint("status IN ('OCCUPIED', 'FREE', 'UNKNOWN')", name="status"),
)
