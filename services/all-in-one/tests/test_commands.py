"""push, read, dead-letters and doctor, against the embedded platform."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from all_in_one.pictures import ParkedCar, draw_scene
from testkit.processes import free_port, spawn, wait_until

pytestmark = pytest.mark.integration

PASSWORD = "correct horse battery staple"
PROGRAM = Path(sys.executable).with_name("lookout")


def clean_environment(**extra: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("LOOKOUT")}
    return {**kept, **extra}


def lookout(*arguments: object, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [PROGRAM, *map(str, arguments)],
        env=clean_environment(**environment),
        capture_output=True,
        text=True,
        check=False,
    )


class Site:
    """A running Lookout with one camera, NAD95."""

    def __init__(self, url: str, folder: Path) -> None:
        self.url = url
        self.folder = folder
        self.client = httpx.Client(base_url=url, timeout=30)
        form = {"username": "superadmin", "password": PASSWORD}
        self.token = self.client.post("/token", data=form).json()["access_token"]
        self.client.headers["Authorization"] = f"Bearer {self.token}"

    def make_camera(self) -> None:
        for path, body in (
            ("/locations", {"name": "Nad", "code": "NAD", "time_zone": "UTC"}),
            ("/zones", {"location_id": 1, "code": "Z1"}),
            ("/poles", {"zone_id": 1, "name": "Pole 1", "code": "P1"}),
            ("/cameras", {"pole_id": 1, "name": "Camera 95", "api_code": "95", "number_of_parking": 3}),
        ):
            answer = self.client.post(path, json=body)
            assert answer.status_code == 201, answer.text


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder, port = tmp_path_factory.mktemp("site"), free_port()
    log = folder / "log"
    process = spawn(
        [PROGRAM, "serve", "--port", str(port), "--data-dir", folder / "data"],
        log=log,
        env=clean_environment(LOOKOUT_GATEWAY__SUPERADMIN_PASSWORD=PASSWORD),
    )
    url = f"http://127.0.0.1:{port}"

    def is_ready() -> bool:
        try:
            return httpx.get(f"{url}/health/ready").status_code == 200
        except httpx.HTTPError:
            return False

    try:
        wait_until(is_ready, timeout_s=60, what="lookout serve", log=log)
        made = Site(url, folder / "data")
        yield made
        made.client.close()
    finally:
        process.terminate()
        process.wait(30)


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    path = tmp_path / "car.jpg"
    path.write_bytes(draw_scene({1: ParkedCar("D 71026")}, spot_count=2))
    return path


def test_a_picture_is_pushed_and_doctor_looks_at_the_site(site: Site, picture: Path, tmp_path: Path) -> None:
    unknown = lookout("push", picture, "--url", site.url)
    assert (unknown.returncode, "Register it (README.md" in unknown.stdout) == (1, True)
    site.make_camera()

    none_pushed = lookout("doctor", "--url", site.url, "--data-dir", site.folder, LOOKOUT_TOKEN=site.token)
    assert none_pushed.returncode == 1
    assert "WRONG camera Camera 95 (1): pushed nothing in 24 h" in none_pushed.stdout

    pushed = lookout("push", picture, "--url", site.url, "--time-zone", "UTC")
    assert pushed.returncode == 0, pushed.stderr
    assert "opened D71026 (ticket 1, GET /tickets/1; event GET /camera-events/" in pushed.stdout
    assert site.client.get("/tickets/1").json()["plate_text"] == "D71026"

    printed = lookout("push", picture, "--print", "--spot", 2, "--time-zone", "UTC")
    body = tmp_path / "push.json"
    body.write_text(printed.stdout)
    headers = ["-H", "Content-Type: application/json", "-H", "Prefer: wait=10"]
    curl = ["curl", "-s", f"{site.url}/post", *headers, "-d", f"@{body}"]
    if shutil.which("curl"):  # the README's line; a bare machine may be without it
        answer = json.loads(subprocess.run(curl, capture_output=True, check=True).stdout)
        assert (answer["status"], answer["plate"]["text"]) == ("opened", "D71026")

    elsewhere = lookout("push", picture, "--url", site.url, "--spot", 3, "--time-zone", "America/Lima")
    assert "Its time is 5.0 h before now: set the location's --time-zone." in elsewhere.stdout
    no_picture = lookout("push", Path(__file__), "--url", site.url)
    assert "is no JPEG, PNG, WebP or BMP picture" in no_picture.stderr
    no_spot = lookout("push", picture, "--url", site.url, "--spot", 9)
    assert "422: camera NAD95 has no spot 9. Draw the spot" in no_spot.stdout

    missing = lookout("push", tmp_path / "none.jpg", "--url", site.url)
    assert (missing.returncode, "none.jpg" in missing.stderr) == (1, True)

    options = ("doctor", "--url", site.url, "--data-dir", site.folder)
    well = lookout(*options, "--json", LOOKOUT_TOKEN=site.token)
    findings: list[dict[str, Any]] = json.loads(well.stdout)
    assert (well.returncode, [one for one in findings if one["is_ok"] is not True]) == (0, [])
    assert {one["what"] for one in findings} >= {"files", "disk", "clock", "models", "queues", "service"}
    assert "-     cameras: not looked at without --token" in lookout(*options).stdout

    letters = lookout("dead-letters", "list", LOOKOUT_BUS_URL=f"sqlite:///{site.folder}/bus.db")
    assert (letters.returncode, letters.stdout) == (0, "No dead letters.\n")


def test_doctor_names_a_damaged_file_and_a_service_that_is_not_there(tmp_path: Path) -> None:
    (tmp_path / "contents.json").write_text('{"tickets.db": ""}')
    result = lookout("doctor", "--url", f"http://127.0.0.1:{free_port()}", "--data-dir", tmp_path)
    assert result.returncode == 1
    assert f"WRONG files: {tmp_path}/tickets.db is missing" in result.stdout
    assert "`lookout serve` starts it" in result.stdout
    assert "Traceback" not in result.stderr


def test_plates_are_read(picture: Path) -> None:
    result = lookout("read", picture)
    assert (result.returncode, "D71026" in result.stdout) == (0, True)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("push", "car.jpg", "--time-zone", "Mars/Phobos"), "'Mars/Phobos' is no time zone"),
        (("push", "car.jpg", "--time-zone", "../zones"), "is no time zone"),
        (("doctor", "--url", "nonsense"), "'nonsense' is no URL"),
        (("doctor", "--silent-hours", "nan"), "'nan' is no number of hours"),
        (("doctor", "--silent-hours", "1e300"), "'1e300' is no number of hours"),
        (("doctor", "--token", "a\nb"), "characters that no token has"),
    ],
)
def test_a_wrong_argument_is_refused_with_a_sentence(arguments: tuple[str, ...], message: str) -> None:
    result = lookout(*arguments)
    assert (result.returncode, message in result.stderr) == (2, True), result.stderr
    assert "Traceback" not in result.stderr


def test_a_file_in_place_of_the_data_folder_is_named(picture: Path) -> None:
    result = lookout("doctor", "--url", f"http://127.0.0.1:{free_port()}", "--data-dir", picture)
    assert f"WRONG data folder: {picture} is not a folder" in result.stdout


def test_an_unknown_argument_is_refused(picture: Path) -> None:
    result = lookout("push", picture, "--colour")
    assert (result.returncode, "unrecognized arguments: --colour" in result.stderr) == (2, True)
