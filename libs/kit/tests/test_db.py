import asyncio
import errno
import socket
import sqlite3
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta, timezone
from io import StringIO
from pathlib import Path

import orjson
import pytest
from sqlalchemy import (
    Column,
    ForeignKey,
    Identity,
    Table,
    Text,
    func,
    insert,
    select,
    text,
    update,
)
from sqlalchemy.exc import DBAPIError, IntegrityError, ProgrammingError, StatementError

from kit.db import (
    BigIntId,
    Database,
    JsonDocument,
    UtcDateTime,
    after_commit,
    database_fault,
    new_metadata,
)
from kit.errors import Conflict, NotFound, StorageFull, Unavailable
from kit.logging import Logger, make_logger
from kit.settings import DatabaseSettings, LogSettings
from testkit import eventually

pytestmark = pytest.mark.integration

metadata = new_metadata()
spots = Table(
    "spots",
    metadata,
    Column("spot_id", BigIntId, Identity(), primary_key=True),
    Column("name", Text, unique=True),
    Column("seen_at", UtcDateTime),
    Column("document", JsonDocument),
    Column("next_id", BigIntId, ForeignKey("spots.spot_id")),
    sqlite_autoincrement=True,
)


def settings(url: str, **changes) -> DatabaseSettings:
    return DatabaseSettings(url=url, **({"connect_timeout_s": 2, "statement_timeout_s": 5} | changes))


async def opened(url: str, logger: Logger | None = None, **changes) -> Database:
    db = Database(settings(url, **changes), "test", logger=logger)
    await db.start()
    async with db.engine.begin() as connection:
        await connection.run_sync(metadata.create_all)
    return db


@pytest.fixture
async def db(any_database: str) -> AsyncIterator[Database]:
    db = await opened(any_database)
    yield db
    await db.stop()


@pytest.fixture
async def postgres_db(postgres_url: str) -> AsyncIterator[Database]:
    db = await opened(postgres_url)
    yield db
    await db.stop()


@pytest.fixture
async def sqlite_db(sqlite_url: str) -> AsyncIterator[Database]:
    db = await opened(sqlite_url)
    yield db
    await db.stop()


async def add(db: Database, name: str, **values) -> int:
    async with db.transaction() as session:
        result = await session.execute(insert(spots).values(name=name, **values).returning(spots.c.spot_id))
        return result.scalar_one()


async def names(db: Database) -> list[str]:
    async with db.reading() as session:
        return list(await session.scalars(select(spots.c.name).order_by(spots.c.spot_id)))


async def test_a_block_commits_whole_or_not_at_all(db: Database):
    assert await add(db, "a") == 1
    for error in (RuntimeError, Conflict):
        with pytest.raises(error):  # noqa: PT012 - the block's end is the point
            async with db.transaction() as session:
                await session.execute(insert(spots).values(name="b"))
                raise error("no")
    assert await names(db) == ["a"]


async def test_a_refused_row_is_an_integrity_error_and_the_next_block_works(db: Database):
    await add(db, "a")
    with pytest.raises(IntegrityError):
        await add(db, "a")
    with pytest.raises(IntegrityError):
        await add(db, "c", next_id=99)
    await add(db, "b")
    assert await names(db) == ["a", "b"]


async def test_a_wrong_statement_is_not_an_outage(db: Database):
    with pytest.raises(DBAPIError) as caught:
        async with db.reading() as session:
            await session.execute(text("SELECT nothing FROM nowhere"))
    assert type(caught.value).__module__.startswith("sqlalchemy")


async def test_a_failed_callback_after_the_commit_neither_fails_it_nor_skips_the_others(any_database: str):
    log = StringIO()
    db = await opened(any_database, logger=make_logger("test", LogSettings(), stream=log))
    calls: list[str] = []

    def fail() -> None:
        raise RuntimeError("no subscriber")

    async with db.transaction() as session:
        await session.execute(insert(spots).values(name="a"))
        after_commit(session, fail)
        after_commit(session, lambda: calls.append("second"))
    assert await names(db) == ["a"]
    assert calls == ["second"]
    [line] = map(orjson.loads, log.getvalue().splitlines())
    assert (line["event"], line["level"]) == ("callback after commit failed", "error")
    assert "no subscriber" in line["exception"]
    await db.stop()


async def test_reading_cannot_write(db: Database):
    with pytest.raises(DBAPIError):
        async with db.reading() as session:
            await session.execute(insert(spots).values(name="a"))
    assert await names(db) == []
    await add(db, "b")  # the connection's next user may


async def test_reading_continues_while_another_connection_writes(db: Database):
    await add(db, "a")
    async with db.transaction() as session:
        await session.execute(insert(spots).values(name="b"))
        assert await names(db) == ["a"]
    assert await names(db) == ["a", "b"]


async def test_writers_that_read_first_lose_nothing(db: Database):
    await add(db, "0")

    async def increment() -> None:
        async with db.transaction() as session:
            await db.advisory_lock(session, "counter")
            value = int((await session.execute(select(spots.c.name))).scalar_one())
            await session.execute(update(spots).values(name=str(value + 1)))

    await asyncio.gather(*(increment() for _ in range(20)))
    assert await names(db) == ["20"]


async def test_writers_of_several_processes_lose_nothing(sqlite_url: str):
    first, second = await opened(sqlite_url), Database(settings(sqlite_url), "second")
    await add(first, "0")

    async def increment(db: Database) -> None:
        async with db.transaction() as session:
            value = int((await session.execute(select(spots.c.name))).scalar_one())
            await asyncio.sleep(0)  # lets the other one in between, if it could
            await session.execute(update(spots).values(name=str(value + 1)))

    await asyncio.gather(*(increment(db) for db in (first, second) * 5))
    assert await names(first) == ["10"]
    await first.stop()
    await second.stop()


async def test_an_advisory_lock_is_held_to_the_end_of_its_transaction(postgres_db: Database):
    db = postgres_db
    async with db.transaction() as first:
        assert await db.try_advisory_lock(first, "relay")
        async with db.transaction() as second:
            assert not await db.try_advisory_lock(second, "relay")
            assert await db.try_advisory_lock(second, "another")
    async with db.transaction() as third:
        assert await db.try_advisory_lock(third, "relay")


async def test_instants_are_read_aware_in_utc_and_in_order(db: Database):
    dubai = timezone(timedelta(hours=4))
    instants = [
        datetime(2026, 3, 14, 12, 30, tzinfo=dubai),
        datetime(2026, 3, 14, 8, 30, 0, 1, tzinfo=UTC),
        datetime(2026, 3, 14, 8, 31, tzinfo=UTC),
    ]
    for number, instant in enumerate(reversed(instants)):
        await add(db, str(number), seen_at=instant)
    await add(db, "none")
    async with db.reading() as session:
        seen = spots.c.seen_at
        found = list(await session.scalars(select(seen).where(seen >= instants[0]).order_by(seen)))
        missing = await session.scalar(select(seen).where(spots.c.name == "none"))
    assert found == instants
    assert all(instant.tzinfo is UTC for instant in found)
    assert missing is None


async def test_a_naive_datetime_is_refused(db: Database):
    with pytest.raises(StatementError, match="time zone"):
        await add(db, "a", seen_at=datetime(2026, 3, 14))  # noqa: DTZ001 - what must not get in


async def test_json_documents_are_read_as_written(db: Database):
    document = {"corners": [[1, 2.5], [3, 4]], "text": "لوحة", "none": None, "big": 2**53}
    await add(db, "a", document=document)
    await add(db, "b", document=None)
    async with db.reading() as session:
        found = list(await session.scalars(select(spots.c.document).order_by(spots.c.spot_id)))
        nulls = await session.scalar(select(func.count()).where(spots.c.document.is_(None)))
        inside = await session.scalar(
            select(spots.c.name).where(spots.c.document["text"].as_string() == "لوحة")
        )
    assert found == [document, None]
    assert nulls == 1
    assert inside == "a"


async def test_ids_are_unique(db: Database):
    first = await add(db, "a")
    async with db.transaction() as session:
        await session.execute(spots.delete())
    assert await add(db, "b") == first + 1


async def test_ping(db: Database):
    assert (await db.ping()).ok


async def test_a_service_starts_while_the_server_is_unavailable(tmp_path: Path):
    db = Database(settings("postgresql://nobody@127.0.0.1:1/none", retry_after_s=9), "test")
    await db.start()
    with pytest.raises(Unavailable) as caught:
        await db.ping()
    assert (caught.value.code, caught.value.retry_after_s) == ("database_unavailable", 9)
    with pytest.raises(Unavailable):
        await add(db, "a")
    await db.stop()


async def test_a_hanging_server_is_unavailable_after_the_timeout():
    with socket.create_server(("127.0.0.1", 0)) as listener:  # takes connections and never says a word
        port = listener.getsockname()[1]
        db = Database(settings(f"postgresql://nobody@127.0.0.1:{port}/none", connect_timeout_s=0.1), "test")
        with pytest.raises(Unavailable):
            await db.ping()
        await db.stop()


async def test_no_request_fails_after_a_restart_of_the_server(private_postgres_server):
    postgres_server = private_postgres_server
    db = await opened(postgres_server.fresh_database(), pool_size=3)
    await asyncio.gather(*(add(db, f"before {number}") for number in range(3)))
    postgres_server.stop()
    try:
        with pytest.raises(Unavailable) as caught:
            await add(db, "lost")
        assert caught.value.code == "database_unavailable"
    finally:
        postgres_server.start()
    for number in range(3):
        await add(db, f"after {number}")
    postgres_server.stop()
    postgres_server.start()
    await asyncio.gather(*(add(db, f"again {number}") for number in range(3)))
    assert len(await names(db)) == 9
    await db.stop()


async def test_a_killed_server_keeps_what_was_committed(private_postgres_server):
    postgres_server = private_postgres_server
    db = await opened(postgres_server.fresh_database())
    await add(db, "kept")
    try:
        with pytest.raises(Unavailable):  # noqa: PT012 - the block's end is the point
            async with db.transaction() as session:
                await session.execute(insert(spots).values(name="torn"))
                postgres_server.kill()
    finally:
        postgres_server.start()
    assert await names(db) == ["kept"]
    await db.stop()


async def test_a_slow_statement_is_cancelled(postgres_url: str):
    db = await opened(postgres_url, statement_timeout_s=0.1)
    with pytest.raises(Unavailable):
        async with db.reading() as session:
            await session.execute(select(func.pg_sleep(5)))
    assert (await db.ping()).ok
    await db.stop()


async def test_a_deadlock_is_a_conflict_that_may_be_repeated(postgres_db: Database):
    db = postgres_db
    await add(db, "a")
    await add(db, "b")
    has_locked = asyncio.Barrier(2)

    async def lock(first: int, second: int) -> str | None:
        try:
            async with db.transaction() as session:
                await session.execute(update(spots).where(spots.c.spot_id == first).values(document=1))
                await has_locked.wait()
                await session.execute(update(spots).where(spots.c.spot_id == second).values(document=2))
        except Unavailable as error:
            return error.code
        return None

    outcomes = await asyncio.gather(lock(1, 2), lock(2, 1))
    assert sorted(outcomes, key=str) == [None, "transaction_conflict"]


async def test_a_pool_in_use_is_busy(any_database: str):
    db = await opened(any_database, pool_size=1, connect_timeout_s=0.1)
    async with db.transaction() as session:
        await session.execute(select(1))
        with pytest.raises(Unavailable) as caught:
            await add(db, "a")
    assert caught.value.code == "database_busy"
    await db.stop()


async def test_another_process_holding_the_write_lock_is_busy(sqlite_url: str):
    db = await opened(sqlite_url, connect_timeout_s=0.1)
    with sqlite3.connect(sqlite_url.removeprefix("sqlite:///"), isolation_level=None) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(Unavailable) as caught:
            await add(db, "a")
        assert caught.value.code == "database_busy"
        assert await names(db) == []
        other.execute("COMMIT")
    other.close()
    await add(db, "a")
    await db.stop()


async def test_a_full_disk_is_storage_full(sqlite_db: Database):
    async with sqlite_db.transaction() as session:
        pages = await session.scalar(text("PRAGMA page_count"))
        await session.execute(text(f"PRAGMA max_page_count={pages}"))
    with pytest.raises(StorageFull) as caught:
        await add(sqlite_db, "x" * 1_000_000)
    assert caught.value.code == "database_full"
    assert await names(sqlite_db) == []


async def test_a_full_disk_inside_a_block_is_storage_full(db: Database):
    with pytest.raises(StorageFull):  # noqa: PT012 - the block's end is the point
        async with db.transaction() as session:
            await session.execute(insert(spots).values(name="a"))
            raise OSError(errno.ENOSPC, "No space left on device")
    assert await names(db) == []


async def test_a_read_only_server_is_unavailable(postgres_db: Database):
    with pytest.raises(Unavailable) as caught:  # noqa: PT012 - the block's end is the point
        async with postgres_db.transaction() as session:
            await session.execute(text("SET TRANSACTION READ ONLY"))
            await session.execute(insert(spots).values(name="a"))
    assert caught.value.code == "database_read_only"


async def test_a_folder_that_cannot_be_created_is_an_error_at_the_first_use(tmp_path: Path):
    (tmp_path / "file").touch()
    db = Database(settings(f"sqlite:///{tmp_path}/file/x.db"), "test")
    await db.start()
    with pytest.raises(Unavailable):
        await db.ping()
    await db.stop()


async def test_sqlite_is_durable_and_checks_foreign_keys(sqlite_db: Database):
    async with sqlite_db.transaction() as session:
        pragmas = [
            (await session.execute(text(f"PRAGMA {name}"))).scalar_one()
            for name in ("journal_mode", "synchronous", "foreign_keys")
        ]
    assert pragmas == ["wal", 2, 1]


async def test_cancelled_in_the_middle_the_connection_is_usable_again(any_database: str):
    db = await opened(any_database, pool_size=1)
    is_inside = asyncio.Event()

    async def hold() -> None:
        async with db.transaction() as session:
            await session.execute(insert(spots).values(name="a"))
            is_inside.set()
            await asyncio.Event().wait()

    task = asyncio.create_task(hold())
    await is_inside.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await add(db, "b")
    assert await names(db) == ["b"]
    await db.stop()


async def test_cancelled_while_a_statement_runs(postgres_url: str):
    db = await opened(postgres_url, pool_size=1)
    other = Database(settings(postgres_url), "test")

    async def sleep() -> None:
        async with db.transaction() as session:
            await session.execute(select(func.pg_sleep(60)))

    async def is_running() -> bool:
        running = "SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND query LIKE '%pg_sleep%'"
        async with other.reading() as session:
            return (await session.scalar(text(f"{running} AND pid <> pg_backend_pid()"))) > 0

    task = asyncio.create_task(sleep())
    await eventually(is_running)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await add(db, "b")
    await db.stop()
    await other.stop()


async def test_a_handlers_own_errors_are_unchanged(db: Database):
    with pytest.raises(NotFound, match="no such spot"):  # noqa: PT012 - the block's end is the point
        async with db.transaction() as session:
            await session.execute(select(1))
            raise NotFound("no such spot")


@pytest.mark.parametrize("url", ["sqlite://", "sqlite:///:memory:", "mysql://a@b/c"])
def test_other_urls_are_refused(url: str):
    with pytest.raises(ValueError, match="SQLite file"):
        Database(DatabaseSettings.model_construct(url=url, pool_size=1), "test")


def test_errors_that_are_not_outages_are_unchanged():
    assert database_fault(ProgrammingError("s", {}, Exception()), retry_after_s=1) is None
    assert database_fault(OSError(errno.ENOENT, "no file"), retry_after_s=1) is None
    assert database_fault(RuntimeError(), retry_after_s=1) is None


@pytest.mark.parametrize("switches", range(12))
async def test_a_task_cancelled_while_it_begins_leaves_the_connection_usable(
    sqlite_db: Database, switches: int
):
    async def work():
        async with sqlite_db.transaction() as session:
            await session.execute(text("SELECT 1"))
            await asyncio.Event().wait()

    task = asyncio.create_task(work())
    for _ in range(switches):  # cancelled at each of the places where it waits
        await asyncio.sleep(0)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert await add(sqlite_db, "after") > 0


async def test_a_task_cancelled_while_it_waits_for_the_lock_does_not_keep_it(
    sqlite_db: Database, sqlite_url: str
):
    other = sqlite3.connect(sqlite_url.removeprefix("sqlite:///"), isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    task = asyncio.create_task(add(sqlite_db, "never"))
    await asyncio.sleep(0.2)  # nothing outside shows that its BEGIN waits; cancelled earlier, it passes too
    task.cancel()  # its BEGIN is waiting in the driver's thread and cannot be called back
    asyncio.get_running_loop().call_later(0.2, other.rollback)
    await asyncio.gather(task, return_exceptions=True)
    assert await add(sqlite_db, "after") > 0
    assert await names(sqlite_db) == ["after"]
    other.close()


async def test_a_task_cancelled_while_it_waits_for_the_lock_ends_at_once(sqlite_url: str):
    db = await opened(sqlite_url, connect_timeout_s=3)
    other = sqlite3.connect(sqlite_url.removeprefix("sqlite:///"), isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    task = asyncio.create_task(add(db, "never"))
    await asyncio.sleep(0.2)  # nothing outside shows that its BEGIN waits; cancelled earlier, it passes too
    task.cancel()
    _, late = await asyncio.wait({task}, timeout=1)
    assert not late
    other.rollback()
    assert await add(db, "after") > 0
    assert await names(db) == ["after"]
    other.close()
    await db.stop()


async def test_tasks_cancelled_one_after_the_other_do_not_make_the_next_wait_for_all_of_them(sqlite_url: str):
    db = await opened(sqlite_url, connect_timeout_s=0.5)
    other = sqlite3.connect(sqlite_url.removeprefix("sqlite:///"), isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    for _ in range(10):
        task = asyncio.create_task(add(db, "never"))
        await asyncio.sleep(0.02)  # as above
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    async with asyncio.timeout(3):  # what is abandoned, and its own
        with pytest.raises(Unavailable) as caught:
            await add(db, "never")
    assert caught.value.code == "database_busy"
    other.rollback()
    assert await add(db, "after") > 0
    assert await names(db) == ["after"]
    other.close()
    await db.stop()


async def test_a_task_cancelled_in_a_statement_does_not_keep_the_lock(sqlite_db: Database):
    slow = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1000000) SELECT count(*) FROM n"

    async def work():
        async with sqlite_db.transaction() as session:
            await session.execute(text(slow))  # its row is never fetched

    task = asyncio.create_task(work())
    await asyncio.sleep(0.1)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert await add(sqlite_db, "after") > 0
    assert await names(sqlite_db) == ["after"]
