"""The stored signing keys, encrypted."""

from collections.abc import Collection

from sqlalchemy import delete, insert, select
from sqlalchemy.ext.asyncio import AsyncSession

from gateway.domain.keys import SigningKey
from gateway.store.tables import signing_keys
from kit.secrets import SecretBox


async def list_keys(session: AsyncSession, secret_box: SecretBox) -> list[SigningKey]:
    """All signing keys, decrypted.

    Raises:
        kit.secrets.DecryptionError: they were encrypted with another secrets key.
    """
    rows = (await session.execute(select(signing_keys))).mappings()
    return [
        SigningKey(row["kid"], secret_box.decrypt(row["private_key"]), row["created_at"], row["signs_from"])
        for row in rows
    ]


async def add_key(session: AsyncSession, key: SigningKey, secret_box: SecretBox) -> None:
    """Store a key, encrypted."""
    await session.execute(
        insert(signing_keys).values(
            kid=key.kid,
            private_key=secret_box.encrypt(key.private_pem),
            created_at=key.created_at,
            signs_from=key.signs_from,
        )
    )


async def delete_keys(session: AsyncSession, kids: Collection[str]) -> None:
    """Delete keys that no valid token is signed with."""
    await session.execute(delete(signing_keys).where(signing_keys.c.kid.in_(kids)))
