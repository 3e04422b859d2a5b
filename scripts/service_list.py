#!/usr/bin/env python3
"""The list of services, read from `[tool.lookout.service]` of each services/*/pyproject.toml.

Makefile, docker-compose.yml, the checks and the tests use it, so that a new service is declared in its own
folder only. Standard library only: it runs before the environment is set up.

    scripts/service_list.py names|packages|databases|folders|import-path   print them, separated by blanks (a colon)
    scripts/service_list.py compose [--write|--check]                      the services' part of docker-compose.yml
"""

import argparse
import sys
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
COMPOSE_FILE = ROOT / "docker-compose.yml"
BEGIN = "  # Generated from services/*/pyproject.toml by `make compose-file`; do not edit."
END = "  # End of the generated part."


@dataclass(frozen=True, slots=True)
class ServiceEntry:
    """One service.

    http_port: the port in its container; gRPC listens on `grpc_port`, 0 if the service has no gRPC.
    needs: servers that it uses beside its database: `rabbitmq`, `minio`.
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
                environment=entry.get("environment", {}),
                compose=entry.get("compose", {}),
            )
        )
    return found


def compose_part(services: list[ServiceEntry]) -> str:
    """The migrations and services of docker-compose.yml."""
    lines = [BEGIN, *_databases_lines([service for service in services if service.has_database])]
    for service in services:
        lines += _migration_lines(service) if service.has_database else []
        lines += _service_lines(service)
    lines.append(END)
    return "\n".join(lines)


def _databases_lines(services: list[ServiceEntry]) -> list[str]:
    """The container that creates a role and a database for each service."""
    return [
        "  databases:",
        "    <<: *backend",
        '    restart: "no"',
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


def _password(service: ServiceEntry) -> str:
    return f"${{{service.variable}_DATABASE_PASSWORD:?set it in .env}}"


def _environment_lines(service: ServiceEntry) -> list[str]:
    blocks = ["*observability", "*peers"]
    blocks += [block for need, block in (("rabbitmq", "*bus"), ("minio", "*blobs")) if need in service.needs]
    lines = ["    environment:", f"      <<: [{', '.join(blocks)}]"]
    if service.has_database:
        lines += [
            f"      DATABASE_URL: postgresql://{service.package}@postgres:5432/{service.package}",
            f"      DATABASE_PASSWORD: {_password(service)}",
            f'      LOOKOUT_{service.variable}__DATABASE__MIGRATE_ON_START: "false"',
        ]
    return lines + [f"      {name}: {value}" for name, value in service.environment.items()]


def _image(service: ServiceEntry) -> str:
    return f"    image: ${{LOOKOUT_REGISTRY:-lookout}}/{service.name}:${{LOOKOUT_VERSION:-0.1.0}}"


def _migration_lines(service: ServiceEntry) -> list[str]:
    return [
        f"  {service.name}-migrate:",
        "    <<: *migration",
        _image(service),
        *_environment_lines(service),
        "",
    ]


def _service_lines(service: ServiceEntry) -> list[str]:
    ports = f"{service.http_port} {service.grpc_port}" if service.has_grpc else str(service.http_port)
    arguments = (
        f"SERVICE: {service.name}, PACKAGE: {service.package}, HTTP_PORT: {service.http_port}, "
        f'PORTS: "{ports}", DESCRIPTION: {_quoted(service.description)}'
    )
    depends = [f"      {service.name}-migrate: {{ condition: service_completed_successfully }}"]
    depends = depends if service.has_database else []
    # Started, not healthy: a service waits for its broker and its blob store by itself.
    depends += [f"      {need}: {{ condition: service_started }}" for need in service.needs]
    extra = dict(service.compose)
    deploy = {"resources": {"limits": {"memory": service.memory}}}
    _merge(deploy, extra.pop("deploy", {}))
    return [
        f"  {service.name}:",
        "    <<: *service",
        _image(service),
        f"    build: {{ <<: *build, args: {{ <<: *build-arguments, {arguments} }} }}",
        *_environment_lines(service),
        *(["    depends_on:", *depends] if depends else []),
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
