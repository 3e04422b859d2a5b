"""What happens to a session when one of its refresh tokens is presented."""

from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from uuid import UUID


class RefreshOutcome(Enum):
    """What a refresh token is exchanged for."""

    ROTATE = "rotate"  # new tokens
    REUSED = "reused"  # nothing, and the session ends
    ENDED = "ended"  # nothing


@dataclass(frozen=True, slots=True)
class RefreshState:
    """A refresh token with the state of its session (all tokens that came of one sign-in)."""

    expires_at: datetime
    used_at: datetime | None
    session_ended_at: datetime | None
    is_user_active: bool


@dataclass(frozen=True, slots=True)
class StoredRefreshToken:
    """A refresh token that was issued here."""

    session_id: UUID
    user_id: int
    state: RefreshState


@dataclass(frozen=True, slots=True)
class ActiveSession:
    """A session that has not ended: somebody signed in at `started_at`."""

    session_id: UUID
    started_at: datetime
    expires_at: datetime


def decide_refresh(state: RefreshState, now: datetime) -> RefreshOutcome:
    """A token that was used before has been stolen, so the whole session ends (RFC 9700, section 4.14.2)."""
    if state.session_ended_at is not None or not state.is_user_active:
        return RefreshOutcome.ENDED
    if state.used_at is not None:
        return RefreshOutcome.REUSED
    return RefreshOutcome.ENDED if state.expires_at <= now else RefreshOutcome.ROTATE
