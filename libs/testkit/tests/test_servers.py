import itertools
import os
import signal
import socket
import subprocess
import sys
import urllib.request
from pathlib import Path

import psycopg
import pytest

from testkit import servers
from testkit.processes import (
    FIRST_PORT,
    PORTS_PER_WORKER,
    accepts_connections,
    free_port,
    is_docker_available,
    spawn,
    unprivileged_user,
    wait_until,
)

pytestmark = pytest.mark.integration


def test_databases_are_empty_and_separate(postgres_server):
    first, second = postgres_server.fresh_database(), postgres_server.fresh_database()
    assert first != second
    with psycopg.connect(first) as connection:
        connection.execute("CREATE TABLE t (a int)")
    with psycopg.connect(second) as connection:
        assert connection.execute("SELECT to_regclass('t')").fetchone() == (None,)


def test_only_committed_rows_survive_a_kill(private_postgres_server):
    server = private_postgres_server
    url = server.fresh_database()
    with psycopg.connect(url) as connection:
        connection.execute("CREATE TABLE t (a int)")
        connection.execute("INSERT INTO t VALUES (1)")
        connection.commit()
        connection.execute("INSERT INTO t VALUES (2)")
        server.kill()
        with pytest.raises(psycopg.OperationalError):
            connection.execute("SELECT 1")
    with pytest.raises(psycopg.OperationalError):
        psycopg.connect(url)
    server.start()
    with psycopg.connect(url) as connection:
        assert connection.execute("SELECT a FROM t").fetchall() == [(1,)]
        assert connection.execute("SHOW fsync").fetchone() == ("on",)
    server.stop()
    server.start()
    with psycopg.connect(url) as connection:
        assert connection.execute("SELECT a FROM t").fetchall() == [(1,)]


def test_a_server_of_the_environment_is_used_and_its_databases_are_dropped(postgres_server, monkeypatch):
    monkeypatch.setenv(
        "TESTKIT_POSTGRES_URL", postgres_server.url.replace("postgresql:", "postgresql+psycopg:")
    )
    with servers.postgres() as external:
        name = external.fresh_database().rsplit("/", 1)[1]
        with pytest.raises(RuntimeError, match="cannot be stopped"):
            external.kill()
    with psycopg.connect(postgres_server.url) as connection:
        found = connection.execute("SELECT count(*) FROM pg_database WHERE datname = %s", (name,))
        assert found.fetchone() == (0,)


def test_a_private_server_is_not_the_server_of_the_environment(monkeypatch):
    monkeypatch.setenv("TESTKIT_POSTGRES_URL", "postgresql://nobody@127.0.0.1:1/none")
    with servers.postgres(is_private=True) as server, psycopg.connect(server.fresh_database()) as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)


def test_servers_end_when_their_process_is_killed(tmp_path):
    script = (
        "import time\nfrom testkit import servers\n"
        "with servers.postgres(is_private=True) as server, servers.s3(is_private=True) as store:\n"
        "    print(server.url.rsplit(':', 1)[1].split('/')[0], store.endpoint.split(':')[1], flush=True)\n"
        "    time.sleep(600)\n"
    )
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        ports = [int(port) for port in process.stdout.readline().split()]
        assert len(ports) == 2
        assert all(accepts_connections("127.0.0.1", port) for port in ports)
        process.send_signal(signal.SIGKILL)
    wait_until(
        lambda: not any(accepts_connections("127.0.0.1", port) for port in ports),
        timeout_s=60,  # containers are removed a little later
        what="both servers ending",
    )


def test_an_s3_server_restarts_at_its_address(private_s3_server):
    server = private_s3_server
    for _ in range(2):
        with urllib.request.urlopen(f"http://{server.endpoint}/", timeout=5) as response:
            assert response.status == 200
        server.stop()
        host, _, port = server.endpoint.rpartition(":")
        assert not accepts_connections(host, int(port))
        server.start()
    assert server.fresh_bucket_url() != server.fresh_bucket_url()


def test_a_docker_client_that_does_not_respond_counts_as_unavailable(tmp_path: Path, monkeypatch):
    fake = tmp_path / "docker"
    fake.write_text("#!/bin/sh\nexec sleep 600\n")
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setattr("testkit.processes.DOCKER_TIMEOUT_S", 0.2)
    assert not is_docker_available()


def test_the_error_for_a_missing_server_says_what_to_install(monkeypatch):
    monkeypatch.delenv("TESTKIT_POSTGRES_URL", raising=False)
    monkeypatch.setattr("testkit.postgres.is_docker_available", lambda: False)
    monkeypatch.setattr("testkit.postgres._installed_binaries", lambda: None)
    monkeypatch.setattr("testkit.postgres.apt_install", lambda _package: False)
    with pytest.raises(servers.ServerMissing, match="apt-get install postgresql"), servers.postgres():
        pass


def test_a_spawned_program_runs_as_the_given_user(tmp_path: Path):
    user = unprivileged_user()
    log = tmp_path / "log"
    assert spawn(("id", "-u"), log=log, user=user).wait() == 0
    assert int(log.read_text()) == (user.pw_uid if user else os.geteuid())


def test_a_free_port_is_not_given_twice_nor_to_a_connection(monkeypatch: pytest.MonkeyPatch):
    lowest_of_linux = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    first = free_port()
    assert first < lowest_of_linux
    assert free_port() != first
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", free_port()))
        monkeypatch.setattr("testkit.processes._ports", itertools.count(taken.getsockname()[1]))
        assert free_port() != taken.getsockname()[1]


def test_workers_have_ranges_of_their_own(monkeypatch: pytest.MonkeyPatch):
    ports = {}
    for worker in ("gw0", "gw1"):
        monkeypatch.setenv("PYTEST_XDIST_WORKER", worker)
        ports[worker] = {(free_port() - FIRST_PORT) // PORTS_PER_WORKER for _ in range(3)}
    assert ports == {"gw0": {0}, "gw1": {1}}
