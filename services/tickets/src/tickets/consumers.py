"""Bus in: what was read in a frame goes to the rules."""

from kit.bus import Delivery, Handler, Subscription
from lookout.plates.v1.plates_pb2 import PlatesRead
from tickets.domain.triggers import Rules
from tickets.handlers.decide_trigger import DecideTrigger
from tickets.messages import report_of

PLATES_READ = Subscription("tickets", "plates_read", "plates.plates_read.v1.#", ordered=True)


def plates_read(decide: DecideTrigger, rules: Rules) -> Handler:
    """The handler of `PLATES_READ`. Frames that are no entry or exit are none of our business."""

    async def handle(delivery: Delivery) -> None:
        read = delivery.event.parse(PlatesRead)
        report = report_of(read, delivery.event.body, rules)
        if report is not None:
            await decide(report, delivery.event.message_id)

    return handle
