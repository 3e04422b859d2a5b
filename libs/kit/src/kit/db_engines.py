"""The engines behind `kit.db`: how PostgreSQL and SQLite are connected to, and what a connection keeps to."""

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
"""psycopg's own default: a statement seen five times on a connection is parsed only once from then on."""

_background: set[asyncio.Task[None]] = set()  # the loop itself holds its tasks only weakly
_ENDING = "ending"  # in a connection's `info`: the task that ends what a cancelled one began


def _options(settings: DatabaseSettings) -> dict[str, Any]:
    return {
        "max_overflow": 0,
        # A caller waits as long for a connection in use as for a server that does not pick up.
        "pool_timeout": settings.connect_timeout_s,
        "pool_use_lifo": True,  # the spare ones age out at the server's side first
        # Sessions end their transactions themselves; a rollback more costs SQLite a trip to its thread.
        "pool_reset_on_return": None,
        "hide_parameters": True,  # an error's text reaches the log; rows hold secrets and pictures
        "json_serializer": lambda value: orjson.dumps(value).decode(),
        "json_deserializer": orjson.loads,
    }


def postgres_connect_args(settings: DatabaseSettings, name: str) -> dict[str, Any]:
    """What libpq is told. Sent with the connection's first packet: no statement is spent on it."""
    timeout_ms = round(settings.statement_timeout_s * 1000)
    return {
        "application_name": f"lookout-{name}",
        "connect_timeout": max(2, round(settings.connect_timeout_s)),  # libpq's least
        "options": f"-c statement_timeout={timeout_ms} -c timezone=UTC",
        "prepare_threshold": PREPARE_AFTER_EXECUTIONS,
        # A server whose host vanished sends no goodbye; without these a query waits for a quarter of an hour.
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
        use_native_hstore=False,  # saves a look-up of a type that nobody uses here
        **_options(settings),
    )
    event.listen(engine.sync_engine, "checkout", _refuse_dead_connection)
    return engine


def _refuse_dead_connection(dbapi_connection: Any, _record: Any, _proxy: Any) -> None:
    """A pre-ping without the round trip.

    An idle PostgreSQL connection has nothing to say: bytes (or an end of file) waiting on its socket are the
    server's goodbye. The pool then opens a fresh connection, and a restart of the server costs no request.
    """
    poller = select.poll()
    try:
        poller.register(dbapi_connection.driver_connection.pgconn.socket, select.POLLIN | select.POLLHUP)
        is_dead = bool(poller.poll(0))
    except Exception as error:  # psycopg raises a class of its own for a closed connection
        raise DisconnectionError("closed") from error
    if is_dead:
        raise DisconnectionError("the server hung up")


def sqlite_engine(url: URL, settings: DatabaseSettings, *, pool_size: int, is_writer: bool) -> AsyncEngine:
    engine = create_async_engine(
        url.set(drivername="sqlite+aiosqlite"),
        pool_size=pool_size,
        # isolation_level None: the driver begins nothing by itself; `begin` below does.
        connect_args={"timeout": settings.connect_timeout_s, "isolation_level": None},
        **_options(settings),
    )

    def probe(*_: Any) -> None:
        # aiosqlite's thread dies noisily when the event loop ends right after a file that cannot be opened.
        sqlite3.connect(str(url.database)).close()

    def set_up(dbapi_connection: Any, _record: Any) -> None:
        cursor = dbapi_connection.cursor()
        for pragma in sqlite_pragmas(is_writer=is_writer):
            cursor.execute(pragma)
        cursor.close()

    statement = "BEGIN IMMEDIATE" if is_writer else "BEGIN"

    def begin(connection: Any) -> None:
        # To the driver itself: one trip to its thread, where a statement through SQLAlchemy is three.
        connection.connection.dbapi_connection.run_async(
            lambda driver: _begin_in_driver(driver, statement, connection.info)
        )

    event.listen(engine.sync_engine, "do_connect", probe)
    event.listen(engine.sync_engine, "connect", set_up)
    event.listen(engine.sync_engine, "begin", begin)
    event.listen(engine.sync_engine, "close", _roll_back_before_close)
    return engine


async def _begin_in_driver(driver: Any, statement: str, info: dict[Any, Any]) -> None:
    """Begin, once what a cancelled task began on this connection has ended; `info` is the connection's."""
    ending: asyncio.Task[None] | None = info.get(_ENDING)
    if ending is not None and not ending.done():
        # Waited for here, so that at most one abandoned BEGIN is in the driver's queue: while another process
        # holds the lock each of them would take the whole timeout, one after the other.
        await asyncio.wait({ending})
    try:
        await driver.execute(statement)
    except asyncio.CancelledError:
        # Its thread begins all the same, and nobody else knows that there is something to end. Not waited for:
        # a BEGIN that waits for the lock cannot be called back, and the cancelled one has no more time.
        info[_ENDING] = _roll_back_soon(driver)
        raise


def _roll_back_soon(driver: Any) -> asyncio.Task[None]:
    """Roll back in the background, after what the driver's thread has in hand.

    Raises:
        RuntimeError: no event loop runs any more.
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
    with suppress(RuntimeError):  # no event loop any more: the process is ending
        _roll_back_soon(dbapi_connection.driver_connection)


def sqlite_pragmas(*, is_writer: bool) -> tuple[str, ...]:
    """Durable (a commit is on the disk when it returns) and readable while it is written."""
    pragmas = ("PRAGMA journal_mode=WAL", "PRAGMA synchronous=FULL", "PRAGMA foreign_keys=ON")
    return pragmas if is_writer else (*pragmas, "PRAGMA query_only=ON")
