import asyncio
import time

import pytest

from kit.health import CheckResult, Health
from kit.metrics import Metrics


def test_names_carry_the_service() -> None:
    metrics = Metrics("plate-ocr")
    metrics.counter("frames_read_total", "frames read", ("outcome",)).labels("ok").inc()
    metrics.gauge("queue_depth", "waiting").set(3)
    metrics.histogram("read_seconds", "time to read", buckets=(0.1, 1)).observe(0.5)
    text = metrics.render().decode()
    assert 'lookout_plate_ocr_frames_read_total{outcome="ok"} 1.0' in text
    assert "lookout_plate_ocr_queue_depth 3.0" in text
    assert 'lookout_plate_ocr_read_seconds_bucket{le="0.1"} 0.0' in text
    assert 'lookout_plate_ocr_read_seconds_bucket{le="1.0"} 1.0' in text


def test_services_in_one_process_count_apart() -> None:
    first, second = Metrics("toy"), Metrics("toy")
    first.counter("plays_total", "plays").inc()
    second.counter("plays_total", "plays").inc(5)
    assert b"lookout_toy_plays_total 1.0" in first.render()
    assert b"lookout_toy_plays_total 5.0" in second.render()


def test_a_metric_can_be_requested_again_only_with_the_same_type() -> None:
    metrics = Metrics("toy")
    assert metrics.counter("plays_total", "plays") is metrics.counter("plays_total", "plays")
    with pytest.raises(TypeError, match="Counter"):
        metrics.gauge("plays_total", "plays")


async def well() -> CheckResult:
    return CheckResult(ok=True, detail="sqlite")


async def unavailable() -> CheckResult:
    return CheckResult(ok=False, detail="no broker")


async def broken() -> CheckResult:
    raise ConnectionError("refused")


async def silent() -> CheckResult:
    await asyncio.Event().wait()
    return CheckResult(ok=True)


async def test_ready_if_every_required_check_is_ok() -> None:
    health = Health()
    health.add("database", well)
    health.add("mail", unavailable, required=False)
    readiness = await health.ready()
    assert readiness.ok
    assert readiness.document() == {
        "status": "ready",
        "checks": {
            "database": {"ok": True, "required": True, "detail": "sqlite"},
            "mail": {"ok": False, "required": False, "detail": "no broker"},
        },
    }


async def test_each_failing_dependency_is_named_with_its_reason() -> None:
    health = Health(check_timeout_s=0.05)
    for name, check in {"a": well, "b": unavailable, "c": broken, "d": silent}.items():
        health.add(name, check)
    began = time.monotonic()
    readiness = await health.ready()
    assert time.monotonic() - began < 2
    assert not readiness.ok
    assert {result.name: result.detail for result in readiness.results if not result.ok} == {
        "b": "no broker",
        "c": "ConnectionError: refused",
        "d": "no answer within 0.05 s",
    }


async def test_a_draining_service_is_not_ready() -> None:
    health = Health()
    health.add("database", well)
    health.is_draining = True
    readiness = await health.ready()
    assert not readiness.ok
    assert readiness.results[0].detail == "draining"
