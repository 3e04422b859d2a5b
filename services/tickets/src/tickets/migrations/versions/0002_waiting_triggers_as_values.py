"""Store waiting triggers as values instead of message bodies, and reasons by name instead of in words.

Waiting triggers that were stored as bodies are converted here. The column `body` stays for one release, since replicas
of the release before may still run and write it during an upgrade.
"""

from typing import Any
from uuid import UUID

import sqlalchemy as sa
from alembic import op
from google.protobuf.timestamp_pb2 import Timestamp

from kit.db import BigIntId, JsonDocument, UtcDateTime
from lookout.camera.v1 import camera_pb2 as camera
from lookout.common.v1 import common_pb2 as common
from lookout.plates.v1 import plates_pb2 as plates

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

_CLOCK_NOTES = (": the time of arrival counts", ": the time of receipt is used")

_triggers = sa.table(
    "triggers",
    sa.column("trigger_id", BigIntId()),
    sa.column("frame_id", sa.Uuid()),
    sa.column("purpose", sa.Text()),
    sa.column("reason", sa.Text()),
    sa.column("first_reason", sa.Text()),
    sa.column("location_id", BigIntId()),
    sa.column("location_code", sa.Text()),
    sa.column("zone_id", BigIntId()),
    sa.column("zone_code", sa.Text()),
    sa.column("pole_id", BigIntId()),
    sa.column("pole_code", sa.Text()),
    sa.column("camera_id", BigIntId()),
    sa.column("camera_name", sa.Text()),
    sa.column("camera_api_code", sa.Text()),
    sa.column("spot_id", BigIntId()),
    sa.column("spot_number", sa.Integer()),
    sa.column("time_zone", sa.Text()),
    sa.column("at", UtcDateTime()),
    sa.column("captured_at", UtcDateTime()),
    sa.column("received_at", UtcDateTime()),
    sa.column("plate", JsonDocument()),
    sa.column("occupancy", sa.Text()),
    sa.column("picture", JsonDocument()),
    sa.column("picture_source", sa.Text()),
    sa.column("picture_note", sa.Text()),
    sa.column("failure", sa.Text()),
    sa.column("notes", JsonDocument()),
    sa.column("is_waiting", sa.Boolean()),
    sa.column("is_vehicle_seen", sa.Boolean()),
    sa.column("trigger_notes", JsonDocument()),
    sa.column("spot_polygon_px", JsonDocument()),
    sa.column("body", sa.LargeBinary()),
)


def upgrade() -> None:
    with op.batch_alter_table("triggers", schema=None) as batch_op:
        batch_op.add_column(
            sa.Column("is_vehicle_seen", sa.Boolean(), server_default=sa.false(), nullable=False)
        )
        batch_op.add_column(sa.Column("trigger_notes", JsonDocument(), nullable=True))
        batch_op.add_column(sa.Column("spot_polygon_px", JsonDocument(), nullable=True))
    _rename_reasons({text: name for name, text in _REASONS.items()})
    connection = op.get_bind()
    for row in connection.execute(sa.select(_triggers).where(_triggers.c.is_waiting)).mappings().all():
        if row["body"] is not None:
            _update(row["trigger_id"], {**_values_from(row["body"], row["notes"]), "body": None})


def downgrade() -> None:
    connection = op.get_bind()
    for row in connection.execute(sa.select(_triggers).where(_triggers.c.is_waiting)).mappings().all():
        if row["body"] is None:
            _update(row["trigger_id"], {"body": _body_from(row).SerializeToString()})
    _rename_reasons(_REASONS)
    # Not in a batch: SQLite drops columns itself, and a batch would rebuild the table without AUTOINCREMENT.
    for column in ("spot_polygon_px", "trigger_notes", "is_vehicle_seen"):
        op.drop_column("triggers", column)


def _rename_reasons(names: dict[str, str]) -> None:
    for column in (_triggers.c.reason, _triggers.c.first_reason):
        renamed = sa.case(*((column == old, new) for old, new in names.items()), else_=column)
        op.execute(sa.update(_triggers).where(column.in_(names)).values({column: renamed}))


def _update(trigger_id: int, values: dict[str, Any]) -> None:
    op.execute(sa.update(_triggers).where(_triggers.c.trigger_id == trigger_id).values(values))


def _values_from(body: bytes, notes: list[str]) -> dict[str, Any]:
    read = plates.PlatesRead.FromString(body)
    polygon = read.frame.spot.polygon.points
    return {
        "is_vehicle_seen": any(v.is_in_spot and v.source != "camera" for v in read.vehicles),
        "spot_polygon_px": [[point.x, point.y] for point in polygon],
        # The only notes that a trigger itself had; the others are the decision's.
        "trigger_notes": [note for note in notes if note.endswith(_CLOCK_NOTES)],
    }


def _body_from(row: Any) -> plates.PlatesRead:
    """A message that the release before reads as the same trigger."""
    plate = row["plate"]
    return plates.PlatesRead(
        frame=camera.FrameCaptured(
            frame_id=str(UUID(str(row["frame_id"]))),
            purpose=camera.Purpose.Value(f"PURPOSE_{row['purpose']}"),
            **{
                name: row[name]
                for name in (
                    *("location_id", "location_code", "zone_id", "zone_code", "pole_id", "pole_code"),
                    *("camera_id", "camera_name", "camera_api_code", "time_zone", "picture_note"),
                )
            },
            spot=camera.Spot(
                spot_id=row["spot_id"],
                spot_number=row["spot_number"],
                polygon=common.Polygon(
                    points=[common.Point(x=x, y=y) for x, y in row["spot_polygon_px"] or ()]
                ),
            ),
            captured_at=_timestamp(row["captured_at"]) if row["captured_at"] is not None else None,
            received_at=_timestamp(row["received_at"]),
            picture=_blob(row["picture"]),
            picture_source=camera.PictureSource.Value(f"PICTURE_SOURCE_{row['picture_source']}"),
        ),
        vehicles=[plates.Vehicle(source="detector", is_in_spot=True)] if row["is_vehicle_seen"] else [],
        plates=[_plate(plate)] if plate is not None else [],
        spot_plate_index=0 if plate is not None else -1,
        spot_occupancy=plates.SpotOccupancy.Value(f"SPOT_OCCUPANCY_{row['occupancy']}"),
        failure=row["failure"],
    )


def _timestamp(moment: Any) -> Timestamp:
    stamp = Timestamp()
    stamp.FromDatetime(moment)
    return stamp


def _blob(picture: dict[str, Any] | None) -> common.BlobRef | None:
    return None if picture is None else common.BlobRef(**picture)


def _plate(plate: dict[str, Any]) -> common.Plate:
    box = plate["box_px"]
    return common.Plate(
        **{name: plate[name] for name in ("text", "region", "code", "number", "confidence", "raw_text")},
        characters=[common.Character(**character) for character in plate["characters"]],
        box=None if box is None else common.Box(x=box[0], y=box[1], width=box[2], height=box[3]),
        crop=_blob(plate["crop"]),
        # Without a text the plate was only seen.
        state=common.PLATE_STATE_READ if plate["text"] else common.PLATE_STATE_SEEN_NOT_READ,
    )
