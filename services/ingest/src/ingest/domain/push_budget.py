"""How much a camera or an address may push: buckets that are refilled evenly, each stored as one number (GCRA)."""

from collections.abc import Callable
from dataclasses import dataclass, field

_WINDOW_S = 60.0


@dataclass(slots=True)
class Budget:
    """An amount a minute for each key; a minute's worth may come at once. 0: no limit.

    `most`: keys in memory. A key with a full bucket is the same as an unknown one, so these are dropped first.
    """

    per_minute: float
    most: int
    _full_at_s: dict[str, float] = field(default_factory=dict)

    def wait_s(self, key: str, amount: float, now_s: float) -> float:
        """Seconds until so much may be taken; 0 where it may be now.

        What is larger than the bucket may be taken when the bucket is full.
        """
        if not self.per_minute:
            return 0.0
        cost_s = min(amount * _WINDOW_S / self.per_minute, _WINDOW_S)
        over_s = max(self._full_at_s.get(key, 0.0), now_s) + cost_s - now_s - _WINDOW_S
        return over_s if over_s > 1e-6 else 0.0  # sums of intervals drift by some 1e-10 s

    def take(self, key: str, amount: float, now_s: float) -> None:
        """Take so much."""
        if not self.per_minute:
            return
        self._full_at_s[key] = (
            max(self._full_at_s.get(key, 0.0), now_s) + amount * _WINDOW_S / self.per_minute
        )
        if len(self._full_at_s) > self.most:
            left = {one: at for one, at in self._full_at_s.items() if at > now_s}
            emptiest = sorted(left.items(), key=lambda item: -item[1])[: self.most // 2]
            self._full_at_s = dict(emptiest)


class PushBudgets:
    """Events and bytes of each camera, and of each address. `monotonic`: seconds of a clock that never goes back."""

    def __init__(
        self,
        *,
        camera_events: Budget,
        camera_bytes: Budget,
        address_events: Budget,
        address_bytes: Budget,
        monotonic: Callable[[], float],
    ) -> None:
        self._of_camera = (camera_events, camera_bytes)
        self._of_address = (address_events, address_bytes)
        self._monotonic = monotonic

    def take_for_camera(self, camera_id: int, size_bytes: int) -> float:
        """Take one push of that size from the camera's budgets; else how many seconds to wait, and nothing is taken."""
        return self._take(self._of_camera, str(camera_id), size_bytes)

    def take_for_address(self, address: str, size_bytes: int) -> float:
        """As `take_for_camera`, for the address that it came from."""
        return self._take(self._of_address, address, size_bytes)

    def _take(self, budgets: tuple[Budget, Budget], key: str, size_bytes: int) -> float:
        now_s = self._monotonic()
        amounts = (1, size_bytes)
        wait_s = max(
            budget.wait_s(key, amount, now_s) for budget, amount in zip(budgets, amounts, strict=True)
        )
        if not wait_s:
            for budget, amount in zip(budgets, amounts, strict=True):
                budget.take(key, amount, now_s)
        return wait_s
