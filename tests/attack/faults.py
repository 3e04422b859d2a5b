"""Damaged and lost files, wrong clocks, second processes, and crashes and stops in the worst moment."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

import httpx

from all_in_one.pictures import ParkedCar, draw_scene
from attack.checks import Check
from attack.deadly_engine import DEADLY_SIZE_PX
from attack.pictures_through_http import many_scans, upload
from attack.target import SPOTS, HonestCamera, Mode, Target, push, repeated, running
from stack import ServiceProcess
from testkit.pictures import noise
from testkit.processes import wait_until

FAULT_START_TIMEOUT_S = 25
GRACE_MARGIN_S = 2
FAKETIME = Path("/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1")


def damaged_files(mode: Mode) -> Iterator[Check]:
    """Findings: a corrupt database, a lost key: started silently without what was there, or a traceback."""
    with tempfile.TemporaryDirectory() as name:
        with running(mode, Path(name)) as target, HonestCamera(target.url, "1") as camera:
            camera.cars(2)
            process = target.stack.services["gateway"]
        data = target.data_dir
        copy = Path(name, "copy")
        shutil.copytree(data, copy, symlinks=True)
        for file in sorted(path for path in data.iterdir() if path.suffix in {".db", ".key"}):
            for what, damage in damages(file):
                shutil.rmtree(data)
                shutil.copytree(copy, data, symlinks=True)
                damage()
                yield start_of_damaged(process, file.name, what)


def damages(file: Path) -> Iterator[tuple[str, Callable[[], object]]]:
    """The ways in which that file is damaged."""
    yield "lost", file.unlink
    yield "empty", lambda: file.write_bytes(b"")
    yield "overwritten", lambda: file.write_bytes(os.urandom(8192))


def start_of_damaged(process: ServiceProcess, file: str, what: str) -> Check:
    """Whether it ends at once with one line that names the file."""
    process.log.write_text("")
    process.start()
    assert process.process is not None
    try:
        code: int | None = process.process.wait(FAULT_START_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        code = None
        process.kill()
    log = process.log.read_text(errors="replace")
    lines = [line for line in log.splitlines() if file in line]
    is_held = bool(code) and bool(lines) and "Traceback" not in log
    return Check(
        f"{file} {what}",
        is_held,
        f"exit status {code}: {(lines or [log[-200:]])[-1][:220]}" if code is not None else "it kept running",
    )


def second_process(mode: Mode) -> Iterator[Check]:
    """Finding: two processes on one data folder."""
    with tempfile.TemporaryDirectory() as name, running(mode, Path(name), has_site=False) as target:
        ended = subprocess.run(
            [sys.executable, "-m", "all_in_one", "serve", "--port", "0", "--data-dir", str(target.data_dir)],
            capture_output=True,
            timeout=FAULT_START_TIMEOUT_S,
            check=False,
            text=True,
        )
        output = ended.stdout + ended.stderr
        yield Check(
            "the second one ends with a sentence",
            ended.returncode != 0 and "Traceback" not in output and str(target.data_dir) in output,
            f"exit status {ended.returncode}: {output[-200:].strip()}",
        )


def taken_port(mode: Mode) -> Iterator[Check]:
    """Finding: a first start on a taken port printed the password once, and it was gone."""
    with tempfile.TemporaryDirectory() as name, running(mode, Path(name, "first"), has_site=False) as target:
        port = target.url.rpartition(":")[2]
        folder = Path(name, "second")
        command = [sys.executable, "-m", "all_in_one", "serve", "--port", port, "--data-dir", str(folder)]
        ended = subprocess.run(
            command, capture_output=True, timeout=FAULT_START_TIMEOUT_S, check=False, text=True
        )
        output = ended.stdout + ended.stderr
        yield Check(
            "it ends before it makes a password",
            ended.returncode != 0 and "password" not in output.lower() and "Traceback" not in output,
            f"exit status {ended.returncode}: {output[-200:].strip()}",
        )


def stop_in_the_worst_moment(mode: Mode) -> Iterator[Check]:
    """Finding: SIGTERM took 100 s against a grace of 20 while pictures were read."""
    with tempfile.TemporaryDirectory() as name, running(mode, Path(name)) as target:
        with HonestCamera(target.url, "1") as camera:
            camera.cars(2)
        accepted: list[str] = []
        picture = draw_scene({1: ParkedCar("D 71026")}, spot_count=SPOTS)
        large, slow = noise(8_000_000), many_scans(90)

        def push_one() -> None:
            with target.stranger() as client:
                now = datetime.now(UTC)
                camera_number = str(2 + len(accepted) % 5)
                answer = client.post(
                    "/post", json=push(camera_number, 1 + len(accepted) % SPOTS, picture, now)
                )
                if answer.status_code < 300 and "event_id" in answer.json():
                    accepted.append(answer.json()["event_id"])

        calls = [lambda: upload(target, large), lambda: upload(target, slow)] * 4
        with repeated(push_one, push_one, *calls):
            time.sleep(4)
            took = {}
            for service_name, service in target.stack.services.items():
                assert service.process is not None
                started_s = time.monotonic()
                service.process.send_signal(signal.SIGTERM)
                with suppress(subprocess.TimeoutExpired):
                    service.process.wait(90)
                took[service_name] = time.monotonic() - started_s
        slowest = max(took, key=lambda key: took[key])
        yield Check(
            "the process ends within the grace and 2 s",
            took[slowest] <= GRACE_S + GRACE_MARGIN_S,
            f"{slowest} took {took[slowest]:.1f} s, the grace is {GRACE_S} s",
        )
        target.stack.start()
        yield decided(target, sorted(set(accepted)))


GRACE_S = 20
"""The default of `LOOKOUT_…__SHUTDOWN_GRACE_S`."""


def decided(target: Target, event_ids: list[str]) -> Check:
    """Whether each accepted event has an outcome."""
    with target.stack.client() as client:

        def open_events() -> list[str]:
            return [one for one in event_ids if not client.get(f"/camera-events/{one}").json().get("outcome")]

        with suppress(AssertionError, TimeoutError):
            wait_until(lambda: not open_events(), timeout_s=90, what="every event being decided")
        left = open_events()
    return Check(
        "nothing accepted was lost", not left, f"{len(event_ids)} accepted, {len(left)} without an outcome"
    )


def killed_while_reading(mode: Mode) -> Iterator[Check]:
    """Finding: a picture that kills the process: 20 kills in 320 s, and its event stayed `accepted` for ever."""
    settings = {"PLATE_OCR__ENGINE": "attack.deadly_engine:make_engine"}
    with tempfile.TemporaryDirectory() as name, running(mode, Path(name), settings) as target:
        reader = target.stack.services.get("plate-ocr", target.stack.services["gateway"])
        with target.stranger() as client:
            deadly = draw_scene({}, spot_count=SPOTS, size_px=DEADLY_SIZE_PX)
            event = client.post("/post", json=push("1", 1, deadly, datetime.now(UTC))).json()["event_id"]
        kills, over = 0, time.monotonic() + 120
        state: dict[str, object] = {}
        while time.monotonic() < over:
            if reader.process is None or reader.process.poll() is not None:
                kills += 1
                reader.start()
            with suppress(httpx.HTTPError, KeyError), target.stack.client() as client:
                state = client.get(f"/camera-events/{event}").json()
                if state.get("outcome") not in {None, "accepted"}:
                    break
            time.sleep(0.2)
        yield Check("it is set aside after 3 crashes", 1 <= kills <= 3, f"{kills} crashes")
        outcome = state.get("outcome")
        yield Check("the API says what happened", outcome == "opened", f"outcome {outcome!r}")
        reader.wait_ready()
        with target.stack.client() as client:
            tickets = client.get("/tickets").json()["items"]
            reviews = client.get("/manual-reviews").json()["items"]
        yield Check(
            "there is an UNKNOWN ticket with a review",
            [ticket["is_unknown"] for ticket in tickets] == [True] and len(reviews) == 1,
            f"{len(tickets)} tickets, {len(reviews)} reviews",
        )


def clock_ahead(mode: Mode) -> Iterator[Check]:
    """Finding: a start with a clock 500 days ahead deleted every picture within seconds."""
    if not FAKETIME.exists():
        yield Check("pictures after a start 500 days ahead", None, "needs Debian's package faketime")
        return
    with tempfile.TemporaryDirectory() as name:
        with running(mode, Path(name)) as target, HonestCamera(target.url, "1") as camera:
            camera.cars(5)
            process = target.stack.services["gateway"]
        data = target.data_dir
        before = blob_count(data)
        ahead = {"LD_PRELOAD": str(FAKETIME), "FAKETIME": "+500d", "FAKETIME_DONT_FAKE_MONOTONIC": "1"}
        environment = {**process.environment, **ahead, "LOOKOUT_INGEST__RETENTION__SWEEP_INTERVAL_S": "1"}
        wrong = ServiceProcess("all-in-one", environment, process.url, Path(name, "ahead.log"))
        wrong.start()
        wrong.wait_ready()
        time.sleep(10)
        wrong.stop()
        after = blob_count(data)
        warned = [
            line for line in wrong.log.read_text().splitlines() if "warning" in line and "clock" in line
        ]
        yield Check(
            "pictures after a start 500 days ahead", after >= before, f"{before} before, {after} after"
        )
        yield Check("the log warns", bool(warned), (warned or [""])[0][:200])


def blob_count(data: Path) -> int:
    return sum(1 for path in (data / "blobs").rglob("*") if path.is_file())
