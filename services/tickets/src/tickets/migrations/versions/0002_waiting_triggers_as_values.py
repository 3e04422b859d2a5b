"""Store waiting triggers as values besides their message bodies, and reasons by name instead of in words.

The column `body` stays for one release. Replicas of the release before, which may run during the upgrade, read and
write it and do not fill the new columns. Where `trigger_notes` is null, a waiting trigger is read from its body, so
rows from before the upgrade need no conversion.
"""

import sqlalchemy as sa
from alembic import op

from kit.db import JsonDocument

revision = "0002"
down_revision: str | None = "0001"
branch_labels = None
depends_on = None

_REASONS = {
    "SPOT_ALREADY_OCCUPIED": "Spot already occupied",
    "NO_CAR_DETECTED": "No car detected",
    "SPOT_STILL_OCCUPIED": "Spot still occupied",
    "NO_OPEN_TICKET": "No open ticket",
    "OLDER_THAN_LATEST_TICKET": "Older than the latest ticket",
}

_triggers = sa.table("triggers", sa.column("reason", sa.Text()), sa.column("first_reason", sa.Text()))


def upgrade() -> None:
    with op.batch_alter_table("triggers", schema=None) as batch_op:
        batch_op.add_column(
            sa.Column("is_vehicle_seen", sa.Boolean(), server_default=sa.false(), nullable=False)
        )
        batch_op.add_column(sa.Column("trigger_notes", JsonDocument(), nullable=True))
        batch_op.add_column(sa.Column("spot_polygon_px", JsonDocument(), nullable=True))
    _rename_reasons({text: name for name, text in _REASONS.items()})


def downgrade() -> None:
    _rename_reasons(_REASONS)
    # Not in a batch: SQLite drops columns itself, and a batch would rebuild the table without AUTOINCREMENT.
    for column in ("spot_polygon_px", "trigger_notes", "is_vehicle_seen"):
        op.drop_column("triggers", column)


def _rename_reasons(names: dict[str, str]) -> None:
    for column in (_triggers.c.reason, _triggers.c.first_reason):
        renamed = sa.case(*((column == old, new) for old, new in names.items()), else_=column)
        op.execute(sa.update(_triggers).where(column.in_(names)).values({column: renamed}))
