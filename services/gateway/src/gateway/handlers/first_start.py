"""What a gateway's database must hold before anybody can sign in."""

import secrets
from collections.abc import Callable
from dataclasses import dataclass

from gateway.adapters.passwords import Passwords
from gateway.adapters.signing import new_key
from gateway.domain.access import BUILT_IN_PERMISSIONS, SUPERADMIN
from gateway.store import keys, roles, users
from kit.clock import Clock
from kit.db import Database
from kit.secrets import SecretBox

GENERATED_PASSWORD_BYTES = 12


@dataclass(frozen=True, slots=True)
class FirstStart:
    """Makes what is missing: permissions, the superadmin role and user, a signing key. Safe to repeat.

    `announce` is given the text with a made-up password, once: it goes to the terminal and to no log.
    """

    db: Database
    passwords: Passwords
    secret_box: SecretBox
    clock: Clock
    given_password: str
    announce: Callable[[str], None]

    async def __call__(self) -> None:
        """Of several replicas that start together one makes it, the others find it made.

        Raises:
            Unavailable: the database is away.
        """
        async with self.db.reading() as session:
            is_new = await users.count_users(session) == 0
        password = self.given_password or secrets.token_urlsafe(GENERATED_PASSWORD_BYTES)
        password_hash = await self.passwords.hash(password) if is_new else ""
        is_made = False
        async with self.db.transaction() as session:
            await self.db.advisory_lock(session, "gateway.first_start")
            existing = await roles.permission_names(session)
            for name, description in BUILT_IN_PERMISSIONS:
                if name not in existing:
                    await roles.add_permission(session, name=name, description=description, is_built_in=True)
            role_id = await roles.find_role_id(session, SUPERADMIN)
            if role_id is None:
                role_id = await roles.add_role(session, name=SUPERADMIN, is_built_in=True)
            now = self.clock.now()
            if is_new and await users.count_users(session) == 0:
                await users.add_user(
                    session, username=SUPERADMIN, password_hash=password_hash, role_ids=[role_id], now=now
                )
                is_made = True
            if not await keys.list_keys(session, self.secret_box):
                await keys.add_key(session, new_key(now, signs_from=now), self.secret_box)
        if is_made and not self.given_password:
            self.announce(
                f"\n  The first user has been made: {SUPERADMIN}\n"
                f"  Password, shown this once:    {password}\n"
            )
