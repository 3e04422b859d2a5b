"""An entry or exit came: decide what it means, keep that, and tell the others. One transaction."""

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
from lookout.plates.v1.plates_pb2 import PlatesRead
from tickets.domain.decide import decide
from tickets.domain.sessions import Closed, Decision, Ignored, Opened, Reopened
from tickets.domain.tickets import MarkState, Report, Review, Ticket
from tickets.domain.triggers import Rules
from tickets.events import events_of
from tickets.messages import report_of
from tickets.sight import Sight
from tickets.store import sites, spots
from tickets.store.spots import SpotRows, TriggerOutcome, WaitingRow

_KINDS: dict[type[Decision], str] = {
    Opened: "OPENED",
    Reopened: "REOPENED",
    Closed: "CLOSED",
    Ignored: "IGNORED",
}


@dataclass(frozen=True, slots=True)
class _Step:
    """One decision on its way into the store. `ticket` is as it stands right after the decision."""

    decision: Decision
    report: Report
    ticket: Ticket | None


class DecideTrigger:
    """Decides triggers. `on_decided` is called after each commit, for what waits to go out.

    history_limit: tickets and waiting triggers that are looked at when an event comes late.
    """

    def __init__(
        self,
        *,
        outbox: Outbox,
        rules: Rules,
        history_limit: int,
        clock: Clock,
        logger: Logger,
        sight: Sight,
        on_decided: Callable[[], None],
    ) -> None:
        self._outbox = outbox
        self._rules = rules
        self._history_limit = history_limit
        self._clock = clock
        self._logger = logger
        self._sight = sight
        self._on_decided = on_decided
        self._sites = sites.SeenSites()

    async def __call__(self, session: AsyncSession, report: Report, message_id: UUID) -> None:
        """Decide, within the caller's transaction.

        Raises:
            Transient: another transaction opened a ticket on this spot meanwhile.
        """
        if await spots.is_decided(session, report.trigger.frame_id):
            # The frame was handled before, and its inbox row is gone.
            self._sight.repeats.inc()
            return
        decided_at = self._clock.now()
        try:
            steps = await self._decide(session, report, message_id, decided_at)
            seen = await self._sites.note(session, report.address)
        except IntegrityError as error:
            raise Transient("another transaction changed the spot") from error

        def on_commit() -> None:
            self._sites.remember(seen)
            self._on_decided()
            self._tell(steps, report, decided_at)

        after_commit(session, on_commit)

    async def _decide(
        self, session: AsyncSession, report: Report, cause: UUID, decided_at: datetime
    ) -> list[_Step]:
        rules = self._rules
        rows = await spots.load_spot(
            session, report.address, report.trigger.at, rules.late_event_window, self._history_limit
        )
        waiting = {row.frame_id: _waiting_report(row, rules) for row in rows.waiting}
        decisions = decide(rows.history(waiting), report.trigger, rules)
        steps = _steps(decisions, {**waiting, report.trigger.frame_id: report}, rows)
        written = await _write_tickets(session, steps, rows)
        events = []
        for step in steps:
            number, review = None, None
            if step.ticket is not None:
                number = written[step.ticket.entry_frame_id].ticket_id
                if isinstance(step.decision, Opened) and step.decision.review is not None:
                    ticket = replace(step.ticket, ticket_id=number)
                    reason = step.decision.review
                    review = await spots.insert_review(session, ticket, step.report, reason, decided_at)
            outcome = _outcome(step.decision, number, decided_at)
            if step.report is report:
                await spots.insert_trigger(session, report, outcome)
            else:
                await spots.settle_trigger(session, step.report.trigger.frame_id, outcome)
            ticket_now = _numbered(step.ticket, number, review)
            events += events_of(
                step.decision, step.report, ticket_now, review, cause=cause, decided_at=decided_at
            )
        await self._outbox.add(session, *events)
        return steps

    def _tell(self, steps: list[_Step], report: Report, decided_at: datetime) -> None:
        for step in steps:
            decision = step.decision
            reason = decision.reason.value if isinstance(decision, Ignored) else ""
            self._sight.decisions.labels(_KINDS[type(decision)], reason).inc()
            self._logger.info(
                "trigger decided",
                frame_id=str(step.report.trigger.frame_id),
                camera_id=step.report.address.camera_id,
                spot_number=step.report.address.spot_number,
                decision=_KINDS[type(decision)],
                reason=reason,
                settled_late=step.report is not report,
            )
        self._sight.lag("received", decided_at - report.received_at)
        self._sight.lag("captured", decided_at - report.trigger.at)


def _waiting_report(row: WaitingRow, rules: Rules) -> Report:
    """A waiting trigger as it came, at the time that was found for it then."""
    report = report_of(PlatesRead.FromString(row.body), row.body, rules)
    assert report is not None  # only entries and exits are kept
    return replace(report, trigger=replace(report.trigger, at=row.at))


def _steps(decisions: tuple[Decision, ...], reports: dict[UUID, Report], rows: SpotRows) -> list[_Step]:
    """Each decision with the ticket as it stands after it."""
    tickets = dict(rows.by_key)
    steps = []
    for decision in decisions:
        report = reports[decision.trigger.frame_id]
        ticket: Ticket | None = None
        match decision:
            case Opened():
                ticket = _opened(decision, report)
            case Reopened():
                ticket = _reopened(tickets[decision.session.key], decision)
            case Closed():
                ticket = _closed(tickets[decision.session.key], decision, report)
            case Ignored():
                ticket = tickets[decision.session.key] if decision.session is not None else None
        if ticket is not None:
            tickets[ticket.entry_frame_id] = ticket
        steps.append(_Step(decision, report, ticket))
    return steps


def _opened(decision: Opened, report: Report) -> Ticket:
    return Ticket(
        ticket_id=0,
        address=report.address,
        seen=decision.trigger.plate,
        is_unknown=decision.session.plate is None,
        entry_at=decision.session.entry_at,
        entry_frame_id=decision.session.key,
        entry_picture=report.picture,
        notes=decision.trigger.notes + decision.notes,
    )


def _reopened(ticket: Ticket, decision: Reopened) -> Ticket:
    return replace(
        ticket,
        exit_at=None,
        exit_frame_id=None,
        exit_picture=None,
        exit_polygon_px=(),
        mark_state=None,
        mark_note="",
        resumed_at=decision.session.resumed_at,
        earlier_exits=(*ticket.earlier_exits, decision.earlier_exit_at),
        notes=ticket.notes + decision.trigger.notes + decision.notes,
    )


def _closed(ticket: Ticket, decision: Closed, report: Report) -> Ticket:
    return replace(
        ticket,
        exit_at=decision.session.exit_at,
        exit_frame_id=decision.trigger.frame_id,
        exit_picture=report.picture,
        exit_polygon_px=report.polygon_px,
        mark_state=MarkState.PENDING if report.picture is not None else None,
        notes=ticket.notes + decision.trigger.notes + decision.notes,
    )


async def _write_tickets(session: AsyncSession, steps: list[_Step], rows: SpotRows) -> dict[UUID, Ticket]:
    """Store each changed ticket once, as it stands in the end; returns all of them with their numbers.

    In the order of the decisions, which close a spot's open ticket before they open another: so the unique
    index holds in between too. A stay in the past is stored closed and never was open to it.
    """
    last = {step.ticket.entry_frame_id: step.ticket for step in steps if step.ticket is not None}
    written = dict(rows.by_key)
    for key, ticket in last.items():
        before = rows.by_key.get(key)
        if before is None:
            written[key] = await spots.insert_ticket(session, ticket)
        elif before != ticket:
            await spots.update_ticket(session, ticket)
            written[key] = ticket
    return written


def _numbered(ticket: Ticket | None, number: int | None, review: Review | None) -> Ticket | None:
    if ticket is None or number is None:
        return None
    review_id = review.review_id if review is not None else ticket.review_id
    return replace(ticket, ticket_id=number, review_id=review_id)


def _outcome(decision: Decision, ticket_id: int | None, decided_at: datetime) -> TriggerOutcome:
    ignored = decision if isinstance(decision, Ignored) else None
    return TriggerOutcome(
        kind=_KINDS[type(decision)],
        reason=ignored.reason.value if ignored is not None else "",
        ticket_id=ticket_id,
        is_waiting=ignored is not None and ignored.is_waiting,
        notes=decision.trigger.notes + decision.notes,
        decided_at=decided_at,
    )
