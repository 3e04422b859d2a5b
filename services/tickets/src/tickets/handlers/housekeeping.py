"""Periodic work: gauges that count rows, and the end of waiting."""

from datetime import timedelta

from kit.clock import Clock
from kit.db import Database
from tickets.domain.tickets import ReviewStatus
from tickets.metrics import TicketsMetrics
from tickets.store import exit_pictures, lists, spots

# Rows changed in one transaction, so that a sweep does not delay decisions.
_SWEEP_ROWS = 2_000


class Housekeeping:
    """The periodic work of one service instance."""

    def __init__(self, *, db: Database, clock: Clock, metrics: TicketsMetrics) -> None:
        self._db = db
        self._clock = clock
        self._metrics = metrics

    async def count(self) -> None:
        """Set the gauges.

        Raises:
            Unavailable: the database cannot be reached.
        """
        async with self._db.reading() as session:
            self._metrics.open_tickets.set(await lists.count_open(session))
            self._metrics.pending_reviews.set(await lists.count_reviews(session, ReviewStatus.PENDING))
            self._metrics.pending_exit_pictures.set(await exit_pictures.count_pending(session))

    async def stop_waiting(self, age: timedelta) -> int:
        """Let triggers older than `age` wait no longer: none that completes them can arrive; returns how many.

        Raises:
            Unavailable: the database cannot be reached.
        """
        async with self._db.reading() as session:
            newest = await spots.newest_trigger_at(session)
        if newest is None:
            return 0
        # With a clock that is ahead at the start, nothing becomes old.
        before, stopped = min(self._clock.now(), newest) - age, 0
        while True:
            async with self._db.transaction() as session:
                count = await spots.stop_waiting(session, before, _SWEEP_ROWS)
            stopped += count
            if count < _SWEEP_ROWS:
                return stopped
