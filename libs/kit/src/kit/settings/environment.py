"""Read a service's settings from the environment, and report what is wrong with it: one line for each problem."""

import difflib
import json
import os
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails
from pydantic_settings import EnvSettingsSource

from kit.settings.service import Leaf, ServiceSettings, env_name, leaves, put_if_absent

S = TypeVar("S", bound=ServiceSettings)

FILE_SUFFIX = "_FILE"
"""Behind the name of a secret: the path of a file with it, as Docker and Kubernetes mount secrets."""


class SettingsError(Exception):
    """The environment does not make valid settings: one line for each problem, none with a value in it."""

    def __init__(self, service: str, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.service = service
        self.problems = problems


def load(
    cls: type[S], *, environ: Mapping[str, str] | None = None, defaults: Mapping[str, Any] | None = None
) -> S:
    """As `read`, for a program's main: problems are printed, one a line, and the process exits with 2."""
    try:
        return read(cls, environ=environ, defaults=defaults)
    except SettingsError as error:
        for problem in error.problems:
            sys.stderr.write(f"{error.service}: {problem}\n")
        raise SystemExit(2) from None


def read(
    cls: type[S], *, environ: Mapping[str, str] | None = None, defaults: Mapping[str, Any] | None = None
) -> S:
    """The settings of that class from the environment.

    `LOOKOUT_<SERVICE>__…` wins over its aliases, those over `defaults` (dotted path → value). An empty value
    counts as not set, as compose files write it for a variable that is not there. A secret may be in a file, whose
    path is set under the secret's name with `_FILE` behind it.

    Raises:
        SettingsError: a value is missing, invalid, or set under a name that this service does not know.
    """
    env = os.environ if environ is None else environ
    known = leaves(cls)
    problems = _unknown_names(cls, known, env)
    env = {**env, **_secrets_in_files(known, env, problems)}
    values = _Environment(cls, known, env)()
    for path, value in (defaults or {}).items():
        put_if_absent(values, path, value)
    try:
        settings = cls(**values)
    except ValidationError as error:
        problems += [_sentence(cls, known, detail) for detail in error.errors(include_input=False)]
    else:
        if not problems:
            return settings
    raise SettingsError(cls.service_name, problems)


class _Environment(EnvSettingsSource):
    """pydantic-settings' own source, with what it has not: another name for a nested value (`DATABASE_URL`), and
    lists that are comma separated as well as JSON.
    """

    def __init__(self, cls: type[ServiceSettings], known: list[Leaf], environ: Mapping[str, str]) -> None:
        super().__init__(cls, env_prefix=cls.env_prefix(), env_nested_delimiter="__")
        # Keyed in lower case, as the source keeps them. Only known names: others are reported with the nearest name.
        self.env_vars = {leaf.env.lower(): value for leaf in known if (value := _first_set(leaf, environ))}

    def decode_complex_value(self, field_name: str, field: FieldInfo, value: Any) -> Any:
        """A list or mapping from its text. What is neither is left to pydantic, which refuses it by name."""
        if value.startswith(("[", "{")):
            with suppress(json.JSONDecodeError):
                return json.loads(value)
            return value
        return [part.strip() for part in value.split(",") if part.strip()]


def _first_set(leaf: Leaf, environ: Mapping[str, str]) -> str:
    for name in (leaf.env, *leaf.aliases):
        value = environ.get(name, "")
        if value.strip():
            return value if leaf.is_secret else value.strip()
    return ""


def _secrets_in_files(known: list[Leaf], env: Mapping[str, str], problems: list[str]) -> dict[str, str]:
    """What is in the files that `…_FILE` names, under the names without it; what is wrong is added to `problems`."""
    found = {}
    for leaf in known:
        for name in (leaf.env, *leaf.aliases) if leaf.is_secret else ():
            path = env.get(name + FILE_SUFFIX, "").strip()
            if not path:
                continue
            if env.get(name, "").strip():
                problems.append(f"{name}: set, and so is {name}{FILE_SUFFIX}: leave one of them out")
            try:
                found[name] = Path(path).read_text(encoding="utf-8").rstrip("\r\n")
            except (OSError, UnicodeDecodeError) as error:
                reason = error.strerror if isinstance(error, OSError) else "is not UTF-8"
                problems.append(f"{name}{FILE_SUFFIX}: {path} cannot be read: {reason}")
    return found


def _unknown_names(cls: type[ServiceSettings], known: list[Leaf], env: Mapping[str, str]) -> list[str]:
    names = {leaf.env for leaf in known} | {leaf.env + FILE_SUFFIX for leaf in known if leaf.is_secret}
    prefix = cls.env_prefix()
    problems = []
    for name in sorted(env):
        if name.upper().startswith(prefix) and name not in names:
            near = difflib.get_close_matches(name.upper(), names, n=1, cutoff=0.0)
            problems.append(f"{name}: no such setting; the nearest is {near[0]}")
    return problems


def _sentence(cls: type[ServiceSettings], known: list[Leaf], detail: ErrorDetails) -> str:
    by_path = {leaf.path: leaf for leaf in known}
    parts = [str(part) for part in detail["loc"]]
    if detail["type"] == "needed":
        parts += detail["ctx"]["field"].split(".")
    # An error in a list's item, or of a rule over a whole block, is reported under a name that can be set.
    while parts and ".".join(parts) not in by_path:
        if any(path.startswith(".".join(parts) + ".") for path in by_path):
            break
        parts.pop()
    path = ".".join(parts)
    leaf = by_path.get(path)
    if leaf is not None:
        names = leaf.env + (f" (or {', '.join(leaf.aliases)})" if leaf.aliases else "")
    else:
        names = env_name(cls, path) + "__*" if path else cls.env_prefix() + "*"
    if detail["type"] == "missing":
        meaning = leaf.field.description if leaf is not None else None
        return f"{names}: required and not set" + (f": {meaning}" if meaning else "")
    if detail["type"] in {"dict_type", "tuple_type", "list_type", "frozen_set_type"}:
        return f"{names}: is not valid JSON"
    return f"{names}: {detail['msg'].removeprefix('Value error, ')}"
