"""Threads that share no object but a routing table do not disturb each other."""

from __future__ import annotations

import re
import subprocess
import sys
import sysconfig
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from random import Random
from threading import Barrier
from typing import Any

import pytest
import streams
from hotpaths import IMPLEMENTATIONS, load
from twins import show

ROOT = Path(__file__).parents[3]
SOURCE = ROOT / "slingshot_microservice" / "hotpath" / "_compiled.pyx"
THREADS = 8
ROUNDS = 40


def work(hot: Any, table: Any, seed: int) -> list[object]:
    """Do a little of everything with objects of one's own; return all that came of it."""
    random = Random(seed)
    reader, writer, ledger = hot.FrameReader(1), hot.FrameWriter(1, ["a", "b"]), hot.Ledger()
    seen: list[object] = []
    for tag in range(1, ROUNDS + 1):
        data = streams.stream(random, 5)
        seen += [reader.feed(piece) for piece in streams.cut(random, data, 3)]
        seen.append(hot.decode_id(b"%d" % random.getrandbits(64)))
        publishes, _ = table.plan((random.getrandbits(64), case) for case in (True, 1, "a", "b"))
        ledger.deliver([(tag, 5, False)])
        ledger.publish(tag, publishes, writer)
        ledger.confirm([(random.randrange(2 * tag), random.random() < 0.5, True)])
        seen += [ledger.acknowledge(writer), ledger.finished, writer.take()]
    return seen


@pytest.mark.parametrize("name", IMPLEMENTATIONS)
def test_each_thread_gets_what_it_would_get_alone(name: str) -> None:
    hot: Any = load(name)
    table = hot.RoutingTable([(True, [0]), (1, [0, 1]), ("a", [1])])
    begin = Barrier(THREADS)
    interval = sys.getswitchinterval()

    def begin_together(seed: int) -> list[object]:
        begin.wait(timeout=60)
        return work(hot, table, seed)

    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(THREADS) as pool:
            together = list(pool.map(begin_together, range(THREADS)))
    finally:
        sys.setswitchinterval(interval)
    alone = [work(hot, table, seed) for seed in range(THREADS)]
    assert show(together) == show(alone)


def translate(source: str, folder: Path) -> str:
    """Return the C that Cython makes of ``source``."""
    (folder / "_compiled.pyx").write_text(source, encoding="utf-8")
    command = [sys.executable, "-m", "cython", "-3", "_compiled.pyx"]
    subprocess.run(command, cwd=folder, check=True, timeout=100)
    return (folder / "_compiled.c").read_text(encoding="utf-8")


def test_the_extension_says_that_it_needs_no_lock_of_the_interpreter(tmp_path: Path) -> None:
    """Without this, importing it would switch the lock of a free-threaded Python on again."""
    code = translate(SOURCE.read_text(encoding="utf-8"), tmp_path)
    slot = "__Pyx_FREETHREADING_COMPATIBLE"
    assert f"{{Py_mod_gil, {slot}}}" in code
    # The last of them is in force unless the compiler is told otherwise.
    assert re.findall(rf"#define {slot} (\w+)", code)[-1] == "Py_MOD_GIL_NOT_USED"


def test_importing_it_leaves_the_lock_as_it_was() -> None:
    """Where there is a choice: on a free-threaded Python."""
    code = (
        "import sys\n"
        "state = getattr(sys, '_is_gil_enabled', lambda: True)\n"
        "before = state()\n"
        "import slingshot_microservice.hotpath._compiled\n"
        "print(before, state())\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    enabled = not sysconfig.get_config_var("Py_GIL_DISABLED")
    assert done.stdout.split() == [str(enabled)] * 2
