"""``dead``: the messages that a service has parked."""

from __future__ import annotations

import argparse
from functools import partial

from ..parked.reasons import REASONS, UNKNOWN_REASON

__all__ = ["DESCRIPTION", "EPILOG", "NAME", "SUMMARY", "add_arguments", "run"]

NAME = "dead"
SUMMARY = "look at the messages that a service has parked; replay or drop them"
DESCRIPTION = """\
A message that a service cannot work off is parked: it waits in the queue {inbound}.dead, as it came
in, with the reason. These commands list what is parked, show all that is known of a message,
replay messages (send them to the service once more), and drop them."""
EPILOG = """\
examples:
  slingshot-microservice dead list shout --config sys-map.example.com
  slingshot-microservice dead show shout 42
  slingshot-microservice dead replay shout --reason failed,worker-died --dry-run
  slingshot-microservice dead drop shout --reason malformed-id

The configuration is that of --config, else of $SLINGSHOT_SYS_MAP, else of ./sys-map.toml."""

_ID_MAX = 2**64 - 1
_REASONS = (*REASONS, UNKNOWN_REASON)

_LIST = """\
List parked messages, the oldest first. The number in the first column is what `show` finds one by
that has no id. Everything stays where it is."""
_SHOW = """\
Show all that is known of one message, or of several with the same id. Everything stays where it
is."""
_REPLAY = """\
Send parked messages to the service's queue once more, as they were before they were parked. Each
one is removed when RabbitMQ has confirmed its copy, so that none is lost, whatever happens; one
that is interrupted may be sent a second time."""
_DROP = """\
Remove parked messages for good. On a terminal you are asked first; elsewhere --yes is needed."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Say what the command takes."""
    actions = parser.add_subparsers(title="what to do", metavar="ACTION", required=True)
    add = partial(_add_action, actions)
    listing = add("list", "list parked messages", _LIST)
    _add_filters(listing)
    listing.add_argument("--json", action="store_true", help="print one JSON object a message")
    show = add("show", "show all that is known of a message", _SHOW)
    show.add_argument(
        "which", type=_which, metavar="ID|@N", help="an id, or @ and a number of the list"
    )
    replay = add("replay", "send messages to the service once more", _REPLAY)
    _add_filters(replay)
    drop = add("drop", "remove messages for good", _DROP)
    _add_filters(drop)
    drop.add_argument("--yes", action="store_true", help="do not ask")
    for action in (replay, drop):
        action.add_argument("--dry-run", action="store_true", help="say what would be done")


def run(arguments: argparse.Namespace) -> int:
    """Do what was asked for.

    Raises:
        UsageError: The configuration is not there, or its queues are in memory.
        ConfigurationError: The configuration cannot be had or used, or a secret cannot.
        BrokerError: RabbitMQ cannot be reached, or refused.
        SlingshotError: There is no such message.
    """
    from .dead_actions import ACTIONS

    return ACTIONS[arguments.action](arguments)


def _add_action(
    actions: argparse._SubParsersAction[argparse.ArgumentParser],
    name: str,
    summary: str,
    description: str,
) -> argparse.ArgumentParser:
    parser = actions.add_parser(
        name,
        help=summary,
        description=description,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(action=name)
    parser.add_argument("service", metavar="SERVICE", help="the service's name")
    parser.add_argument(
        "--config",
        metavar="HOST|FILE",
        help="the configuration host, or a sys-map file (default: $SLINGSHOT_SYS_MAP, else "
        "sys-map.toml)",
    )
    return parser


def _add_filters(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--reason",
        type=_reasons,
        default=frozenset(),
        metavar="REASON,…",
        help=f"only what was parked for one of these: {', '.join(_REASONS)}",
    )
    parser.add_argument(
        "--id",
        dest="ids",
        type=_id,
        action="append",
        default=[],
        metavar="ID",
        help="only messages with this id; may be repeated",
    )
    parser.add_argument(
        "--limit", type=_limit, metavar="N", help="only the N oldest of those that are meant"
    )


def _reasons(text: str) -> frozenset[str]:
    words = [word.strip() for word in text.split(",")]
    for word in words:
        if word not in _REASONS:
            raise argparse.ArgumentTypeError(
                f"there is no reason {word!r}; there are {', '.join(_REASONS)}"
            )
    return frozenset(words)


def _id(text: str) -> int:
    return _number(text, 0, _ID_MAX, "id")


def _limit(text: str) -> int:
    return _number(text, 1, _ID_MAX, "number of messages")


def _which(text: str) -> tuple[int | None, int | None]:
    """Return an id or a position, the other one being None."""
    if text.startswith("@"):
        return None, _number(text[1:], 1, _ID_MAX, "number of the list")
    return _id(text), None


def _number(text: str, low: int, high: int, noun: str) -> int:
    # Not what int() takes besides, nor more digits than it converts.
    if text.isascii() and text.isdigit() and len(text) <= len(str(high)):
        number = int(text)
        if low <= number <= high:
            return number
    raise argparse.ArgumentTypeError(f"{text!r} is no {noun}; expected a number from {low:,} on")
