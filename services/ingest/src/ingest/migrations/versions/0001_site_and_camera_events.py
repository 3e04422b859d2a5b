"""site and camera events"""

import sqlalchemy as sa
from alembic import op

from kit.db import BigIntId, JsonDocument, UtcDateTime

revision = "0001"
down_revision: str | None = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "camera_events",
        sa.Column("event_no", BigIntId(), sa.Identity(always=False), nullable=False),
        sa.Column("event_id", sa.Uuid(), nullable=False),
        sa.Column("fingerprint", sa.LargeBinary(length=32), nullable=False),
        sa.Column("camera_id", sa.BigInteger(), nullable=False),
        sa.Column("location_id", sa.BigInteger(), nullable=False),
        sa.Column("parking_area", sa.String(length=25), nullable=False),
        sa.Column("spot_number", sa.Integer(), nullable=False),
        sa.Column("purpose", sa.String(length=8), nullable=False),
        sa.Column("device", sa.String(length=200), nullable=False),
        sa.Column("reported_time", sa.String(length=40), nullable=False),
        sa.Column("captured_at", UtcDateTime(), nullable=False),
        sa.Column("received_at", UtcDateTime(), nullable=False),
        sa.Column("clock_state", sa.String(length=8), nullable=False),
        sa.Column("clock_skew_s", sa.Float(), nullable=False),
        sa.Column("raw_report", sa.Text(), nullable=True),
        sa.Column("pushed_picture", JsonDocument(), nullable=False),
        sa.Column("picture", JsonDocument(), nullable=True),
        sa.Column("picture_source", sa.String(length=16), nullable=False),
        sa.Column("picture_note", sa.String(length=200), nullable=False),
        sa.Column("state", sa.String(length=12), nullable=False),
        sa.Column("frame", sa.LargeBinary(), nullable=True),
        sa.Column("traceparent", sa.String(length=60), nullable=True),
        sa.Column("lease_id", sa.Uuid(), nullable=True),
        sa.Column("lease_until", UtcDateTime(), nullable=True),
        sa.Column("dispatched_at", UtcDateTime(), nullable=True),
        sa.Column("outcome", sa.String(length=16), nullable=False),
        sa.Column("outcome_document", JsonDocument(), nullable=True),
        sa.Column("decided_at", UtcDateTime(), nullable=True),
        sa.CheckConstraint(
            "state = 'DISPATCHED' OR frame IS NOT NULL", name=op.f("ck_camera_events_frame_of_pending")
        ),
        sa.CheckConstraint("state IN ('PENDING', 'DISPATCHED')", name=op.f("ck_camera_events_state")),
        sa.PrimaryKeyConstraint("event_no", name=op.f("pk_camera_events")),
        sa.UniqueConstraint("event_id", name=op.f("uq_camera_events_event_id")),
        sa.UniqueConstraint("fingerprint", name=op.f("uq_camera_events_fingerprint")),
        sqlite_autoincrement=True,
    )
    with op.batch_alter_table("camera_events", schema=None) as batch_op:
        batch_op.create_index("ix_camera_events_camera_id_event_no", ["camera_id", "event_no"], unique=False)
        batch_op.create_index(
            "ix_camera_events_pending",
            ["camera_id", "event_no"],
            unique=False,
            postgresql_where=sa.text("state = 'PENDING'"),
            sqlite_where=sa.text("state = 'PENDING'"),
        )
        batch_op.create_index(batch_op.f("ix_camera_events_received_at"), ["received_at"], unique=False)

    op.create_table(
        "inbox",
        sa.Column("consumer", sa.Text(), nullable=False),
        sa.Column("message_id", sa.Uuid(), nullable=False),
        sa.Column("handled_at", UtcDateTime(), server_default=sa.func.now(), nullable=False),
        sa.PrimaryKeyConstraint("consumer", "message_id", name=op.f("pk_inbox")),
    )
    with op.batch_alter_table("inbox", schema=None) as batch_op:
        batch_op.create_index("ix_inbox_handled_at", ["handled_at"], unique=False)

    op.create_table(
        "locations",
        sa.Column("location_id", BigIntId(), sa.Identity(always=False), nullable=False),
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("code", sa.String(length=16), nullable=False),
        sa.Column("portal_name", sa.String(length=200), nullable=False),
        sa.Column("sealed_portal_password", sa.Text(), nullable=False),
        sa.Column("ip_schema", sa.String(length=200), nullable=False),
        sa.Column("sealed_parkonic_api_token", sa.Text(), nullable=False),
        sa.Column("camera_user", sa.String(length=200), nullable=False),
        sa.Column("sealed_camera_pass", sa.Text(), nullable=False),
        sa.Column("parameters", JsonDocument(), nullable=False),
        sa.Column("time_zone", sa.String(length=64), nullable=False),
        sa.Column("regions", JsonDocument(), nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("updated_at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("location_id", name=op.f("pk_locations")),
        sa.UniqueConstraint("code", name=op.f("uq_locations_code")),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "outbox",
        sa.Column("outbox_id", BigIntId(), sa.Identity(always=False), nullable=False),
        sa.Column("message_id", sa.Uuid(), nullable=False),
        sa.Column("type", sa.Text(), nullable=False),
        sa.Column("routing_key", sa.Text(), nullable=False),
        sa.Column("partition_key", sa.Text(), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.Column("occurred_at", UtcDateTime(), nullable=False),
        sa.Column("app_id", sa.Text(), nullable=False),
        sa.Column("correlation_id", sa.Text(), nullable=False),
        sa.Column("traceparent", sa.Text(), nullable=True),
        sa.Column("must_route", sa.Boolean(), nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("published_at", UtcDateTime(), nullable=True),
        sa.Column("attempts", sa.Integer(), server_default="0", nullable=False),
        sa.Column("last_error", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("outbox_id", name=op.f("pk_outbox")),
        sqlite_autoincrement=True,
    )
    with op.batch_alter_table("outbox", schema=None) as batch_op:
        batch_op.create_index(
            "ix_outbox_published_at",
            ["published_at"],
            unique=False,
            postgresql_where=sa.text("published_at IS NOT NULL"),
            sqlite_where=sa.text("published_at IS NOT NULL"),
        )
        batch_op.create_index(
            "ix_outbox_waiting",
            ["outbox_id"],
            unique=False,
            postgresql_where=sa.text("published_at IS NULL"),
            sqlite_where=sa.text("published_at IS NULL"),
        )

    op.create_table(
        "zones",
        sa.Column("zone_id", BigIntId(), sa.Identity(always=False), nullable=False),
        sa.Column("location_id", sa.BigInteger(), nullable=False),
        sa.Column("code", sa.String(length=32), nullable=False),
        sa.Column("parameters", JsonDocument(), nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("updated_at", UtcDateTime(), nullable=False),
        sa.ForeignKeyConstraint(
            ["location_id"],
            ["locations.location_id"],
            name=op.f("fk_zones_location_id_locations"),
            ondelete="RESTRICT",
        ),
        sa.PrimaryKeyConstraint("zone_id", name=op.f("pk_zones")),
        sa.UniqueConstraint("location_id", "code", name=op.f("uq_zones_location_id_code")),
        sqlite_autoincrement=True,
    )
    with op.batch_alter_table("zones", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_zones_location_id"), ["location_id"], unique=False)

    op.create_table(
        "poles",
        sa.Column("pole_id", BigIntId(), sa.Identity(always=False), nullable=False),
        sa.Column("zone_id", sa.BigInteger(), nullable=False),
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("code", sa.String(length=32), nullable=False),
        sa.Column("coordinates", sa.String(length=200), nullable=False),
        sa.Column("server", sa.String(length=200), nullable=False),
        sa.Column("router", sa.String(length=200), nullable=False),
        sa.Column("router_ip", sa.String(length=200), nullable=False),
        sa.Column("router_vpn_ip", sa.String(length=200), nullable=False),
        sa.Column("api_pole_id", sa.String(length=200), nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("updated_at", UtcDateTime(), nullable=False),
        sa.ForeignKeyConstraint(
            ["zone_id"], ["zones.zone_id"], name=op.f("fk_poles_zone_id_zones"), ondelete="RESTRICT"
        ),
        sa.PrimaryKeyConstraint("pole_id", name=op.f("pk_poles")),
        sa.UniqueConstraint("zone_id", "code", name=op.f("uq_poles_zone_id_code")),
        sqlite_autoincrement=True,
    )
    with op.batch_alter_table("poles", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_poles_zone_id"), ["zone_id"], unique=False)

    op.create_table(
        "cameras",
        sa.Column("camera_id", BigIntId(), sa.Identity(always=False), nullable=False),
        sa.Column("pole_id", sa.BigInteger(), nullable=False),
        sa.Column("location_id", sa.BigInteger(), nullable=False),
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("api_code", sa.String(length=9), nullable=False),
        sa.Column("p_ip", sa.String(length=200), nullable=False),
        sa.Column("vpn_ip", sa.String(length=200), nullable=False),
        sa.Column("number_of_parking", sa.Integer(), nullable=False),
        sa.Column("portal_id", sa.String(length=200), nullable=False),
        sa.Column("status", sa.String(length=8), nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("updated_at", UtcDateTime(), nullable=False),
        sa.CheckConstraint("status IN ('ONLINE', 'OFFLINE')", name=op.f("ck_cameras_status")),
        sa.CheckConstraint("number_of_parking >= 0", name=op.f("ck_cameras_number_of_parking")),
        sa.ForeignKeyConstraint(
            ["location_id"],
            ["locations.location_id"],
            name=op.f("fk_cameras_location_id_locations"),
            ondelete="RESTRICT",
        ),
        sa.ForeignKeyConstraint(
            ["pole_id"], ["poles.pole_id"], name=op.f("fk_cameras_pole_id_poles"), ondelete="RESTRICT"
        ),
        sa.PrimaryKeyConstraint("camera_id", name=op.f("pk_cameras")),
        sa.UniqueConstraint("location_id", "api_code", name=op.f("uq_cameras_location_id_api_code")),
        sqlite_autoincrement=True,
    )
    with op.batch_alter_table("cameras", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_cameras_location_id"), ["location_id"], unique=False)
        batch_op.create_index(batch_op.f("ix_cameras_pole_id"), ["pole_id"], unique=False)

    op.create_table(
        "crop_zones",
        sa.Column("crop_zone_id", BigIntId(), sa.Identity(always=False), nullable=False),
        sa.Column("camera_id", sa.BigInteger(), nullable=False),
        sa.Column("points", JsonDocument(), nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("updated_at", UtcDateTime(), nullable=False),
        sa.ForeignKeyConstraint(
            ["camera_id"],
            ["cameras.camera_id"],
            name=op.f("fk_crop_zones_camera_id_cameras"),
            ondelete="RESTRICT",
        ),
        sa.PrimaryKeyConstraint("crop_zone_id", name=op.f("pk_crop_zones")),
        sqlite_autoincrement=True,
    )
    with op.batch_alter_table("crop_zones", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_crop_zones_camera_id"), ["camera_id"], unique=False)

    op.create_table(
        "spots",
        sa.Column("spot_id", BigIntId(), sa.Identity(always=False), nullable=False),
        sa.Column("camera_id", sa.BigInteger(), nullable=False),
        sa.Column("spot_number", sa.Integer(), nullable=False),
        sa.Column("p1_x", sa.Float(), nullable=False),
        sa.Column("p1_y", sa.Float(), nullable=False),
        sa.Column("p2_x", sa.Float(), nullable=False),
        sa.Column("p2_y", sa.Float(), nullable=False),
        sa.Column("p3_x", sa.Float(), nullable=False),
        sa.Column("p3_y", sa.Float(), nullable=False),
        sa.Column("p4_x", sa.Float(), nullable=False),
        sa.Column("p4_y", sa.Float(), nullable=False),
        sa.Column("status", sa.SmallInteger(), nullable=False),
        sa.Column("origin", sa.String(length=8), nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("updated_at", UtcDateTime(), nullable=False),
        sa.CheckConstraint("origin IN ('OPERATOR', 'CAMERA')", name=op.f("ck_spots_origin")),
        sa.CheckConstraint("status IN (0, 1)", name=op.f("ck_spots_status")),
        sa.ForeignKeyConstraint(
            ["camera_id"], ["cameras.camera_id"], name=op.f("fk_spots_camera_id_cameras"), ondelete="RESTRICT"
        ),
        sa.PrimaryKeyConstraint("spot_id", name=op.f("pk_spots")),
        sa.UniqueConstraint("camera_id", "spot_number", name=op.f("uq_spots_camera_id_spot_number")),
        sqlite_autoincrement=True,
    )
    with op.batch_alter_table("spots", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_spots_camera_id"), ["camera_id"], unique=False)


def downgrade() -> None:
    with op.batch_alter_table("spots", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_spots_camera_id"))

    op.drop_table("spots")
    with op.batch_alter_table("crop_zones", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_crop_zones_camera_id"))

    op.drop_table("crop_zones")
    with op.batch_alter_table("cameras", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_cameras_pole_id"))
        batch_op.drop_index(batch_op.f("ix_cameras_location_id"))

    op.drop_table("cameras")
    with op.batch_alter_table("poles", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_poles_zone_id"))

    op.drop_table("poles")
    with op.batch_alter_table("zones", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_zones_location_id"))

    op.drop_table("zones")
    with op.batch_alter_table("outbox", schema=None) as batch_op:
        batch_op.drop_index(
            "ix_outbox_waiting",
            postgresql_where=sa.text("published_at IS NULL"),
            sqlite_where=sa.text("published_at IS NULL"),
        )
        batch_op.drop_index(
            "ix_outbox_published_at",
            postgresql_where=sa.text("published_at IS NOT NULL"),
            sqlite_where=sa.text("published_at IS NOT NULL"),
        )

    op.drop_table("outbox")
    op.drop_table("locations")
    with op.batch_alter_table("inbox", schema=None) as batch_op:
        batch_op.drop_index("ix_inbox_handled_at")

    op.drop_table("inbox")
    with op.batch_alter_table("camera_events", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_camera_events_received_at"))
        batch_op.drop_index(
            "ix_camera_events_pending",
            postgresql_where=sa.text("state = 'PENDING'"),
            sqlite_where=sa.text("state = 'PENDING'"),
        )
        batch_op.drop_index("ix_camera_events_camera_id_event_no")

    op.drop_table("camera_events")
