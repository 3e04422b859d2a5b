"""Bus in: the events that ingest consumes."""

from ingest.handlers.outcome_waiters import RecordOutcome
from kit.db import Database
from kit.inbox import Inbox, TransactionalConsumer
from lookout.parking.v1.parking_pb2 import TriggerDecided


def consumers(
    record_outcome: RecordOutcome, db: Database, inbox: Inbox
) -> list[TransactionalConsumer[TriggerDecided]]:
    """Each decision changes the row of one camera event, so the order between them does not matter."""
    return [TransactionalConsumer(TriggerDecided, record_outcome, db=db, inbox=inbox, is_ordered=False)]
