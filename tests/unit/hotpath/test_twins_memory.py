"""Nothing is left behind in memory, and what is tied into a circle is freed."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from hotpaths import IMPLEMENTATIONS

ISOLATED = Path(__file__).parents[2] / "isolated"
OPERATIONS = 100_000  # of each part, twice
LINE = re.compile(r"(?P<part>[\w ]+): (?P<kib>-?\d+) KiB, (?P<objects>-?\d+) objects")


def run(script: str, *arguments: str) -> str:
    command = [sys.executable, str(ISOLATED / script), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=500)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", IMPLEMENTATIONS)
def test_nothing_leaks(name: str) -> None:
    found = [LINE.fullmatch(line) for line in run("leaks.py", name, str(OPERATIONS)).splitlines()]
    parts = {match["part"]: match for match in found if match}
    assert parts.keys() >= {
        "decode_id",
        "RoutingTable",
        "FrameReader",
        "FrameWriter",
        "Inbox",
        "Ledger",
    }
    for part, match in parts.items():
        # A byte a round would show in one or the other; caches of the interpreter stay below.
        assert int(match["objects"]) < 20, part
        assert int(match["kib"]) < 512, part


@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", IMPLEMENTATIONS)
def test_circles_are_freed(name: str) -> None:
    run("collectable.py", name)


@pytest.mark.parametrize("kind", ["FrameReader", "FrameWriter", "Inbox", "Ledger", "RoutingTable"])
def test_an_object_that_was_not_initialised_does_no_harm(kind: str) -> None:
    """`__init__` may be passed over in Python; in C that must not be a wild pointer."""
    code = (
        "from slingshot_microservice.hotpath import _compiled as hot\n"
        f"one, whole = hot.{kind}.__new__(hot.{kind}), hot.FrameWriter(1, ['q'])\n"
        "calls = {'feed': (b'x' * 20,), 'publish': (0, 1), 'ack': (1, True), 'nack': (1, True),\n"
        "    'take': (), 'put': ([(1, 5, True)],), 'seat': (), 'busy_seconds': (),\n"
        "    'close': (), 'lookup': (True,), 'plan': ([(1, True)],), 'acknowledge': (whole,)}\n"
        "for name, arguments in calls.items():\n"
        "    try: getattr(one, name)(*arguments)\n"
        "    except Exception as error: print(name, repr(error))\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_an_object_of_c_is_not_copied() -> None:
    """A copy would free the same memory again."""
    code = (
        "import copy, pickle\n"
        "from slingshot_microservice.hotpath import _compiled as hot\n"
        "for one in (hot.FrameWriter(1, ['q']), hot.Ledger(), hot.FrameReader(1),\n"
        "        hot.Inbox(bool), hot.Inbox(bool).seat()):\n"
        "    for way in (copy.copy, copy.deepcopy, pickle.dumps):\n"
        "        try: way(one)\n"
        "        except TypeError: continue\n"
        "        raise AssertionError(f'{one!r} was copied by {way.__name__}')\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


@pytest.mark.parametrize("name", IMPLEMENTATIONS)
def test_none_in_the_place_of_a_writer_is_an_error(name: str) -> None:
    code = (
        f"from slingshot_microservice.hotpath import {name} as hot\n"
        "ledger = hot.Ledger()\n"
        "ledger.deliver([(1, 5, False)])\n"
        "for call in (lambda: ledger.publish(1, [(0, 1)], None),\n"
        "             lambda: ledger.publish_finished([(1, 1, [(0, 1)])], 1, None),\n"
        "             lambda: (ledger.publish(1, [], hot.FrameWriter(1, [])),\n"
        "                      ledger.acknowledge(None))):\n"
        "    try: call()\n"
        "    except (TypeError, AttributeError): continue\n"
        "    raise AssertionError('no error')\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
