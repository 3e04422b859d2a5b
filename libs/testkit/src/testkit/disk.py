"""A small file system that a test may fill."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class SmallDisk:
    """An own file system mounted at `folder`."""

    folder: Path

    def fill(self, leave_bytes: int = 0) -> None:
        """Write a file until no byte is left, then free about `leave_bytes` again."""
        block = bytes(4096)
        with suppress(OSError), self._filler.open("ab", buffering=0) as file:
            while file.write(block):
                pass
        with self._filler.open("rb+") as file:
            file.truncate(max(0, self._filler.stat().st_size - leave_bytes))

    def free(self) -> None:
        """Remove what `fill` wrote."""
        self._filler.unlink()

    @property
    def _filler(self) -> Path:
        return self.folder / "filler"


@contextmanager
def small_disk(folder: Path, size_mib: int = 16) -> Iterator[SmallDisk]:
    """Mount one at `folder` for the length of the block.

    Raises:
        PermissionError: this user may not mount file systems.
    """
    folder.mkdir(parents=True, exist_ok=True)
    mount = ["mount", "-t", "tmpfs", "-o", f"size={size_mib}m", "tmpfs", str(folder)]
    try:
        subprocess.run(mount, check=True, capture_output=True)  # noqa: S603 - no text from outside
    except (FileNotFoundError, subprocess.CalledProcessError) as error:
        raise PermissionError("a small file system cannot be mounted here") from error
    try:
        yield SmallDisk(folder)
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)  # noqa: S603, S607 - as above
