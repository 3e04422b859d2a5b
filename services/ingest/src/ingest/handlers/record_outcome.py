"""Store what tickets decided about an event, and what that says of its spot."""

from collections.abc import Callable
from functools import partial
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from ingest.domain.outcomes import Decision, OutcomeDocument
from ingest.domain.site_status import SpotReport
from ingest.store import events, site_states
from kit.db import after_commit
from kit.logging import Logger


class RecordOutcome:
    """`publish` is called after the commit, with the event's id and its outcome."""

    def __init__(self, logger: Logger, publish: Callable[[UUID, OutcomeDocument], None]) -> None:
        self._logger = logger
        self._publish = publish

    async def __call__(self, session: AsyncSession, decision: Decision, spot: SpotReport | None) -> None:
        """Write the outcome into the event's row and `spot` into the spot's, unless a later decision is stored."""
        if spot is not None:
            await site_states.record_spot(session, spot)
        document = decision.document()
        if await events.record_outcome(session, decision, document):
            after_commit(session, partial(self._publish, decision.event_id, document))
        else:
            self._logger.info(
                "outcome not stored: the event is deleted, or a later decision is stored",
                event_id=str(decision.event_id),
            )
