"""The facade: what it takes, what it says of what it cannot take, and how it starts and stops."""

from __future__ import annotations

import functools
import logging
import re
import socket
import sqlite3
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from servers.ports import free_port, listens, wait_for
from servers.probes import live, ready, wait_until_ready, wait_until_unready

from slingshot_microservice import Microservice, Options
from slingshot_microservice.errors import (
    DrainTimeoutError,
    OptionError,
    SystemMapFileError,
    UsageError,
)
from slingshot_microservice.microservice import collect_services
from slingshot_microservice.typing import ReadFileFn, WriteFileFn

BOUND = 20.0  # seconds after which waiting has failed
EXPECTED = "process(request, read_file, write_file, connection)"

# Outputs lead back to the service's own queue, so that its startup can give it work.
SYS_MAP = """
rabbitmq = "memory"
object-storage = { directory = "objects" }
db = { sqlite = "rows.sqlite" }
[services.shout]
in = "own"
out = [ { case = true, queues = ["own"] } ]
buckets = { out = "reports" }
"""


def process(request: int, read_file: Any, write_file: Any, connection: Any) -> None:
    """Do nothing."""


def startup(read_file: Any, write_file: Any, connection: Any) -> None:
    """Do nothing."""


async def coroutine(request: int, read_file: Any, write_file: Any, connection: Any) -> None:
    """Do nothing, later."""


async def async_generator(r: int, read_file: Any, write_file: Any, connection: Any) -> Any:
    """Yield nothing, later."""
    yield r, True


class Processor:
    """Methods and objects may process, too."""

    def process(self, request: int, *others: object) -> None:
        """Do nothing."""

    def __call__(self, request: int, read_file: Any, write_file: Any, connection: Any) -> None:
        """Do nothing."""


@pytest.fixture
def sys_map(tmp_path: Path) -> Path:
    path = tmp_path / "sys-map.toml"
    path.write_text(SYS_MAP)
    return path


def functions(*arguments: Any, **keywords: Any) -> tuple[object, object]:
    """Return what a service takes for startup and process."""
    definition = Microservice("shout", "host", *arguments, **keywords).definition
    return definition.startup, definition.process


def refusal(*arguments: Any, **keywords: Any) -> str:
    """Return what is said of wrong arguments after name and host."""
    with pytest.raises(UsageError) as caught:
        Microservice("shout", "host", *arguments, **keywords)
    assert caught.value.exit_code == 2
    return str(caught.value)


def test_takes_process_alone_or_after_startup() -> None:
    assert functions(process) == (None, process)
    assert functions(startup, process) == (startup, process)


def test_takes_keywords_in_any_mixture() -> None:
    assert functions(process=process) == (None, process)
    assert functions(process=process, startup=startup) == (startup, process)
    assert functions(startup, process=process) == (startup, process)
    assert functions(process, startup=startup) == (startup, process)
    assert functions(None, process) == (None, process)
    assert functions(process, startup=None) == (None, process)


def test_takes_name_and_host_by_keyword() -> None:
    service = Microservice(name="shout", config_host="host", process=process)
    assert service.name == service.definition.name == "shout"
    assert repr(service) == "Microservice('shout', 'host')"


def test_takes_options() -> None:
    definition = Microservice("shout", Path("map.toml"), process, prefetch=7).definition
    assert definition.options == Options(prefetch=7)


def test_a_variant_has_other_options_or_another_function(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLINGSHOT_HEARTBEAT", "9")
    service = Microservice("shout", "host", startup, process=process, threads=2, prefetch=7)
    another = Processor()
    other = service.variant(process=another, threads=5)
    assert repr(other) == repr(service)
    assert other.definition.startup is startup
    assert other.definition.process is another
    assert other.definition.options == Options(heartbeat=9, threads=5, prefetch=7)
    assert service.definition.options == Options(heartbeat=9, threads=2, prefetch=7)
    with pytest.raises(UsageError, match="option threads is 0; expected 1 to 1,000"):
        service.variant(threads=0)


@pytest.mark.parametrize(
    "function",
    [
        lambda request, read_file, write_file, connection: None,
        lambda *_: None,
        lambda request, read_file, write_file, connection, more=1: None,
        Processor().process,
        Processor(),
        functools.partial(lambda colour, *_: None, "red"),
        min,  # says nothing of what it takes
    ],
)
def test_takes_whatever_can_be_called_so(function: Callable[..., Any]) -> None:
    assert functions(function) == (None, function)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((5,), f"process of service 'shout' is 5; expected a function {EXPECTED}"),
        (("process",), f"process of service 'shout' is 'process'; expected a function {EXPECTED}"),
        ((None,), f"process of service 'shout' is None; expected a function {EXPECTED}"),
        ((startup,), "process of service 'shout' takes (read_file: "),
        ((lambda request: None,), f"'shout' takes (request); expected {EXPECTED}"),
        ((lambda *, request: None,), f"'shout' takes (*, request); expected {EXPECTED}"),
        ((lambda a, b, c, d, e: None,), f"takes (a, b, c, d, e); expected {EXPECTED}"),
        ((coroutine,), "is async; expected a plain function or generator process(request,"),
        ((async_generator,), "is async; expected a plain function or generator process(request,"),
        ((process, startup), "process of service 'shout' takes (read_file: "),
        ((process, process), "startup of service 'shout' takes (request: "),
        (("startup", process), "startup of service 'shout' is 'startup'; expected a function star"),
        ((startup, process, process), f"Microservice('shout', …) takes {EXPECTED}, and startup(re"),
        ((), f"Microservice('shout', …) lacks {EXPECTED}"),
    ],
)
def test_a_wrong_function_is_refused(arguments: tuple[Any, ...], message: str) -> None:
    assert message in refusal(*arguments)


def test_a_function_given_twice_or_not_at_all_is_refused() -> None:
    assert f"takes {EXPECTED}" in refusal(startup, process, process=process)
    assert f"takes {EXPECTED}" in refusal(startup, process, startup=startup)
    assert refusal(startup=startup) == f"Microservice('shout', …) lacks {EXPECTED}"


@pytest.mark.parametrize("name", ["", None, 5, b"shout", process])
def test_a_wrong_name_is_refused(name: Any) -> None:
    with pytest.raises(UsageError, match=re.escape(f"name is {name!r}; expected the name of the")):
        Microservice(name, "host", process)


def test_an_unknown_option_is_refused_with_the_nearest() -> None:
    message = "there is no option 'prefech'; did you mean 'prefetch'?"
    assert refusal(process, prefech=5) == message
    assert refusal(process, proces=process).startswith("there is no option 'proces'; there are")


def test_a_wrong_variable_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLINGSHOT_PREFETCH", "abc")
    with pytest.raises(OptionError, match="SLINGSHOT_PREFETCH is 'abc'; expected a whole number"):
        Microservice("shout", "host", process)


@pytest.mark.parametrize("host", [None, 5, "", "  "])
def test_a_wrong_host_is_refused_when_it_is_asked(host: Any) -> None:
    service = Microservice("shout", host, process)
    assert repr(service) == f"Microservice('shout', {str(host)!r})"
    with pytest.raises(UsageError, match="config_host is"):
        service.start()


def begin(read_file: ReadFileFn, write_file: WriteFileFn, connection: Any) -> Iterator[Any]:
    """Make a table, and give the service one request."""
    connection.exec_driver_sql("CREATE TABLE IF NOT EXISTS rows (id INTEGER)")
    yield 7, True


def test_runs_on_embedded_parts_until_it_is_stopped(sys_map: Path) -> None:
    def work(request: int, _read: Any, write_file: WriteFileFn, connection: Any) -> None:
        write_file("out", request).write("report")
        connection.exec_driver_sql("INSERT INTO rows VALUES (?)", (request,))
        service.stop()

    service = Microservice("shout", sys_map, begin, work)
    service.start()
    assert (sys_map.parent / "objects" / "reports" / "7").read_text() == "report"
    rows = sqlite3.connect(sys_map.parent / "rows.sqlite")
    assert rows.execute("SELECT id FROM rows").fetchall() == [(7,)]
    rows.close()


def test_starts_again_after_a_stop(sys_map: Path) -> None:
    seen: list[int] = []

    def work(request: int, *_others: Any) -> None:
        seen.append(request)
        service.stop()

    service = Microservice("shout", str(sys_map), begin, work)
    service.start()
    service.start()
    assert seen == [7, 7]


def test_a_stop_before_the_start_ends_it_at_once(sys_map: Path) -> None:
    service = Microservice("shout", sys_map, process)
    service.stop()
    service.start()


def test_a_stop_ends_the_waiting_for_a_configuration_service(
    caplog: pytest.LogCaptureFixture, dead_port: int
) -> None:
    caplog.set_level(logging.INFO)
    host = f"http://127.0.0.1:{dead_port}"
    service = Microservice("shout", host, process, startup_timeout=1000)
    thread = threading.Thread(target=service.start)
    thread.start()
    wait_for(lambda: "trying again" in caplog.text, BOUND)
    service.stop()
    thread.join(BOUND)
    assert not thread.is_alive()
    assert "service 'shout' was stopped before it had started" in caplog.messages


def test_is_not_started_twice(sys_map: Path) -> None:
    begun, go_on = threading.Event(), threading.Event()

    def work(*_arguments: Any) -> None:
        begun.set()
        go_on.wait(BOUND)

    service = Microservice("shout", sys_map, begin, work)
    running = threading.Thread(target=service.start)
    running.start()
    assert begun.wait(BOUND)
    with pytest.raises(UsageError, match="service 'shout' runs already"):
        service.start()
    service.stop()
    go_on.set()
    running.join(BOUND)
    assert not running.is_alive()


def test_a_request_that_never_ends_is_an_error_of_the_stop(sys_map: Path) -> None:
    go_on, ended = threading.Event(), threading.Event()

    def work(_request: int, _read: Any, _write: Any, connection: Any) -> None:
        service.stop()
        go_on.wait(BOUND)
        connection.invalidate()  # nobody else closes it any more
        ended.set()

    service = Microservice("shout", sys_map, begin, work, drain_timeout=0.01)
    with pytest.raises(DrainTimeoutError, match="a request of 'shout' was still running"):
        service.start()
    go_on.set()
    assert ended.wait(BOUND)


def test_what_startup_raises_comes_out_of_start(sys_map: Path) -> None:
    def fail(*_arguments: Any) -> None:
        raise LookupError("not today")

    service = Microservice("shout", sys_map, fail, process)
    with pytest.raises(LookupError, match="not today"):
        service.start()
    with pytest.raises(LookupError):
        service.start()


def test_a_service_that_the_map_does_not_know_is_an_error_of_the_map(sys_map: Path) -> None:
    with pytest.raises(SystemMapFileError, match='there is no service "whisper"; there are shout'):
        Microservice("whisper", sys_map, process).start()


def test_services_can_be_collected_instead_of_running() -> None:
    with collect_services() as collected:
        one, other = (Microservice(name, "nowhere.invalid", process) for name in "ab")
        one.start()
        other.start()
    assert collected == [one, other]


def test_probes_are_answered_from_the_start_to_the_end(sys_map: Path) -> None:
    steps = {step: threading.Event() for step in ("opening", "opened", "working", "worked")}
    port = free_port()

    def slowly(*arguments: Any) -> Iterator[Any]:
        steps["opening"].set()
        assert steps["opened"].wait(BOUND)
        yield from begin(*arguments)

    def work(*_arguments: Any) -> None:
        steps["working"].set()
        assert steps["worked"].wait(BOUND)

    service = Microservice(
        "shout", sys_map, slowly, work, health_port=port, health_host="127.0.0.1"
    )
    running = threading.Thread(target=service.start)
    running.start()
    assert steps["opening"].wait(BOUND)
    assert (ready(port), live(port)) == ((503, "starting"), (200, "ok"))
    steps["opened"].set()
    assert steps["working"].wait(BOUND)
    wait_until_ready(port, BOUND)
    assert live(port) == (200, "ok")
    service.stop()
    wait_until_unready(port, "stopping", BOUND)
    assert live(port) == (200, "ok")
    steps["worked"].set()
    running.join(BOUND)
    assert not running.is_alive()
    assert not listens("127.0.0.1", port)


def test_probes_are_answered_while_the_configuration_service_is_away(dead_port: int) -> None:
    port = free_port()
    host = f"http://127.0.0.1:{dead_port}"
    service = Microservice("shout", host, process, startup_timeout=1000, health_port=port)
    running = threading.Thread(target=service.start)
    running.start()
    wait_until_unready(port, "starting", BOUND)
    assert live(port) == (200, "ok")
    service.stop()
    running.join(BOUND)
    assert not running.is_alive()


def test_a_port_for_probes_that_is_taken_is_an_error_before_all_else(sys_map: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        service = Microservice(
            "shout", sys_map, begin, process, health_port=port, health_host="127.0.0.1"
        )
        with pytest.raises(OptionError, match=f"cannot listen on 127.0.0.1 port {port} for probes"):
            service.start()
    assert not (sys_map.parent / "rows.sqlite").exists()
