"""One SQLite file, written by one thread that gathers what is asked at the same time into one commit."""

import asyncio
import sqlite3
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any, Generic, TypeVar

from kit.errors import LookoutError, StorageFull, Unavailable

T = TypeVar("T")

_SQLITE_FULL = 13
_MAX_JOBS_PER_COMMIT = 500


class _Job(Generic[T]):
    __slots__ = ("error", "future", "result", "work")

    def __init__(self, work: Callable[[sqlite3.Connection], T], future: "asyncio.Future[T]") -> None:
        self.work = work
        self.future = future
        self.result: T | None = None
        self.error: Exception | None = None

    def settle(self) -> None:
        if self.future.done():
            return
        if self.error is not None:
            self.future.set_exception(self.error)
        else:
            self.future.set_result(self.result)  # type: ignore[arg-type] # set, as there is no error


class SqliteFile:
    """Runs jobs on the file, each completely or not at all, and reports them done when they are on disk.

    Each job has a savepoint of its own inside the shared transaction, so that one that fails takes no other
    with it. A commit costs an fsync (`synchronous=FULL`): sharing it is what makes the bus fast.
    """

    def __init__(self, path: Path, schema: str, busy_timeout_s: float) -> None:
        self.path = path
        self._schema = schema
        self._busy_timeout_s = busy_timeout_s
        self._jobs: SimpleQueue[_Job[Any] | None] = SimpleQueue()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._closed = False

    async def start(self) -> None:
        """Open the file, making it and its folder where they are missing.

        Raises:
            kit.errors.Unavailable: it cannot be opened.
        """
        self._loop = asyncio.get_running_loop()
        self._closed = False
        opened: asyncio.Future[None] = self._loop.create_future()
        self._thread = threading.Thread(
            target=self._run, args=(opened,), name=f"bus {self.path}", daemon=True
        )
        self._thread.start()
        await opened

    async def stop(self) -> None:
        """Finish what was asked before, and close."""
        self._closed = True
        if self._thread is not None and self._thread.is_alive():
            self._jobs.put(None)
            await asyncio.to_thread(self._thread.join)

    def submit(self, work: Callable[[sqlite3.Connection], T]) -> "asyncio.Future[T]":
        """Ask for a job; the future ends when it is committed, or with why it was not.

        Raises:
            kit.errors.Unavailable: the file is not open.
        """
        if self._loop is None or self._closed:
            raise Unavailable("the bus is not started", code="bus_stopped")
        job = _Job(work, self._loop.create_future())
        self._jobs.put(job)
        return job.future

    def _run(self, opened: "asyncio.Future[None]") -> None:
        assert self._loop is not None
        try:
            connection = self._open()
        except (sqlite3.Error, OSError) as error:
            fault = Unavailable(f"cannot open {self.path}: {error}", code="bus_file")
            self._loop.call_soon_threadsafe(opened.set_exception, fault)
            return
        self._loop.call_soon_threadsafe(opened.set_result, None)
        try:
            while jobs := self._next_batch():
                self._commit(connection, jobs)
                with suppress(RuntimeError):  # the loop ended without stop(): no caller is waiting
                    self._loop.call_soon_threadsafe(_settle, jobs)
        finally:
            connection.close()

    def _next_batch(self) -> list[_Job[Any]]:
        """All that waits now. Empty only when the end was asked for."""
        job = self._jobs.get()
        jobs: list[_Job[Any]] = []
        while job is not None:
            jobs.append(job)
            if len(jobs) >= _MAX_JOBS_PER_COMMIT:
                return jobs
            try:
                job = self._jobs.get_nowait()
            except Empty:
                return jobs
        if jobs:
            self._jobs.put(None)  # end again after these jobs
        return jobs

    def _open(self) -> sqlite3.Connection:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        connection = sqlite3.connect(
            self.path, timeout=self._busy_timeout_s, isolation_level=None, check_same_thread=False
        )
        connection.row_factory = sqlite3.Row
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")
        connection.executescript(self._schema)
        return connection

    @staticmethod
    def _commit(connection: sqlite3.Connection, jobs: list[_Job[Any]]) -> None:
        try:
            connection.execute("BEGIN IMMEDIATE")
            for job in jobs:
                connection.execute("SAVEPOINT job")
                try:
                    job.result = job.work(connection)
                except Exception as error:  # raised again in the caller of the job
                    if not connection.in_transaction:
                        raise  # a full disk rolls the whole transaction back
                    connection.execute("ROLLBACK TO job")
                    job.error = fault_of(error)
                connection.execute("RELEASE job")
            connection.execute("COMMIT")
        except Exception as error:  # noqa: BLE001 - nothing was stored, so each of them has failed
            with suppress(sqlite3.Error):
                connection.execute("ROLLBACK")
            for job in jobs:
                job.error = job.error or fault_of(error)


def fault_of(error: Exception) -> Exception:
    """SQLite's trouble in the kit's words; what is no trouble of SQLite's stays what it is."""
    if not isinstance(error, sqlite3.OperationalError) or isinstance(error, LookoutError):
        return error
    if getattr(error, "sqlite_errorcode", 0) & 0xFF == _SQLITE_FULL:
        return StorageFull("the disk of the bus is full", code="bus_full")
    fault = Unavailable(f"the bus file cannot be used: {error}", code="bus_file", retry_after_s=1)
    fault.__cause__ = error
    return fault


def _settle(jobs: list[_Job[Any]]) -> None:
    for job in jobs:
        job.settle()
