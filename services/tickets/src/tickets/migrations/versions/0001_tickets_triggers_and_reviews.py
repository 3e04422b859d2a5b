"""Tickets, triggers, reviews, and what is seen of the site."""

import sqlalchemy as sa
from alembic import op

from kit.db import BigIntId, JsonDocument, UtcDateTime

revision = "0001"
down_revision: str | None = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "cameras",
        sa.Column("camera_id", BigIntId(), autoincrement=False, nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("api_code", sa.Text(), nullable=False),
        sa.Column("location_id", BigIntId(), nullable=False),
        sa.Column("location_code", sa.Text(), nullable=False),
        sa.Column("zone_id", BigIntId(), nullable=False),
        sa.Column("zone_code", sa.Text(), nullable=False),
        sa.Column("pole_id", BigIntId(), nullable=False),
        sa.Column("pole_code", sa.Text(), nullable=False),
        sa.Column("time_zone", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("camera_id", name=op.f("pk_cameras")),
    )
    with op.batch_alter_table("cameras", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_cameras_location_code"), ["location_code"], unique=False)
        batch_op.create_index(batch_op.f("ix_cameras_location_id"), ["location_id"], unique=False)

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
        "tickets",
        sa.Column("ticket_id", BigIntId(), sa.Identity(always=False), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("location_id", BigIntId(), nullable=False),
        sa.Column("location_code", sa.Text(), nullable=False),
        sa.Column("zone_id", BigIntId(), nullable=False),
        sa.Column("zone_code", sa.Text(), nullable=False),
        sa.Column("pole_id", BigIntId(), nullable=False),
        sa.Column("pole_code", sa.Text(), nullable=False),
        sa.Column("camera_id", BigIntId(), nullable=False),
        sa.Column("camera_name", sa.Text(), nullable=False),
        sa.Column("camera_api_code", sa.Text(), nullable=False),
        sa.Column("spot_id", BigIntId(), nullable=False),
        sa.Column("spot_number", sa.Integer(), nullable=False),
        sa.Column("time_zone", sa.Text(), nullable=False),
        sa.Column("plate_text", sa.Text(), nullable=False),
        sa.Column("plate_number", sa.Text(), nullable=False),
        sa.Column("plate_code", sa.Text(), nullable=False),
        sa.Column("plate_city", sa.Text(), nullable=False),
        sa.Column("region", sa.Text(), nullable=False),
        sa.Column("confidence", sa.Float(), nullable=False),
        sa.Column("is_unknown", sa.Boolean(), nullable=False),
        sa.Column("seen", JsonDocument(), nullable=True),
        sa.Column("entry_at", UtcDateTime(), nullable=False),
        sa.Column("entry_frame_id", sa.Uuid(), nullable=False),
        sa.Column("entry_picture", JsonDocument(), nullable=True),
        sa.Column("exit_at", UtcDateTime(), nullable=True),
        sa.Column("exit_frame_id", sa.Uuid(), nullable=True),
        sa.Column("exit_picture", JsonDocument(), nullable=True),
        sa.Column("exit_polygon_px", JsonDocument(), nullable=True),
        sa.Column("mark_state", sa.Text(), nullable=True),
        sa.Column("mark_note", sa.Text(), server_default="", nullable=False),
        sa.Column("resumed_at", UtcDateTime(), nullable=True),
        sa.Column("earlier_exits", JsonDocument(), nullable=False),
        sa.Column("notes", JsonDocument(), nullable=False),
        sa.CheckConstraint("(status = 'OPEN') = (exit_at IS NULL)", name=op.f("ck_tickets_exit")),
        sa.CheckConstraint("status IN ('OPEN', 'CLOSED')", name=op.f("ck_tickets_status")),
        sa.CheckConstraint("exit_at IS NULL OR exit_at >= entry_at", name=op.f("ck_tickets_order")),
        sa.PrimaryKeyConstraint("ticket_id", name=op.f("pk_tickets")),
        sqlite_autoincrement=True,
    )
    with op.batch_alter_table("tickets", schema=None) as batch_op:
        batch_op.create_index(
            "ix_tickets_camera_id_spot_number_entry_at",
            ["camera_id", "spot_number", "entry_at"],
            unique=False,
        )
        batch_op.create_index("ix_tickets_entry_at", ["entry_at"], unique=False)
        batch_op.create_index("ix_tickets_exit_at", ["exit_at"], unique=False)
        batch_op.create_index("ix_tickets_location_id_entry_at", ["location_id", "entry_at"], unique=False)
        batch_op.create_index(
            "ix_tickets_mark_pending",
            ["ticket_id"],
            unique=False,
            postgresql_where=sa.text("mark_state = 'PENDING'"),
            sqlite_where=sa.text("mark_state = 'PENDING'"),
        )
        batch_op.create_index("ix_tickets_plate_city", ["plate_city"], unique=False)
        batch_op.create_index("ix_tickets_plate_code", ["plate_code"], unique=False)
        batch_op.create_index("ix_tickets_plate_number", ["plate_number"], unique=False)
        batch_op.create_index("ix_tickets_plate_text", ["plate_text"], unique=False)
        batch_op.create_index("ix_tickets_spot_number", ["spot_number"], unique=False)
        batch_op.create_index("ix_tickets_status_entry_at", ["status", "entry_at"], unique=False)
        batch_op.create_index("uq_tickets_entry_frame_id", ["entry_frame_id"], unique=True)
        batch_op.create_index(
            "uq_tickets_open_spot",
            ["camera_id", "spot_number"],
            unique=True,
            postgresql_where=sa.text("status = 'OPEN'"),
            sqlite_where=sa.text("status = 'OPEN'"),
        )

    op.create_table(
        "reviews",
        sa.Column("review_id", BigIntId(), sa.Identity(always=False), nullable=False),
        sa.Column("ticket_id", BigIntId(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("frame_id", sa.Uuid(), nullable=False),
        sa.Column("guess", JsonDocument(), nullable=True),
        sa.Column("picture", JsonDocument(), nullable=True),
        sa.Column("requested_at", UtcDateTime(), nullable=False),
        sa.Column("resolved_at", UtcDateTime(), nullable=True),
        sa.Column("resolved_by", sa.Text(), nullable=True),
        sa.CheckConstraint("status IN ('PENDING', 'RESOLVED')", name=op.f("ck_reviews_status")),
        sa.ForeignKeyConstraint(
            ["ticket_id"], ["tickets.ticket_id"], name=op.f("fk_reviews_ticket_id_tickets")
        ),
        sa.PrimaryKeyConstraint("review_id", name=op.f("pk_reviews")),
        sa.UniqueConstraint("ticket_id", name=op.f("uq_reviews_ticket_id")),
        sqlite_autoincrement=True,
    )
    with op.batch_alter_table("reviews", schema=None) as batch_op:
        batch_op.create_index("ix_reviews_status_review_id", ["status", "review_id"], unique=False)

    op.create_table(
        "spots",
        sa.Column("camera_id", BigIntId(), autoincrement=False, nullable=False),
        sa.Column("spot_number", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("spot_id", BigIntId(), nullable=False),
        sa.ForeignKeyConstraint(
            ["camera_id"], ["cameras.camera_id"], name=op.f("fk_spots_camera_id_cameras")
        ),
        sa.PrimaryKeyConstraint("camera_id", "spot_number", name=op.f("pk_spots")),
    )
    op.create_table(
        "triggers",
        sa.Column("trigger_id", BigIntId(), sa.Identity(always=False), nullable=False),
        sa.Column("frame_id", sa.Uuid(), nullable=False),
        sa.Column("purpose", sa.Text(), nullable=False),
        sa.Column("decision", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("first_reason", sa.Text(), nullable=True),
        sa.Column("ticket_id", BigIntId(), nullable=True),
        sa.Column("location_id", BigIntId(), nullable=False),
        sa.Column("location_code", sa.Text(), nullable=False),
        sa.Column("zone_id", BigIntId(), nullable=False),
        sa.Column("zone_code", sa.Text(), nullable=False),
        sa.Column("pole_id", BigIntId(), nullable=False),
        sa.Column("pole_code", sa.Text(), nullable=False),
        sa.Column("camera_id", BigIntId(), nullable=False),
        sa.Column("camera_name", sa.Text(), nullable=False),
        sa.Column("camera_api_code", sa.Text(), nullable=False),
        sa.Column("spot_id", BigIntId(), nullable=False),
        sa.Column("spot_number", sa.Integer(), nullable=False),
        sa.Column("time_zone", sa.Text(), nullable=False),
        sa.Column("at", UtcDateTime(), nullable=False),
        sa.Column("captured_at", UtcDateTime(), nullable=True),
        sa.Column("received_at", UtcDateTime(), nullable=False),
        sa.Column("decided_at", UtcDateTime(), nullable=False),
        sa.Column("plate_text", sa.Text(), nullable=False),
        sa.Column("plate", JsonDocument(), nullable=True),
        sa.Column("occupancy", sa.Text(), nullable=False),
        sa.Column("picture", JsonDocument(), nullable=True),
        sa.Column("picture_source", sa.Text(), nullable=False),
        sa.Column("picture_note", sa.Text(), nullable=False),
        sa.Column("failure", sa.Text(), nullable=False),
        sa.Column("notes", JsonDocument(), nullable=False),
        sa.Column("is_waiting", sa.Boolean(), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=True),
        sa.ForeignKeyConstraint(
            ["ticket_id"], ["tickets.ticket_id"], name=op.f("fk_triggers_ticket_id_tickets")
        ),
        sa.PrimaryKeyConstraint("trigger_id", name=op.f("pk_triggers")),
        sqlite_autoincrement=True,
    )
    with op.batch_alter_table("triggers", schema=None) as batch_op:
        batch_op.create_index(
            "ix_triggers_ignored_at",
            ["at"],
            unique=False,
            postgresql_where=sa.text("decision = 'IGNORED'"),
            sqlite_where=sa.text("decision = 'IGNORED'"),
        )
        batch_op.create_index(
            "ix_triggers_ignored_camera_id_spot_number_at",
            ["camera_id", "spot_number", "at"],
            unique=False,
            postgresql_where=sa.text("decision = 'IGNORED'"),
            sqlite_where=sa.text("decision = 'IGNORED'"),
        )
        batch_op.create_index(
            "ix_triggers_ignored_location_id_at",
            ["location_id", "at"],
            unique=False,
            postgresql_where=sa.text("decision = 'IGNORED'"),
            sqlite_where=sa.text("decision = 'IGNORED'"),
        )
        batch_op.create_index(
            "ix_triggers_ignored_reason_at",
            ["reason", "at"],
            unique=False,
            postgresql_where=sa.text("decision = 'IGNORED'"),
            sqlite_where=sa.text("decision = 'IGNORED'"),
        )
        batch_op.create_index(
            "ix_triggers_ignored_spot_number_at",
            ["spot_number", "at"],
            unique=False,
            postgresql_where=sa.text("decision = 'IGNORED'"),
            sqlite_where=sa.text("decision = 'IGNORED'"),
        )
        batch_op.create_index(batch_op.f("ix_triggers_ticket_id"), ["ticket_id"], unique=False)
        batch_op.create_index(
            "ix_triggers_waiting",
            ["camera_id", "spot_number", "at"],
            unique=False,
            postgresql_where=sa.text("is_waiting"),
            sqlite_where=sa.text("is_waiting"),
        )
        batch_op.create_index("uq_triggers_frame_id", ["frame_id"], unique=True)


def downgrade() -> None:
    with op.batch_alter_table("triggers", schema=None) as batch_op:
        batch_op.drop_index("uq_triggers_frame_id")
        batch_op.drop_index(
            "ix_triggers_waiting", postgresql_where=sa.text("is_waiting"), sqlite_where=sa.text("is_waiting")
        )
        batch_op.drop_index(batch_op.f("ix_triggers_ticket_id"))
        batch_op.drop_index(
            "ix_triggers_ignored_spot_number_at",
            postgresql_where=sa.text("decision = 'IGNORED'"),
            sqlite_where=sa.text("decision = 'IGNORED'"),
        )
        batch_op.drop_index(
            "ix_triggers_ignored_reason_at",
            postgresql_where=sa.text("decision = 'IGNORED'"),
            sqlite_where=sa.text("decision = 'IGNORED'"),
        )
        batch_op.drop_index(
            "ix_triggers_ignored_location_id_at",
            postgresql_where=sa.text("decision = 'IGNORED'"),
            sqlite_where=sa.text("decision = 'IGNORED'"),
        )
        batch_op.drop_index(
            "ix_triggers_ignored_camera_id_spot_number_at",
            postgresql_where=sa.text("decision = 'IGNORED'"),
            sqlite_where=sa.text("decision = 'IGNORED'"),
        )
        batch_op.drop_index(
            "ix_triggers_ignored_at",
            postgresql_where=sa.text("decision = 'IGNORED'"),
            sqlite_where=sa.text("decision = 'IGNORED'"),
        )

    op.drop_table("triggers")
    op.drop_table("spots")
    with op.batch_alter_table("reviews", schema=None) as batch_op:
        batch_op.drop_index("ix_reviews_status_review_id")

    op.drop_table("reviews")
    with op.batch_alter_table("tickets", schema=None) as batch_op:
        batch_op.drop_index(
            "uq_tickets_open_spot",
            postgresql_where=sa.text("status = 'OPEN'"),
            sqlite_where=sa.text("status = 'OPEN'"),
        )
        batch_op.drop_index("uq_tickets_entry_frame_id")
        batch_op.drop_index("ix_tickets_status_entry_at")
        batch_op.drop_index("ix_tickets_spot_number")
        batch_op.drop_index("ix_tickets_plate_text")
        batch_op.drop_index("ix_tickets_plate_number")
        batch_op.drop_index("ix_tickets_plate_code")
        batch_op.drop_index("ix_tickets_plate_city")
        batch_op.drop_index(
            "ix_tickets_mark_pending",
            postgresql_where=sa.text("mark_state = 'PENDING'"),
            sqlite_where=sa.text("mark_state = 'PENDING'"),
        )
        batch_op.drop_index("ix_tickets_location_id_entry_at")
        batch_op.drop_index("ix_tickets_exit_at")
        batch_op.drop_index("ix_tickets_entry_at")
        batch_op.drop_index("ix_tickets_camera_id_spot_number_entry_at")

    op.drop_table("tickets")
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
    with op.batch_alter_table("inbox", schema=None) as batch_op:
        batch_op.drop_index("ix_inbox_handled_at")

    op.drop_table("inbox")
    with op.batch_alter_table("cameras", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_cameras_location_id"))
        batch_op.drop_index(batch_op.f("ix_cameras_location_code"))

    op.drop_table("cameras")
