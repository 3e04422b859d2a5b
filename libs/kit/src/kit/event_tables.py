"""The tables of inbox and outbox, for the first revision of a service."""

import sqlalchemy as sa
from alembic import op

from kit.columns import BigIntId, UtcDateTime


def create_event_tables() -> None:
    """Create `inbox` and `outbox` as they were in kit 0.1.

    This never changes: a later change of these tables is a revision of its own in each service.
    """
    op.create_table(
        "inbox",
        sa.Column("consumer", sa.Text(), primary_key=True),
        sa.Column("message_id", sa.Uuid(), primary_key=True),
        sa.Column("handled_at", UtcDateTime(), server_default=sa.func.now(), nullable=False),
        sa.Index("ix_inbox_handled_at", "handled_at"),
    )
    op.create_table(
        "outbox",
        sa.Column("outbox_id", BigIntId(), sa.Identity(), primary_key=True),
        sa.Column("message_id", sa.Uuid(), nullable=False),
        sa.Column("type", sa.Text(), nullable=False),
        sa.Column("routing_key", sa.Text(), nullable=False),
        sa.Column("partition_key", sa.Text(), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.Column("occurred_at", UtcDateTime(), nullable=False),
        sa.Column("app_id", sa.Text(), nullable=False),
        sa.Column("correlation_id", sa.Text(), nullable=False),
        sa.Column("traceparent", sa.Text()),
        sa.Column("must_route", sa.Boolean(), nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("published_at", UtcDateTime()),
        sa.Column("attempts", sa.Integer(), server_default="0", nullable=False),
        sa.Column("last_error", sa.Text()),
        sqlite_autoincrement=True,
    )
    for name, column, condition in (
        ("ix_outbox_waiting", "outbox_id", "published_at IS NULL"),
        ("ix_outbox_published_at", "published_at", "published_at IS NOT NULL"),
    ):
        where = sa.text(condition)
        op.create_index(name, "outbox", [column], postgresql_where=where, sqlite_where=where)


def drop_event_tables() -> None:
    """Undo `create_event_tables`."""
    op.drop_table("outbox")
    op.drop_table("inbox")
