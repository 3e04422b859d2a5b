import asyncio
from contextlib import suppress
from datetime import UTC, datetime, timedelta

from kit.ids import uuid7


async def test_an_event_is_claimed_once_by_each_consumer(service):
    event = uuid7()
    async with service.db.transaction() as session:
        assert await service.inbox.claim(session, "tickets", event)
    async with service.db.transaction() as session:
        assert not await service.inbox.claim(session, "tickets", event)
        assert await service.inbox.claim(session, "reports", event)
        assert await service.inbox.claim(session, "tickets", uuid7())


async def test_a_claim_ends_with_its_transaction(service):
    event = uuid7()
    with suppress(KeyError):
        async with service.db.transaction() as session:
            assert await service.inbox.claim(session, "tickets", event)
            raise KeyError("the effect failed")
    async with service.db.transaction() as session:
        assert await service.inbox.claim(session, "tickets", event)


async def test_one_of_two_concurrent_claims_succeeds(service):
    event = uuid7()

    async def claim():
        async with service.db.transaction() as session:
            return await service.inbox.claim(session, "tickets", event)

    assert sorted(await asyncio.gather(*(claim() for _ in range(5)))) == [False] * 4 + [True]


async def test_sweeping_deletes_old_rows(service):
    async with service.db.transaction() as session:
        for _ in range(10):
            await service.inbox.claim(session, "tickets", uuid7())
    now = datetime.now(UTC)
    ahead = now + timedelta(days=500)
    assert await service.inbox.sweep_older_than(service.db, timedelta(days=14), ahead) == 0
    assert await service.inbox.sweep_older_than(service.db, timedelta(seconds=-60), ahead) == 10


async def test_sweeping_up_to_a_time_deletes_the_rows_before_it(service):
    async with service.db.transaction() as session:
        for _ in range(10):
            await service.inbox.claim(session, "tickets", uuid7())
    now = datetime.now(UTC)
    assert await service.inbox.sweep(service.db, now - timedelta(minutes=1)) == 0
    assert await service.inbox.sweep(service.db, now + timedelta(minutes=1)) == 10
