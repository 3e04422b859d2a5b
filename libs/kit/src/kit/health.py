"""Is the service up, and can it do its work: one fact for each thing that it depends on."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Fact:
    """How one dependency stands; `detail` is for the operator."""

    ok: bool
    detail: str = ""


@dataclass(frozen=True, slots=True)
class NamedFact:
    """A fact with its name. One that is not required is told and does not make the service unready."""

    name: str
    ok: bool
    detail: str
    required: bool


@dataclass(frozen=True, slots=True)
class Readiness:
    """Whether to send work here."""

    ok: bool
    facts: tuple[NamedFact, ...] = ()

    def document(self) -> dict[str, object]:
        """The body of `/health/ready`."""
        return {
            "status": "ready" if self.ok else "not_ready",
            "checks": {
                fact.name: {"ok": fact.ok, "required": fact.required, "detail": fact.detail}
                for fact in self.facts
            },
        }


Check = Callable[[], Awaitable[Fact]]


@dataclass(slots=True)
class Health:
    """The readiness of one service. A check that raises or outlasts `check_timeout_s` is a failed fact."""

    check_timeout_s: float = 3.0
    is_draining: bool = False
    held: str | None = None
    _checks: dict[str, tuple[Check, bool]] = field(default_factory=dict)

    def add(self, name: str, check: Check, required: bool = True) -> None:
        """Ask `check` on every readiness call. The name is that of the dependency: `database`, `bus`."""
        self._checks[name] = (check, required)

    def hold(self, reason: str) -> None:
        """Answer calls with a 503 and this reason from now on, but for `/health` and `/metrics`."""
        self.held = reason

    def release(self) -> None:
        """Let calls in again."""
        self.held = None

    async def ready(self) -> Readiness:
        """Ask everything at once; a draining service is never ready."""
        facts = await asyncio.gather(
            *(self._ask(name, check, required) for name, (check, required) in self._checks.items())
        )
        if self.is_draining:
            facts = [NamedFact("service", ok=False, detail="draining", required=True), *facts]
        return Readiness(all(fact.ok for fact in facts if fact.required), tuple(facts))

    async def _ask(self, name: str, check: Check, required: bool) -> NamedFact:
        try:
            async with asyncio.timeout(self.check_timeout_s):
                fact = await check()
        except TimeoutError:
            fact = Fact(ok=False, detail=f"no answer within {self.check_timeout_s:g} s")
        except Exception as error:  # noqa: BLE001 - whatever a dependency's client raises, it is not ready
            fact = Fact(ok=False, detail=f"{type(error).__name__}: {error}")
        return NamedFact(name, fact.ok, fact.detail, required)
