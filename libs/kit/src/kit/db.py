"""One relational database of a service: PostgreSQL, or SQLite when embedded.

The same on both: `transaction()` commits all or nothing, `reading()` takes no write lock, and callers see three
kinds of errors: `Unavailable` (retry), `StorageFull` (an operator must act) and SQLAlchemy's own (constraint, bug).
"""

import errno
import hashlib
import shutil
import sqlite3
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager, suppress
from contextvars import copy_context
from enum import Enum
from pathlib import Path
from typing import Literal

import psycopg
from sqlalchemy import func, make_url, text
from sqlalchemy import select as sql_select
from sqlalchemy.exc import DBAPIError, IntegrityError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker

from kit.columns import NAMING, BigIntId, JsonDocument, UtcDateTime, new_metadata
from kit.db_engines import postgres_engine, sqlite_engine
from kit.db_tracing import trace_statements
from kit.errors import LookoutError, StorageFull, Unavailable
from kit.health import CheckResult
from kit.logging import Logger, make_logger
from kit.settings import DatabaseSettings, LogSettings

__all__ = [
    "NAMING",
    "BigIntId",
    "Database",
    "JsonDocument",
    "UtcDateTime",
    "after_commit",
    "database_fault",
    "new_metadata",
]

CONFLICT_RETRY_S = 1
"""`Retry-After` after a conflict of transactions or when all connections are in use: a retry is likely to succeed."""

LEAST_FREE_BYTES = 1 << 20
"""With less free space an I/O error of SQLite is reported as a full disk, which SQLite does not distinguish."""

_AFTER_COMMIT = "after_commit"

_CONFLICT_STATES = {"40001", "40P01", "55P03"}  # serialization failure, deadlock, lock timeout
_UNAVAILABLE_STATES = {
    "57014",  # query cancelled: our statement timeout
    "57P01",  # admin shutdown
    "57P02",  # crash shutdown
    "57P03",  # cannot connect now
    "57P05",  # idle session timeout
    "25P03",  # idle in transaction timeout
    "53200",  # out of memory
    "53300",  # too many connections
    "58030",  # I/O error
}
_FULL_STATES = {"53100"}
_READ_ONLY_STATE = "25006"  # a standby, or a server that was switched to read only

_SQLITE_FULL = 13
_SQLITE_BUSY = {5, 6, 15}  # busy, locked, protocol (a WAL race)
_SQLITE_READ_ONLY = 8
_SQLITE_UNAVAILABLE = {7, 9, 10, 14}  # out of memory, interrupted, I/O error, cannot open


class Database:
    """The engine and the sessions of one database. Nothing connects before the first use.

    `name` is the application name that the server shows. `logger`: default: one of that name.

    Raises:
        ValueError: for a URL that is neither PostgreSQL nor an SQLite file.
    """

    def __init__(
        self,
        settings: DatabaseSettings,
        name: str,
        *,
        logger: Logger | None = None,
        is_traced: bool = False,
    ) -> None:
        url = make_url(str(settings.url))
        self.name = name
        self._logger = logger or make_logger(name, LogSettings())
        self._settings = settings
        if url.get_backend_name() == "postgresql":
            self.dialect: Literal["postgresql", "sqlite"] = "postgresql"
            self._path: Path | None = None
            self.engine = postgres_engine(url, settings, name)
            self._reader = self.engine.execution_options(postgresql_readonly=True)
        elif url.get_backend_name() == "sqlite" and url.database and url.database != ":memory:":
            self.dialect = "sqlite"
            self._path = Path(url.database)
            # One writer: SQLite has one write lock. Waiting for a pooled connection is fair and wakes at once, where
            # SQLite's busy handler polls.
            self.engine = sqlite_engine(url, settings, pool_size=1, is_writer=True)
            self._reader = sqlite_engine(url, settings, pool_size=settings.pool_size, is_writer=False)
        else:
            raise ValueError(f"not a PostgreSQL URL and not an SQLite file: {url.render_as_string()}")
        if is_traced:
            # On PostgreSQL both are one engine, whose listeners hold for the derived one too.
            for engine in {self.engine, self._reader} if self.dialect == "sqlite" else {self.engine}:
                trace_statements(engine.sync_engine, self.dialect)
        self._write_session = async_sessionmaker(self.engine, expire_on_commit=False)
        self._read_session = async_sessionmaker(self._reader, expire_on_commit=False)

    async def start(self) -> None:
        """Make the folder of an SQLite file. A database that cannot be reached is reported by `ping()`, not here."""
        if self._path is not None:
            with suppress(OSError):
                self._path.parent.mkdir(parents=True, exist_ok=True)

    async def stop(self) -> None:
        """Close every connection. The database may be used again afterwards; it then opens new ones."""
        await self.engine.dispose()
        if self.dialect == "sqlite":
            await self._reader.dispose()

    async def ping(self) -> CheckResult:
        """One round trip.

        Raises:
            Unavailable: no answer.
        """
        async with self.reading() as session:
            await session.execute(text("SELECT 1"))
        return CheckResult(ok=True, detail=self.dialect)

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[AsyncSession]:
        """All or nothing: commits when the block ends, rolls back when it raises.

        What was registered with `after_commit` is called when it has committed. The transaction begins with the
        first statement, on SQLite holding the write lock from there on (`BEGIN IMMEDIATE`), so that what was read
        stays true until it is written. Never open one inside another: on SQLite the inner one waits for the outer one's
        connection until it fails with the code `database_busy`.

        Raises:
            Unavailable: the database cannot be reached or is too busy, or two transactions were in conflict
                (code `transaction_conflict`): the whole block may be retried.
            StorageFull: its disk is full.
            sqlalchemy.exc.IntegrityError: a constraint is violated.
        """
        async with self._session(self._write_session, writing=True) as session:
            yield session
            await session.commit()
            self._run_after_commit(session.info.pop(_AFTER_COMMIT, ()))

    def _run_after_commit(self, callbacks: Iterable[Callable[[], None]]) -> None:
        for callback in callbacks:
            try:
                callback()
            except (
                Exception
            ):  # an error would tell the caller that the transaction failed, and it is committed
                self._logger.exception("callback after commit failed")

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[AsyncSession]:
        """Read only: a write fails. Takes no write lock and does not wait for writers.

        Raises:
            Unavailable: as `transaction()`.
        """
        async with self._session(self._read_session, writing=False) as session:
            yield session

    @asynccontextmanager
    async def _session(
        self, sessions: async_sessionmaker[AsyncSession], *, writing: bool
    ) -> AsyncIterator[AsyncSession]:
        try:
            async with sessions() as session:
                yield session
        except LookoutError:
            raise
        except Exception as error:
            if fault := self._fault(error, writing=writing):
                raise fault from error
            raise

    def _fault(self, error: Exception, *, writing: bool = True) -> LookoutError | None:
        return database_fault(
            error, path=self._path, writing=writing, retry_after_s=self._settings.retry_after_s
        )

    async def advisory_lock(self, session: AsyncSession, key: str) -> None:
        """Wait until no other transaction holds `key`; held to the end of this one.

        On SQLite there is only one write transaction at a time anyway.
        """
        if self.dialect == "postgresql":
            await session.execute(sql_select(func.pg_advisory_xact_lock(lock_number(key))))

    async def try_advisory_lock(self, session: AsyncSession, key: str) -> bool:
        """Lock `key` until the end of this transaction; False at once when another holds it."""
        if self.dialect != "postgresql":
            return True
        taken = await session.scalar(sql_select(func.pg_try_advisory_xact_lock(lock_number(key))))
        return bool(taken)


def after_commit(session: AsyncSession, callback: Callable[[], None]) -> None:
    """Call `callback` once the transaction of `session` has committed; never when it rolls back.

    It runs in the context (trace and log fields) of this call. An error of it is logged: the transaction is
    committed, and the other callbacks are called.
    """
    context = copy_context()
    session.info.setdefault(_AFTER_COMMIT, []).append(lambda: context.run(callback))


def lock_number(key: str) -> int:
    """The number of a PostgreSQL advisory lock: 64 bits, signed."""
    return int.from_bytes(hashlib.blake2b(key.encode(), digest_size=8).digest(), "big", signed=True)


def database_fault(
    error: BaseException, *, retry_after_s: int, path: Path | None = None, writing: bool = True
) -> LookoutError | None:
    """What a database driver's error means to a caller; None when it is a constraint or a bug.

    `path` is the SQLite file, to detect a full disk. Without `writing`, a refused write is a bug of the caller.
    """
    if isinstance(error, PoolTimeoutError):
        return _busy("every database connection is in use")
    if isinstance(error, OSError):
        is_full = error.errno in {errno.ENOSPC, errno.EDQUOT}
        return _fault_of(_Problem.FULL, retry_after_s, writing) if is_full else None
    origin: BaseException | None = error
    is_cut = False
    if isinstance(error, DBAPIError):
        origin, is_cut = error.orig, error.connection_invalidated
    if isinstance(error, IntegrityError) or not isinstance(origin, sqlite3.Error | psycopg.Error):
        return None
    code, state = getattr(origin, "sqlite_errorcode", None), getattr(origin, "sqlstate", None)
    if code is not None:
        problem = _sqlite_problem(code & 0xFF, path)
    elif state is not None:
        problem = _postgres_problem(state)
    elif is_cut or isinstance(error, OperationalError | InterfaceError):
        problem = _Problem.UNAVAILABLE
    else:
        problem = None
    return _fault_of(problem, retry_after_s, writing)


class _Problem(Enum):
    UNAVAILABLE = "unavailable"
    BUSY = "busy"
    CONFLICT = "conflict"
    FULL = "full"
    READ_ONLY = "read_only"


def _fault_of(problem: _Problem | None, retry_after_s: int, writing: bool) -> LookoutError | None:
    match problem:
        case _Problem.UNAVAILABLE:
            return Unavailable(
                "the database does not answer", code="database_unavailable", retry_after_s=retry_after_s
            )
        case _Problem.BUSY:
            return _busy("the database is locked")
        case _Problem.CONFLICT:
            return Unavailable(
                "two transactions were in conflict",
                code="transaction_conflict",
                retry_after_s=CONFLICT_RETRY_S,
            )
        case _Problem.FULL:
            return StorageFull(
                "the database's disk is full", code="database_full", retry_after_s=retry_after_s
            )
        case _Problem.READ_ONLY if writing:
            return Unavailable(
                "the database is read only", code="database_read_only", retry_after_s=retry_after_s
            )
        case _:
            return None


def _busy(detail: str) -> Unavailable:
    return Unavailable(detail, code="database_busy", retry_after_s=CONFLICT_RETRY_S)


def _postgres_problem(state: str) -> _Problem | None:
    if state in _FULL_STATES:
        return _Problem.FULL
    if state in _CONFLICT_STATES:
        return _Problem.CONFLICT
    # Class 08 is connection errors, 28 authentication errors; 3D000 a database that does not exist (yet).
    if state in _UNAVAILABLE_STATES or state[:2] in {"08", "28"} or state == "3D000":
        return _Problem.UNAVAILABLE
    return _Problem.READ_ONLY if state == _READ_ONLY_STATE else None


def _sqlite_problem(code: int, path: Path | None) -> _Problem | None:
    if code == _SQLITE_FULL or (code in _SQLITE_UNAVAILABLE and path is not None and _is_full(path)):
        return _Problem.FULL
    if code in _SQLITE_BUSY:
        return _Problem.BUSY
    if code in _SQLITE_UNAVAILABLE:
        return _Problem.UNAVAILABLE
    return _Problem.READ_ONLY if code == _SQLITE_READ_ONLY else None


def _is_full(path: Path) -> bool:
    try:
        return shutil.disk_usage(path.parent).free < LEAST_FREE_BYTES
    except OSError:
        return False
