"""In which order the shard queues of RabbitMQ handle their suspects."""

from itertools import permutations

import pytest

from kit.bus.rabbitmq_consumer import turn_of


@pytest.mark.parametrize("crashes", [(0, 1, 2), (0, 2)], ids=["one a crash", "two a crash"])
@pytest.mark.parametrize("count", [1, 2, 4])
def test_each_queue_is_before_each_other_one_at_least_once(count: int, crashes: tuple[int, ...]) -> None:
    """However often a crash is counted: the turns that come before the message is given up."""
    orders = [[turn_of(index, count, number) for index in range(count)] for number in crashes]
    assert all(sorted(order) == list(range(count)) for order in orders)
    for one, other in permutations(range(count), 2):
        assert any(order[one] < order[other] for order in orders)
