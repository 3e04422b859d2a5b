"""The status of spots, the number of spots that a camera watches, and whether a picture is incomplete."""

import sqlalchemy as sa
from alembic import op

from kit.db import UtcDateTime

revision = "0003"
down_revision: str | None = "0002"
branch_labels = None
depends_on = None

# Of a spot that has tickets: taken while one is open, else free since the last one closed.
_STATUS_OF_TICKETS = """
UPDATE spots SET
  status = CASE WHEN EXISTS (
      SELECT 1 FROM tickets WHERE tickets.camera_id = spots.camera_id AND tickets.spot_number = spots.spot_number
        AND tickets.status = 'OPEN'
    ) THEN 'OCCUPIED' ELSE 'FREE' END,
  status_at = (
      SELECT MAX(COALESCE(tickets.exit_at, tickets.resumed_at, tickets.entry_at)) FROM tickets
      WHERE tickets.camera_id = spots.camera_id AND tickets.spot_number = spots.spot_number
    )
WHERE EXISTS (
  SELECT 1 FROM tickets WHERE tickets.camera_id = spots.camera_id AND tickets.spot_number = spots.spot_number
)
"""


def upgrade() -> None:
    for table in ("tickets", "triggers"):
        op.add_column(
            table,
            sa.Column("is_picture_incomplete", sa.Boolean(), server_default=sa.false(), nullable=False),
        )
    op.add_column("cameras", sa.Column("number_of_parking", sa.Integer(), server_default="0", nullable=False))
    with op.batch_alter_table("spots") as spots:
        spots.add_column(sa.Column("status", sa.Text(), server_default="UNKNOWN", nullable=False))
        spots.add_column(sa.Column("status_at", UtcDateTime(), nullable=True))
        spots.create_check_constraint(op.f("ck_spots_status"), "status IN ('OCCUPIED', 'FREE', 'UNKNOWN')")
    op.execute(_STATUS_OF_TICKETS)


def downgrade() -> None:
    with op.batch_alter_table("spots") as spots:
        spots.drop_constraint(op.f("ck_spots_status"), type_="check")
        spots.drop_column("status_at")
        spots.drop_column("status")
    # Not in a batch: SQLite drops columns itself, and a batch would rebuild the table without AUTOINCREMENT.
    op.drop_column("cameras", "number_of_parking")
    for table in ("triggers", "tickets"):
        op.drop_column(table, "is_picture_incomplete")
