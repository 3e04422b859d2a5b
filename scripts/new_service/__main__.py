"""Write a new service: `python scripts/new_service NAME`, called by `make new-service NAME=parcels`.

The service counts the frames that were read: one event consumed, one published, a route, an RPC, a migration and a
test, from the templates beside this file. Generated code, lock file, compose file and documents are brought up to date.
"""

import argparse
import ast
import keyword
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
TEMPLATES = Path(__file__).resolve().parent
sys.path.insert(0, str(ROOT / "scripts"))

from service_list import service_list  # noqa: E402 - found through the path above

NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
ROUTES = "services/gateway/src/gateway/routes.toml"


def words(name: str, description: str) -> dict[str, str]:
    """What the words between `@` in the templates stand for.

    Raises:
        ValueError: the name cannot be that of a service, or is taken.
    """
    package = name.replace("-", "_")
    if not NAME.fullmatch(name) or keyword.iskeyword(package):
        raise ValueError(f"{name!r} is not a service name: use lower-case letters, digits and single hyphens")
    taken = [f"services/{name}", f"proto/lookout/{package}", f"libs/{name}", f"tests/{package}"]
    for path in taken:
        if (ROOT / path).exists():
            raise ValueError(f"{name!r} is taken: {path} exists")
    port = max(service.http_port for service in service_list() if service.http_port > 8100) + 1
    return {
        "name": name,
        "package": package,
        "Name": "".join(part.capitalize() for part in name.split("-")),
        "NAME": package.upper(),
        "description": description,
        "http_port": str(port),
        "grpc_port": str(port + 1000),
    }


def filled(text: str, values: dict[str, str]) -> str:
    """The template with its words replaced."""
    return re.sub(r"@(\w+)@", lambda match: values[match[1]], text)


def write_files(values: dict[str, str]) -> list[Path]:
    """Write what the templates say; returns the files."""
    service, package = ROOT / "services" / values["name"], values["package"]
    written = []
    for template in sorted(TEMPLATES.rglob("*.in")):
        inside = template.relative_to(TEMPLATES).with_suffix("")
        if inside.name == "proto":
            target = ROOT / "proto/lookout" / package / "v1" / f"{package}.proto"
        elif inside.parts[0] == "src":
            target = service / "src" / package / Path(*inside.parts[1:])
        else:
            target = service / filled(str(inside), values)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(filled(template.read_text(encoding="utf-8"), values), encoding="utf-8")
        written.append(target)
    for folder in (service / "src" / package, service / "src" / package / "handlers"):
        (folder / "__init__.py").touch()
        (folder.parent if folder.name == "handlers" else folder).joinpath("py.typed").touch()
    return written


def register(values: dict[str, str]) -> list[Path]:
    """Add its route to the gateway and its passwords to `.env.example`; returns the changed files."""
    routes, environment = ROOT / ROUTES, ROOT / ".env.example"
    text = routes.read_text(encoding="utf-8")
    head, blank, rest = text.partition("\n\n[rate_limits]")
    if not blank:
        raise ValueError(f"{ROUTES}: the table [services] is not followed by [rate_limits]")
    route = f'\n[[routes]]\nprefix = "/api/v1/{values["name"]}"\nservice = "{values["name"]}"\n'
    url = f'\n{values["name"]} = "http://{values["name"]}:{values["http_port"]}"'
    routes.write_text(head + url + blank + rest.rstrip("\n") + "\n" + route, encoding="utf-8")
    lines = environment.read_text(encoding="utf-8")
    neighbour = "TICKETS_DATABASE_PASSWORD=\n"
    if neighbour not in lines:
        raise ValueError(f".env.example: the line {neighbour.strip()} is missing")
    environment.write_text(
        lines.replace(
            neighbour,
            f"{neighbour}{values['NAME']}_DATABASE_PASSWORD=\n{values['NAME']}_RABBITMQ_PASSWORD=\n",
        ),
        encoding="utf-8",
    )
    return [routes, environment]


def code_lines(path: Path) -> int:
    """Lines of code, without blank lines, imports, comments and docstrings."""
    text = path.read_text(encoding="utf-8")
    if path.suffix != ".py":
        return sum(1 for line in text.splitlines() if line.strip() and not line.lstrip().startswith("//"))
    lines = {number for number, line in enumerate(text.splitlines(), 1) if line.split("#")[0].strip()}
    for node in ast.walk(ast.parse(text)):
        is_docstring = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
        if isinstance(node, ast.stmt) and (isinstance(node, ast.Import | ast.ImportFrom) or is_docstring):
            lines -= set(range(node.lineno, (node.end_lineno or node.lineno) + 1))
    return len(lines)


def run(*command: str) -> None:
    """Run one of the repository's commands.

    Raises:
        SystemExit: it failed; its output is above.
    """
    print(f"  {' '.join(command)}", flush=True)
    if subprocess.run(command, cwd=ROOT, check=False).returncode:  # noqa: S603 - fixed commands, no shell
        sys.exit("new-service: that command failed, see above. `git status` shows what was written so far.")


def main() -> int:
    """Write the service."""
    parser = argparse.ArgumentParser(prog="make new-service", description="Write a new service.")
    parser.add_argument("name", help="its name, such as parcels or gate-control")
    parser.add_argument("--description", default="Counts the frames that were read")
    options = parser.parse_args()
    try:
        values = words(options.name, options.description)
        written, changed = write_files(values), register(values)
    except ValueError as error:
        print(f"new-service: {error}", file=sys.stderr)
        return 1
    setup = ROOT / "scripts/setup-uv"
    uv = subprocess.run([setup], check=True, capture_output=True, text=True).stdout.strip()  # noqa: S603 - our own script
    run("proto/generate")
    run(uv, "lock", "--quiet")
    run(uv, "sync", "--frozen", "--all-packages", "--quiet")
    folders = [f"services/{values['name']}", "proto/src"]
    run(".venv/bin/ruff", "check", "--fix-only", "--quiet", folders[0])
    run(".venv/bin/ruff", "format", "--quiet", folders[0])
    run("make", "compose-file", "docs")
    counted = [path for path in written if path.name != "pyproject.toml"]
    lines = sum(len(path.read_text(encoding="utf-8").splitlines()) for path in counted)
    code = sum(code_lines(path) for path in counted)
    print(
        f"Wrote {len(written)} files. Beside pyproject.toml they have {lines} lines, {code} of them code\n"
        "(without blank lines, imports, comments and docstrings):"
    )
    for path in (*written, *changed):
        print(f"  {path.relative_to(ROOT)}")
    print(
        f"Next: .venv/bin/pytest services/{values['name']} runs its test; .venv/bin/{values['name']} serve starts it;\n"
        "docs/adding-a-service.md says what to change first."
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
