#!/usr/bin/env python3
"""`make up`: checks first, then build, servers, set-up and migrations, and only then the services.

Until the last step the services that run go on running. What fails is shown with its log, and what was stopped is
started again.

COMPOSE: the compose command with its options. TAG: start the images of that tag, without a build. SCALE: what
`--scale` is given, such as `plate-ocr=2`. Exit status: 0 ready, 1 a step failed, 2 a check failed, nothing was changed.
"""

import json
import os
import re
import shlex
import socket
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

sys.path.insert(0, str(Path(__file__).resolve().parent))
from service_list import ROOT, service_list

OLDEST_COMPOSE = (2, 17)
SHORTEST_SECRET_CHARS = 8
PLACEHOLDER = re.compile(
    r"change.?(?:me|it|this)|replace.?(?:me|this)|^<.*>$|^\W*$|^(.)\1*$|example|placeholder|^todo$"
    r"|^(?:password|passw0rd|secret|admin|guest|minioadmin|postgres|rabbitmq|lookout|superadmin|12345678\d*|test)$",
    re.IGNORECASE,
)
SECRET_NAME = re.compile(r"_(PASSWORD|TOKEN|KEY)$")
SERVER_TIMEOUT_S = 90.0
STEP_TIMEOUT_S = 300.0
POLL_S = 1.0
LOG_LINES = 20
SERVERS = ("rabbitmq", "postgres", "minio")
SET_UP = ("databases", "broker-users", "blob-users")

Password = Literal["right", "wrong", "unknown"]


@dataclass(frozen=True, slots=True)
class Facts:
    """What was found before anything is changed.

    docker_error: why Docker cannot be used; empty: it can. compose_version: None without the plugin.
    secrets: those that the compose file requires, by name. missing_images: of the tag that is started without a build.
    """

    docker_error: str = ""
    compose_version: tuple[int, ...] | None = OLDEST_COMPOSE
    has_buildx: bool = True
    compose_error: str = ""
    port: int = 8000
    port_state: Literal["free", "ours", "taken"] = "free"
    secrets: dict[str, str] = field(default_factory=dict)
    postgres_password: Password = "unknown"  # noqa: S105 - a finding
    rabbitmq_password: Password = "unknown"  # noqa: S105 - a finding
    missing_images: tuple[str, ...] = ()


_START_DOCKER = (
    "Start it (systemctl start docker), and see that you may use it (groups shows docker, or use sudo)."
)
_INSTALL_COMPOSE = (
    "Install the newest: docker-compose-plugin of Docker's packages, docker-compose-v2 of Ubuntu, docker-compose of"
    " Debian 13 and newer."
)
_INSTALL_BUILDX = "Install docker-buildx-plugin of Docker's packages, or docker-buildx of Debian or Ubuntu."


def problems_of(facts: Facts) -> list[str]:
    """What stands in the way of a start, each with what to do. Empty: nothing."""
    if facts.docker_error:
        return [f"Docker cannot be used: {facts.docker_error}. {_START_DOCKER}"]
    if facts.compose_version is None:
        return [f"Docker has no compose plugin. {_INSTALL_COMPOSE}"]
    found = []
    if facts.compose_version < OLDEST_COMPOSE:
        version, oldest = _dotted(facts.compose_version), _dotted(OLDEST_COMPOSE)
        found.append(f"The compose plugin is {version}; {oldest} or newer is needed. {_INSTALL_COMPOSE}")
    if not facts.has_buildx:
        found.append(f"Docker has no buildx, which builds the images. {_INSTALL_BUILDX}")
    if facts.compose_error:
        found.append(f"docker-compose.yml and .env do not go together: {facts.compose_error}")
    if facts.port_state == "taken":
        found.append(
            f"Another program uses port {facts.port} of this machine. Stop it (ss -ltnp 'sport = :{facts.port}' shows"
            " it), or set another LOOKOUT_HTTP_PORT in .env."
        )
    found += [
        problem for name, value in sorted(facts.secrets.items()) if (problem := _secret_problem(name, value))
    ]
    found += [
        (
            f"{name} in .env is not the password that {server} has: it is kept in its volume since the first start."
            f" Put the former value back into .env, or give the server the new one: {command}"
        )
        for state, name, server, command in (
            (
                facts.postgres_password,
                "POSTGRES_PASSWORD",
                "PostgreSQL",
                "docker compose exec postgres psql -U postgres -c '\\password postgres'",
            ),
            (
                facts.rabbitmq_password,
                "RABBITMQ_PASSWORD",
                "RabbitMQ",
                "docker compose exec rabbitmq rabbitmqctl change_password lookout",
            ),
        )
        if state == "wrong"
    ]
    if facts.missing_images:
        found.append(
            f"There is no image {', '.join(facts.missing_images)}: docker image ls shows the tags there are; without"
            " TAG, make up builds the images of this revision."
        )
    return found


def _secret_problem(name: str, value: str) -> str:
    if not value.strip():
        return f"{name} is empty in .env. Delete the line: make up then adds a random value; or set one."
    if PLACEHOLDER.search(value):
        return f"{name} in .env is a default or a placeholder, which others know. Set another one."
    if len(value) < SHORTEST_SECRET_CHARS:
        return f"{name} in .env has {len(value)} characters; {SHORTEST_SECRET_CHARS} are the least. Set a longer one."
    return ""


def _dotted(version: tuple[int, ...]) -> str:
    return ".".join(map(str, version))


def version_of(text: str) -> tuple[int, ...] | None:
    """The version in a text such as `v2.26.1-4`; None if there is none."""
    found = re.search(r"(\d+)\.(\d+)(?:\.(\d+))?", text)
    return tuple(int(part) for part in found.groups() if part is not None) if found else None


def variables_of(text: str) -> dict[str, str]:
    """The assignments of a .env file; quotes around a value are no part of it."""
    found = {}
    for line in text.splitlines():
        name, is_set, value = line.strip().partition("=")
        if is_set and re.fullmatch(r"[A-Z][A-Z0-9_]*", name):
            value = value.strip()
            found[name] = (
                value[1:-1] if len(value) > 1 and value[0] == value[-1] and value[0] in "\"'" else value
            )
    return found


def stopped_since(before: set[str], now: dict[str, str]) -> list[str]:
    """Containers to start again: of services that ran before and do not run now. `now`: state by container's name."""
    return sorted(name for name in before if now.get(name) not in {None, "running", "restarting"})


class Compose:
    """Runs docker, and the compose command with its options."""

    def __init__(self, command: list[str]) -> None:
        self._command = command

    def read(
        self, *words: str, stdin: str | None = None, **variables: str
    ) -> subprocess.CompletedProcess[str]:
        """Run a compose command and keep what it writes."""
        return self._run([*self._command, *words], stdin, variables)

    def docker(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run a docker command and keep what it writes."""
        return self._run(["docker", *words], None, {})

    def show(self, *words: str) -> bool:
        """Run a compose command whose output the caller sees. Returns whether it succeeded."""
        return subprocess.run([*self._command, *words], check=False).returncode == 0  # noqa: S603 - fixed commands

    def containers(self) -> list[dict[str, Any]]:
        """As compose lists them: Name, Service, State, Health, ExitCode."""
        text = self.read("ps", "--all", "--format", "json").stdout.strip()
        # One array up to compose 2.20, one object per line since then.
        found: list[dict[str, Any]] = (
            json.loads(text) if text.startswith("[") else [json.loads(line) for line in text.splitlines()]
        )
        return found

    def states(self) -> dict[str, str]:
        """State by container's name."""
        return {str(each["Name"]): str(each["State"]) for each in self.containers()}

    @staticmethod
    def _run(
        command: list[str], stdin: str | None, variables: dict[str, str]
    ) -> subprocess.CompletedProcess[str]:
        try:
            return subprocess.run(  # noqa: S603 - fixed commands, no shell
                command,
                input=stdin,
                stdin=subprocess.DEVNULL if stdin is None else None,
                capture_output=True,
                text=True,
                check=False,
                env={**os.environ, **variables},
            )
        except FileNotFoundError:
            return subprocess.CompletedProcess(command, 127, "", f"{command[0]} is not installed")


def find_facts(compose: Compose, variables: dict[str, str], tag: str) -> Facts:
    """Look at Docker, at .env and at the servers that run."""
    docker = compose.docker("version", "--format", "{{.Server.Version}}")
    if docker.returncode:
        return Facts(docker_error=_last_line(docker.stderr))
    version = compose.docker("compose", "version", "--short")
    if version.returncode:
        return Facts(compose_version=None)
    required = set(re.findall(r"\$\{([A-Z_]+):\?", (ROOT / "docker-compose.yml").read_text(encoding="utf-8")))
    secrets = {name: variables.get(name, "") for name in required if SECRET_NAME.search(name)}
    port = int(os.environ.get("LOOKOUT_HTTP_PORT") or variables.get("LOOKOUT_HTTP_PORT") or 8000)
    configured = compose.read("config", "--quiet")
    postgres: Password = "unknown"
    rabbitmq: Password = "unknown"
    if not configured.returncode:
        postgres, rabbitmq = _passwords(compose, variables)
    return Facts(
        compose_version=version_of(version.stdout),
        has_buildx=compose.docker("buildx", "version").returncode == 0,
        compose_error=_last_line(configured.stderr) if configured.returncode else "",
        port=port,
        port_state=_port_state(compose, port),
        secrets=secrets,
        postgres_password=postgres,
        rabbitmq_password=rabbitmq,
        missing_images=_missing_images(compose, variables, tag) if tag else (),
    )


def _port_state(compose: Compose, port: int) -> Literal["free", "ours", "taken"]:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("0.0.0.0", port))  # noqa: S104 - where compose publishes it
        except OSError:
            published = compose.read("port", "gateway", "8000").stdout
            return "ours" if published.strip().endswith(f":{port}") else "taken"
    return "free"


def _passwords(compose: Compose, variables: dict[str, str]) -> tuple[Password, Password]:
    """Whether the servers accept the administrators' passwords. PostgreSQL is started for it where it has a volume."""
    volume = compose.docker("volume", "inspect", "lookout_postgres")
    running = {each["Service"] for each in compose.containers() if each["State"] == "running"}
    postgres: Password = "unknown"
    if volume.returncode == 0:
        if "postgres" not in running:
            compose.read("up", "--detach", "--no-build", "--no-recreate", "--no-deps", "postgres")
        postgres = _postgres_password(compose, variables.get("POSTGRES_PASSWORD", ""))
    rabbitmq: Password = "unknown"
    if "rabbitmq" in running:
        tried = compose.read(
            *("exec", "-T", "rabbitmq", "rabbitmqctl", "authenticate_user", "lookout"),
            stdin=variables.get("RABBITMQ_PASSWORD", "") + "\n",
        )
        said = (tried.stdout + tried.stderr).lower()
        rabbitmq = (
            "right" if tried.returncode == 0 else "wrong" if "failed to authenticate" in said else "unknown"
        )
    return postgres, rabbitmq


def _postgres_password(compose: Compose, password: str) -> Password:
    # By the container's own address: the image trusts 127.0.0.1 and the Unix socket.
    query = 'psql --no-psqlrc -h "$(hostname -i | cut -d" " -f1)" -U postgres -tAc "SELECT 1"'
    deadline = time.monotonic() + SERVER_TIMEOUT_S
    while time.monotonic() < deadline:
        tried = compose.read(
            "exec", "-T", "-e", "PGPASSWORD", "postgres", "sh", "-c", query, PGPASSWORD=password
        )
        if tried.returncode == 0:
            return "right"
        if "authentication failed" in tried.stderr:
            return "wrong"
        if "is not running" in tried.stderr:
            return "unknown"
        time.sleep(POLL_S)
    return "unknown"


def _missing_images(compose: Compose, variables: dict[str, str], tag: str) -> tuple[str, ...]:
    registry = variables.get("LOOKOUT_REGISTRY") or "lookout"
    images = [f"{registry}/{service.name}:{tag}" for service in service_list()]
    return tuple(image for image in images if compose.docker("image", "inspect", image).returncode)


def start(compose: Compose, scale: list[str], *, is_built: bool) -> str:
    """Start everything, step by step. Returns what failed; empty: nothing."""
    if not is_built and not compose.show("build"):
        return "the images could not be built"
    services = service_list()
    set_up = list(SET_UP)
    migrations = [f"{service.name}-migrate" for service in services if service.has_database]
    if not compose.show("up", "--detach", "--no-build", *SERVERS):
        _show_logs(compose, SERVERS)
        return "a server could not be started"
    # Recreated each time, because what has exited with success is not run again otherwise.
    is_started = compose.show("up", "--detach", "--no-build", "--force-recreate", "--no-deps", *SET_UP)
    failed = _failed_steps(compose, set_up) if is_started else set_up
    if not failed:
        is_started = compose.show(
            "up", "--detach", "--no-build", "--force-recreate", "--no-deps", *migrations
        )
        failed = _failed_steps(compose, migrations) if is_started else migrations
    if failed:
        _show_logs(compose, failed)
        return f"{', '.join(failed)} failed"
    scaled = [word for pair in scale for word in ("--scale", pair)]
    if not compose.show("up", "--detach", "--no-build", "--remove-orphans", *scaled):
        _show_logs(compose, [*set_up, *migrations, *(service.name for service in services)])
        return "a service could not be started"
    return ""


def _failed_steps(compose: Compose, steps: list[str]) -> list[str]:
    """Wait until each has exited; returns those that failed or took too long."""
    deadline = time.monotonic() + STEP_TIMEOUT_S
    while True:
        found = {each["Service"]: each for each in compose.containers() if each["Service"] in steps}
        waiting = [step for step in steps if found.get(step, {}).get("State") != "exited"]
        if not waiting or time.monotonic() > deadline:
            return [step for step in steps if step in waiting or found[step]["ExitCode"]]
        time.sleep(POLL_S)


def _show_logs(compose: Compose, services: list[str] | tuple[str, ...]) -> None:
    """The last lines of what has failed or is not running."""
    for each in compose.containers():
        is_well = each["State"] == "running" or (each["State"] == "exited" and not each["ExitCode"])
        if each["Service"] in services and not is_well:
            logs = compose.docker("logs", "--tail", str(LOG_LINES), str(each["Name"]))
            sys.stderr.write(
                f"--- the last lines of {each['Name']} ({each['State']}, exit status {each['ExitCode']})\n"
            )
            sys.stderr.write(logs.stdout + logs.stderr)


def _last_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1].rstrip(".?") if lines else "it gives no reason"


def main() -> int:
    """Check, start and wait; returns the exit status."""
    compose = Compose(shlex.split(os.environ.get("COMPOSE", "docker compose")))
    variables = variables_of((ROOT / ".env").read_text(encoding="utf-8"))
    tag = os.environ.get("TAG", "")
    problems = problems_of(find_facts(compose, variables, tag))
    if problems:
        sys.stderr.write(
            "make up: nothing was stopped or changed.\n" + "".join(f"- {each}\n" for each in problems)
        )
        return 2
    before = {
        str(each["Name"])
        for each in compose.containers()
        if each["State"] == "running" and each["Service"] not in SET_UP
    }
    failure = start(compose, os.environ.get("SCALE", "").split(), is_built=bool(tag))
    if failure:
        again = stopped_since(before, compose.states())
        for name in again:
            compose.docker("start", name)
        sys.stderr.write(f"make up: {failure}; its log is above.\n")
        if again:
            sys.stderr.write(f"What ran before was started again: {', '.join(again)}.\n")
        elif before:
            sys.stderr.write("What ran before goes on running.\n")
        return 1
    return subprocess.run([sys.executable, str(ROOT / "deploy/wait-ready")], check=False).returncode  # noqa: S603 - our own script


if __name__ == "__main__":
    sys.exit(main())
