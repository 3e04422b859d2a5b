"""What the pushes of a camera must have."""

import sqlalchemy as sa
from alembic import op

from kit.db import JsonDocument

revision = "0003"
down_revision: str | None = "0002"
branch_labels = None
depends_on = None

_COLUMNS = ("push_user", "sealed_push_password", "sealed_push_path_secret", "sealed_push_hmac_key")


def upgrade() -> None:
    with op.batch_alter_table("cameras") as cameras:
        cameras.add_column(sa.Column("push_networks", JsonDocument(), server_default="[]", nullable=False))
        cameras.add_column(sa.Column("push_user", sa.String(length=200), server_default="", nullable=False))
        cameras.add_column(sa.Column("sealed_push_password", sa.Text(), server_default="", nullable=False))
        cameras.add_column(sa.Column("sealed_push_path_secret", sa.Text(), server_default="", nullable=False))
        cameras.add_column(sa.Column("sealed_push_hmac_key", sa.Text(), server_default="", nullable=False))


def downgrade() -> None:
    with op.batch_alter_table("cameras") as cameras:
        for name in reversed(("push_networks", *_COLUMNS)):
            cameras.drop_column(name)
