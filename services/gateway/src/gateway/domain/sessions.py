"""What happens to a session when its refresh token comes back."""

from dataclasses import dataclass
from datetime import datetime
from enum import Enum


class RefreshOutcome(Enum):
    """What a refresh token is worth."""

    ROTATE = "rotate"
    REUSED = "reused"
    ENDED = "ended"


@dataclass(frozen=True, slots=True)
class RefreshState:
    """A refresh token as the store knows it, with its session (the family of tokens of one sign-in)."""

    expires_at: datetime
    used_at: datetime | None
    session_ended_at: datetime | None
    is_user_active: bool


def judge_refresh(state: RefreshState, now: datetime) -> RefreshOutcome:
    """A token used before was stolen, or is its thief's: the whole session ends (RFC 9700, 4.14.2)."""
    if state.session_ended_at is not None or not state.is_user_active:
        return RefreshOutcome.ENDED
    if state.used_at is not None:
        return RefreshOutcome.REUSED
    return RefreshOutcome.ENDED if state.expires_at <= now else RefreshOutcome.ROTATE
