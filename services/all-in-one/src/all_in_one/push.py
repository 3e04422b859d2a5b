"""`push`: send pictures as a camera does, and say what became of them."""

import argparse
import asyncio
import io
import json
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import aiohttp
from PIL import Image, UnidentifiedImageError

from all_in_one.push_body import push_body

DEFAULT_URL = "http://localhost:8000"
WAIT_S = 30
"""How long the answer may wait for the outcome. The first read after a start takes some seconds."""

SMALLEST_ZONE_HOURS = 0.2
"""Below that, captured and received differ by a clock, and not by time zones, which are a quarter of an hour apart."""

_HINTS = {
    "unknown_location": "Register it (README.md, 'A car park in five calls'), or name another one with --area.",
    "unknown_camera": "Register the camera (POST /cameras), or name another one with --area.",
    "unknown_spot": "Draw the spot (POST /spots), raise number_of_parking, or name another one with --spot.",
    "push_refused": "The camera has a credential: --user and --password, or --url http://HOST/post/SECRET.",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of the command."""
    parser.add_argument("pictures", nargs="+", type=Path, metavar="PICTURE", help="JPEG, PNG, WebP or BMP")
    parser.add_argument(
        "--area", default="NAD95", help="location code and camera code, as in NAD95 (default)"
    )
    parser.add_argument("--spot", type=int, default=1, help="number of the spot (default 1)")
    parser.add_argument("--exit", action="store_true", help="the vehicle leaves; without it, it arrives")
    parser.add_argument(
        "--time-zone", type=time_zone, default=None, help="of the location (default: that of this machine)"
    )
    parser.add_argument("--print", action="store_true", help="print the bodies, one a line, and send nothing")
    parser.add_argument("--user", default="", help="user name, for a camera with a push_password")
    parser.add_argument("--password", default="", help="its password (HTTP Basic)")
    parser.add_argument("--url", default=DEFAULT_URL, help=f"of Lookout (default {DEFAULT_URL})")


def time_zone(name: str) -> ZoneInfo:
    """For argparse.

    Raises:
        argparse.ArgumentTypeError: there is no such time zone.
    """
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise argparse.ArgumentTypeError(
            f"{name!r} is no time zone: give an IANA name such as Asia/Dubai"
        ) from None


def push(options: argparse.Namespace) -> int:
    """Send each picture, a second apart by the camera's clock; 1 where one was not accepted."""
    return asyncio.run(_push_all(options))


async def _push_all(options: argparse.Namespace) -> int:
    url = options.url.rstrip("/")
    url = url if "/post" in url else f"{url}/post"
    auth = aiohttp.BasicAuth(options.user, options.password) if options.user else None
    now, status = datetime.now(UTC).astimezone(options.time_zone), 0
    async with aiohttp.ClientSession(auth=auth) as client:
        for number, path in enumerate(options.pictures):
            try:
                body = document(path, options, now + timedelta(seconds=number))
            except UnidentifiedImageError:
                sys.stderr.write(f"{path}: is no JPEG, PNG, WebP or BMP picture\n")
                status = 1
                continue
            except OSError as error:
                sys.stderr.write(f"{path}: {error.strerror or error}\n")
                status = 1
                continue
            if options.print:
                sys.stdout.write(json.dumps(body) + "\n")
                continue
            try:
                is_accepted, text = await _send(client, url, body)
            except (aiohttp.ClientError, TimeoutError, ValueError) as error:
                reason = str(error) or type(error).__name__
                sys.exit(
                    f"lookout push: no answer of Lookout at {url} ({reason}). `lookout serve` starts it."
                )
            sys.stdout.write(f"{path}: {text}\n")
            status = status if is_accepted else 1
    return status


async def _send(client: aiohttp.ClientSession, url: str, body: dict[str, Any]) -> tuple[bool, str]:
    headers = {"Prefer": f"wait={WAIT_S}"}
    async with client.post(url, json=body, headers=headers) as answer:
        told: dict[str, Any] = await answer.json(content_type=None)
        if answer.status >= 300:
            hint = _HINTS.get(told.get("code", ""), "")
            return False, f"{answer.status}: {told.get('detail', '').rstrip('.')}. {hint}".rstrip()
        is_repeat = " (known already)" if "Lookout-Duplicate" in answer.headers else ""
    plate = (told.get("plate") or {}).get("text") or ("UNKNOWN" if told.get("ticket_id") else "")
    ticket = (
        f"ticket {told['ticket_id']}, GET /tickets/{told['ticket_id']}; " if told.get("ticket_id") else ""
    )
    words = [f"{told['status']}{is_repeat}", plate, told.get("reason") or ""]
    said = " ".join(word for word in words if word)
    return True, f"{said} ({ticket}event GET /camera-events/{told['event_id']}){_clock_note(told)}"


def _clock_note(told: dict[str, Any]) -> str:
    """A note where the time of the push is far from now: the location is in another time zone."""
    captured, received = (datetime.fromisoformat(told[name]) for name in ("captured_at", "received_at"))
    hours = (received - captured).total_seconds() / 3600
    if abs(hours) < SMALLEST_ZONE_HOURS:
        return ""
    return f"\n  Its time is {hours:.1f} h before now: set the location's --time-zone."


def document(path: Path, options: argparse.Namespace, at: datetime) -> dict[str, Any]:
    """The body of a push. The spot is the picture but for a margin, and the vehicle fills it.

    Raises:
        OSError: the file cannot be read.
        PIL.UnidentifiedImageError: it is no picture.
    """
    data = path.read_bytes()
    with Image.open(io.BytesIO(data)) as picture:
        width, height = picture.size
    left, top, right, bottom = width // 20, height // 20, width - width // 20, height - height // 20
    return push_body(
        device=f"lookout push {options.area}",
        area=options.area,
        spot=options.spot,
        is_exit=options.exit,
        at=at,
        picture=data,
        size_px=(width, height),
        corners=((left, top), (right, top), (right, bottom), (left, bottom)),
        vehicle_box=(left, top, right, bottom),
    )
