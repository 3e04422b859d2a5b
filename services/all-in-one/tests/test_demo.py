import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from testkit.processes import free_port

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]


def run_demo(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "all_in_one", "demo", "--data-dir", str(folder), *arguments],
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )


def test_every_ticket_is_right_and_the_demo_keeps_running_with_keep(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    port = free_port()
    done = run_demo(tmp_path / "demo", "--port", str(port), "--keep")
    try:
        assert done.returncode == 0, done.stdout + done.stderr
        assert "Every ticket is right" in done.stdout
        url = f"http://127.0.0.1:{port}"
        assert httpx.get(f"{url}/health/ready").status_code == 200
        # Again, against the one that runs, which has a site and tickets of its own already.
        printed = re.search(r"password\s+(\S+)\.\s+Stop", done.stdout)
        assert printed is not None, done.stdout
        monkeypatch.setenv("LOOKOUT_PASSWORD", printed[1])
        again = run_demo(tmp_path / "none", "--url", url)
        assert again.returncode == 0, again.stdout + again.stderr
        assert "Every ticket is right" in again.stdout
        assert not (tmp_path / "none").exists()
        monkeypatch.setenv("LOOKOUT_PASSWORD", "wrong")
        refused = run_demo(tmp_path / "none", "--url", url)
        assert (refused.returncode, "signing in as superadmin failed" in refused.stdout) == (2, True)
    finally:
        os.kill(int((tmp_path / "demo" / "pid").read_text()), signal.SIGTERM)


def test_a_port_in_use_ends_with_status_2(tmp_path: Path) -> None:
    port = free_port()
    with subprocess.Popen([sys.executable, "-m", "http.server", str(port), "--bind", "127.0.0.1"]) as other:
        try:
            done = run_demo(tmp_path / "demo", "--port", str(port))
        finally:
            other.kill()
    assert done.returncode == 2, done.stdout
    assert "could not be played" in done.stdout


def test_a_wrong_ticket_ends_with_status_1(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # An engine that finds nothing on the demo's pictures: every plate stays unknown.
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[3] / "tests"))
    monkeypatch.setenv("LOOKOUT_PLATE_OCR__ENGINE", "barcode:make_engine")
    done = run_demo(tmp_path / "demo", "--port", str(free_port()))
    assert done.returncode == 1, done.stdout + done.stderr
    assert "the plate is D71026, the ticket says UNKNOWN" in done.stdout
