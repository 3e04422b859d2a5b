"""Play the morning against a running Lookout, tell it as it happens, and check the books."""

import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import aiohttp
from rich.console import Console
from rich.table import Table

from all_in_one.demo.morning import (
    EXPECTED,
    LENGTH,
    MORNING,
    BookedTicket,
    Kind,
    Step,
    mistakes,
)
from all_in_one.demo.site import SPOTS_PER_CAMERA, TIME_ZONE, Site, make_site, place_of, report

WAIT_S = 60
"""Longest that a push waits for its ticket: the first read on a cold machine takes seconds, not minutes."""


@dataclass(frozen=True)
class Played:
    """One push and what the API answered."""

    step: Step
    answer: dict[str, Any]
    elapsed_s: float


async def play(client: aiohttp.ClientSession, console: Console) -> bool:
    """Whether every outcome and every ticket is as the story demands. Prints the story and the tickets."""
    start = (datetime.now(UTC) - LENGTH).replace(second=0, microsecond=0)
    cameras = tuple(dict.fromkeys(step.place[0] for step in MORNING))
    async with make_site(client, cameras) as site:
        console.print(
            f"Site NAD: {len(cameras)} cameras, {len(cameras) * SPOTS_PER_CAMERA} spots. "
            f"Playing {len(MORNING)} camera events."
        )
        played = [await push_step(client, console, site, step, start) for step in MORNING]
        wrong = [problem for one in played if (problem := outcome_problem(one))]
        booked, rows = await books(client, site, start)
    wrong += list(mistakes(EXPECTED, booked))
    console.print(ticket_table(rows, played, site))
    for problem in wrong:
        console.print(f"[red]wrong:[/] {problem}")
    return not wrong


async def push_step(
    client: aiohttp.ClientSession, console: Console, site: Site, step: Step, start: datetime
) -> Played:
    """Change the scene, push the event, wait for what it comes to."""
    camera = site.cameras[step.place[0]]
    number = step.place[1]
    if step.arrives is not None:
        camera.cars[number] = step.arrives
    camera.is_one_passing = step.is_passing
    picture = camera.picture() if not step.is_repeat else site.last_pictures[step.place]
    site.last_pictures[step.place] = picture
    if step.leaves:
        camera.cars.pop(number, None)
    at = (start + step.offset).astimezone(ZoneInfo(TIME_ZONE))
    began = time.monotonic()
    async with client.post(
        "/post",
        json=report(step, picture, at),
        headers={"Prefer": f"wait={WAIT_S}"},
        timeout=aiohttp.ClientTimeout(total=WAIT_S + 10),
    ) as answer:
        body = await answer.json(content_type=None)
    elapsed_s = time.monotonic() - began
    outcome = body.get("status", answer.status)
    detail = body.get("reason") or body.get("detail") or body.get("plate", {}).get("text", "")
    repeat = " (known already)" if answer.headers.get("Lookout-Duplicate") else ""
    console.print(
        f"  {at:%H:%M}  camera {step.place[0]} spot {number}  {step.kind:5}  {step.story}\n"
        f"         [dim]→[/] [bold]{outcome}[/]{repeat} {detail} [dim]{elapsed_s * 1000:.0f} ms[/]",
        highlight=False,
    )
    return Played(step, body, elapsed_s)


def outcome_problem(played: Played) -> str:
    """What is wrong with the answer to a push; empty when it is as expected."""
    found = played.answer.get("status")
    if found == played.step.expect:
        return ""
    return f"{played.step.story}: expected {played.step.expect}, the answer says {found} ({played.answer})"


async def books(
    client: aiohttp.ClientSession, site: Site, start: datetime
) -> tuple[list[BookedTicket], list[dict[str, Any]]]:
    """Every ticket of the site, as the API lists them, oldest first."""
    query = {"sort_by": "id", "sort_order": "asc", "page_size": "100"}
    async with client.get("/tickets", params=query, raise_for_status=True) as answer:
        items = (await answer.json())["items"]
    rows = [row for row in items if row["camera_id"] in site.camera_ids]
    booked = [
        BookedTicket(
            place=place_of(row, site),
            plate="UNKNOWN" if row["is_unknown"] else row["plate_text"],
            entry_minute=minute(row["entry_time"], start),
            exit_minute=minute(row["exit_time"], start) if row["exit_time"] else None,
            reopened=row["reopened_count"],
        )
        for row in rows
    ]
    return booked, rows


def minute(moment: str, start: datetime) -> int:
    """Whole minutes since the start of the morning."""
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
    """The time of day at the site; empty for none."""
    return f"{datetime.fromisoformat(moment).astimezone(ZoneInfo(TIME_ZONE)):%H:%M}" if moment else ""
