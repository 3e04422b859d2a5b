"""The engines of `kit.db`: how connections to PostgreSQL and SQLite are made and configured."""

import asyncio
import select
import sqlite3
from contextlib import suppress
from typing import Any

import orjson
from sqlalchemy import URL, event
from sqlalchemy.exc import DisconnectionError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from kit.settings import DatabaseSettings

PREPARE_AFTER_EXECUTIONS = 5
"""psycopg's default: a statement executed five times on a connection is prepared from then on."""

_background: set[asyncio.Task[None]] = set()  # the event loop itself keeps only weak references to tasks
_ENDING = "ending"  # in a connection's `info`: the task that rolls back what a cancelled one began


def _options(settings: DatabaseSettings) -> dict[str, Any]:
    return {
        "max_overflow": 0,
        # Waiting for a connection in use ends when waiting for a server that does not answer would.
        "pool_timeout": settings.connect_timeout_s,
        "pool_use_lifo": True,  # so that spare connections stay idle and can be closed by the server
        # Sessions end their transactions themselves; another rollback is one more round trip to SQLite's thread.
        "pool_reset_on_return": None,
        "hide_parameters": True,  # error texts are logged, and parameters hold secrets
        "json_serializer": lambda value: orjson.dumps(value).decode(),
        "json_deserializer": orjson.loads,
    }


def postgres_connect_args(settings: DatabaseSettings, name: str) -> dict[str, Any]:
    """Options of libpq. They are sent with the first packet of a connection, so that they need no statement."""
    timeout_ms = round(settings.statement_timeout_s * 1000)
    return {
        "application_name": f"lookout-{name}",
        "connect_timeout": max(2, round(settings.connect_timeout_s)),  # libpq's minimum
        "options": f"-c statement_timeout={timeout_ms} -c timezone=UTC",
        "prepare_threshold": PREPARE_AFTER_EXECUTIONS,
        # Without these, a query waits 15 minutes for a server whose host has lost power or network.
        "keepalives_idle": 10,
        "keepalives_interval": 5,
        "keepalives_count": 3,
        "tcp_user_timeout": max(timeout_ms, 1000),
    }


def postgres_engine(url: URL, settings: DatabaseSettings, name: str) -> AsyncEngine:
    engine = create_async_engine(
        url.set(drivername="postgresql+psycopg"),
        pool_size=settings.pool_size,
        connect_args=postgres_connect_args(settings, name),
        use_native_hstore=False,  # saves a look-up of a type that is not used
        **_options(settings),
    )
    event.listen(engine.sync_engine, "checkout", _refuse_dead_connection)
    return engine


def _refuse_dead_connection(dbapi_connection: Any, _record: Any, _proxy: Any) -> None:
    """A pre-ping without the round trip.

    Nothing is received on an idle PostgreSQL connection, except when the server closes it. The pool then opens a new
    connection, and no request fails after a restart of the server.
    """
    poller = select.poll()
    try:
        poller.register(dbapi_connection.driver_connection.pgconn.socket, select.POLLIN | select.POLLHUP)
        is_dead = bool(poller.poll(0))
    except Exception as error:  # psycopg raises a class of its own for a closed connection
        raise DisconnectionError("closed") from error
    if is_dead:
        raise DisconnectionError("the server closed the connection")


def sqlite_engine(url: URL, settings: DatabaseSettings, *, pool_size: int, is_writer: bool) -> AsyncEngine:
    engine = create_async_engine(
        url.set(drivername="sqlite+aiosqlite"),
        pool_size=pool_size,
        # isolation_level None: the driver does not begin transactions by itself; `begin` below does.
        connect_args={"timeout": settings.connect_timeout_s, "isolation_level": None},
        **_options(settings),
    )

    def probe(*_: Any) -> None:
        # aiosqlite's thread prints a traceback when the event loop ends right after a file that cannot be opened.
        sqlite3.connect(str(url.database)).close()

    def set_up(dbapi_connection: Any, _record: Any) -> None:
        cursor = dbapi_connection.cursor()
        for pragma in sqlite_pragmas(is_writer=is_writer):
            cursor.execute(pragma)
        cursor.close()

    statement = "BEGIN IMMEDIATE" if is_writer else "BEGIN"

    def begin(connection: Any) -> None:
        # Directly on the driver: one round trip to its thread instead of three through SQLAlchemy.
        connection.connection.dbapi_connection.run_async(
            lambda driver: _begin_in_driver(driver, statement, connection.info)
        )

    event.listen(engine.sync_engine, "do_connect", probe)
    event.listen(engine.sync_engine, "connect", set_up)
    event.listen(engine.sync_engine, "begin", begin)
    event.listen(engine.sync_engine, "close", _roll_back_before_close)
    return engine


async def _begin_in_driver(driver: Any, statement: str, info: dict[Any, Any]) -> None:
    """Begin, after what a cancelled task began on this connection was rolled back. `info`: of the connection."""
    ending: asyncio.Task[None] | None = info.get(_ENDING)
    if ending is not None and not ending.done():
        # Waited for here, so that at most one abandoned BEGIN is in the driver's queue: while another process
        # holds the lock each of them would take the whole timeout, one after the other.
        await asyncio.wait({ending})
    try:
        await driver.execute(statement)
    except asyncio.CancelledError:
        # The thread begins all the same, and nothing else knows that it has to be rolled back. Not awaited: a BEGIN
        # that waits for the lock cannot be interrupted, and the cancelled task has to end.
        info[_ENDING] = _roll_back_soon(driver)
        raise


def _roll_back_soon(driver: Any) -> asyncio.Task[None]:
    """Roll back in the background, after what the driver's thread is doing.

    Raises:
        RuntimeError: no event loop is running.
    """

    async def roll_back() -> None:
        with suppress(Exception):  # closed already, or never opened: then there is nothing to roll back
            await driver.rollback()

    _background.add(task := asyncio.get_running_loop().create_task(roll_back()))
    task.add_done_callback(_background.discard)
    return task


def _roll_back_before_close(dbapi_connection: Any, _record: Any) -> None:
    """SQLite keeps the transaction, and with it the write lock, of a closed connection that has live statements.

    A task that was cancelled in a statement leaves such a connection behind: the pool closes it, and without
    this it stays locked until the garbage collector finds the statement's cursor.
    """
    with suppress(RuntimeError):  # no event loop: the process is ending
        _roll_back_soon(dbapi_connection.driver_connection)


def sqlite_pragmas(*, is_writer: bool) -> tuple[str, ...]:
    """Durable (a commit is on disk when it returns), and readers do not wait for the writer."""
    pragmas = ("PRAGMA journal_mode=WAL", "PRAGMA synchronous=FULL", "PRAGMA foreign_keys=ON")
    return pragmas if is_writer else (*pragmas, "PRAGMA query_only=ON")
