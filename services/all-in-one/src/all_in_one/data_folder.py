"""The data folder of embedded mode: one process at a time, and no start without what was in it.

A service makes a database or a key that is missing. On the first start that is right; later it would hide that
tickets, users or the key of stored passwords are gone. So the files of the last start are recorded, and each must be
there and readable at the next one.
"""

import fcntl
import hashlib
import json
import os
import sqlite3
from contextlib import closing, suppress
from pathlib import Path

from kit.service import ServiceFailed

RECORD = "contents.json"
LOCK = "lock"
SQLITE_HEADER = b"SQLite format 3\x00"
QUICK_CHECK_MAX_BYTES = 256 << 20
"""Larger databases are opened and not read through: that would take seconds at every start."""


def lock(folder: Path) -> int:
    """Hold the folder until the process ends or the descriptor, which is returned, is closed.

    Raises:
        ServiceFailed: another process holds it.
    """
    descriptor = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        holder = os.read(descriptor, 20).decode("ascii", "replace").strip() or "unknown"
        os.close(descriptor)
        raise ServiceFailed(
            f"{folder} is in use by another process (pid {holder}): stop that one, or choose another folder"
            " with --data-dir"
        ) from None
    os.ftruncate(descriptor, 0)
    os.write(descriptor, f"{os.getpid()}\n".encode())
    return descriptor


def check(folder: Path) -> None:
    """Look at each file that was there at the last start.

    Raises:
        ServiceFailed: one is missing or damaged; the text names it and says what to do.
    """
    for name, fingerprint in _recorded(folder).items():
        fault = _fault(folder / name, fingerprint)
        if fault:
            raise ServiceFailed(
                f"{folder / name} {fault}. Restore it from a backup; to start without what it held, delete the file and"
                f" its entry in {folder / RECORD}"
            )


def record(folder: Path) -> None:
    """Write down which databases and keys there are."""
    contents = {
        path.name: _fingerprint(path) if path.suffix == ".key" else ""
        for path in sorted(folder.iterdir())
        if path.suffix in {".db", ".key"}
    }
    part = folder / f".{RECORD}"
    part.write_text(json.dumps(contents, indent=1) + "\n", encoding="utf-8")
    part.replace(folder / RECORD)


def _recorded(folder: Path) -> dict[str, str]:
    path = folder / RECORD
    try:
        contents = json.loads(path.read_text(encoding="utf-8"))
        return {str(name): str(fingerprint) for name, fingerprint in contents.items()}
    except FileNotFoundError:
        return {}
    except (ValueError, AttributeError):
        raise ServiceFailed(f"{path} is damaged: delete it, after a look at what is in the folder") from None


def _fault(path: Path, fingerprint: str) -> str:
    if not path.exists():
        return "is missing, and was there at the last start"
    if path.suffix == ".key":
        is_same = _fingerprint(path) == fingerprint
        return "" if is_same else "is not the key of the last start, with which secrets are encrypted"
    return _database_fault(path)


def _database_fault(path: Path) -> str:
    with path.open("rb") as file:
        head = file.read(len(SQLITE_HEADER))
    if head != SQLITE_HEADER:
        return "is empty" if not head else "is damaged: it is not an SQLite database"
    try:
        with closing(sqlite3.connect(f"file:{path}?mode=rw", uri=True)) as db:
            db.execute("SELECT count(*) FROM sqlite_master").fetchone()
            if path.stat().st_size <= QUICK_CHECK_MAX_BYTES:
                result: str = db.execute("PRAGMA quick_check(1)").fetchone()[0]
                return "" if result == "ok" else f"is damaged: {result.splitlines()[0]}"
    except sqlite3.OperationalError:
        return ""  # busy, or a full disk: the service that uses it reports that
    except sqlite3.DatabaseError as error:
        return f"is damaged: {error}"
    return ""


def _fingerprint(path: Path) -> str:
    """Tells whether it is the same key, and nothing of the key."""
    with suppress(OSError):
        return hashlib.sha256(b"fingerprint of " + path.read_bytes()).hexdigest()[:16]
    return ""
