"""Decide an entry or exit: change the spot's tickets and publish the events, in the consumer's transaction."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from uuid import UUID

from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from kit.bus import Transient
from kit.clock import Clock
from kit.db import after_commit
from kit.logging import Logger
from kit.outbox import Outbox
from tickets.domain.decide import decide, decision_on
from tickets.domain.sessions import Closed, Decision, Ignored, Opened, Reopened, kind_of
from tickets.domain.spot_state import SpotState, spot_state_after
from tickets.domain.tickets import OutlineState, ReceivedTrigger, Review, Ticket, TriggerDecision
from tickets.domain.triggers import Rules
from tickets.mapping import events_of, received_trigger_from_body
from tickets.metrics import TicketsMetrics
from tickets.store import sites, spots
from tickets.store.spots import LoadedSpot


@dataclass(frozen=True, slots=True)
class _Step:
    """A decision, and its ticket right after it; None if the decision is about no ticket."""

    decision: Decision
    received: ReceivedTrigger
    ticket: Ticket | None


class DecideTrigger:
    """Decides triggers. `on_decided` is called after each commit.

    history_limit: tickets and waiting triggers of a spot that are loaded for a trigger that arrives late.
    """

    def __init__(
        self,
        *,
        outbox: Outbox,
        rules: Rules,
        history_limit: int,
        clock: Clock,
        logger: Logger,
        metrics: TicketsMetrics,
        on_decided: Callable[[], None],
    ) -> None:
        self._outbox = outbox
        self._rules = rules
        self._history_limit = history_limit
        self._clock = clock
        self._logger = logger
        self._metrics = metrics
        self._on_decided = on_decided
        self._sites = sites.KnownSites()

    async def __call__(
        self, session: AsyncSession, received: ReceivedTrigger, message_id: UUID, body: bytes
    ) -> None:
        """Decide, within the caller's transaction. A trigger that was decided already changes nothing.

        body: the trigger's message. It is stored with a waiting trigger for replicas of the release before.

        Raises:
            Transient: another transaction decided a trigger of this spot at the same time.
        """
        try:
            await self._decide(session, received, message_id, body)
        except IntegrityError as error:
            raise Transient(
                "another transaction changed the tickets of this spot at the same time"
            ) from error

    async def _decide(
        self, session: AsyncSession, received: ReceivedTrigger, message_id: UUID, body: bytes
    ) -> None:
        spot = await spots.load_spot(
            session, received, self._rules.late_event_window, self._history_limit, received_trigger_from_body
        )
        if spot is None:
            # The message was handled before, and its inbox row was swept since.
            self._metrics.repeats.inc()
            return
        decided_at = self._clock.now()
        by_frame = {waiting.trigger.frame_id: waiting for waiting in spot.waiting}
        by_frame[received.trigger.frame_id] = received
        decisions = decide(spot.history, received.trigger, self._rules)
        steps = _steps(decisions, by_frame, spot)
        await self._sites.store(session, received)
        state = await _update_spot_state(session, received, decisions, spot)
        numbers = await _write_tickets(session, steps, spot)
        events = []
        for step in steps:
            ticket = _with_number(step.ticket, numbers)
            review = await _request_review(session, step, ticket, decided_at)
            if ticket is not None and review is not None:
                ticket = replace(ticket, review_id=review.review_id)
            decision = _trigger_decision(step.decision, ticket, decided_at)
            if step.received is received:
                await spots.insert_trigger(session, received, decision, body)
            else:
                await spots.update_trigger(session, step.received.trigger.frame_id, decision)
            events += events_of(
                step.decision, step.received, ticket, review, state, cause=message_id, decided_at=decided_at
            )
        await self._outbox.add(session, *events)
        after_commit(session, lambda: self._on_commit(steps, received, decided_at))

    def _on_commit(self, steps: list[_Step], received: ReceivedTrigger, decided_at: datetime) -> None:
        self._sites.remember(received)
        self._on_decided()
        for step in steps:
            kind, decision = kind_of(step.decision), step.decision
            reason = decision.reason.value if isinstance(decision, Ignored) else ""
            self._metrics.decisions.labels(kind.value, reason).inc()
            self._logger.info(
                "trigger decided",
                frame_id=str(step.received.trigger.frame_id),
                camera_id=step.received.address.camera_id,
                spot_number=step.received.address.spot_number,
                decision=kind.value,
                reason=reason,
                was_waiting=step.received is not received,
            )
        self._metrics.observe_lag("received", decided_at - received.received_at)
        self._metrics.observe_lag("captured", decided_at - received.trigger.at)


async def _update_spot_state(
    session: AsyncSession, received: ReceivedTrigger, decisions: tuple[Decision, ...], spot: LoadedSpot
) -> SpotState:
    """Store the spot's state after the decisions; returns it."""
    address, history = received.address, spot.history
    for decision in decisions:
        history = history.after(decision)
    state = spot_state_after(spot.state, history, decision_on(decisions, received.trigger))
    if state != spot.state:
        await spots.update_state(session, address, state)
    return state


def _steps(
    decisions: tuple[Decision, ...], by_frame: dict[UUID, ReceivedTrigger], spot: LoadedSpot
) -> list[_Step]:
    """Each decision with its ticket right after it. New tickets have no number yet."""
    tickets = {ticket.entry_frame_id: ticket for ticket in spot.tickets}
    steps = []
    for decision in decisions:
        received = by_frame[decision.trigger.frame_id]
        ticket: Ticket | None = None
        match decision:
            case Opened():
                ticket = _opened(decision, received)
            case Reopened():
                ticket = _reopened(tickets[decision.session.entry_frame_id], decision)
            case Closed():
                ticket = _closed(tickets[decision.session.entry_frame_id], decision, received)
            case Ignored():
                session = decision.session
                ticket = tickets[session.entry_frame_id] if session is not None else None
        if ticket is not None:
            tickets[ticket.entry_frame_id] = ticket
        steps.append(_Step(decision, received, ticket))
    return steps


def _opened(decision: Opened, received: ReceivedTrigger) -> Ticket:
    return Ticket(
        ticket_id=0,
        address=received.address,
        entry_plate=decision.trigger.plate,
        is_unknown=decision.session.plate is None,
        entry_at=decision.session.entry_at,
        entry_frame_id=decision.session.entry_frame_id,
        entry_picture=received.picture,
        is_picture_incomplete=received.is_picture_incomplete,
        notes=decision.trigger.notes + decision.notes,
    )


def _reopened(ticket: Ticket, decision: Reopened) -> Ticket:
    return replace(
        ticket,
        exit_at=None,
        exit_frame_id=None,
        exit_picture=None,
        exit_polygon_px=(),
        outline_state=None,
        outline_note="",
        resumed_at=decision.session.resumed_at,
        earlier_exits=(*ticket.earlier_exits, decision.earlier_exit_at),
        notes=ticket.notes + decision.trigger.notes + decision.notes,
    )


def _closed(ticket: Ticket, decision: Closed, received: ReceivedTrigger) -> Ticket:
    return replace(
        ticket,
        exit_at=decision.session.exit_at,
        exit_frame_id=decision.trigger.frame_id,
        exit_picture=received.picture,
        exit_polygon_px=received.spot_polygon_px,
        outline_state=OutlineState.PENDING if received.picture is not None else None,
        notes=ticket.notes + decision.trigger.notes + decision.notes,
    )


async def _write_tickets(session: AsyncSession, steps: list[_Step], spot: LoadedSpot) -> dict[UUID, int]:
    """Store each changed ticket once, in its final state; returns the numbers of all tickets by entry frame.

    In the order of the decisions, which close the open ticket of a spot before they open another one, as the unique
    index requires. A session in the past is stored closed.
    """
    stored = {ticket.entry_frame_id: ticket for ticket in spot.tickets}
    numbers = {frame_id: ticket.ticket_id for frame_id, ticket in stored.items()}
    final = {step.ticket.entry_frame_id: step.ticket for step in steps if step.ticket is not None}
    for frame_id, ticket in final.items():
        if frame_id not in stored:
            numbers[frame_id] = (await spots.insert_ticket(session, ticket)).ticket_id
        elif stored[frame_id] != ticket:
            await spots.update_ticket(session, ticket)
    return numbers


def _with_number(ticket: Ticket | None, numbers: dict[UUID, int]) -> Ticket | None:
    return None if ticket is None else replace(ticket, ticket_id=numbers[ticket.entry_frame_id])


async def _request_review(
    session: AsyncSession, step: _Step, ticket: Ticket | None, requested_at: datetime
) -> Review | None:
    decision = step.decision
    if ticket is None or not isinstance(decision, Opened) or decision.review is None:
        return None
    return await spots.insert_review(session, ticket, step.received, decision.review, requested_at)


def _trigger_decision(decision: Decision, ticket: Ticket | None, decided_at: datetime) -> TriggerDecision:
    ignored = decision if isinstance(decision, Ignored) else None
    return TriggerDecision(
        kind=kind_of(decision),
        reason=ignored.reason if ignored is not None else None,
        ticket_id=ticket.ticket_id if ticket is not None else None,
        is_waiting=ignored is not None and ignored.is_waiting,
        notes=decision.trigger.notes + decision.notes,
        decided_at=decided_at,
    )
