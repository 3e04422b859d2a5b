"""Hostile clients: floods, made-up events, guesses about the site, requests that are never finished."""

from __future__ import annotations

import base64
import json
import shutil
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx

from all_in_one.pictures import ParkedCar, draw_scene
from attack.checks import Check
from attack.pictures_through_http import CARS, WARM_UP_CARS, running_with_camera, worst
from attack.target import SPOTS, HonestCamera, Mode, Target, push, running
from ingest.settings import ParkingPushSettings
from stack import NO_PUSH_BUDGETS, SUPERADMIN_PASSWORD
from testkit.pictures import pad, solid

FLOOD_S = 10
FLOOD_CLIENTS = 8
IDLE, DRIPPING = 500, 50
CONNECTIONS_SLOWER = 1.5
CONTROL_CHARACTERS = "\x1b[31mred\x1b[0m\x00\x07\x9b\u202e"


def flood(mode: Mode) -> Iterator[Check]:
    """Finding: one client stored 15.7 MB/s, which is kept for 400 days."""
    budgets = {
        f"INGEST__{name}": str(ParkingPushSettings.model_fields[name.partition("__")[2].lower()].default)
        for name in NO_PUSH_BUDGETS
    }
    with running_with_camera(mode, budgets) as (target, quiet_s, camera):
        sent: list[tuple[int, int]] = []
        over = time.monotonic() + FLOOD_S

        def client(number: int) -> None:
            with target.stranger() as http:
                at = datetime.now(UTC) - timedelta(days=3, minutes=number)
                while time.monotonic() < over:
                    at += timedelta(seconds=1)
                    picture = pad(solid(), 1_000_000 + int(time.monotonic() * 1000) % 1000 * 10)
                    answer = http.post("/post", json=push("2", number % SPOTS + 1, picture, at))
                    sent.append((answer.status_code, len(picture)))

        with ThreadPoolExecutor(FLOOD_CLIENTS) as pool:
            running_clients = [pool.submit(client, number) for number in range(FLOOD_CLIENTS)]
            attacked_s = worst(camera.cars(CARS))
            for one in running_clients:
                one.result()
        accepted = [size for code, size in sent if code < 300]
        codes = sorted({code for code, _ in sent})
        yield Check(
            "one address is limited",
            429 in codes and set(codes) <= {200, 201, 202, 413, 429, 503},
            f"{len(accepted)} of {len(sent)} pushes accepted, {sum(accepted) / FLOOD_S / 1e6:.1f} MB/s,"
            f" answers {codes}",
        )
        del attacked_s, quiet_s  # the honest camera pushes from the same address, whose budget is used up


def full_disk(mode: Mode) -> Iterator[Check]:
    """Finding: on a full disk nobody could sign in, and nothing said why."""
    free_bytes = shutil.disk_usage(tempfile.gettempdir()).free
    reserve = str(free_bytes * 2)
    settings = {"INGEST__DISK__RESERVE_BYTES": reserve}
    with tempfile.TemporaryDirectory() as folder, running(mode, Path(folder), settings) as target:
        with target.stranger() as client:
            answer = client.post("/post", json=push("1", 1, solid(), datetime.now(UTC)))
            yield Check(
                "a picture is refused with the time to try again",
                answer.status_code == 507 and "retry-after" in answer.headers,
                f"{answer.status_code} {answer.text[:160]}",
            )
            credentials = {"username": "superadmin", "password": SUPERADMIN_PASSWORD}
            signed_in = client.post("/token", data=credentials)
            yield Check("signing in works", signed_in.status_code == 200, f"{signed_in.status_code}")
            ready = client.get("/health/ready").text
            yield Check("readiness names the disk", "disk" in ready.lower(), ready[:200])


def made_up_exit(mode: Mode) -> Iterator[Check]:
    """Finding: a stranger's made-up EXIT closed tickets."""
    settings = {"INGEST__PUSH__IS_AUTHENTICATION_REQUIRED": "true"}
    with tempfile.TemporaryDirectory() as folder, running(mode, Path(folder), settings) as target:
        with target.stranger() as client:
            empty = draw_scene({}, spot_count=SPOTS)
            for what, at in (("entry", datetime.now(UTC)), ("exit", datetime.now(UTC))):
                answer = client.post("/post", json=push("1", 1, empty, at, is_exit=what == "exit"))
                yield Check(
                    f"a stranger's {what} is refused",
                    answer.status_code in {401, 403},
                    f"{answer.status_code} {answer.text[:160]}",
                )
            yield from mapping(client)


def mapping(client: httpx.Client) -> Iterator[Check]:
    """Finding: unknown location, camera and spot were told apart, so a site could be mapped."""
    picture, at = solid(), datetime.now(UTC)
    bodies = {
        "known": push("1", 1, picture, at),
        "unknown location": {**push("1", 1, picture, at), "parking_area": "XYZ1"},
        "unknown camera": {**push("1", 1, picture, at), "parking_area": "STM99"},
        "unknown spot": {**push("1", 1, picture, at), "index_number": 77},
    }
    seen: dict[str, str] = {}
    for what, body in bodies.items():
        answer = client.post("/post", json=body)
        document = {
            key: value
            for key, value in json.loads(answer.content or b"{}").items()
            if key not in {"instance", "trace_id", "request_id", "event_id"}
        }
        challenge = answer.headers.get("www-authenticate", "").partition("nonce")[0]
        seen[what] = f"{answer.status_code} {challenge} {json.dumps(document, sort_keys=True)}"
    yield Check(
        "the answer does not tell what exists",
        len(set(seen.values())) == 1,
        "; ".join(f"{what}: {text[:90]}" for what, text in seen.items())
        if len(set(seen.values())) > 1
        else "",
    )


def unfinished_requests(mode: Mode) -> Iterator[Check]:
    """Finding: 240 idle connections locked every camera out, and nothing was logged."""
    with running_with_camera(mode) as (target, quiet_s, camera):
        del quiet_s
        quiet = post_times(target, "2")
        sockets = []
        for number in range(IDLE + DRIPPING):
            with suppress(OSError):
                one = target.socket()
                if number >= IDLE:
                    one.sendall(b"POST /post HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n{")
                sockets.append(one)
        dripping = sockets[IDLE:]
        over = time.monotonic() + 8
        attacked: list[float] = []
        while time.monotonic() < over:
            for one in dripping:
                with suppress(OSError):
                    one.send(b" ")
            attacked += post_times(target, "2", 5)
        ratio = worst(attacked) / worst(quiet)
        yield Check(
            f"{IDLE} idle and {DRIPPING} dripping connections",
            ratio <= CONNECTIONS_SLOWER and not camera.wrong,
            f"a camera's POST p95 {worst(quiet) * 1000:.0f} ms quiet, {worst(attacked) * 1000:.0f} ms attacked",
        )
        for one in sockets:
            one.close()


def post_times(target: Target, camera: str, count: int = 30) -> list[float]:
    """Seconds of `count` accepted pushes, each on a new connection, as cameras open them."""
    took = []
    for _ in range(count):
        at = datetime.now(UTC)
        body = push(camera, 1, solid(), at)
        started_s = time.perf_counter()
        with target.stranger() as client:
            client.post("/post", json=body)
        took.append(time.perf_counter() - started_s)
    return took


def control_characters(mode: Mode) -> Iterator[Check]:
    """Finding: control characters from outside stood raw in the console log."""
    with tempfile.TemporaryDirectory() as name, running(mode, Path(name), CONSOLE) as target:
        with target.stranger() as client:
            for fields in (
                {"device": f"cam{CONTROL_CHARACTERS}"},
                {"parking_area": f"STM{CONTROL_CHARACTERS}"},
                {"event": CONTROL_CHARACTERS},
            ):
                body: dict[str, Any] = {**push("1", 1, solid(), datetime.now(UTC)), **fields}
                client.post("/post", json=body)
            credentials = {"username": f"super{CONTROL_CHARACTERS}", "password": "wrong"}
            client.post("/token", data=credentials)
            with suppress(httpx.HTTPError):
                client.get("/tickets%1b%5b31m")
        log = target.log()
        found = sorted({character for character in log if is_control(character)})
        yield Check("the console log has none of them", not found, f"found {found!r}" if found else "")


CONSOLE = {f"{name}__LOG__FORMAT": "console" for name in ("GATEWAY", "INGEST", "PLATE_OCR", "TICKETS")}


def is_control(character: str) -> bool:
    """Whether a terminal would act on it: C0 without line ends and tab, DEL, C1, and the marks of direction."""
    code = ord(character)
    return (
        (code < 32 and character not in "\n\r\t")
        or 127 <= code < 160
        or 0x202A <= code <= 0x202E
        or 0x2066 <= code <= 0x2069
    )


def unknown_parameters(mode: Mode) -> Iterator[Check]:
    """Findings: `plate_citty=DXB` showed every ticket; a list sorted by `hashed_password`."""
    with tempfile.TemporaryDirectory() as name, running(mode, Path(name), has_site=False) as target:
        with target.stack.client() as client:
            paths = client.get("/openapi.json").json()["paths"]
            lists = [path for path, methods in paths.items() if "get" in methods and "{" not in path]
            for parameter in ("plate_citty", "sort_byy"):
                ignored = [p for p in lists if client.get(p, params={parameter: "x"}).status_code < 300]
                yield Check(
                    f"an unknown parameter, {parameter}",
                    not ignored,
                    f"accepted by {ignored}" * bool(ignored),
                )
            sorted_by = [
                p for p in lists if client.get(p, params={"sort_by": "hashed_password"}).status_code < 300
            ]
            yield Check(
                "sort_by=hashed_password", not sorted_by, f"accepted by {sorted_by}" * bool(sorted_by)
            )
            named = client.get("/tickets", params={"plate_citty": "DXB"}).text
            yield Check("the nearest name is given", "plate_city" in named, named[:160])


def passwords(mode: Mode) -> Iterator[Check]:
    """Finding: `123456` and the user name were accepted as passwords; nobody could change their own."""
    with tempfile.TemporaryDirectory() as name, running(mode, Path(name), has_site=False) as target:
        with target.stack.client() as client:
            for password in ("123456", "password1", "qwertyuiop", "attacker", "Attacker1"):
                user = {"username": "attacker", "password": password}
                answer = client.post("/users", json=user)
                yield Check(
                    f"password {password!r} is refused", answer.status_code == 422, f"{answer.status_code}"
                )
            lookalike = {"username": "superаdmin", "password": "correct horse battery"}  # noqa: RUF001 - a Cyrillic a
            answer = client.post("/users", json=lookalike)
            yield Check(
                "a user name that looks like another is refused",
                answer.status_code in {409, 422},
                f"{answer.status_code} {answer.text[:120]}",
            )


def forged_tokens(mode: Mode) -> Iterator[Check]:
    """A token without a signature, one signed with the public key, and one of another issuer."""

    def part(document: dict[str, Any]) -> str:
        return base64.urlsafe_b64encode(json.dumps(document).encode()).rstrip(b"=").decode()

    with tempfile.TemporaryDirectory() as name, running(mode, Path(name), has_site=False) as target:
        with target.stack.client() as client:
            real = client.headers["Authorization"].removeprefix("Bearer ")
        header, claims, signature = real.split(".")
        unsigned = f"{part({'alg': 'none', 'typ': 'JWT'})}.{claims}."
        with target.stranger() as client:
            for what, token in (
                ("without a signature", unsigned),
                ("with another signature", f"{header}.{claims}.{signature[::-1]}"),
                (
                    "with HS256 over the public key",
                    f"{part({'alg': 'HS256', 'typ': 'JWT'})}.{claims}.{signature}",
                ),
            ):
                answer = client.get("/tickets", headers={"Authorization": f"Bearer {token}"})
                yield Check(f"a token {what}", answer.status_code == 401, f"{answer.status_code}")


def push_from_the_future(mode: Mode) -> Iterator[Check]:
    """A camera's clock that is years ahead must not make retention delete what others stored."""
    settings = {"INGEST__RETENTION__SWEEP_INTERVAL_S": "1"}
    with tempfile.TemporaryDirectory() as name, running(mode, Path(name), settings) as target:
        with HonestCamera(target.url, "1") as camera, target.stack.client() as client:
            camera.cars(WARM_UP_CARS)
            before = [item["id"] for item in client.get("/tickets").json()["items"]]
            picture = draw_scene({1: ParkedCar("B 12345")}, spot_count=SPOTS)
            answer = client.post("/post", json=push("2", 1, picture, datetime.now(UTC) + timedelta(days=900)))
            time.sleep(5)
            lost = [n for n in before if client.get(f"/tickets/{n}/image").status_code != 200]
            yield Check(
                "the pictures of earlier tickets are there",
                bool(before) and not lost,
                f"the push 900 days ahead was answered {answer.status_code};"
                f" {len(before) - len(lost)} of {len(before)}",
            )
