"""Liveness and readiness of one service: one check for each dependency."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class CheckResult:
    """The state of one dependency; `detail` is a text for the operator."""

    ok: bool
    detail: str = ""


@dataclass(frozen=True, slots=True)
class NamedCheckResult:
    """A result with its dependency's name. An optional one is shown and does not make the service unready."""

    name: str
    ok: bool
    detail: str
    required: bool


@dataclass(frozen=True, slots=True)
class Readiness:
    """Whether the service can take requests."""

    ok: bool
    results: tuple[NamedCheckResult, ...] = ()

    def document(self) -> dict[str, object]:
        """The body of `/health/ready`."""
        return {
            "status": "ready" if self.ok else "not_ready",
            "checks": {
                result.name: {"ok": result.ok, "required": result.required, "detail": result.detail}
                for result in self.results
            },
        }


Check = Callable[[], Awaitable[CheckResult]]


@dataclass(slots=True)
class Health:
    """The readiness of one service. A check that raises or exceeds `check_timeout_s` counts as failed.

    `refusal_reason`: while set, requests are answered with a 503 that names it.
    """

    check_timeout_s: float = 3.0
    is_draining: bool = False
    refusal_reason: str | None = None
    _checks: dict[str, tuple[Check, bool]] = field(default_factory=dict)

    def add(self, name: str, check: Check, required: bool = True) -> None:
        """Run `check` on every readiness request. The name is the dependency's: `database`, `bus`."""
        self._checks[name] = (check, required)

    def refuse_calls(self, reason: str) -> None:
        """Answer requests with a 503 and this reason from now on, except `/health` and `/metrics`."""
        self.refusal_reason = reason

    def accept_calls(self) -> None:
        """Serve requests again."""
        self.refusal_reason = None

    async def ready(self) -> Readiness:
        """Run all checks concurrently; a draining service is never ready."""
        results = await asyncio.gather(
            *(self._run(name, check, required) for name, (check, required) in self._checks.items())
        )
        if self.is_draining:
            results = [NamedCheckResult("service", ok=False, detail="draining", required=True), *results]
        return Readiness(all(result.ok for result in results if result.required), tuple(results))

    async def _run(self, name: str, check: Check, required: bool) -> NamedCheckResult:
        try:
            async with asyncio.timeout(self.check_timeout_s):
                result = await check()
        except TimeoutError:
            result = CheckResult(ok=False, detail=f"no answer within {self.check_timeout_s:g} s")
        except Exception as error:  # noqa: BLE001 - whatever a dependency's client raises, it is not ready
            result = CheckResult(ok=False, detail=f"{type(error).__name__}: {error}")
        return NamedCheckResult(name, result.ok, result.detail, required)
