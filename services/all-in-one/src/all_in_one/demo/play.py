"""Play the scenario against a running Lookout, print each step, and check the tickets."""

import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import aiohttp
from rich.console import Console
from rich.table import Table

from all_in_one.demo.scenario import (
    EXPECTED,
    LENGTH,
    STEPS,
    ActualTicket,
    Kind,
    Step,
    differences,
)
from all_in_one.demo.site import (
    LOCATION_CODE,
    ONLY_SITE,
    SPOTS_PER_CAMERA,
    TIME_ZONE,
    Plan,
    Site,
    make_site,
    parking_push,
    spot_of,
)

WAIT_S = 60
"""How long a push waits for its ticket. The first read after a start takes some seconds."""


@dataclass(frozen=True)
class Played:
    """One push and what the API answered."""

    step: Step
    answer: dict[str, Any]
    elapsed_s: float


async def play(client: aiohttp.ClientSession, console: Console, plan: Plan = ONLY_SITE) -> bool:
    """Play the scenario and print steps and tickets. Returns whether every outcome and ticket is as expected."""
    start = (datetime.now(UTC) - LENGTH).replace(second=0, microsecond=0)
    cameras = tuple(dict.fromkeys(step.spot[0] for step in STEPS))
    async with make_site(client, cameras, plan) as site:
        if site.code != LOCATION_CODE:
            console.print(f"The site stays: location {site.location_id}, Demo {site.code}.", highlight=False)
        console.print(
            f"Site {site.code}: {len(cameras)} cameras, {len(cameras) * SPOTS_PER_CAMERA} spots. "
            f"Playing {len(STEPS)} camera events."
        )
        played = [await push_step(client, console, site, step, start) for step in STEPS]
        wrong = [problem for one in played if (problem := outcome_problem(one))]
        actual, rows = await list_tickets(client, site, start)
    wrong += list(differences(EXPECTED, actual))
    console.print(ticket_table(rows, played, site))
    for problem in wrong:
        console.print(f"[red]wrong:[/] {problem}")
    return not wrong


async def push_step(
    client: aiohttp.ClientSession, console: Console, site: Site, step: Step, start: datetime
) -> Played:
    """Change the scene, send the push, wait for its outcome."""
    camera = site.cameras[step.spot[0]]
    number = step.spot[1]
    if step.arrives is not None:
        camera.cars[number] = step.arrives
    camera.is_one_passing = step.is_passing
    picture = camera.picture() if not step.is_repeat else site.last_pictures[step.spot]
    site.last_pictures[step.spot] = picture
    if step.leaves:
        camera.cars.pop(number, None)
    at = (start + step.offset).astimezone(ZoneInfo(TIME_ZONE))
    started_s = time.monotonic()
    async with client.post(
        f"/post/{site.push_secret}" if site.push_secret else "/post",
        json=parking_push(site.code, step, picture, at),
        headers={"Prefer": f"wait={WAIT_S}"},
        timeout=aiohttp.ClientTimeout(total=WAIT_S + 10),
    ) as answer:
        body = await answer.json(content_type=None)
    elapsed_s = time.monotonic() - started_s
    outcome = body.get("status", answer.status)
    detail = body.get("reason") or body.get("detail") or body.get("plate", {}).get("text", "")
    repeat = " (known already)" if answer.headers.get("Lookout-Duplicate") else ""
    console.print(
        f"  {at:%H:%M}  camera {step.spot[0]} spot {number}  {step.kind:5}  {step.description}\n"
        f"         [dim]→[/] [bold]{outcome}[/]{repeat} {detail} [dim]{elapsed_s * 1000:.0f} ms[/]",
        highlight=False,
    )
    return Played(step, body, elapsed_s)


def outcome_problem(played: Played) -> str:
    """The difference between expected and actual outcome; empty if there is none."""
    found = played.answer.get("status")
    if found == played.step.expected_outcome:
        return ""
    step = played.step
    return f"{step.description}: expected {step.expected_outcome}, the answer says {found} ({played.answer})"


async def list_tickets(
    client: aiohttp.ClientSession, site: Site, start: datetime
) -> tuple[list[ActualTicket], list[dict[str, Any]]]:
    """Every ticket of the site, as the API lists them, oldest first."""
    rows: list[dict[str, Any]] = []
    for camera_id in site.camera_ids:
        query = {"camera_id": camera_id, "page_size": 100}
        async with client.get("/tickets", params=query, raise_for_status=True) as answer:
            rows += (await answer.json())["items"]
    rows.sort(key=lambda row: int(row["id"]))
    actual = [
        ActualTicket(
            spot=spot_of(row, site),
            plate="UNKNOWN" if row["is_unknown"] else row["plate_text"],
            entry_minute=minute(row["entry_time"], start),
            exit_minute=minute(row["exit_time"], start) if row["exit_time"] else None,
            reopened=row["reopened_count"],
        )
        for row in rows
    ]
    return actual, rows


def minute(moment: str, start: datetime) -> int:
    """Whole minutes since the start of the scenario."""
    return round((datetime.fromisoformat(moment) - start) / timedelta(minutes=1))


def ticket_table(rows: list[dict[str, Any]], played: list[Played], site: Site) -> Table:
    """The tickets, with the time from the push to the ticket."""
    took = {
        one.answer.get("ticket_id"): one.elapsed_s for one in reversed(played) if one.step.kind is Kind.ENTRY
    }
    table = Table(title="Tickets", title_justify="left")
    for name in ("id", "camera", "spot", "plate", "city", "code", "sure", "entry", "exit", "status"):
        table.add_column(name)
    table.add_column("POST to ticket", justify="right")
    for row in rows:
        known = not row["is_unknown"]
        elapsed_s = took.get(row["id"])
        table.add_row(
            str(row["id"]),
            site.camera_ids[row["camera_id"]],
            str(row["spot_number"]),
            row["plate_text"] if known else "UNKNOWN",
            row["plate_city"] or "",
            row["plate_code"] or "",
            f"{row['confidence']} %" if known else "",
            local(row["entry_time"]),
            local(row["exit_time"]),
            row["status"],
            f"{elapsed_s * 1000:.0f} ms" if elapsed_s is not None else "",
        )
    return table


def local(moment: str | None) -> str:
    """The time of day at the site; empty if there is none."""
    return f"{datetime.fromisoformat(moment).astimezone(ZoneInfo(TIME_ZONE)):%H:%M}" if moment else ""
