#!/usr/bin/env python3
"""The list of services, read from `[tool.lookout.service]` of each services/*/pyproject.toml.

Makefile, docker-compose.yml, the checks and the tests use it, so that a new service is declared in its own
folder only. Standard library only: it runs before the environment is set up.

    scripts/service_list.py names|packages|databases|folders|import-path   print them, separated by blanks (a colon)
    scripts/service_list.py compose [--write|--check]                      the services' part of docker-compose.yml
"""

import argparse
import json
import sys
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
COMPOSE_FILE = ROOT / "docker-compose.yml"
BEGIN = "  # Generated from services/*/pyproject.toml by `make compose-file`; do not edit."
PIDS = 512
"""Processes and threads of a service's container."""
END = "  # End of the generated part."


@dataclass(frozen=True, slots=True)
class ServiceEntry:
    """One service.

    http_port: the port in its container; gRPC listens on `grpc_port`, 0 if the service has no gRPC.
    needs: servers that it uses beside its database: `rabbitmq`, `minio`.
    publishes, subscribes: areas of events (`camera`) that its user on the broker may publish and bind to.
    blobs: areas of pictures (`*`: all) by what its account on the blob store may do: `read`, `write`, `delete`.
    calls: gRPC methods (`package.Service/*`) that it calls, by service.
    networks: beyond those of its servers: `public` for a published port, `cameras` for connections to other networks.
    environment: variables of its container beyond those that follow from `needs`.
    compose: further keys of its container in docker-compose.yml.
    """

    name: str
    description: str
    http_port: int
    has_grpc: bool
    has_database: bool
    needs: tuple[str, ...]
    memory: str
    publishes: tuple[str, ...] = ()
    subscribes: tuple[str, ...] = ()
    blobs: dict[str, list[str]] = field(default_factory=dict)
    calls: dict[str, list[str]] = field(default_factory=dict)
    networks: tuple[str, ...] = ()
    environment: dict[str, str] = field(default_factory=dict)
    compose: dict[str, Any] = field(default_factory=dict)

    @property
    def package(self) -> str:
        """The name of its Python package."""
        return self.name.replace("-", "_")

    @property
    def variable(self) -> str:
        """Its name as a part of an environment variable."""
        return self.package.upper()

    @property
    def grpc_port(self) -> int:
        """The port in its container; 0 if it has no gRPC."""
        return self.http_port % 1000 + 9000 if self.has_grpc else 0


def service_list(root: Path = ROOT) -> list[ServiceEntry]:
    """Every service that runs as a process of its own, by name."""
    found = []
    for path in sorted(root.glob("services/*/pyproject.toml")):
        document = tomllib.loads(path.read_text(encoding="utf-8"))
        entry = document.get("tool", {}).get("lookout", {}).get("service")
        if entry is None:  # all-in-one runs the others in one process
            continue
        found.append(
            ServiceEntry(
                name=path.parent.name,
                description=document["project"]["description"],
                http_port=entry["http-port"],
                has_grpc=entry.get("grpc", True),
                has_database=entry.get("database", True),
                needs=tuple(entry.get("needs", ())),
                memory=entry["memory"],
                publishes=tuple(entry.get("publishes", ())),
                subscribes=tuple(entry.get("subscribes", ())),
                blobs=entry.get("blobs", {}),
                calls=entry.get("calls", {}),
                networks=tuple(entry.get("networks", ())),
                environment=entry.get("environment", {}),
                compose=entry.get("compose", {}),
            )
        )
    return found


def compose_part(services: list[ServiceEntry]) -> str:
    """The migrations and services of docker-compose.yml."""
    lines = [BEGIN, *_databases_lines([service for service in services if service.has_database])]
    lines += _broker_users_lines([service for service in services if "rabbitmq" in service.needs])
    lines += _blob_users_lines([service for service in services if "minio" in service.needs])
    for service in services:
        lines += _migration_lines(service, services) if service.has_database else []
        lines += _service_lines(service, services)
    lines.append(END)
    return "\n".join(lines)


def _databases_lines(services: list[ServiceEntry]) -> list[str]:
    """The container that creates a role and a database for each service."""
    return [
        "  databases:",
        "    <<: [*set-up, *database-network]",
        "    image: ${POSTGRES_IMAGE:-timescale/timescaledb:2.17.2-pg16}",
        "    environment:",
        "      PGHOST: postgres",
        "      PGUSER: postgres",
        "      PGPASSWORD: ${POSTGRES_PASSWORD:?set it in .env}",
        f"      DATABASES: {' '.join(service.package for service in services)}",
        *(f"      {service.variable}_DATABASE_PASSWORD: {_password(service)}" for service in services),
        "    entrypoint: [/bin/sh, /create-databases]",
        "    command: []",
        '    volumes: ["./deploy/postgres/create-databases:/create-databases:ro"]',
        "    depends_on:",
        "      postgres: { condition: service_healthy }",
        "",
    ]


def _broker_users_lines(services: list[ServiceEntry]) -> list[str]:
    """The container that gives each service its user on the broker. It runs the `kit` command of a service's image."""
    if not services:
        return []
    users = {
        service.name: {"publishes": list(service.publishes), "subscribes": list(service.subscribes)}
        for service in services
    }
    return [
        "  broker-users:",
        "    <<: [*set-up, *bus-network]",
        _image(services[0]),
        "    pull_policy: never # uses a service's image, which is built or pulled with the service",
        '    entrypoint: [python, "-m", kit]',
        "    command: [broker-users, --json]",
        "    environment:",
        "      RABBITMQ_URL: amqp://lookout@rabbitmq:5672/",
        "      RABBITMQ_PASSWORD: ${RABBITMQ_PASSWORD:?set it in .env}",
        f"      BROKER_USERS: {_json(users)}",
        *(
            f"      {service.variable}_RABBITMQ_PASSWORD: {_secret(service, 'RABBITMQ_PASSWORD')}"
            for service in services
        ),
        "    depends_on:",
        "      rabbitmq: { condition: service_healthy }",
        "",
    ]


def _blob_users_lines(services: list[ServiceEntry]) -> list[str]:
    """The container that makes the bucket and gives each service its account on the blob store."""
    if not services:
        return []
    return [
        "  blob-users:",
        "    <<: [*set-up, *blobs-network]",
        "    image: ${MINIO_IMAGE:-minio/minio:RELEASE.2025-09-07T16-13-09Z}",
        "    environment:",
        "      MINIO_URL: http://minio:9000",
        "      MINIO_BUCKET_NAME: ${MINIO_BUCKET_NAME:-lookout}",
        "      MINIO_ROOT_USER: ${MINIO_ROOT_USER:?set it in .env}",
        "      MINIO_ROOT_PASSWORD: ${MINIO_ROOT_PASSWORD:?set it in .env}",
        f"      BLOB_USERS: {' '.join(service.name for service in services)}",
        *(
            f"      {service.variable}_MINIO_PASSWORD: {_secret(service, 'MINIO_PASSWORD')}"
            for service in services
        ),
        *(f"      {service.variable}_MINIO_POLICY: {_json(blob_policy(service))}" for service in services),
        "    entrypoint: [/bin/sh, /create-users]",
        "    command: []",
        '    volumes: ["./deploy/minio/create-users:/create-users:ro"]',
        "    depends_on:",
        "      minio: { condition: service_healthy }",
        "",
    ]


def blob_policy(service: ServiceEntry, bucket: str = "${MINIO_BUCKET_NAME:-lookout}") -> dict[str, Any]:
    """The S3 policy of a service: it may see the bucket's keys, and in its areas what `blobs` says."""
    arn = f"arn:aws:s3:::{bucket}"
    statements = [{"Effect": "Allow", "Action": ["s3:GetBucketLocation", "s3:ListBucket"], "Resource": [arn]}]
    for right, action in (("read", "s3:GetObject"), ("write", "s3:PutObject"), ("delete", "s3:DeleteObject")):
        areas = service.blobs.get(right, [])
        resources = [f"{arn}/*" if area == "*" else f"{arn}/{area}/*" for area in areas]
        if resources:
            statements.append({"Effect": "Allow", "Action": [action], "Resource": resources})
    return {"Version": "2012-10-17", "Statement": statements}


def _secret(service: ServiceEntry, what: str) -> str:
    return f"${{{service.variable}_{what}:?set it in .env}}"


def _password(service: ServiceEntry) -> str:
    return _secret(service, "DATABASE_PASSWORD")


def _json(value: Any) -> str:
    """JSON as a YAML string in single quotes."""
    return "'" + json.dumps(value).replace("'", "''") + "'"


def _grpc_lines(service: ServiceEntry, services: list[ServiceEntry]) -> list[str]:
    """Who may call it, and the token that it sends."""
    lines = [f"      LOOKOUT_GRPC_TOKEN: {_secret(service, 'GRPC_TOKEN')}"] if service.calls else []
    if service.has_grpc:
        callers = {
            caller.name: {"token": _secret(caller, "GRPC_TOKEN"), "methods": caller.calls[service.name]}
            for caller in services
            if service.name in caller.calls
        }
        lines.append(f"      LOOKOUT_{service.variable}__GRPC__CALLERS: {_json(callers)}")
    return lines


def _networks_line(service: ServiceEntry) -> str:
    networks = ["services", *(["database"] if service.has_database else [])]
    networks += [
        network for need, network in (("rabbitmq", "bus"), ("minio", "blobs")) if need in service.needs
    ]
    return f"    networks: [{', '.join([*networks, *service.networks])}]"


def _environment_lines(service: ServiceEntry, services: list[ServiceEntry]) -> list[str]:
    blocks = ["*common", "*peers"]
    blocks += ["*blobs"] if "minio" in service.needs else []
    lines = ["    environment:", f"      <<: [{', '.join(blocks)}]", *_grpc_lines(service, services)]
    if "rabbitmq" in service.needs:
        lines += [
            f"      RABBITMQ_URL: amqp://{service.name}@rabbitmq:5672/",
            f"      RABBITMQ_PASSWORD: {_secret(service, 'RABBITMQ_PASSWORD')}",
        ]
    if "minio" in service.needs:
        lines += [
            f"      LOOKOUT_{service.variable}__BLOBS__ACCESS_KEY: {service.name}",
            f"      LOOKOUT_{service.variable}__BLOBS__SECRET_KEY: {_secret(service, 'MINIO_PASSWORD')}",
        ]
    if service.has_database:
        lines += [
            f"      DATABASE_URL: postgresql://{service.package}@postgres:5432/{service.package}",
            f"      DATABASE_PASSWORD: {_password(service)}",
            f'      LOOKOUT_{service.variable}__DATABASE__MIGRATE_ON_START: "false"',
        ]
    return lines + [f"      {name}: {value}" for name, value in service.environment.items()]


def _image(service: ServiceEntry) -> str:
    return f"    image: ${{LOOKOUT_REGISTRY:-lookout}}/{service.name}:${{LOOKOUT_TAG:-0.1.0}}"


def _migration_lines(service: ServiceEntry, services: list[ServiceEntry]) -> list[str]:
    return [
        f"  {service.name}-migrate:",
        "    <<: *migration",
        _image(service),
        *_environment_lines(service, services),
        "",
    ]


def _service_lines(service: ServiceEntry, services: list[ServiceEntry]) -> list[str]:
    ports = f"{service.http_port} {service.grpc_port}" if service.has_grpc else str(service.http_port)
    arguments = (
        f"SERVICE: {service.name}, PACKAGE: {service.package}, HTTP_PORT: {service.http_port}, "
        f'PORTS: "{ports}", DESCRIPTION: {_quoted(service.description)}'
    )
    depends = [f"      {service.name}-migrate: {{ condition: service_completed_successfully }}"]
    depends = depends if service.has_database else []
    set_up = [
        name
        for need, name in (("rabbitmq", "broker-users"), ("minio", "blob-users"))
        if need in service.needs
    ]
    depends += [f"      {name}: {{ condition: service_completed_successfully }}" for name in set_up]
    extra = dict(service.compose)
    deploy = {"resources": {"limits": {"memory": service.memory, "pids": PIDS}}}
    _merge(deploy, extra.pop("deploy", {}))
    return [
        f"  {service.name}:",
        "    <<: *service",
        _image(service),
        f"    build: {{ <<: *build, args: {{ <<: *build-arguments, {arguments} }} }}",
        *_environment_lines(service, services),
        *(["    depends_on:", *depends] if depends else []),
        _networks_line(service),
        *(f"    {key}: {_flow(value)}" for key, value in extra.items()),
        f"    deploy: {_flow(deploy)}",
        "",
    ]


def _merge(target: dict[str, Any], other: dict[str, Any]) -> None:
    for key, value in other.items():
        if isinstance(value, dict):
            _merge(target.setdefault(key, {}), value)
        else:
            target[key] = value


def _flow(value: Any) -> str:
    """YAML in flow style."""
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{key}: {_flow(item)}" for key, item in value.items()) + " }"
    if isinstance(value, list):
        return "[" + ", ".join(map(_flow, value)) + "]"
    return _quoted(str(value)) if isinstance(value, str) else str(value)


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def with_compose_part(text: str, part: str) -> str:
    """The compose file with its generated part replaced.

    Raises:
        ValueError: the marks of the generated part are missing.
    """
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(
            f"{COMPOSE_FILE.name} has no generated part: restore the lines {BEGIN!r} and {END!r}"
        )
    return before + part + after


def _compose(options: argparse.Namespace) -> int:
    part = compose_part(service_list())
    text = COMPOSE_FILE.read_text(encoding="utf-8")
    if options.write:
        COMPOSE_FILE.write_text(with_compose_part(text, part), encoding="utf-8")
    elif options.check:
        if text != with_compose_part(text, part):
            print(
                f"{COMPOSE_FILE.name} differs from services/*/pyproject.toml. Run: make compose-file",
                file=sys.stderr,
            )
            return 1
        print(f"{COMPOSE_FILE.name}: agrees with services/*/pyproject.toml")
    else:
        print(part)
    return 0


def main() -> int:
    """Run the command of the command line; returns the exit status."""
    parser = argparse.ArgumentParser(description="The list of services.")
    commands = parser.add_subparsers(dest="what", required=True)
    for what in ("names", "packages", "databases", "folders", "import-path"):
        commands.add_parser(what)
    compose = commands.add_parser("compose")
    compose.add_argument("--write", action="store_true")
    compose.add_argument("--check", action="store_true")
    options = parser.parse_args()
    if options.what == "compose":
        return _compose(options)
    services = service_list()
    if options.what == "import-path":
        sources = sorted(path.relative_to(ROOT) for path in ROOT.glob("*/*/src"))
        print(":".join(map(str, ["proto/src", *sources, "scripts", "tests", "tests/load"])))
        return 0
    values = {
        "names": [service.name for service in services],
        "packages": [service.package for service in services],
        "databases": [service.package for service in services if service.has_database],
        "folders": [f"services/{service.name}" for service in services],
    }
    print(*values[options.what])
    return 0


if __name__ == "__main__":
    sys.exit(main())
