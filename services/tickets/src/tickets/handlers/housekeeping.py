"""What is done now and then: gauges that count rows, and an end to waiting."""

import asyncio
from datetime import timedelta

from kit.clock import Clock
from kit.db import Database
from kit.errors import LookoutError
from kit.logging import Logger
from tickets.domain.tickets import ReviewStatus
from tickets.sight import Sight
from tickets.store import lists, marks, spots

# Rows changed in one transaction: a sweep must not hold up the decisions.
_SWEEP_ROWS = 2_000


class Housekeeping:
    """The background work of one instance."""

    def __init__(self, *, db: Database, clock: Clock, logger: Logger, sight: Sight) -> None:
        self._db = db
        self._clock = clock
        self._logger = logger
        self._sight = sight

    async def count(self) -> None:
        """Set the gauges.

        Raises:
            Unavailable: the database is away.
        """
        async with self._db.reading() as session:
            self._sight.open_tickets.set(await lists.count_open(session))
            self._sight.pending_reviews.set(await lists.count_reviews(session, ReviewStatus.PENDING))
            self._sight.pending_marks.set(await marks.count_pending_marks(session))

    async def stop_waiting(self, age: timedelta) -> int:
        """Triggers older than that can find no counterpart any more: forget what they waited with; how many.

        Raises:
            Unavailable: the database is away.
        """
        before, stopped = self._clock.now() - age, 0
        while True:
            async with self._db.transaction() as session:
                count = await spots.stop_waiting(session, before, _SWEEP_ROWS)
            stopped += count
            if count < _SWEEP_ROWS:
                return stopped

    async def keep_counting(self, interval_s: float) -> None:
        """Set the gauges until cancelled."""
        while True:
            try:
                await self.count()
            except LookoutError as error:
                self._logger.warning("cannot count for the gauges", error=str(error))
            await asyncio.sleep(interval_s)

    async def keep_sweeping(self, age: timedelta, interval_s: float) -> None:
        """End the waiting of old triggers until cancelled."""
        while True:
            try:
                await self.stop_waiting(age)
            except LookoutError as error:
                self._logger.warning("cannot sweep waiting triggers", error=str(error))
            await asyncio.sleep(interval_s)
