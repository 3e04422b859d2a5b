"""Decides whether a push may be accepted: who sent it, and how much was sent already."""

import math
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from ipaddress import ip_network

from ingest.domain.parking_area import ParkingArea
from ingest.domain.push_access import Nonces, PushAccess, PushCaller, RefusalReason, challenges, refusal
from ingest.domain.push_budget import Budget, PushBudgets
from ingest.domain.site import CameraSite
from ingest.metrics import IngestMetrics
from ingest.settings import ParkingPushSettings
from kit.clock import Clock
from kit.errors import LookoutError, RateLimited
from kit.logging import Logger
from kit.secrets import SecretBox

_DETAIL = "The push was refused. If this is your camera, look at the refused pushes, which say why."


class PushRefused(LookoutError):  # noqa: N818 - named after what happened, as kit's errors are
    """The sender did not show that it may push. The same for every reason: a stranger must not learn what exists.

    `challenges`: the values of `WWW-Authenticate`.
    """

    default_status = 401
    default_code = "push_refused"
    title = "Push refused"

    def __init__(self, headers: tuple[str, ...]) -> None:
        super().__init__(_DETAIL)
        self.challenges = headers


@dataclass(frozen=True, slots=True)
class RefusedPushes:
    """How often pushes for one parking area were refused to one address for one reason.

    `camera_id` is None where no such camera is registered.
    """

    parking_area: str
    camera_id: int | None
    address: str
    reason: RefusalReason
    count: int
    first_at: datetime
    last_at: datetime


class AdmitPush:
    """`budgets` and the memory of refused pushes are of this process: each replica has its own."""

    def __init__(
        self,
        *,
        settings: ParkingPushSettings,
        secret_box: SecretBox,
        budgets: PushBudgets,
        clock: Clock,
        logger: Logger,
        metrics: IngestMetrics,
    ) -> None:
        self._settings = settings
        self._secret_box = secret_box
        self._budgets = budgets
        self._clock = clock
        self._logger = logger
        self._metrics = metrics
        self._nonces = Nonces(
            secret_box.derived_key("push nonces"),
            lifetime_s=settings.nonce_lifetime_s,
            most=settings.max_budget_keys,
        )
        self._refused: OrderedDict[tuple[str, str, RefusalReason], RefusedPushes] = OrderedDict()

    @property
    def is_required(self) -> bool:
        """Whether a camera without any credential is refused."""
        return self._settings.is_authentication_required

    def take_for_address(self, address: str, size_bytes: int) -> None:
        """Count a push against the budgets of its address.

        Raises:
            RateLimited: they are used up.
        """
        if wait_s := self._budgets.take_for_address(address, size_bytes):
            raise self._limited(wait_s, "this address")

    def challenge(self) -> PushRefused:
        """The answer to an empty request, which a client of Digest sends first, such as `curl --digest`.

        Also where authentication is not required: which camera it is, and whether that has a password, is in the body.
        """
        return self._refusal(is_stale=False)

    def admit(self, site: CameraSite, area: ParkingArea, caller: PushCaller, body: bytes) -> None:
        """Accept the sender, and count the push against the camera's budgets.

        Raises:
            PushRefused: the sender did not show that it may push for the camera.
            RateLimited: the camera's budgets are used up.
        """
        now = self._clock.now()
        reason = refusal(
            self._access(site),
            caller,
            body,
            is_required=self.is_required,
            nonces=self._nonces,
            signature_tolerance_s=self._settings.signature_tolerance_s,
            now_s=now.timestamp(),
        )
        if reason is not None:
            raise self._refused_for(reason, area, caller, site.camera_id, now)
        if wait_s := self._budgets.take_for_camera(site.camera_id, len(body)):
            raise self._limited(wait_s, "this camera")

    def refuse_unknown(self, area: ParkingArea, caller: PushCaller) -> PushRefused:
        """The answer to a push for a camera that is not registered, where authentication is required."""
        return self._refused_for(RefusalReason.UNKNOWN_CAMERA, area, caller, None, self._clock.now())

    def refused(self) -> list[RefusedPushes]:
        """What was refused, the latest first."""
        return list(reversed(self._refused.values()))

    def _refused_for(
        self,
        reason: RefusalReason,
        area: ParkingArea,
        caller: PushCaller,
        camera_id: int | None,
        now: datetime,
    ) -> PushRefused:
        self._metrics.pushes_refused.labels(reason.value).inc()
        if reason is not RefusalReason.NO_CREDENTIALS or not self._may_be_first_of_digest(caller):
            self._remember(reason, area, caller, camera_id, now)
        return self._refusal(is_stale=reason is RefusalReason.STALE)

    @staticmethod
    def _may_be_first_of_digest(caller: PushCaller) -> bool:
        return not (caller.authorization or caller.path_secret or caller.signature)

    def _remember(
        self,
        reason: RefusalReason,
        area: ParkingArea,
        caller: PushCaller,
        camera_id: int | None,
        now: datetime,
    ) -> None:
        key = (area.name, caller.address, reason)
        known = self._refused.pop(key, None)
        if known is None:
            known = RefusedPushes(area.name, camera_id, caller.address, reason, 0, now, now)
            if camera_id is not None:  # names that somebody made up would fill the log
                self._logger.warning(
                    "push_refused", parking_area=area.name, address=caller.address, reason=reason.value
                )
        self._refused[key] = replace(known, count=known.count + 1, last_at=now, camera_id=camera_id)
        if len(self._refused) > self._settings.max_refusals:
            self._refused.popitem(last=False)

    def _refusal(self, *, is_stale: bool) -> PushRefused:
        return PushRefused(challenges(self._nonces.make(self._clock.now().timestamp()), is_stale=is_stale))

    def _access(self, site: CameraSite) -> PushAccess:
        return PushAccess(
            networks=tuple(ip_network(network) for network in site.push_networks),
            user=site.push_user,
            password=self._plain(site.sealed_push_password),
            path_secret=self._plain(site.sealed_push_path_secret),
            hmac_key=self._plain(site.sealed_push_hmac_key),
        )

    def _plain(self, sealed: str) -> str:
        return self._secret_box.decrypt(sealed) if sealed else ""

    def _limited(self, wait_s: float, who: str) -> RateLimited:
        return RateLimited(
            f"{who} has pushed as much as it may in a minute",
            code="push_budget_used",
            retry_after_s=max(1, math.ceil(wait_s)),
        )


def push_budgets(settings: ParkingPushSettings, monotonic: Callable[[], float]) -> PushBudgets:
    """The budgets that the settings name."""
    most = settings.max_budget_keys
    return PushBudgets(
        camera_events=Budget(settings.camera_events_per_minute, most),
        camera_bytes=Budget(settings.camera_bytes_per_minute, most),
        address_events=Budget(settings.address_events_per_minute, most),
        address_bytes=Budget(settings.address_bytes_per_minute, most),
        monotonic=monotonic,
    )
