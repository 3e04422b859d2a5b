"""Starting other programs so that none outlives the tests."""

import ctypes
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
DOCKER_ANSWER_TIMEOUT_S = 3


class ServerMissing(RuntimeError):  # noqa: N818 - it reads as what is the matter, like kit's errors
    """A real server is needed and there is no way to bring one; the text says what to install or set."""


def free_port() -> int:
    """A TCP port on 127.0.0.1 that nothing listens on right now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def plain_user() -> pwd.struct_passwd | None:
    """Whom to run a server as that refuses root; None when we are not root ourselves."""
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        try:
            return pwd.getpwnam(name)
        except KeyError:
            continue
    raise ServerMissing("running as root, and neither the user postgres nor nobody exists")


def _prepare_child(user: pwd.struct_passwd | None, death_signal: int) -> Callable[[], None]:
    # Looked up before the fork: after it, only what touches no lock is safe.
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
    """Forks from one thread that never ends.

    The kernel sends PDEATHSIG when the *thread* that forked ends, not the process; a server started from a
    short-lived worker thread would die with it.
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
            if self._pid != os.getpid():  # first use, or the first one after a fork
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
            except BaseException as error:  # noqa: BLE001 - carried over to the caller's thread
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
    """Start a server in its own process group. It gets `death_signal` when this process ends, in any way."""

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
                preexec_fn=_prepare_child(user, death_signal),  # noqa: PLW1509 - it touches no lock, see there
            )

    return _spawner.call(start)


def run_quietly(
    command: Sequence[str | Path],
    *,
    timeout_s: float,
    user: pwd.struct_passwd | None = None,
    env: Mapping[str, str] | None = None,
) -> str:
    """Run to the end and give back its output.

    Raises:
        RuntimeError: it failed or took too long; the text has the end of its output.
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
        raise RuntimeError(f"{command[0]} ended with {done.returncode}:\n{text[-4000:]}")
    return text


def wait_until(is_up: Callable[[], bool], *, timeout_s: float, what: str, log: Path | None = None) -> None:
    """Look every 20 ms; for code that runs outside an event loop.

    Raises:
        RuntimeError: at the deadline, with the end of the log.
    """
    deadline = time.monotonic() + timeout_s
    while not is_up():
        if time.monotonic() > deadline:
            tail = log.read_text(errors="replace")[-4000:] if log is not None and log.exists() else ""
            raise RuntimeError(f"{what} within {timeout_s:g} s did not happen\n{tail}")
        time.sleep(0.02)


def accepts_connections(host: str, port: int) -> bool:
    """Whether something listens there."""
    try:
        with socket.create_connection((host, port), timeout=1):
            return True
    except OSError:
        return False


def docker_answers() -> bool:
    """Whether a Docker daemon is there and talks. Never waits long: without a daemon the client may hang."""
    binary = shutil.which("docker")
    if binary is None or os.environ.get("TESTKIT_NO_DOCKER"):
        return False
    try:
        answer = subprocess.run(  # noqa: S603 - a fixed command
            [binary, "version", "--format", "{{.Server.Version}}"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=DOCKER_ANSWER_TIMEOUT_S,
            check=False,
        )
    except (subprocess.TimeoutExpired, OSError):
        return False
    return answer.returncode == 0 and bool(answer.stdout.strip())


def docker_image(image: str, *, pull_timeout_s: float = 60) -> bool:
    """Whether `image` is here or can be had within the limit."""
    binary = shutil.which("docker")
    if binary is None:
        return False
    for command, limit_s in (
        ((binary, "image", "inspect", image), DOCKER_ANSWER_TIMEOUT_S),
        ((binary, "pull", "-q", image), pull_timeout_s),
    ):
        try:
            run_quietly(command, timeout_s=limit_s)
        except RuntimeError:
            continue
        return True
    return False


def apt_install(package: str, *, timeout_s: float = 300) -> bool:
    """Install a Debian package without starting what it brings. Only as root; False when it did not work."""
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        return False
    # Debian's way to keep a package from starting its service: 101 means "not allowed".
    policy = Path("/usr/sbin/policy-rc.d")
    is_ours = not policy.exists()
    if is_ours:
        policy.write_text("#!/bin/sh\nexit 101\n")
        policy.chmod(0o755)
    print(f"testkit: installing {package} with apt-get, as nothing else brings its server", file=sys.stderr)
    env = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    try:
        # A bare machine has no lists of packages yet.
        run_quietly(("apt-get", "update"), timeout_s=timeout_s, env=env)
        run_quietly(
            ("apt-get", "install", "-y", "--no-install-recommends", package), timeout_s=timeout_s, env=env
        )
    except RuntimeError as error:
        print(error, file=sys.stderr)
        return False
    finally:
        if is_ours:
            policy.unlink(missing_ok=True)
    return True
