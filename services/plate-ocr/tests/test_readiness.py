# mypy: disable-error-code="import-not-found"
# A folder with a hyphen has no module name, so mypy does not find the modules beside this file.
"""What readiness says about the source of vehicles, and work that is done periodically."""

from pathlib import Path
from typing import Any

import pytest

from testkit.clock import ManualClock
from testkit.waiting import eventually

from .running_service import FakeEngine, running

pytestmark = pytest.mark.integration


def make_with_vehicles() -> FakeEngine:
    engine = FakeEngine()
    engine.name, engine.has_vehicle_detector = "with-vehicles", True
    return engine


WITH_VEHICLES = {"engine": f"{__name__}:make_with_vehicles"}
WEIGHTS = {"inference": {"vehicle_model": "/models/yolo11x.pt"}}


@pytest.mark.parametrize(
    ("blocks", "detail"),
    [
        ({}, "camera's own box and the plate's place"),
        (WEIGHTS, "camera's own box and the plate's place"),  # the fake engine ignores them
        (WITH_VEHICLES, "with-vehicles"),
        ({**WITH_VEHICLES, **WEIGHTS}, "yolo11x.pt"),
    ],
)
async def test_the_source_of_vehicles(
    tmp_path: Path, manual_clock: ManualClock, blocks: dict[str, Any], detail: str
) -> None:
    FakeEngine.go.set()
    async with running(tmp_path, manual_clock, **blocks) as ocr:
        await ocr.is_ready()
        checks = (await ocr.http.get("/health/ready")).json()["checks"]
    assert checks["vehicles"] == {"ok": True, "required": False, "detail": detail}


async def test_freed_memory_is_returned_from_time_to_time(tmp_path: Path, manual_clock: ManualClock) -> None:
    FakeEngine.go.set()
    async with running(tmp_path, manual_clock) as ocr:

        async def has_run() -> bool:
            text = (await ocr.http.get("/metrics")).text
            return 'periodic_job_runs_total{job="return_kept_memory",result="ok"} 1.0' in text

        await eventually(has_run)
