"""The `kit` command: the queues of the bus and their dead letters: list, show, replay, discard; the broker's users.

Exit codes: 0 done, 1 no such queue or dead letter, 2 wrong usage, 3 the bus cannot be used.
"""

import argparse
import asyncio
import logging
import os
import sqlite3
import sys
from collections.abc import Awaitable, Callable, Sequence
from contextlib import closing
from pathlib import Path

from kit.bus import Bus, DeadLetter, QueueInfo, open_bus
from kit.bus.rabbitmq_users import BrokerAccounts, users_of
from kit.clock import SystemClock
from kit.dead_letter_view import document_of, page_of, table_of, to_json
from kit.errors import LookoutError, NotFound
from kit.logging import make_logger
from kit.metrics import Metrics
from kit.settings import BusSettings, LogSettings

DONE, NOTHING, WRONG_USE, NO_BUS = 0, 1, 2, 3

TIMEOUT_S = 10.0
"""The default of `--timeout-s`. A person waits: a broker that cannot be reached is reported soon."""

URL_VARIABLES = ("LOOKOUT_BUS_URL", "RABBITMQ_URL")
_PASSWORD_SUFFIX = "_RABBITMQ_PASSWORD"  # noqa: S105 - the end of a variable's name
EMBEDDED_FILE = Path(".run/bus.db")

Command = Callable[[Bus, argparse.Namespace], Awaitable[int]]


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command of the arguments (the process's own unless given) and exit with its code."""
    args = _parser().parse_args(arguments)
    if args.command is _broker_users:
        sys.exit(_broker_users(args))
    if hasattr(args, "ids"):
        args.id = [*args.ids, *args.id]
    sys.exit(asyncio.run(_run(args)))


async def _run(args: argparse.Namespace) -> int:
    url = args.bus or _default_url()
    if url is None:
        return _fail(f"no bus given: use --bus URL, or set {' or '.join(URL_VARIABLES)}", WRONG_USE)
    try:
        # In a container the password may be apart from the URL, as the services take it.
        password = "" if args.bus else os.environ.get("RABBITMQ_PASSWORD", "")
        settings = BusSettings(
            url=url, password=password, connect_timeout_s=args.timeout_s, publish_timeout_s=args.timeout_s
        )
    except ValueError:
        return _fail("--bus: write amqp://user:password@host:port/vhost or sqlite:///path", WRONG_USE)
    if url.startswith("sqlite:///") and not _is_there(url):
        return _fail(
            f"no bus at {url}: is it the file of a service that has run? (four slashes begin an absolute path)",
            NO_BUS,
        )
    # aiormq logs each attempt; this command prints the reason of the last one.
    logging.getLogger("aiormq").setLevel(logging.CRITICAL)
    logger = make_logger("kit", LogSettings(level="ERROR", format="console"), stream=sys.stderr)
    bus = open_bus(settings, logger=logger, metrics=Metrics("kit"), clock=SystemClock(), app_id="kit")
    try:
        await bus.start()
        command: Command = args.command
        return await command(bus, args)
    except NotFound as error:
        return _fail(f"{error}; `kit queues` lists what there is", NOTHING)
    except LookoutError as error:
        return _fail(str(error), NO_BUS)
    finally:
        await bus.stop()


def _broker_users(args: argparse.Namespace) -> int:
    """Needs no bus: it makes what one is opened with."""
    passwords = {
        name.removesuffix(_PASSWORD_SUFFIX): value
        for name, value in os.environ.items()
        if name.endswith(_PASSWORD_SUFFIX)
    }
    try:
        users = users_of(os.environ.get("BROKER_USERS", ""), passwords)
    except ValueError as error:
        return _fail(f"BROKER_USERS: {error}", WRONG_USE)
    accounts = BrokerAccounts(args.management_url, args.user, os.environ.get("RABBITMQ_PASSWORD", ""))
    try:
        accounts.wait(args.timeout_s)
        accounts.set_up(users, BusSettings(url="amqp://", exchange=args.exchange))
    except LookoutError as error:
        return _fail(str(error), NO_BUS)
    logger = make_logger(
        "broker-users", LogSettings(format="json" if args.json else "console"), stream=sys.stdout
    )
    for user in users:
        logger.info(
            "broker_user_ready",
            user=user.name,
            publishes=list(user.publishes),
            subscribes=list(user.subscribes),
        )
    return DONE


def _default_url() -> str | None:
    for name in URL_VARIABLES:
        if url := os.environ.get(name):
            return url
    return f"sqlite:///{EMBEDDED_FILE}" if EMBEDDED_FILE.exists() else None


def _is_there(url: str) -> bool:
    """Whether that is the file of a bus; opening any other one as a bus would write our tables into it."""
    path = Path(url.removeprefix("sqlite:///")).absolute()
    try:
        with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)) as file:
            found = file.execute("SELECT count(*) FROM sqlite_master WHERE name = 'subscriptions'").fetchone()
    except sqlite3.Error:
        return False
    return bool(found[0])


def _fail(sentence: str, code: int) -> int:
    sys.stderr.write(f"kit: {sentence}\n")
    return code


def _print(text: str) -> None:
    sys.stdout.write(f"{text}\n")


async def _queues(bus: Bus, args: argparse.Namespace) -> int:
    infos = await bus.queues()
    if args.json:
        _print(to_json([document_of(info) for info in infos]))
        return DONE
    if not infos:
        _print("No queues: nothing has subscribed yet.")
        return DONE
    rows = [
        (
            info.queue,
            "ordered" if info.is_ordered else "unordered",
            str(info.depth),
            str(info.dead_letters),
            info.binding,
        )
        for info in infos
    ]
    _print(table_of(("queue", "kind", "waiting", "dead letters", "binding"), rows))
    if any(info.dead_letters for info in infos):
        _print("\nNext: `kit dead-letters list` shows why they failed.")
    return DONE


async def _list(bus: Bus, args: argparse.Namespace) -> int:
    messages = await _dead_letters_of(bus, args)
    if args.json:
        _print(to_json([document_of(message) for message in messages]))
    elif messages:
        rows = [
            (
                message.dead_letter_id,
                message.queue,
                message.event.type.rsplit(".", 1)[-1],
                message.event.partition_key,
                f"{message.dead_lettered_at:%Y-%m-%d %H:%M:%S}",
                str(message.attempts),
                message.reason,
            )
            for message in messages
        ]
        _print(table_of(("id", "queue", "event", "key", "since (UTC)", "attempts", "reason"), rows))
        _print("\nNext: `kit dead-letters show ID` for one of them; then `replay` or `discard`.")
    else:
        _print("No dead letters.")
    return DONE if messages or not args.id else NOTHING


async def _show(bus: Bus, args: argparse.Namespace) -> int:
    messages = await _dead_letters_of(bus, args)
    if not messages:
        return _fail("no such dead letter; `kit dead-letters list` lists them", NOTHING)
    if args.json:
        _print(to_json([document_of(message, args.proto_module, is_whole=True) for message in messages]))
    else:
        _print("\n\n".join(page_of(message, args.proto_module) for message in messages))
    return DONE


async def _replay(bus: Bus, args: argparse.Namespace) -> int:
    return await _dispose(
        bus, args, bus.replay, "replayed", "Follow it with `kit queues` and `kit dead-letters list`."
    )


async def _discard(bus: Bus, args: argparse.Namespace) -> int:
    return await _dispose(
        bus, args, bus.discard, "discarded", "They are deleted; their events will not be handled."
    )


async def _dispose(
    bus: Bus,
    args: argparse.Namespace,
    act: Callable[[str, Sequence[str] | None], Awaitable[int]],
    verb: str,
    next_sentence: str,
) -> int:
    if bool(args.id) == args.all:
        return _fail("give the ids of messages, or --all with --queue", WRONG_USE)
    if args.all and not args.queue:
        return _fail("--all needs --queue: `kit queues` lists them", WRONG_USE)
    by_queue: dict[str, int] = {}
    for queue in [args.queue] if args.queue else [info.queue for info in await _with_dead_letters(bus)]:
        if count := await act(queue, args.id or None):
            by_queue[queue] = count
    total = sum(by_queue.values())
    if args.json:
        _print(to_json({verb: by_queue, "total": total}))
    else:
        for queue, count in by_queue.items():
            _print(f"{verb} {count} of {queue}")
        _print(next_sentence if total else f"Nothing {verb}: no such dead letter.")
    return DONE if total >= (len(set(args.id)) if args.id else 1) else NOTHING


async def _dead_letters_of(bus: Bus, args: argparse.Namespace) -> list[DeadLetter]:
    queues = [args.queue] if args.queue else [info.queue for info in await _with_dead_letters(bus)]
    messages = [
        message
        for queue in queues
        for message in await bus.dead_letters(queue, None if args.id else args.limit)
    ]
    return [message for message in messages if not args.id or message.dead_letter_id in args.id]


async def _with_dead_letters(bus: Bus) -> list[QueueInfo]:
    return [info for info in await bus.queues() if info.dead_letters]


def _seconds(text: str) -> float:
    if (seconds := float(text)) <= 0:
        raise argparse.ArgumentTypeError("must be above 0")
    return seconds


def _parser() -> argparse.ArgumentParser:
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument(
        "--bus",
        metavar="URL",
        help=f"amqp://… or sqlite:///path; default: {', '.join(URL_VARIABLES)}, {EMBEDDED_FILE}",
    )
    common.add_argument(
        "--timeout-s",
        type=_seconds,
        default=TIMEOUT_S,
        help="seconds to wait for the broker; default: %(default)s",
    )
    common.add_argument("--json", action="store_true", help="print JSON instead of text for people")

    parser = argparse.ArgumentParser(prog="kit", description=__doc__, formatter_class=_Formatter)
    areas = parser.add_subparsers(required=True, metavar="COMMAND")
    queues = areas.add_parser(
        "queues", parents=[common], help="list subscriptions with their waiting messages and dead letters"
    )
    queues.set_defaults(command=_queues)

    dead_letters = areas.add_parser("dead-letters", help="messages that could not be handled")
    actions = dead_letters.add_subparsers(required=True, metavar="ACTION")
    for name, command, help_text in (
        ("list", _list, "list them, with the reason"),
        ("show", _show, "show them completely: envelope, body, reason, traceback"),
        ("replay", _replay, "deliver them to the handler of their queue again"),
        ("discard", _discard, "delete them"),
    ):
        action = actions.add_parser(name, parents=[common], help=help_text)
        action.set_defaults(command=command)
        action.add_argument(
            "--queue", metavar="Q", help="of this subscription only, such as billing.order_placed.v1"
        )
        action.add_argument("ids", metavar="ID", nargs="*", help="only these messages")
        action.add_argument("--id", metavar="ID", nargs="+", default=[], help="the same as ID")
        if name in {"replay", "discard"}:
            action.add_argument("--all", action="store_true", help="all dead letters of --queue")
        else:
            action.add_argument(
                "--limit", type=int, default=1000, help="at most so many of a queue, oldest first"
            )
        if name == "show":
            action.add_argument(
                "--proto-module",
                metavar="MODULE",
                action="append",
                default=[],
                help="Python module with the generated messages, when their type is not one of lookout.*",
            )
    users = areas.add_parser(
        "broker-users",
        help="give each service its own RabbitMQ user",
        description="Make the users of BROKER_USERS (JSON) on the broker, with the passwords of"
        " <SERVICE>_RABBITMQ_PASSWORD, as the administrator with RABBITMQ_PASSWORD. It can be repeated.",
    )
    users.set_defaults(command=_broker_users)
    users.add_argument("--json", action="store_true", help="write JSON lines instead of text for people")
    users.add_argument(
        "--management-url", metavar="URL", default="http://rabbitmq:15672", help="default: %(default)s"
    )
    users.add_argument("--user", default="lookout", help="the administrator; default: %(default)s")
    users.add_argument(
        "--exchange", default=BusSettings.model_fields["exchange"].default, help="default: %(default)s"
    )
    users.add_argument(
        "--timeout-s", type=float, default=60.0, help="seconds to wait for the broker; default: %(default)s"
    )
    return parser


class _Formatter(argparse.RawDescriptionHelpFormatter):
    pass


if __name__ == "__main__":
    main()
