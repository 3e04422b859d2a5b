"""Exit pictures in which the spot is to be outlined."""

from sqlalchemy import func, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from tickets.domain.plates import Picture
from tickets.domain.tickets import OutlineState, Ticket
from tickets.store.records import picture_document, ticket_from
from tickets.store.spots import TICKET_ROWS
from tickets.store.tables import tickets

_IS_PENDING = tickets.c.mark_state == OutlineState.PENDING.value


async def list_pending(session: AsyncSession, limit: int) -> list[Ticket]:
    """The oldest tickets whose exit picture has no outline yet."""
    rows = await session.execute(TICKET_ROWS.where(_IS_PENDING).order_by(tickets.c.ticket_id).limit(limit))
    return [ticket_from(row) for row in rows.mappings()]


async def count_pending(session: AsyncSession) -> int:
    """How many exit pictures have no outline yet."""
    return (await session.execute(select(func.count()).select_from(tickets).where(_IS_PENDING))).scalar_one()


async def save_outline(
    session: AsyncSession, ticket: Ticket, picture: Picture | None, state: OutlineState, note: str
) -> None:
    """Store picture and state, unless the ticket was reopened or closed again in the meantime."""
    await session.execute(
        update(tickets)
        .where(
            tickets.c.ticket_id == ticket.ticket_id,
            tickets.c.exit_frame_id == ticket.exit_frame_id,
            _IS_PENDING,
        )
        .values(exit_picture=picture_document(picture), mark_state=state.value, mark_note=note)
    )
