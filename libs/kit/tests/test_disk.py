"""The reserve of free disk space."""

import io
from pathlib import Path

import orjson
import pytest

from kit.disk import DiskReserve, DiskSpace, is_reserve_reached, local_folders
from kit.errors import StorageFull
from kit.logging import make_logger
from kit.metrics import Metrics
from kit.settings import DiskSettings, LogSettings
from testkit.disk import SmallDisk

MIB = 1 << 20
GIB = 1 << 30
SETTINGS = DiskSettings(reserve_bytes=512 * MIB, max_reserve_percent=5, resume_margin_percent=10)


@pytest.mark.parametrize(
    ("free", "total", "was_reached", "is_reached"),
    [
        (513 * MIB, 100 * GIB, False, False),
        (511 * MIB, 100 * GIB, False, True),
        (513 * MIB, 100 * GIB, True, True),
        (564 * MIB, 100 * GIB, True, False),
        (60 * MIB, GIB, False, False),
        (51 * MIB, GIB, False, True),
        (0, 0, False, False),
    ],
)
def test_storing_stops_below_the_reserve_and_begins_again_with_a_margin(
    free: int, total: int, was_reached: bool, is_reached: bool
) -> None:
    assert is_reserve_reached(DiskSpace(free, total), SETTINGS, was_reached=was_reached) is is_reached


def test_a_reserve_of_zero_is_never_reached() -> None:
    settings = DiskSettings(reserve_bytes=0)
    assert not is_reserve_reached(DiskSpace(0, GIB), settings, was_reached=False)


def test_only_stores_on_this_machine_have_a_folder() -> None:
    urls = (
        "sqlite+aiosqlite:////data/ingest.db",
        "file:///data/a%20b",
        "s3://minio:9000/lookout",
        "postgresql+psycopg://u:p@h/d",
    )
    assert local_folders(*urls) == [Path("/data"), Path("/data/a b")]


async def test_a_disk_that_fills_up_is_noticed_once_and_its_end_too(small_disk: SmallDisk) -> None:
    metrics = Metrics("test")
    folder = small_disk.folder / "blobs" / "not" / "yet"
    stream = io.StringIO()
    logger = make_logger("test", LogSettings(), stream=stream)
    reserve = DiskReserve([folder], DiskSettings(), logger, metrics)
    await reserve.measure()
    reserve.check()
    assert (await reserve.ready()).ok
    small_disk.fill(leave_bytes=100_000)
    for _ in range(3):
        await reserve.measure()
    with pytest.raises(StorageFull, match="nearly full") as refused:
        reserve.check()
    assert (refused.value.code, refused.value.retry_after_s) == ("disk_reserve", 60)
    state = await reserve.ready()
    assert not state.ok
    assert state.detail == f"pictures are refused: {folder} has 0 MiB free of 16"
    assert b"lookout_test_disk_reserve_reached 1.0" in metrics.render()
    small_disk.free()
    await reserve.measure()
    reserve.check()
    assert b"lookout_test_disk_reserve_reached 0.0" in metrics.render()
    lines = [orjson.loads(line) for line in stream.getvalue().splitlines()]
    assert [(line["event"], line["level"]) for line in lines] == [
        ("disk_reserve_reached", "warning"),
        ("disk_reserve_restored", "info"),
    ]
