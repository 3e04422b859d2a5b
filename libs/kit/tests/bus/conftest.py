from collections.abc import AsyncIterator

import pytest

from kit.bus import Subscription
from testkit.bus import THING, UNORDERED, BusBackend


@pytest.fixture(params=["sqlite", pytest.param("rabbitmq", marks=pytest.mark.integration)])
async def backend(request, tmp_path) -> AsyncIterator[BusBackend]:
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path / 'bus.db'}"
    else:
        url = request.getfixturevalue("rabbitmq_server").fresh_vhost()
    backend = BusBackend(request.param, url)
    yield backend
    await backend.close_all()


@pytest.fixture(params=["ordered", "unordered"])
def any_subscription(request) -> Subscription:
    return THING if request.param == "ordered" else UNORDERED
