"""A signed-in user sets a new password for themselves."""

from collections.abc import Callable
from dataclasses import dataclass

from gateway.domain.passwords import PasswordHasher, PasswordRules
from gateway.handlers.account_rules import check_password, load_user
from gateway.handlers.failed_sign_ins import FailedSignInCounter
from gateway.store import sessions, users
from kit.auth import Principal
from kit.clock import Clock
from kit.db import Database
from kit.errors import FieldError, Forbidden


@dataclass(frozen=True, slots=True)
class ChangeOwnPassword:
    """`clear_token_cache` is called after tokens were revoked, so that they are refused at once."""

    db: Database
    passwords: PasswordHasher
    password_rules: PasswordRules
    failed_sign_ins: FailedSignInCounter
    clock: Clock
    clear_token_cache: Callable[[], None]

    async def __call__(self, caller: Principal, current: str, new: str, client: str) -> None:
        """Set it, and end all sessions of the user. Wrong passwords are counted as at a sign-in from the address
        `client`: who finds an open session must not guess the password with it.

        Raises:
            Forbidden: the present password is wrong.
            Invalid: the new password breaks the rules.
            NotFound: the user was deleted meanwhile.
            RateLimited: too many wrong passwords.
        """
        check_password(new, caller.username, self.password_rules, field="new_password")
        pair = (f"own password of {caller.user_id}", client)
        self.failed_sign_ins.check(pair)
        async with self.db.reading() as session:
            stored_hash = await users.find_password_hash(session, caller.user_id)
        max_chars = self.password_rules.max_chars
        is_right, _ = await self.passwords.verify(current[:max_chars], stored_hash)
        if not is_right or len(current) > max_chars:
            self.failed_sign_ins.count_failure(pair)
            raise Forbidden(
                "The present password is wrong.",
                code="password_wrong",
                errors=(FieldError("current_password", "is wrong"),),
            )
        self.failed_sign_ins.clear(pair)
        new_hash = await self.passwords.hash(new)
        now = self.clock.now()
        async with self.db.transaction() as session:
            await load_user(session, caller.user_id, for_update=True)
            await users.change_user(session, caller.user_id, now=now, password_hash=new_hash)
            await sessions.end_user_sessions(session, caller.user_id, now)
        self.clear_token_cache()
