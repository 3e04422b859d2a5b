"""Create what a new gateway database must contain before anybody can sign in."""

import secrets
from collections.abc import Callable
from dataclasses import dataclass

from gateway.domain.access import BUILT_IN_PERMISSIONS
from gateway.domain.accounts import SUPERADMIN
from gateway.domain.keys import TokenSigner
from gateway.domain.passwords import PasswordHasher
from gateway.store import keys, roles, users
from kit.clock import Clock
from kit.db import Database
from kit.secrets import SecretBox

GENERATED_PASSWORD_BYTES = 12


@dataclass(frozen=True, slots=True)
class CreateInitialData:
    """Creates what is missing: permissions, the superadmin role and user, a signing key. Safe to repeat.

    `print_text` gets the generated password once, for the terminal: it must not reach a log.
    """

    db: Database
    passwords: PasswordHasher
    secret_box: SecretBox
    signer: TokenSigner
    clock: Clock
    superadmin_password: str
    print_text: Callable[[str], None]

    async def __call__(self) -> None:
        """Of several replicas that start at the same time one creates the data.

        Raises:
            Unavailable: the database cannot be reached.
        """
        async with self.db.reading() as session:
            has_no_users = await users.count_users(session) == 0
        password = self.superadmin_password or secrets.token_urlsafe(GENERATED_PASSWORD_BYTES)
        # Before the transaction: hashing is slow, and the lock below would be held for that time.
        password_hash = await self.passwords.hash(password) if has_no_users else ""
        is_user_created = False
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
            if has_no_users and await users.count_users(session) == 0:
                await users.add_user(
                    session, username=SUPERADMIN, password_hash=password_hash, role_ids=[role_id], now=now
                )
                is_user_created = True
            if not await keys.list_keys(session, self.secret_box):
                await keys.add_key(session, self.signer.new_key(now, signs_from=now), self.secret_box)
        if is_user_created and not self.superadmin_password:
            self.print_text(
                f"\n  The first user was created: {SUPERADMIN}\n  Password, shown this once:    {password}\n"
            )
