"""Starts other programs so that none outlives the tests."""

import ctypes
import itertools
import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

PR_SET_PDEATHSIG = 1
DOCKER_TIMEOUT_S = 3

FIRST_PORT = 12_000
PORTS_PER_WORKER = 2_000
WORKER_RANGES = 10
"""12000 to 31999; Linux gives 32768 to 60999 (`net.ipv4.ip_local_port_range`)."""

_ports = itertools.count(os.getpid())  # two test runs on one machine begin at different ones


class ServerMissing(RuntimeError):  # noqa: N818 - named after what is wrong, as kit's errors are
    """A server is needed and none can be started; the message says what to install or set."""


def free_port() -> int:
    """A TCP port on 127.0.0.1 that is not in use now, for a program that is started later.

    It is below the ports that Linux gives to connections and to listeners without a number: one of those could take
    it before the program does. For the same reason each worker of a test run has a range of its own and no port is
    returned twice.
    """
    first = FIRST_PORT + PORTS_PER_WORKER * worker_number()
    for _ in range(PORTS_PER_WORKER):
        port = first + next(_ports) % PORTS_PER_WORKER
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise ServerMissing(
        f"no free TCP port from {first} to {first + PORTS_PER_WORKER - 1}: stop what holds them"
    )


def worker_number() -> int:
    """The number of this worker of pytest-xdist; 0 without it, and again for every tenth worker."""
    name = os.environ.get("PYTEST_XDIST_WORKER", "gw0")
    return int(name.removeprefix("gw")) % WORKER_RANGES


def unprivileged_user() -> pwd.struct_passwd | None:
    """The user to run a server as that does not run as root; None if this process is not root."""
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        try:
            return pwd.getpwnam(name)
        except KeyError:
            continue
    raise ServerMissing(
        "the tests run as root and neither user postgres nor nobody exists: create one of them"
    )


def _prepare_child(user: pwd.struct_passwd | None, death_signal: int) -> Callable[[], None]:
    # Looked up before the fork: after it, only calls that take no lock are safe.
    prctl = ctypes.CDLL(None, use_errno=True).prctl
    parent = os.getpid()

    def prepare() -> None:
        if user is not None:
            os.setgroups([])
            os.setgid(user.pw_gid)
            os.setuid(user.pw_uid)
        # After setuid: changing the user clears it.
        prctl(PR_SET_PDEATHSIG, death_signal)
        if os.getppid() != parent:
            os._exit(1)

    return prepare


class _Spawner:
    """Starts processes from one thread that never ends.

    The kernel sends PDEATHSIG when the *thread* that forked ends, not the process: a server started by a
    short-lived worker thread would end with that thread.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._wake = threading.Condition(self._lock)
        self._jobs: list[tuple[Callable[[], object], list[object], threading.Event]] = []
        self._pid = 0

    def call(self, job: Callable[[], subprocess.Popen[bytes]]) -> subprocess.Popen[bytes]:
        result: list[object] = []
        done = threading.Event()
        with self._lock:
            if self._pid != os.getpid():  # first use, or first use after a fork
                self._pid = os.getpid()
                threading.Thread(target=self._work, name="testkit-spawner", daemon=True).start()
            self._jobs.append((job, result, done))
            self._wake.notify()
        done.wait()
        outcome = result[0]
        if isinstance(outcome, BaseException):
            raise outcome
        assert isinstance(outcome, subprocess.Popen)
        return outcome

    def _work(self) -> None:
        while True:
            with self._lock:
                while not self._jobs:
                    self._wake.wait()
                job, result, done = self._jobs.pop(0)
            try:
                result.append(job())
            except BaseException as error:  # noqa: BLE001 - raised again in the caller's thread
                result.append(error)
            done.set()


_spawner = _Spawner()


def spawn(
    command: Sequence[str | Path],
    *,
    log: Path,
    user: pwd.struct_passwd | None = None,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    death_signal: int = signal.SIGKILL,
) -> subprocess.Popen[bytes]:
    """Start a server in its own process group. It gets `death_signal` when this process ends, however that happens."""

    def start() -> subprocess.Popen[bytes]:
        with log.open("ab") as output:
            return subprocess.Popen(  # noqa: S603 - the command is the caller's, no shell
                [str(part) for part in command],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=None if env is None else dict(env),
                cwd=cwd,
                start_new_session=True,
                preexec_fn=_prepare_child(user, death_signal),  # noqa: PLW1509 - it takes no lock, see `_prepare_child`
            )

    return _spawner.call(start)


def run_command(
    command: Sequence[str | Path],
    *,
    timeout_s: float,
    user: pwd.struct_passwd | None = None,
    env: Mapping[str, str] | None = None,
) -> str:
    """Run to the end and return its output.

    Raises:
        RuntimeError: it failed or took too long; the message has the end of its output.
    """
    try:
        done = subprocess.run(  # noqa: S603 - the command is the caller's, no shell
            [str(part) for part in command],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=timeout_s,
            check=False,
            env=None if env is None else dict(env),
            cwd="/",
            user=None if user is None else user.pw_uid,
            group=None if user is None else user.pw_gid,
            extra_groups=None if user is None else [],
        )
    except subprocess.TimeoutExpired as error:
        raise RuntimeError(f"{command[0]} did not end within {timeout_s:g} s") from error
    text = done.stdout.decode(errors="replace")
    if done.returncode != 0:
        raise RuntimeError(f"{command[0]} ended with exit status {done.returncode}:\n{text[-4000:]}")
    return text


def wait_until(is_up: Callable[[], bool], *, timeout_s: float, what: str, log: Path | None = None) -> None:
    """Check every 20 ms; for code outside an event loop.

    Raises:
        RuntimeError: at the deadline; the message has the end of the log.
    """
    deadline = time.monotonic() + timeout_s
    while not is_up():
        if time.monotonic() > deadline:
            tail = log.read_text(errors="replace")[-4000:] if log is not None and log.exists() else ""
            raise RuntimeError(f"{what}: not within {timeout_s:g} s\n{tail}")
        time.sleep(0.02)


def accepts_connections(host: str, port: int) -> bool:
    """Whether something accepts connections there."""
    try:
        with socket.create_connection((host, port), timeout=1):
            return True
    except OSError:
        return False


def is_docker_available() -> bool:
    """Whether a Docker daemon responds. Has a short timeout, because without a daemon the client may wait forever."""
    binary = shutil.which("docker")
    if binary is None or os.environ.get("TESTKIT_NO_DOCKER"):
        return False
    try:
        completed = subprocess.run(  # noqa: S603 - a fixed command
            [binary, "version", "--format", "{{.Server.Version}}"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=DOCKER_TIMEOUT_S,
            check=False,
        )
    except (subprocess.TimeoutExpired, OSError):
        return False
    return completed.returncode == 0 and bool(completed.stdout.strip())


def has_docker_image(image: str, *, pull_timeout_s: float = 60) -> bool:
    """Whether `image` is present or can be pulled within the limit."""
    binary = shutil.which("docker")
    if binary is None:
        return False
    for command, limit_s in (
        ((binary, "image", "inspect", image), DOCKER_TIMEOUT_S),
        ((binary, "pull", "-q", image), pull_timeout_s),
    ):
        try:
            run_command(command, timeout_s=limit_s)
        except RuntimeError:
            continue
        return True
    return False


def apt_install(package: str, *, timeout_s: float = 300) -> bool:
    """Install a Debian package without starting its services. Only as root; False if it failed."""
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        return False
    # With this script Debian packages do not start their services: exit status 101 means "not allowed".
    policy = Path("/usr/sbin/policy-rc.d")
    is_policy_new = not policy.exists()
    if is_policy_new:
        policy.write_text("#!/bin/sh\nexit 101\n")
        policy.chmod(0o755)
    print(
        f"testkit: installing {package} with apt-get, because no server, Docker or binary was found",
        file=sys.stderr,
    )
    env = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    try:
        # A fresh machine has no package lists yet.
        run_command(("apt-get", "update"), timeout_s=timeout_s, env=env)
        run_command(
            ("apt-get", "install", "-y", "--no-install-recommends", package), timeout_s=timeout_s, env=env
        )
    except RuntimeError as error:
        print(error, file=sys.stderr)
        return False
    finally:
        if is_policy_new:
            policy.unlink(missing_ok=True)
    return True
