"""Bus in: the events that tickets consumes."""

from sqlalchemy.ext.asyncio import AsyncSession

from kit.bus import Metadata
from kit.db import Database
from kit.inbox import Inbox, TransactionalConsumer
from lookout.plates.v1.plates_pb2 import PlatesRead
from tickets.handlers.decide_trigger import DecideTrigger
from tickets.mapping import is_trigger, received_trigger_from


def consumers(decide: DecideTrigger, db: Database, inbox: Inbox) -> list[TransactionalConsumer[PlatesRead]]:
    """Reads of entries and exits are decided, in order for each camera."""

    async def plates_read(session: AsyncSession, read: PlatesRead, metadata: Metadata) -> None:
        await decide(session, received_trigger_from(read), metadata.message_id, read.SerializeToString())

    return [TransactionalConsumer(PlatesRead, plates_read, db=db, inbox=inbox, is_relevant=is_trigger)]
