"""Signing keys at rest."""

from collections.abc import Collection

from sqlalchemy import delete, insert, select
from sqlalchemy.ext.asyncio import AsyncSession

from gateway.domain.keys import SigningKey
from gateway.store.tables import signing_keys
from kit.secrets import Sealer


async def list_keys(session: AsyncSession, sealer: Sealer) -> list[SigningKey]:
    """All signing keys, opened.

    Raises:
        kit.secrets.SealBroken: they were sealed under a key that is gone.
    """
    rows = (await session.execute(select(signing_keys))).mappings()
    return [
        SigningKey(row["kid"], sealer.open(row["private_key"]), row["created_at"], row["signs_from"])
        for row in rows
    ]


async def add_key(session: AsyncSession, key: SigningKey, sealer: Sealer) -> None:
    """Store a key, sealed."""
    await session.execute(
        insert(signing_keys).values(
            kid=key.kid,
            private_key=sealer.seal(key.private_pem),
            created_at=key.created_at,
            signs_from=key.signs_from,
        )
    )


async def delete_keys(session: AsyncSession, kids: Collection[str]) -> None:
    """Delete keys that no valid token is signed with."""
    await session.execute(delete(signing_keys).where(signing_keys.c.kid.in_(kids)))
