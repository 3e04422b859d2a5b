#!/usr/bin/env python3
"""Checks the import contracts of pyproject.toml with import-linter.

import-linter needs every package named in every contract. Here `<services>` is replaced by the services'
packages from `service_list`, and `<domains>`, `<handlers>`, `<stores>`, `<adapters>` and `<transports>` (`http`, `rpc`,
`consumers`) by their modules of that name, so that the contracts apply to a new service without an edit.
"""

import sys
import tempfile
import tomllib
from pathlib import Path
from typing import Any

from importlinter.cli import lint_imports

from service_list import ROOT, service_list


def expanded(value: Any, packages: list[str]) -> Any:
    """`value` with the placeholders of package groups replaced, at any depth."""
    groups = {
        "<services>": packages,
        "<domains>": _modules("domain", packages),
        "<handlers>": _modules("handlers", packages),
        "<stores>": _modules("store", packages),
        "<adapters>": _modules("adapters", packages),
        "<transports>": [
            module for name in ("http", "rpc", "consumers") for module in _modules(name, packages)
        ],
    }
    if isinstance(value, dict):
        return {key: expanded(item, packages) for key, item in value.items()}
    if isinstance(value, list):
        return [part for item in value for part in groups.get(str(item), [expanded(item, packages)])]
    return value


def _modules(name: str, packages: list[str]) -> list[str]:
    """`<package>.<name>` of the services that have it."""
    paths = [*ROOT.glob(f"services/*/src/*/{name}"), *ROOT.glob(f"services/*/src/*/{name}.py")]
    having = {path.parent.name for path in paths}
    return [f"{package}.{name}" for package in packages if package in having]


def as_ini(config: dict[str, Any]) -> str:
    """The configuration in import-linter's INI format, where a list is one item a line."""
    contracts = config.pop("contracts")
    sections = {"importlinter": config} | {
        f"importlinter:contract:{number}": contract for number, contract in enumerate(contracts, 1)
    }
    lines = []
    for section, entries in sections.items():
        lines.append(f"[{section}]")
        for key, value in entries.items():
            items = [f"\n    {item}" for item in value] if isinstance(value, list) else [f" {value}"]
            lines.append(f"{key} =" + "".join(items))
    return "\n".join(lines) + "\n"


def main() -> int:
    """Run import-linter; returns its exit status."""
    document = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    packages = [service.package for service in service_list()]
    config = expanded(document["tool"]["lookout"]["import-contracts"], packages)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "importlinter.ini"
        path.write_text(as_ini(config), encoding="utf-8")
        return lint_imports(config_filename=str(path), no_logo=True)


if __name__ == "__main__":
    sys.exit(main())
