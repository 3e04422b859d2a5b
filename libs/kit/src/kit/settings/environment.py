"""Reading a service's settings from the environment, and telling the operator what is wrong with it."""

import difflib
import json
import os
import sys
from collections.abc import Mapping
from typing import Any, TypeVar, get_args, get_origin

from pydantic import ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from kit.settings.service import Leaf, ServiceSettings, env_name, leaves

S = TypeVar("S", bound=ServiceSettings)


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
    counts as not set, as compose files write it for a variable that is not there.

    Raises:
        SettingsError: a value is missing, invalid, or set under a name that this service does not know.
    """
    env = os.environ if environ is None else environ
    known = leaves(cls)
    problems = _unknown_names(cls, known, env)
    values: dict[str, Any] = {}
    for path, value in (defaults or {}).items():
        _put(values, path, value)
    for leaf in known:
        for name in (leaf.env, *leaf.aliases):
            raw = env.get(name, "")
            if raw.strip():
                try:
                    _put(values, leaf.path, _parse(raw, leaf.field))
                except ValueError as error:
                    problems.append(f"{name}: {error}")
                break
    try:
        settings = cls(**values)
    except ValidationError as error:
        problems += [_sentence(cls, known, detail) for detail in error.errors(include_input=False)]
    else:
        if not problems:
            return settings
    raise SettingsError(cls.service_name, problems)


def _unknown_names(cls: type[ServiceSettings], known: list[Leaf], env: Mapping[str, str]) -> list[str]:
    names = {leaf.env for leaf in known}
    prefix = cls.env_prefix()
    problems = []
    for name in sorted(env):
        if name.upper().startswith(prefix) and name not in names:
            near = difflib.get_close_matches(name.upper(), names, n=1, cutoff=0.0)
            problems.append(f"{name}: no such setting; the nearest is {near[0]}")
    return problems


def _parse(raw: str, field: FieldInfo) -> Any:
    """Lists are comma separated or JSON, mappings JSON; all else pydantic reads from the text itself."""
    text = raw.strip()
    kinds = {get_origin(kind) or kind for kind in (field.annotation, *get_args(field.annotation))}
    if dict in kinds or (text.startswith("[") and kinds & {tuple, list, frozenset, set}):
        try:
            return json.loads(text)
        except json.JSONDecodeError:
            raise ValueError("is not valid JSON") from None
    if kinds & {tuple, list, frozenset, set}:
        return [part.strip() for part in text.split(",") if part.strip()]
    return raw if _is_secret(field) else text


def _is_secret(field: FieldInfo) -> bool:
    return "SecretStr" in str(field.annotation)


def _sentence(cls: type[ServiceSettings], known: list[Leaf], detail: ErrorDetails) -> str:
    by_path = {leaf.path: leaf for leaf in known}
    parts = [str(part) for part in detail["loc"]]
    if detail["type"] == "needed":
        parts += detail["ctx"]["field"].split(".")
    # The place of a list's item, or of a rule over a whole block, is cut back to a name that can be set.
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
    return f"{names}: {detail['msg'].removeprefix('Value error, ')}"


def _put(values: dict[str, Any], path: str, value: Any) -> None:
    *blocks, name = path.split(".")
    for block in blocks:
        values = values.setdefault(block, {})
    values[name] = value
