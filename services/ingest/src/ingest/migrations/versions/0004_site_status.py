"""Whether spots are taken, and what calls to cameras ended with."""

import sqlalchemy as sa
from alembic import op

from kit.db import UtcDateTime

revision = "0004"
down_revision: str | None = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("spots") as spots:
        spots.add_column(
            sa.Column("occupancy", sa.String(length=8), server_default="UNKNOWN", nullable=False)
        )
        spots.add_column(sa.Column("occupancy_at", UtcDateTime(), nullable=True))
        spots.add_column(sa.Column("occupancy_decided_at", UtcDateTime(), nullable=True))
        spots.create_check_constraint(
            op.f("ck_spots_occupancy"), "occupancy IN ('OCCUPIED', 'FREE', 'UNKNOWN')"
        )
    # What people typed; it follows from entries and exits from now on.
    op.execute("UPDATE spots SET status = 0")
    op.create_table(
        "camera_health",
        sa.Column("camera_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("answered_at", UtcDateTime(), nullable=True),
        sa.Column("failed_at", UtcDateTime(), nullable=True),
        sa.Column("failure", sa.String(length=64), nullable=True),
        sa.ForeignKeyConstraint(
            ["camera_id"],
            ["cameras.camera_id"],
            name=op.f("fk_camera_health_camera_id_cameras"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("camera_id", name=op.f("pk_camera_health")),
    )


def downgrade() -> None:
    op.drop_table("camera_health")
    with op.batch_alter_table("spots") as spots:
        spots.drop_constraint(op.f("ck_spots_occupancy"), type_="check")
        for name in ("occupancy_decided_at", "occupancy_at", "occupancy"):
            spots.drop_column(name)
