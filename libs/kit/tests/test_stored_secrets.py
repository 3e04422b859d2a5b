"""Encryption of stored secrets with a new key, on both databases."""

from collections.abc import AsyncIterator

import pytest
from sqlalchemy import Column, Identity, Table, Text, insert, select, update

from kit.db import BigIntId, Database, new_metadata
from kit.secrets import DecryptionError, SecretBox
from kit.settings import DatabaseSettings
from kit.stored_secrets import re_encrypt

pytestmark = pytest.mark.integration

OLD_KEY, NEW_KEY = "a key of some length", "another key of length"
OLD, BOTH, NEW = (SecretBox(keys, purpose="x") for keys in (OLD_KEY, f"{NEW_KEY},{OLD_KEY}", NEW_KEY))

metadata = new_metadata()
accounts = Table(
    "accounts",
    metadata,
    Column("account_id", BigIntId, Identity(), primary_key=True),
    Column("password", Text, nullable=False),
    Column("token", Text, nullable=False),
)
COLUMNS = (accounts.c.password, accounts.c.token)


@pytest.fixture
async def db(any_database: str) -> AsyncIterator[Database]:
    db = Database(DatabaseSettings(url=any_database), "test")
    await db.start()
    async with db.transaction() as session:
        await (await session.connection()).run_sync(metadata.create_all)
        for number in range(3):
            row = {"password": OLD.encrypt(f"password {number}"), "token": ""}
            await session.execute(insert(accounts).values(**row))
        row = {"password": BOTH.encrypt("password 3"), "token": OLD.encrypt("token 3")}
        await session.execute(insert(accounts).values(**row))
    yield db
    await db.stop()


async def stored(db: Database) -> list[tuple[str, str]]:
    async with db.reading() as session:
        rows = (await session.execute(select(*COLUMNS).order_by(accounts.c.account_id))).all()
    return [(row.password, row.token) for row in rows]


async def test_afterwards_the_old_key_is_not_needed(db: Database) -> None:
    assert await re_encrypt(db, BOTH, COLUMNS) == 4
    rows = await stored(db)
    assert [NEW.decrypt(password) for password, _ in rows] == [f"password {number}" for number in range(4)]
    assert [token and NEW.decrypt(token) for _, token in rows] == ["", "", "", "token 3"]


async def test_a_second_run_changes_nothing(db: Database) -> None:
    await re_encrypt(db, BOTH, COLUMNS)
    rows = await stored(db)
    assert await re_encrypt(db, BOTH, COLUMNS) == 0
    assert await stored(db) == rows


async def test_one_text_that_no_key_decrypts_leaves_all_unchanged(db: Database) -> None:
    async with db.transaction() as session:
        await session.execute(update(accounts).where(accounts.c.account_id == 4).values(token="gAAAA"))
    rows = await stored(db)
    with pytest.raises(DecryptionError):
        await re_encrypt(db, BOTH, COLUMNS)
    assert await stored(db) == rows
