"""What an event came to: written down when tickets has decided, and told to those who wait for it."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from typing import Any
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from ingest.domain.outcomes import outcome_of
from ingest.domain.parking_push import Purpose
from ingest.store import events
from kit.bus import Metadata, Rejected
from kit.db import Database, after_commit
from kit.errors import LookoutError
from kit.logging import Logger
from lookout.parking.v1 import parking_pb2

OutcomeDocument = dict[str, Any]


class OutcomeWaiters:
    """Those who wait for an outcome in this process.

    The decision reaches one replica only; the others find it in the row, which one query every `poll_s`
    seconds asks for all who wait here.
    """

    def __init__(self, db: Database, logger: Logger, *, poll_s: float, max_waiting: int) -> None:
        self._db = db
        self._logger = logger
        self._poll_s = poll_s
        self._max_waiting = max_waiting
        self._waiting: dict[UUID, set[asyncio.Future[OutcomeDocument]]] = {}
        self._somebody_waits = asyncio.Event()

    @property
    def has_room(self) -> bool:
        """Whether one more may wait."""
        return len(self._waiting) < self._max_waiting

    async def wait(self, event_id: UUID, timeout_s: float) -> OutcomeDocument | None:
        """The outcome, or None when it has not come in time."""
        future: asyncio.Future[OutcomeDocument] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(event_id, set()).add(future)
        self._somebody_waits.set()
        try:
            async with asyncio.timeout(timeout_s):
                # It may have been decided before we stood in line.
                async with self._db.reading() as session:
                    decided = await events.outcomes(session, [event_id])
                return decided[event_id] if event_id in decided else await future
        except TimeoutError:
            return None
        except LookoutError:
            return None  # the event is safe and answered; only its outcome cannot be told now
        finally:
            waiting = self._waiting.get(event_id, set())
            waiting.discard(future)
            if not waiting:
                self._waiting.pop(event_id, None)

    def tell(self, event_id: UUID, document: OutcomeDocument) -> None:
        """The outcome is known."""
        for future in self._waiting.get(event_id, ()):
            if not future.done():
                future.set_result(document)

    async def run(self) -> None:
        """Look for what other replicas have written, while anybody waits. Until cancelled."""
        while True:
            await self._somebody_waits.wait()
            await asyncio.sleep(self._poll_s)
            if not self._waiting:
                self._somebody_waits.clear()
                continue
            try:
                async with self._db.reading() as session:
                    decided = await events.outcomes(session, list(self._waiting))
            except LookoutError as error:
                self._logger.warning("cannot look for outcomes", error=error.detail)
                continue
            for event_id, document in decided.items():
                self.tell(event_id, document)


class RecordOutcome:
    """The consumer of `parking.trigger_decided.v1`."""

    def __init__(self, logger: Logger, tell: Callable[[UUID, OutcomeDocument], None]) -> None:
        self._logger = logger
        self._tell = tell

    async def __call__(self, session: AsyncSession, decided: parking_pb2.TriggerDecided, _: Metadata) -> None:
        """Write it into the event's row; those who wait for it are told after the commit.

        Raises:
            Rejected: the event makes no sense.
        """
        try:
            event_id = UUID(decided.frame_id)
        except ValueError as error:
            raise Rejected(f"frame_id {decided.frame_id!r} is no UUID") from error
        purpose = await events.purpose_of(session, event_id)
        if purpose is None:
            # Retention may have deleted the row; nobody waits for it any more.
            self._logger.info("outcome of an unknown event", event_id=str(event_id))
            return
        document = outcome_document(decided, purpose)
        await events.record_outcome(
            session,
            event_id,
            outcome=document["status"],
            document=document,
            decided_at=datetime.fromisoformat(document["decided_at"]),
        )
        after_commit(session, partial(self._tell, event_id, document))


def outcome_document(decided: parking_pb2.TriggerDecided, purpose: Purpose) -> OutcomeDocument:
    """The outcome in the words of an answer; `plate` is None where none was read.

    Raises:
        Rejected: a decision that this version does not know.
    """
    has_ticket = decided.HasField("ticket")
    ticket = decided.ticket
    name = parking_pb2.Decision.Name(decided.decision) if decided.decision in _DECISIONS else "?"
    try:
        status = outcome_of(
            name.removeprefix("DECISION_"),
            purpose,
            is_ticket_open=has_ticket and ticket.status == parking_pb2.TICKET_STATUS_OPEN,
        )
    except ValueError as error:
        raise Rejected(str(error)) from error
    plate = ticket.plate
    decided_at = decided.decided_at.ToDatetime(tzinfo=UTC)
    return {
        "status": status.value,
        "ticket_id": ticket.ticket_id if has_ticket else None,
        "review_id": decided.review_id or None,
        "reason": decided.reason or None,
        "plate": {
            "text": plate.text,
            "code": plate.code,
            "number": plate.number,
            "city": ticket.plate_city,
            "region": plate.region,
            "confidence": plate.confidence,
        }
        if has_ticket and plate.text
        else None,
        "decided_at": decided_at.isoformat(),
    }


_DECISIONS = frozenset(parking_pb2.Decision.values())
