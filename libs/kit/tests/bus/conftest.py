from collections.abc import AsyncIterator

import pytest

from kit.bus import Subscription
from testkit.bus import LOOSE, THING, Place


@pytest.fixture(params=["sqlite", pytest.param("rabbitmq", marks=pytest.mark.integration)])
async def place(request, tmp_path) -> AsyncIterator[Place]:
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path / 'bus.db'}"
    else:
        url = request.getfixturevalue("rabbitmq_server").fresh_vhost()
    place = Place(request.param, url)
    yield place
    await place.close_all()


@pytest.fixture(params=["ordered", "unordered"])
def any_subscription(request) -> Subscription:
    return THING if request.param == "ordered" else LOOSE
