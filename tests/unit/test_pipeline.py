from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from servers.ports import wait_for

from slingshot_microservice import Microservice
from slingshot_microservice.broker.memory import MemoryBroker
from slingshot_microservice.errors import ConfigurationError, DrainTimeoutError, UsageError
from slingshot_microservice.hotpath import Work
from slingshot_microservice.pipeline import Pipeline
from slingshot_microservice.runtime.service import Service
from slingshot_microservice.sysmap.file import FileSystemMap
from slingshot_microservice.typing import Output, ReadFileFn, WriteFileFn

if TYPE_CHECKING:
    from sqlalchemy import Connection

_BOUND_SECONDS = 20.0

_EMBEDDED = """
rabbitmq = "memory"
object-storage = { directory = "objects" }
db = { sqlite = "test.sqlite" }
"""
_CHAIN = """
[services.first]
in = "one"
out = [{ case = true, queues = ["two"] }]
buckets = { in = "texts", out = "louder" }

[services.second]
in = "two"
out = [{ case = true, queues = ["end"] }]
buckets = { in = "louder", out = "loudest" }
"""


@pytest.fixture
def system_map(tmp_path: Path) -> FileSystemMap:
    path = tmp_path / "sys-map.toml"
    path.write_text(_EMBEDDED + _CHAIN)
    return FileSystemMap(path)


def test_ids_and_files_go_from_service_to_service(
    system_map: FileSystemMap, tmp_path: Path
) -> None:
    (tmp_path / "objects/texts").mkdir(parents=True)
    for id in range(1, 51):
        (tmp_path / f"objects/texts/{id}").write_text(f"text {id}")

    with Pipeline([_louder("first"), _louder("second")], system_map) as pipeline:
        pipeline.queues.publish("one", [b"%d" % id for id in range(1, 51)])
        assert pipeline.wait_until_idle(_BOUND_SECONDS)

    assert sorted(map(int, pipeline.queues.bodies("end"))) == list(range(1, 51))
    assert pipeline.queues.depths() == {"one": 0, "two": 0, "end": 50}
    assert (tmp_path / "objects/loudest/50").read_text() == "text 50!!"


def test_what_startup_yields_is_worked_off(system_map: FileSystemMap) -> None:
    def startup(
        read_file: ReadFileFn, write_file: WriteFileFn, connection: Connection
    ) -> list[Output]:
        return [(7, True), (8, True)]

    starter = Microservice("first", "not asked", startup, _pass_on)
    with Pipeline([starter, _service("second", _pass_on)], system_map) as pipeline:
        assert pipeline.wait_until_idle(_BOUND_SECONDS)

    assert pipeline.queues.bodies("end") == [b"7", b"8"]


def test_the_services_before_one_that_cannot_start_are_stopped(
    system_map: FileSystemMap, stopped: list[Service]
) -> None:
    def startup(read_file: ReadFileFn, write_file: WriteFileFn, connection: Connection) -> None:
        raise RuntimeError("no licence")

    second = Microservice("second", "not asked", startup, _pass_on)
    pipeline = Pipeline([_service("first", _pass_on), second], system_map)

    with pytest.raises(RuntimeError, match="no licence"):
        pipeline.open()

    assert len(stopped) == 1
    assert not _threads("first")


def test_a_service_that_the_sys_map_lacks_is_named(
    system_map: FileSystemMap, stopped: list[Service]
) -> None:
    services = [_service("first", _pass_on), _service("third", _pass_on)]

    with pytest.raises(ConfigurationError, match='"third"'):
        Pipeline(services, system_map).start()

    assert len(stopped) == 1


def test_run_returns_when_it_is_told_to_stop(system_map: FileSystemMap) -> None:
    stop, begun, go_on = threading.Event(), threading.Event(), threading.Event()

    def process(
        request: int, read_file: ReadFileFn, write_file: WriteFileFn, connection: Connection
    ) -> Iterator[Output]:
        begun.set()
        assert go_on.wait(_BOUND_SECONDS)
        yield request, True

    pipeline = Pipeline([_service("first", process)], system_map)
    thread = threading.Thread(target=pipeline.run, args=(stop,))
    thread.start()
    pipeline.queues.publish("one", [b"1"])
    assert begun.wait(_BOUND_SECONDS)
    stop.set()
    go_on.set()
    thread.join(_BOUND_SECONDS)

    assert not thread.is_alive()
    assert pipeline.queues.depths()["two"] == 1  # what ran was finished
    assert not _threads("first")


def test_the_failure_of_one_service_stops_all_and_is_raised_by_run(
    system_map: FileSystemMap, worker_dies: None
) -> None:
    stop = threading.Event()
    pipeline = Pipeline([_service("first", _pass_on), _service("second", _pass_on)], system_map)
    pipeline.start()
    pipeline.queues.publish("two", [b"1"])

    with pytest.raises(RuntimeError, match="a bug in the second"):
        pipeline.run(stop)

    assert not _threads("first")
    assert not _threads("second")


def test_a_failure_is_raised_by_whoever_waits_for_idle_queues(
    system_map: FileSystemMap, worker_dies: None
) -> None:
    services = [_service("first", _pass_on), _service("second", _pass_on)]

    with Pipeline(services, system_map) as pipeline:
        pipeline.queues.publish("two", [b"1"])
        with pytest.raises(RuntimeError, match="a bug in the second"):
            pipeline.wait_until_idle(_BOUND_SECONDS)

    assert not _threads("first")


def test_a_request_in_hand_is_not_idle(system_map: FileSystemMap) -> None:
    go_on = threading.Event()

    def process(
        request: int, read_file: ReadFileFn, write_file: WriteFileFn, connection: Connection
    ) -> None:
        assert go_on.wait(_BOUND_SECONDS)

    with Pipeline([_service("first", process)], system_map) as pipeline:
        pipeline.queues.publish("one", [b"1"])
        assert not pipeline.wait_until_idle(0.05)
        go_on.set()
        assert pipeline.wait_until_idle(_BOUND_SECONDS)


def test_the_queues_of_rabbitmq_cannot_be_waited_for(tmp_path: Path) -> None:
    path = tmp_path / "sys-map.toml"
    server = 'rabbitmq = { host = "127.0.0.1", port = 1, username = "me", pass = "mq" }'
    path.write_text(_EMBEDDED.replace('rabbitmq = "memory"', server) + _CHAIN)
    pipeline = Pipeline([_service("first", _pass_on)], FileSystemMap(path))

    with pytest.raises(UsageError, match=r'rabbitmq = "memory" in .*sys-map\.toml'):
        pipeline.wait_until_idle(1)


@pytest.mark.parametrize("names", [[], ["first", "second", "first"]])
def test_names_are_each_there_once(names: list[str], system_map: FileSystemMap) -> None:
    with pytest.raises(UsageError, match=r"at least one|2 services are named 'first'"):
        Pipeline([_service(name, _pass_on) for name in names], system_map)


def test_all_are_stopped_whatever_becomes_of_one(
    system_map: FileSystemMap, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    stop = Service.stop

    def stop_late(self: Service) -> None:
        stop(self)
        raise DrainTimeoutError("still running")

    monkeypatch.setattr(Service, "stop", stop_late)
    pipeline = Pipeline([_service("first", _pass_on), _service("second", _pass_on)], system_map)
    pipeline.start()

    with pytest.raises(DrainTimeoutError, match="still running"), caplog.at_level(logging.ERROR):
        pipeline.stop()

    assert [record.message for record in caplog.records] == ["still running"]
    wait_for(lambda: not _threads("first") and not _threads("second"))
    pipeline.stop()  # again: there is nothing left to do


@pytest.fixture
def stopped(monkeypatch: pytest.MonkeyPatch) -> list[Service]:
    """The services that were stopped."""
    services: list[Service] = []
    stop = Service.stop

    def note(self: Service) -> None:
        services.append(self)
        stop(self)

    monkeypatch.setattr(Service, "stop", note)
    return services


@pytest.fixture
def worker_dies(monkeypatch: pytest.MonkeyPatch) -> None:
    """The worker of the second service has a bug of ours."""

    receive = MemoryBroker.receive

    def fail(self: MemoryBroker) -> Work | None:
        work = receive(self)
        if work is not None and threading.current_thread().name == "second":
            raise RuntimeError("a bug in the second")
        return work

    monkeypatch.setattr(MemoryBroker, "receive", fail)


def _service(name: str, process: Callable[..., Iterator[Output] | None]) -> Microservice:
    return Microservice(name, "not asked", process)


def _louder(name: str) -> Microservice:
    def process(
        request: int, read_file: ReadFileFn, write_file: WriteFileFn, connection: Connection
    ) -> Iterator[Output]:
        write_file("out", request).write(read_file("in", request).read() + b"!")
        yield request, True

    return _service(name, process)


def _pass_on(
    request: int, read_file: ReadFileFn, write_file: WriteFileFn, connection: Connection
) -> Iterator[Output]:
    yield request, True


def _threads(name: str) -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == name]
