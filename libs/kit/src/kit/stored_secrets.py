"""Encryption of stored secrets with a new key, so that an old one can be dropped from `secrets_key`."""

from collections.abc import Iterable

from sqlalchemy import Column, Table, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from kit.db import Database
from kit.secrets import SecretBox


async def re_encrypt(db: Database, box: SecretBox, columns: Iterable["Column[str]"]) -> int:
    """Encrypt with the first key what another one encrypted; returns how many texts that were.

    All in one transaction. The services that use the columns may be running, with the same keys.

    Raises:
        DecryptionError: a text was encrypted with none of the keys; nothing is changed.
        Unavailable: the database cannot be reached.
    """
    async with db.transaction() as session:
        return sum([await _re_encrypt_column(session, box, column) for column in columns])


async def _re_encrypt_column(session: AsyncSession, box: SecretBox, column: "Column[str]") -> int:
    table = column.table
    assert isinstance(table, Table)
    key = table.primary_key.columns
    changed = 0
    for *identity, encrypted in (await session.execute(select(*key, column).where(column != ""))).all():
        renewed = box.re_encrypt(encrypted)
        if renewed != encrypted:
            # Unless a service has replaced the secret since it was read here.
            is_same = [one == value for one, value in zip(key, identity, strict=True)]
            statement = update(table).where(*is_same, column == encrypted).values({column: renewed})
            changed += (await session.execute(statement.returning(*key))).first() is not None
    return changed
