"""Bus in: the events that tickets consumes."""

from sqlalchemy.ext.asyncio import AsyncSession

from kit.bus import Metadata
from kit.db import Database
from kit.inbox import Inbox, TransactionalConsumer
from lookout.camera.v1.camera_pb2 import PURPOSE_ENTRY, PURPOSE_EXIT, PURPOSE_UNSPECIFIED
from lookout.plates.v1.plates_pb2 import PlatesRead
from tickets.domain.triggers import Rules
from tickets.handlers.decide_trigger import DecideTrigger
from tickets.messages import report_of


def consumers(
    decide: DecideTrigger, rules: Rules, db: Database, inbox: Inbox
) -> list[TransactionalConsumer[PlatesRead]]:
    """What was read in a frame is decided in order for each camera."""

    async def plates_read(session: AsyncSession, read: PlatesRead, metadata: Metadata) -> None:
        report = report_of(read, read.SerializeToString(), rules)
        if report is not None:
            await decide(session, report, metadata.message_id)

    return [TransactionalConsumer(PlatesRead, plates_read, db=db, inbox=inbox, is_relevant=_is_trigger)]


def _is_trigger(read: PlatesRead) -> bool:
    """Whether the frame is an entry or exit; one that does not say what it is for is rejected by `report_of`."""
    return read.frame.purpose in {PURPOSE_ENTRY, PURPOSE_EXIT, PURPOSE_UNSPECIFIED}
