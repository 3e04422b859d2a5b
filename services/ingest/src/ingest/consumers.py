"""Bus in: the events that ingest consumes."""

from sqlalchemy.ext.asyncio import AsyncSession

from ingest.domain.errors import InvalidValue
from ingest.handlers.record_outcome import RecordOutcome
from ingest.mapping import decision, spot_report
from kit.bus import Metadata, Rejected
from kit.db import Database
from kit.inbox import Inbox, TransactionalConsumer
from lookout.parking.v1.parking_pb2 import TriggerDecided


def consumers(
    record_outcome: RecordOutcome, db: Database, inbox: Inbox
) -> list[TransactionalConsumer[TriggerDecided]]:
    """All consumers of the service."""

    async def trigger_decided(session: AsyncSession, message: TriggerDecided, _: Metadata) -> None:
        try:
            decided, spot = decision(message), spot_report(message)
        except InvalidValue as error:
            raise Rejected(str(error)) from error
        await record_outcome(session, decided, spot)

    # Each decision changes the rows of one event and one spot, and the later one stays: the order does not matter.
    return [TransactionalConsumer(TriggerDecided, trigger_decided, db=db, inbox=inbox, is_ordered=False)]
