"""What an attack found: one line for each thing that held or did not hold."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from attack.target import Mode


@dataclass(frozen=True)
class Check:
    """`is_held`: whether Lookout withstood; None if it could not be tried. `detail` says what was seen."""

    what: str
    is_held: bool | None
    detail: str = ""


@dataclass(frozen=True)
class Attack:
    """`run` starts what it needs and yields its checks. `modes`: where it applies."""

    name: str
    run: Callable[[Mode], Iterator[Check]]
    modes: tuple[Mode, ...] = ("embedded", "distributed")
