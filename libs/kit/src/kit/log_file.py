"""A log file of limited size, which all services of a process share."""

import logging
import os
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import Any

from kit.settings.blocks import LogSettings


class LogFile:
    """Lines in a file that is replaced when it is full; the earlier ones are `<name>.1`, `<name>.2`, the oldest last.

    Only the owner can read it: lines contain data of people, such as addresses.
    """

    def __init__(self, path: Path, *, max_bytes: int, max_files: int) -> None:
        self._path = path
        # With no earlier file to keep, the handler would never begin a new one.
        self._handler = _Handler(path, maxBytes=max_bytes, backupCount=max(1, max_files - 1), delay=True)
        self._is_made = False

    def write(self, line: str) -> None:
        """Append a line. As with standard output, no error reaches the caller: a full disk must not end a service."""
        try:
            if not self._is_made:
                self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
                self._is_made = True
        except OSError:
            return
        self._handler.handle(logging.makeLogRecord({"msg": line}))

    def close(self) -> None:
        """Close the file; the next line opens it again."""
        self._handler.close()


class LogFiles:
    """The log files of a process: one for each path, however many services write to it."""

    def __init__(self) -> None:
        self._by_path: dict[Path, LogFile] = {}

    def of(self, settings: LogSettings) -> LogFile | None:
        """The file of these settings; None where they name none."""
        if settings.file is None or settings.max_files == 0:
            return None
        path = settings.file.absolute()
        if path not in self._by_path:
            self._by_path[path] = LogFile(
                path, max_bytes=settings.max_file_bytes, max_files=settings.max_files
            )
        return self._by_path[path]

    def close(self) -> None:
        """Close all of them; see `LogFile.close`."""
        for file in self._by_path.values():
            file.close()


class _Handler(RotatingFileHandler):
    def _open(self) -> Any:
        descriptor = os.open(self.baseFilename, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        return os.fdopen(descriptor, "a", encoding="utf-8")

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - the base class's name
        """Nothing: see `LogFile.write`."""
