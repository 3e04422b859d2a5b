"""Exchange a user name and a password for tokens."""

from dataclasses import dataclass

from gateway.domain.names import name_key
from gateway.domain.passwords import PasswordHasher, PasswordRules
from gateway.handlers.failed_sign_ins import FailedSignInCounter
from gateway.handlers.issue_tokens import TokenIssuer, TokenPair
from gateway.handlers.unstored_tokens import UnstoredTokens
from gateway.store import sessions, users
from kit.clock import Clock
from kit.db import Database
from kit.errors import StorageFull, Unauthenticated
from kit.ids import uuid7
from kit.logging import Logger


@dataclass(frozen=True, slots=True)
class SignIn:
    """`password_rules` bounds the work that one sign-in can cause."""

    db: Database
    passwords: PasswordHasher
    failed_sign_ins: FailedSignInCounter
    issuer: TokenIssuer
    clock: Clock
    logger: Logger
    password_rules: PasswordRules
    unstored: UnstoredTokens

    async def __call__(self, username: str, password: str, client: str) -> TokenPair:
        """Tokens for the user, in a new session. Wrong passwords are counted for the address `client`.

        Raises:
            Unauthenticated: no such user, a wrong password, or a disabled user; the answer does not say which.
            RateLimited: too many wrong passwords.
        """
        pair = (name_key(username)[:200], client)
        self.failed_sign_ins.check(pair)
        async with self.db.reading() as session:
            found = await users.find_credentials(session, username)
        max_chars = self.password_rules.max_chars
        user, stored_hash = found or (None, None)
        is_right, new_hash = await self.passwords.verify(password[:max_chars], stored_hash)
        is_right = is_right and len(password) <= max_chars
        if not is_right or user is None or not user.is_active:
            self.failed_sign_ins.count_failure(pair)
            self.logger.warning("sign_in_refused", username=username[:64], client=client)
            raise Unauthenticated("The user name or the password is wrong.", code="credentials_invalid")
        self.failed_sign_ins.clear(pair)
        try:
            tokens = await self._start_session(user.user_id, stored_hash, new_hash)
        except StorageFull as error:
            # Whoever is to free the disk has to be able to sign in.
            tokens = await self._start_unstored(user.user_id, stored_hash)
            self.logger.warning("signed_in_without_session", user_id=user.user_id, reason=error.detail)
        if tokens is None:
            return await self(username, password, client)
        self.logger.info("signed_in", user_id=user.user_id, client=client)
        return tokens

    async def _start_session(
        self, user_id: int, checked_hash: str | None, new_hash: str | None
    ) -> TokenPair | None:
        """None when the password was changed after it was checked: the check has to be repeated."""
        now, session_id, key = self.clock.now(), uuid7(), await self.issuer.current_key()
        async with self.db.transaction() as session:
            current = await users.find_user(session, user_id, for_update=True)
            if current is None or not current.is_active:
                raise Unauthenticated("The user name or the password is wrong.", code="credentials_invalid")
            if await users.find_password_hash(session, user_id) != checked_hash:
                return None
            if new_hash is not None:
                await users.change_user(session, user_id, now=now, password_hash=new_hash)
            await sessions.start_session(
                session,
                session_id=session_id,
                user_id=user_id,
                now=now,
                expires_at=self.issuer.session_expiry(now),
            )
            return await self.issuer.issue(session, current, session_id, now, key)

    async def _start_unstored(self, user_id: int, checked_hash: str | None) -> TokenPair | None:
        """As `_start_session`, without a write."""
        now, key = self.clock.now(), await self.issuer.current_key()
        async with self.db.reading() as session:
            current = await users.find_user(session, user_id)
            if current is None or not current.is_active:
                raise Unauthenticated("The user name or the password is wrong.", code="credentials_invalid")
            if await users.find_password_hash(session, user_id) != checked_hash:
                return None
            tokens, token_id, expires_at = await self.issuer.issue_unstored(session, current, now, key)
        self.unstored.add(token_id, user_id, expires_at)
        return tokens
