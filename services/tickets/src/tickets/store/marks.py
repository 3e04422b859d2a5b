"""Exit pictures that wait for the spot to be drawn in."""

from sqlalchemy import func, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from tickets.domain.plates import Picture
from tickets.domain.tickets import MarkState, Ticket
from tickets.store.records import picture_document, ticket_from
from tickets.store.spots import TICKET_ROWS
from tickets.store.tables import tickets

_IS_PENDING = tickets.c.mark_state == MarkState.PENDING.value


async def pending_marks(session: AsyncSession, limit: int) -> list[Ticket]:
    """The oldest tickets whose exit picture is not marked yet."""
    rows = await session.execute(TICKET_ROWS.where(_IS_PENDING).order_by(tickets.c.ticket_id).limit(limit))
    return [ticket_from(row) for row in rows.mappings()]


async def count_pending_marks(session: AsyncSession) -> int:
    """How many exit pictures are not marked yet."""
    return (await session.execute(select(func.count()).select_from(tickets).where(_IS_PENDING))).scalar_one()


async def save_mark(
    session: AsyncSession, ticket: Ticket, picture: Picture | None, state: MarkState, note: str
) -> None:
    """Store how the marking ended, unless the ticket has been reopened or closed anew meanwhile."""
    await session.execute(
        update(tickets)
        .where(
            tickets.c.ticket_id == ticket.ticket_id,
            tickets.c.exit_frame_id == ticket.exit_frame_id,
            _IS_PENDING,
        )
        .values(exit_picture=picture_document(picture), mark_state=state.value, mark_note=note)
    )
