"""The schema goes up and down on both databases and is the one in the code."""

from sqlalchemy import inspect

from kit.db import Database
from kit.migrations import check, downgrade, upgrade
from kit.settings import DatabaseSettings


async def tables(settings: DatabaseSettings) -> set[str]:
    db = Database(settings, "tickets")
    async with db.engine.connect() as connection:
        names = await connection.run_sync(lambda sync: set(inspect(sync).get_table_names()))
    await db.stop()
    return names - {"alembic_version", "sqlite_sequence"}


async def test_up_down_and_up_again(any_database: str) -> None:
    settings = DatabaseSettings(url=any_database)
    await upgrade(settings, "tickets")
    await check(settings, "tickets")
    assert await tables(settings) == {"tickets", "triggers", "reviews", "cameras", "spots", "inbox", "outbox"}
    await downgrade(settings, "tickets", "base")
    assert await tables(settings) == set()
    await upgrade(settings, "tickets")
    await check(settings, "tickets")
