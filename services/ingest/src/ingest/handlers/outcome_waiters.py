"""Requests that wait for the outcome of their event (`Prefer: wait`)."""

import asyncio
from uuid import UUID

from ingest.domain.outcomes import OutcomeDocument
from ingest.store import events
from kit.db import Database
from kit.errors import LookoutError
from kit.logging import Logger


class OutcomeWaiters:
    """The requests in this process that wait for an outcome.

    A decision reaches one replica only. The others read it from the event's row: one query every `poll_interval_s`
    seconds for all that wait here.
    """

    def __init__(self, db: Database, logger: Logger, *, poll_interval_s: float, max_waiters: int) -> None:
        self._db = db
        self._logger = logger
        self._poll_interval_s = poll_interval_s
        self._max_waiters = max_waiters
        self._waiting: dict[UUID, set[asyncio.Future[OutcomeDocument]]] = {}
        self._has_waiters = asyncio.Event()

    @property
    def has_room(self) -> bool:
        """Whether one more request may wait."""
        return len(self._waiting) < self._max_waiters

    async def wait(self, event_id: UUID, timeout_s: float) -> OutcomeDocument | None:
        """The outcome, or None if it is not known in time."""
        future: asyncio.Future[OutcomeDocument] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(event_id, set()).add(future)
        self._has_waiters.set()
        try:
            async with asyncio.timeout(timeout_s):
                # The decision may have arrived before this future was registered.
                async with self._db.reading() as session:
                    decided = await events.outcomes(session, [event_id])
                return decided[event_id] if event_id in decided else await future
        except TimeoutError:
            return None
        except LookoutError:
            return None  # the event is stored; only its outcome cannot be read now
        finally:
            waiting = self._waiting.get(event_id, set())
            waiting.discard(future)
            if not waiting:
                self._waiting.pop(event_id, None)

    def publish(self, event_id: UUID, document: OutcomeDocument) -> None:
        """Answer all that wait for this event."""
        for future in self._waiting.get(event_id, ()):
            if not future.done():
                future.set_result(document)

    async def run(self) -> None:
        """Poll for outcomes that other replicas have stored, while any request waits. Runs until cancelled."""
        while True:
            await self._has_waiters.wait()
            await asyncio.sleep(self._poll_interval_s)
            if not self._waiting:
                self._has_waiters.clear()
                continue
            try:
                async with self._db.reading() as session:
                    decided = await events.outcomes(session, list(self._waiting))
            except LookoutError as error:
                self._logger.warning("cannot read outcomes from the database", error=error.detail)
                continue
            for event_id, document in decided.items():
                self.publish(event_id, document)
