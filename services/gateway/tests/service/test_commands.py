"""The commands, each in a process of its own."""

import asyncio
import os
import re
import signal
import sys

import httpx
import pytest

from testkit import eventually

pytestmark = pytest.mark.integration


@pytest.fixture
def run(tmp_path, free_port):
    environment = {
        "PATH": os.environ["PATH"],
        "LOOKOUT_MODE": "embedded",
        "LOOKOUT_DATA_DIR": str(tmp_path),
        "LOOKOUT_LOG_FORMAT": "json",
        "LOOKOUT_GATEWAY__HTTP__PORT": str(free_port),
        "LOOKOUT_GATEWAY__SIGN_IN__HASH_MEMORY_KIB": "8192",
    }

    async def start(*arguments):
        return await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "gateway",
            *arguments,
            env=environment,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )

    return start


async def finished(process, given=b""):
    output, _ = await asyncio.wait_for(process.communicate(given), 60)
    return process.returncode, output.decode()


async def test_the_commands_against_a_running_gateway(run, free_port):
    assert (await finished(await run("migrate")))[0] == 0
    server = await run("serve")
    url = f"http://127.0.0.1:{free_port}"
    async with httpx.AsyncClient(base_url=url) as client:

        async def is_up():
            try:
                return (await client.get("/health/ready")).status_code == 200
            except httpx.TransportError:
                return False

        await eventually(is_up, 60)
        status, output = await finished(await run("rotate-keys"))
        assert status == 0
        assert re.match(r"The key \S+ signs from \d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC\.", output)
        status, output = await finished(await run("re-encrypt-secrets"))
        assert (status, output) == (0, "0 secrets encrypted with the first key.\n")
        status, output = await finished(await run("reset-password", "superadmin"), b"from the terminal\n")
        assert (status, "is set" in output) == (0, True)
        assert "from the terminal" not in output
        answer = await client.post("/token", data={"username": "superadmin", "password": "from the terminal"})
        assert answer.status_code == 200
        status, output = await finished(await run("reset-password", "superadmin"), b"short\n")
        assert (status, "must have 6 to 256 characters" in output) == (1, True)
        status, output = await finished(await run("reset-password", "nobody"), b"long enough\n")
        assert (status, "there is no user nobody" in output) == (1, True)
    server.send_signal(signal.SIGTERM)
    status, output = await finished(server)
    assert status == 0, output
    generated = re.search(r"Password, shown this once:\s+(\S+)", output)
    assert generated is not None
    assert output.count(generated.group(1)) == 1
    assert "from the terminal" not in output
    assert "Traceback" not in output


async def test_invalid_settings_are_reported_without_a_traceback(run):
    status, output = await finished(await run("serve", "--nonsense"))
    assert status == 2
    assert "Traceback" not in output
