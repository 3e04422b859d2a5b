"""`doctor`: what is wrong with an embedded Lookout, and what to do about it."""

import argparse
import asyncio
import json
import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aiohttp

from all_in_one import data_folder
from all_in_one.embedded import BUS_OWNER, settings_of
from kit.bus import open_bus
from kit.clock import SystemClock
from kit.errors import LookoutError
from kit.logging import make_logger
from kit.metrics import Metrics
from kit.service import ServiceFailed, installed_services
from kit.settings import BusSettings, DiskSettings, LogSettings

DEFAULT_URL = "http://localhost:8000"
TIMEOUT_S = 10
BACKLOG = 1000
"""Waiting messages of a queue above which something is too slow or has stopped."""

SILENT_HOURS = 24.0
CLOCK_STEP_S = 60.0


@dataclass(frozen=True, slots=True)
class Finding:
    """`is_ok` None: not looked at. `detail` says what was seen, and where it is not right, what to do."""

    what: str
    is_ok: bool | None
    detail: str


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of the command."""
    parser.add_argument("--data-dir", type=Path, default=None, help="folder of the data (default .run)")
    parser.add_argument(
        "--url", type=base_url, default=DEFAULT_URL, help=f"of Lookout (default {DEFAULT_URL})"
    )
    parser.add_argument(
        "--token",
        type=token,
        default=os.environ.get("LOOKOUT_TOKEN", ""),
        help="for the cameras (default: LOOKOUT_TOKEN)",
    )
    parser.add_argument(
        "--silent-hours",
        type=hours,
        default=SILENT_HOURS,
        help=f"a camera that pushed nothing for so long is silent (default {SILENT_HOURS:g})",
    )
    parser.add_argument("--json", action="store_true", help="print JSON instead of text for people")


def base_url(text: str) -> str:
    """For argparse, as the next two.

    Raises:
        argparse.ArgumentTypeError: it is not a base URL of HTTP.
    """
    parts = urlsplit(text)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise argparse.ArgumentTypeError(f"{text!r} is no URL: give one such as {DEFAULT_URL}")
    return text


def hours(text: str) -> float:
    """A number of hours that a time span can have, above 0."""
    with suppress(ValueError, OverflowError):
        if timedelta(hours=float(text)) > timedelta():
            return float(text)
    raise argparse.ArgumentTypeError(f"{text!r} is no number of hours above 0")


def token(text: str) -> str:
    """A text that a header can have."""
    if not text.isascii() or not text.isprintable():
        raise argparse.ArgumentTypeError("it has characters that no token has, such as a line break")
    return text


def doctor(options: argparse.Namespace) -> int:
    """Print each finding; 1 where something is wrong."""
    folder = options.data_dir or Path(os.environ.get("LOOKOUT_DATA_DIR") or ".run")
    findings = [*_files(folder), *asyncio.run(_looked_up(folder, options))]
    if options.json:
        sys.stdout.write(json.dumps([asdict(finding) for finding in findings], indent=1) + "\n")
    else:
        words = {True: "ok   ", False: "WRONG", None: "-    "}
        for finding in findings:
            sys.stdout.write(f"{words[finding.is_ok]} {finding.what}: {finding.detail}\n")
    return 1 if any(finding.is_ok is False for finding in findings) else 0


def _files(folder: Path) -> Iterator[Finding]:
    if folder.exists() and not folder.is_dir():
        yield Finding("data folder", False, f"{folder} is not a folder: name another one with --data-dir")
        return
    if not folder.exists():
        yield Finding(
            "data folder", False, f"{folder} does not exist: `lookout serve --data-dir {folder}` makes it"
        )
        return
    try:
        data_folder.check(folder)
        yield Finding("files", True, f"every database and key of the last start is in {folder} and readable")
    except ServiceFailed as error:
        yield Finding("files", False, str(error))
    reserve = _disk_settings(folder).reserve_bytes
    free = shutil.disk_usage(folder).free
    yield Finding(
        "disk",
        free > reserve,
        f"{free / 1e9:.1f} GB free; below {reserve / 1e9:.1f} GB pictures are refused"
        + ("" if free > reserve else ": free some, or lower INGEST__RETENTION__EVENT_DAYS"),
    )
    newest = max((path.stat().st_mtime for path in folder.glob("*.db*")), default=0.0)
    ahead_s = newest - datetime.now(UTC).timestamp()
    is_right = ahead_s < CLOCK_STEP_S
    yield Finding(
        "clock",
        is_right,
        "not behind what was written last"
        if is_right
        else f"{ahead_s:.0f} s behind what was written last: set it, or it was ahead before",
    )
    found = sorted(path.name for path in _models_folder().glob("*.onnx"))
    yield Finding(
        "models",
        bool(found),
        ", ".join(found) if found else "the plate networks are missing: install lookout-plate-ocr again",
    )


def _disk_settings(folder: Path) -> DiskSettings:
    """Those of the service that stores the pictures, as `serve` reads them."""
    (ingest,) = (service for service in installed_services() if service.name == BUS_OWNER)
    disk: DiskSettings = vars(settings_of(ingest.settings, folder))["disk"]
    return disk


def _models_folder() -> Path:
    spec = find_spec("plate_ocr")
    return Path(
        spec.submodule_search_locations[0] if spec and spec.submodule_search_locations else ".", "models"
    )


async def _looked_up(folder: Path, options: argparse.Namespace) -> list[Finding]:
    findings = [await _queues(folder)] if (folder / "bus.db").exists() else []
    timeout = aiohttp.ClientTimeout(total=TIMEOUT_S)
    async with aiohttp.ClientSession(options.url, timeout=timeout) as client:
        try:
            findings.append(await _readiness(client))
        except (aiohttp.ClientError, TimeoutError, ValueError) as error:
            detail = f"{options.url} does not answer ({str(error) or type(error).__name__}): `lookout serve` starts it"
            return [*findings, Finding("service", False, detail)]
        if not options.token:
            return [*findings, Finding("cameras", None, "not looked at without --token or LOOKOUT_TOKEN")]
        client.headers["Authorization"] = f"Bearer {options.token}"
        return [*findings, *await _cameras(client, timedelta(hours=options.silent_hours))]


async def _queues(folder: Path) -> Finding:
    bus = open_bus(
        BusSettings(url=f"sqlite:///{folder / 'bus.db'}"),
        logger=make_logger("doctor", LogSettings(level="ERROR", format="console"), stream=sys.stderr),
        metrics=Metrics("doctor"),
        clock=SystemClock(),
        app_id="doctor",
    )
    try:
        await bus.start()
        infos = await bus.queues()
    except LookoutError as error:
        return Finding("queues", False, str(error))
    finally:
        await bus.stop()
    wrong = [
        *(f"{info.queue} has {info.dead_letters} dead letters" for info in infos if info.dead_letters),
        *(f"{info.depth} messages wait in {info.queue}" for info in infos if info.depth > BACKLOG),
    ]
    if wrong:
        command = f"lookout dead-letters list --bus sqlite:///{(folder / 'bus.db').absolute()}"
        return Finding("queues", False, "; ".join(wrong) + f": `{command}` says why")
    return Finding(
        "queues", True, f"{len(infos)}, no dead letters, {sum(info.depth for info in infos)} messages wait"
    )


async def _readiness(client: aiohttp.ClientSession) -> Finding:
    async with client.get("/health/ready") as answer:
        document: dict[str, Any] = await answer.json(content_type=None)
    checks = document.get("checks", {})
    wrong = [f"{name}: {check.get('detail')}" for name, check in checks.items() if not check.get("ok", True)]
    is_ok = answer.status == 200 and not wrong
    return Finding("service", is_ok, "ready" if is_ok else "; ".join(wrong) or f"not ready ({answer.status})")


async def _cameras(client: aiohttp.ClientSession, silence: timedelta) -> list[Finding]:
    findings: list[Finding] = []
    query = {"page_size": "200"}
    while True:
        async with client.get("/cameras", params=query) as answer:
            if answer.status != 200:
                return [Finding("cameras", False, f"the list answers {answer.status}: is the token valid?")]
            page = await answer.json()
        findings += [_camera(camera, silence) for camera in page["items"] if camera["is_enabled"]]
        if page["next_cursor"] is None:
            break
        query["cursor"] = page["next_cursor"]
    return findings or [
        Finding("cameras", False, "none is registered: README.md, 'A car park in five calls'")
    ]


def _camera(camera: dict[str, Any], silence: timedelta) -> Finding:
    what, pushed_at = f"camera {camera['name']} ({camera['id']})", camera["last_push_at"]
    if camera["status_reason"] == "NO_ANSWER":
        failure = f"the last call to it failed ({camera['last_failure']})"
        return Finding(what, False, f"{failure}: look at its power, its network and its p_ip and vpn_ip")
    hours = silence.total_seconds() / 3600
    has_pushed = pushed_at is not None and datetime.now(UTC) - datetime.fromisoformat(pushed_at) <= silence
    return Finding(
        what,
        has_pushed,
        f"pushed in the last {hours:g} h"
        if has_pushed
        else f"pushed nothing in {hours:g} h: look at it, and at GET /refused-pushes",
    )
