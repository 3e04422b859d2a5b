import pytest
from sqlalchemy import text

from kit import migrations
from kit.db import Database
from kit.settings import DatabaseSettings

pytestmark = pytest.mark.integration


async def test_migrations_upgrade_and_downgrade_and_match_the_tables(any_database):
    settings = DatabaseSettings(url=any_database)
    await migrations.upgrade(settings, "gateway")
    await migrations.check(settings, "gateway")
    await migrations.downgrade(settings, "gateway", "base")
    db = Database(settings, "test")
    async with db.reading() as session:
        tables = "SELECT tablename FROM pg_tables WHERE schemaname = 'public'"
        if db.dialect == "sqlite":
            tables = "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'"
        left = set(await session.scalars(text(tables)))
    await db.stop()
    assert left <= {"alembic_version"}
    await migrations.upgrade(settings, "gateway")
