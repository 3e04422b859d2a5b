"""The record of how far time is known to have passed, which retention measures ages against."""

import sqlalchemy as sa
from alembic import op

from kit.db import UtcDateTime

revision = "0002"
down_revision: str | None = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "retention_clock",
        sa.Column("retention_clock_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("trusted_until", UtcDateTime(), nullable=False),
        sa.Column("checked_at", UtcDateTime(), nullable=False),
        sa.Column("waited_s", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("retention_clock_id", name=op.f("pk_retention_clock")),
    )


def downgrade() -> None:
    op.drop_table("retention_clock")
