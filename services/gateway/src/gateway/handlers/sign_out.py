"""End a session: its access and refresh tokens are refused from now on."""

from collections.abc import Callable
from dataclasses import dataclass
from uuid import UUID

from gateway.handlers.unstored_tokens import UnstoredTokens
from gateway.store import sessions
from kit.auth import Principal
from kit.clock import Clock
from kit.db import Database


@dataclass(frozen=True, slots=True)
class SignOut:
    """`clear_token_cache` is called after tokens were revoked, so that they are refused at once."""

    db: Database
    clock: Clock
    clear_token_cache: Callable[[], None]
    unstored: UnstoredTokens

    async def __call__(self, caller: Principal) -> None:
        """End the session that the caller's token was issued in."""
        token_id = UUID(caller.token_id)
        if self.unstored.remove(token_id):
            self.clear_token_cache()
            return
        async with self.db.transaction() as session:
            session_id = await sessions.session_of_token(session, token_id)
            if session_id is not None:
                await sessions.end_session(session, session_id, self.clock.now())
        self.clear_token_cache()
