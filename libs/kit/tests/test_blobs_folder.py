"""Requirements on the folder store only: crashes, full disks, and files that people remove or change."""

import asyncio
import errno
import hashlib
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from kit.blobs import FolderBlobs, open_blobs
from kit.errors import Invalid, NotFound, StorageFull, Unavailable
from kit.settings import BlobSettings

KEY = "snapshots/2026/03/14/a.jpg"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "deep" / "blobs"


@pytest.fixture
async def blobs(root: Path) -> AsyncIterator[FolderBlobs]:
    store = FolderBlobs(root, retry_after_s=4)
    await store.start()
    yield store
    await store.stop()


async def keys(store: FolderBlobs, prefix: str = "") -> list[str]:
    return [blob.key async for blob in store.list(prefix)]


def files(root: Path) -> set[str]:
    return {str(path.relative_to(root)) for path in root.rglob("*") if path.is_file()}


async def test_a_blob_is_a_plain_file_with_a_metadata_file(blobs: FolderBlobs, root: Path):
    await blobs.put(KEY, b"picture", "image/jpeg")
    assert (root / KEY).read_bytes() == b"picture"
    assert files(root) == {KEY, "snapshots/2026/03/14/.a.jpg.meta"}
    await blobs.delete(KEY)
    assert files(root) == set()


@pytest.mark.parametrize("note", [None, b"", b"{torn", b"[]"])
async def test_a_blob_without_a_valid_metadata_file_is_readable(blobs: FolderBlobs, root: Path, note):
    put = await blobs.put(KEY, b"picture", "image/jpeg")
    path = root / "snapshots/2026/03/14/.a.jpg.meta"
    if note is None:
        path.unlink()
    else:
        path.write_bytes(note)
    assert await blobs.stat(KEY) == put
    (root / "snapshots/strange").write_bytes(b"?")
    assert (await blobs.stat("snapshots/strange")).content_type == "application/octet-stream"


async def test_the_metadata_of_a_blob_written_within_the_same_clock_tick_is_ignored(
    blobs: FolderBlobs, root: Path
):
    await blobs.put("a.bin", b"first", "x/y")
    metadata = (root / ".a.bin.meta").read_bytes()
    written = (root / "a.bin").stat()
    with (root / "a.bin").open("rb"):  # so that the inode is not used again
        await blobs.put("a.bin", b"other", "x/y")
        (root / ".a.bin.meta").write_bytes(metadata)
        os.utime(root / "a.bin", ns=(written.st_atime_ns, written.st_mtime_ns))
    assert (await blobs.stat("a.bin")).sha256 == hashlib.sha256(b"other").hexdigest()


async def test_a_metadata_file_for_other_bytes_is_ignored(blobs: FolderBlobs, root: Path):
    await blobs.put(KEY, b"picture", "image/x-kept")
    (root / KEY).write_bytes(b"changed")  # the same length, another time
    found = await blobs.stat(KEY)
    assert found.sha256 == hashlib.sha256(b"changed").hexdigest()
    assert found.content_type == "image/x-kept"


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
async def test_a_full_disk_is_storage_full_and_leaves_nothing(
    blobs: FolderBlobs, root: Path, monkeypatch, number
):
    def full(_descriptor: int) -> None:
        raise OSError(number, "No space left on device")

    await blobs.put("old.jpg", b"x", "image/jpeg")
    monkeypatch.setattr("kit.blobs.folder.os.fsync", full)
    with pytest.raises(StorageFull) as caught:
        await blobs.put(KEY, b"picture", "image/jpeg")
    assert caught.value.code == "blobs_full"
    assert files(root) == {"old.jpg", ".old.jpg.meta"}


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
async def test_ping_reports_a_full_disk(tmp_path: Path, monkeypatch):
    monkeypatch.setattr("kit.blobs.folder._temporary", lambda _path: Path("/dev/full"))
    monkeypatch.setattr("pathlib.Path.unlink", lambda *_, **__: None)
    store = FolderBlobs(tmp_path, retry_after_s=1)
    with pytest.raises(StorageFull):
        await store.ping()
    await store.stop()


async def test_a_disk_that_fails_is_unavailable(blobs: FolderBlobs, monkeypatch):
    def broken(_descriptor: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr("kit.blobs.folder.os.fsync", broken)
    with pytest.raises(Unavailable) as caught:
        await blobs.put(KEY, b"picture", "image/jpeg")
    assert (caught.value.code, caught.value.retry_after_s) == ("blobs_unavailable", 4)


async def test_a_root_that_cannot_be_used_is_unavailable_and_not_a_missing_picture(tmp_path: Path):
    (tmp_path / "file").touch()
    store = FolderBlobs(tmp_path / "file" / "blobs", retry_after_s=4)
    await store.start()
    for call in (store.ping, lambda: store.get(KEY), lambda: store.put(KEY, b"x", "image/jpeg")):
        with pytest.raises(Unavailable) as caught:
            await call()
        assert caught.value.code == "blobs_unavailable"
    await store.stop()


async def test_an_unmounted_root_is_unavailable_and_not_a_missing_key(blobs: FolderBlobs, root: Path):
    await asyncio.to_thread(root.rmdir)
    with pytest.raises(Unavailable):
        await blobs.get(KEY)
    await blobs.put(KEY, b"x", "image/jpeg")  # and is made again
    assert await blobs.get(KEY) == b"x"


async def test_every_rename_is_synced_with_its_folder_and_new_folders_with_theirs(
    blobs: FolderBlobs, root: Path, monkeypatch
):
    synced: list[str] = []
    real = os.fsync

    def note(descriptor: int) -> None:
        synced.append(os.path.realpath(f"/proc/self/fd/{descriptor}"))
        real(descriptor)

    monkeypatch.setattr("kit.blobs.folder.os.fsync", note)
    await blobs.put(KEY, b"x", "image/jpeg")
    assert Path(synced[0]).name.startswith(".a.jpg."), "the bytes, before the rename"
    folders = [root / "snapshots/2026/03/14", *list((root / "snapshots/2026/03/14").parents)[:5]]
    assert {str(folder) for folder in folders} <= set(synced[1:])
    synced.clear()
    await blobs.put(KEY.replace("a.jpg", "b.jpg"), b"x", "image/jpeg")
    assert synced[-1] == str(folders[0])
    assert len(synced) == 2


async def test_puts_at_once_share_the_syncs_of_their_folder(blobs: FolderBlobs, root: Path, monkeypatch):
    await blobs.put("d/first.jpg", b"x", "image/jpeg")
    syncs = 0
    real = os.fsync

    def count(descriptor: int) -> None:
        nonlocal syncs
        syncs += os.path.realpath(f"/proc/self/fd/{descriptor}") == str(root / "d")
        real(descriptor)

    monkeypatch.setattr("kit.blobs.folder.os.fsync", count)
    await asyncio.gather(*(blobs.put(f"d/{number}.jpg", b"x" * 5000, "image/jpeg") for number in range(64)))
    assert 1 <= syncs < 64
    assert len(await keys(blobs, "d/")) == 65


async def test_keys_that_are_prefixes_of_each_other_are_refused(blobs: FolderBlobs):
    await blobs.put("a/b.jpg", b"x", "image/jpeg")
    for key in ("a/b.jpg/c.jpg", "a"):
        with pytest.raises(Invalid):
            await blobs.put(key, b"x", "image/jpeg")
        with pytest.raises(NotFound):
            await blobs.get(key)
        await blobs.delete(key)
    assert await keys(blobs) == ["a/b.jpg"]


async def test_the_temporary_file_of_a_killed_writer_is_no_blob_and_is_deleted(root: Path):
    script = (
        "import asyncio, os, sys\nfrom pathlib import Path\nfrom kit.blobs import FolderBlobs\n"
        "async def main():\n"
        "    store = FolderBlobs(Path(sys.argv[1]), retry_after_s=1)\n"
        "    number = 0\n"
        "    print('up', flush=True)\n"
        "    while True:\n"
        "        puts = (store.put(f'd/{number}-{i}.bin', bytes([i]) * 300_000, 'a/b') for i in range(8))\n"
        "        await asyncio.gather(*puts)\n"
        "        print(number, flush=True)\n"
        "        number += 1\n"
        "asyncio.run(main())\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script, str(root)], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        done = -1
        for line in process.stdout:
            if line.strip() == "4":
                process.send_signal(signal.SIGKILL)
            if line.strip().isdigit():
                done = int(line)
    store = FolderBlobs(root, retry_after_s=1)
    found = await keys(store)
    assert set(found) >= {f"d/{number}-{i}.bin" for number in range(done + 1) for i in range(8)}, (
        "acknowledged"
    )
    for key in found:
        data = await store.get(key)
        assert len(data) == 300_000, "whole"
        assert (await store.stat(key)).sha256 == hashlib.sha256(data).hexdigest()
    (root / "d" / ".x.bin.0123.part").write_bytes(b"half")
    assert await store.discard_unfinished(datetime.now(UTC) - timedelta(hours=1)) == 0
    assert await store.discard_unfinished(datetime.now(UTC) + timedelta(hours=1)) >= 1
    assert not [name for name in files(root) if name.endswith(".part")]
    assert await keys(store) == found
    await store.stop()


async def test_a_stream_goes_on_when_its_blob_is_replaced(blobs: FolderBlobs):
    await blobs.put(KEY, b"a" * 1_000_000, "image/jpeg")
    stream = blobs.stream(KEY)
    first = await anext(stream)
    await blobs.put(KEY, b"b" * 10, "image/jpeg")
    rest = b"".join([chunk async for chunk in stream])
    assert first + rest == b"a" * 1_000_000


async def test_a_url_names_the_folder(tmp_path: Path):
    store = open_blobs(BlobSettings(url=f"file://{tmp_path}/with%20space"))
    await store.start()
    assert (tmp_path / "with space").is_dir()
    await store.stop()
