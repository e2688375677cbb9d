"""The facade: a service is a name, a configuration host and a function."""

from __future__ import annotations

import contextlib
import inspect
import logging
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, cast, overload

from .errors import UsageError
from .options import OptionArguments, Options
from .signals import StopEvent, show_stacks_on_signal, stop_on_signals
from .typing import ProcessFn, StartupFn

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from .runtime.service import Definition, Service

__all__ = ["Microservice", "collect_services"]

_log = logging.getLogger(__name__)

_PROCESS = "process(request, read_file, write_file, connection)"
_STARTUP = "startup(read_file, write_file, connection)"

# While it holds a list, services that are started are put there instead of running.
_collected: ContextVar[list[Microservice] | None] = ContextVar("_collected", default=None)


class Microservice:
    """A service that takes ids from its queue and sends ids to others.

    Args:
        name: What the configuration knows the service by.
        config_host: The configuration service: a host, or a URL; or the path of a sys-map file
            (it ends in ``.toml``). ``SLINGSHOT_SYS_MAP`` in the environment wins over it.
        startup: Runs once before the first request; may be left out.
        process: Processes one request.
        **options: Tunables by name; see `Options` for what there is. Each has an environment
            variable too.

    Raises:
        UsageError: An argument is not what it should be.
    """

    @overload
    def __init__(
        self,
        name: str,
        config_host: str | os.PathLike[str],
        process: ProcessFn,
        **options: Unpack[OptionArguments],
    ) -> None: ...

    @overload
    def __init__(
        self,
        name: str,
        config_host: str | os.PathLike[str],
        startup: StartupFn,
        process: ProcessFn,
        **options: Unpack[OptionArguments],
    ) -> None: ...

    def __init__(
        self, name: str, config_host: str | os.PathLike[str], *functions: Any, **keywords: Any
    ) -> None:
        if not isinstance(name, str) or not name:
            raise UsageError(f"name is {name!r}; expected the name of the service, a str")
        startup, process = _functions(name, functions, keywords)
        _check_function(name, "process", process, _PROCESS, 4)
        if startup is not None:
            _check_function(name, "startup", startup, _STARTUP, 3)
        self._name = name
        self._config_host = config_host
        self._startup = startup
        self._process = process
        self._given = dict(keywords)
        self._options = Options.gather(keywords)
        self._stop = StopEvent()
        self._running = threading.Lock()
        self._failure: BaseException | None = None
        self._starting = False
        self._service: Service | None = None  # while it runs, for the probes

    def __repr__(self) -> str:
        return f"Microservice({self._name!r}, {str(self._config_host)!r})"

    @property
    def name(self) -> str:
        """What the configuration knows the service by."""
        return self._name

    @property
    def definition(self) -> Definition:
        """What the service is, for whoever runs it."""
        from .runtime.service import Definition

        return Definition(self._name, self._process, self._startup, self._options)

    def variant(
        self, *, process: ProcessFn | None = None, **options: Unpack[OptionArguments]
    ) -> Microservice:
        """Return this service with some options, or its function, exchanged.

        Args:
            process: Processes one request instead.
            **options: Win over what was given in code.

        Raises:
            UsageError: An argument is not what it should be.
        """
        functions: list[Any] = [process or self._process]
        if self._startup is not None:
            functions.insert(0, self._startup)
        given: Any = {**self._given, **options}
        return Microservice(self._name, self._config_host, *functions, **given)

    def start(self, *, on_running: Callable[[], object] | None = None) -> None:
        """Run the service; return when it was stopped.

        It stops after `stop`, and, when this is the main thread, after SIGTERM or SIGINT: what
        runs is finished, what has not begun goes back to the queue. SIGUSR1 writes every thread's
        stack to standard error.

        Args:
            on_running: Called once, when messages are being taken.

        Raises:
            ConfigurationError: The configuration cannot be had or used, or a secret cannot.
            OptionError: Probes cannot be answered at ``health_host`` and ``health_port``.
            BrokerError: RabbitMQ refused, or could not be reached within ``startup_timeout``.
            DatabaseError: PostgreSQL likewise.
            DrainTimeoutError: A request was still running ``drain_timeout`` after the stop.
            UsageError: The service runs already.
        """
        collected = _collected.get()
        if collected is not None:
            collected.append(self)
            return
        if not self._running.acquire(blocking=False):
            raise UsageError(f"service {self._name!r} runs already")
        try:
            with show_stacks_on_signal(), self._probes_answered():
                self._run(on_running)
        except _StoppedError:
            _log.info("service %r was stopped before it had started", self._name)
        finally:
            self._stop.clear()
            self._service = None
            self._running.release()

    def trouble(self) -> str | None:
        """Say in one line why no requests are taken; None while they are. Any thread may ask."""
        service = self._service
        return "starting" if service is None else service.trouble()

    def stop(self) -> None:
        """Stop the service; may be called from any thread, and before `start` has got going."""
        self._stop.set()

    def _run(self, on_running: Callable[[], object] | None) -> None:
        from .broker.memory import MemoryQueues
        from .observe.logs import configure_logging
        from .sysmap import open_system_map
        from .wiring import build_service

        configure_logging()
        self._failure = None
        self._starting = True
        system_map = open_system_map(self._config_host, self._options, sleep=self._sleep)
        with contextlib.closing(system_map):
            service = build_service(self.definition, system_map, MemoryQueues(), self._fail)
            self._service = service
            service.open(self._sleep)
            self._starting = False
            # Until here nothing is in hand, so that a signal may simply end the program.
            with stop_on_signals(self._stop):
                service.start()
                if on_running is not None:
                    on_running()
                self._stop.wait()
                _log.info("service %r stops", self._name)
                try:
                    service.stop()
                finally:
                    if self._failure is not None:
                        raise self._failure

    @contextlib.contextmanager
    def _probes_answered(self) -> Iterator[None]:
        """Answer probes from the start to the end, if there is a port for them."""
        options = self._options
        if not options.health_port:
            yield
            return
        from .observe.health import HealthServer

        with HealthServer(options.health_host, options.health_port, self._fault, self.trouble):
            yield

    def _fault(self) -> str | None:
        service = self._service  # which may be gone a moment later
        return None if service is None else service.fault()

    def _sleep(self, seconds: float) -> None:
        """Wait for a server; while the service starts, end that when it is stopped."""
        if not self._starting:
            time.sleep(seconds)
        elif self._stop.wait(seconds):
            raise _StoppedError

    def _fail(self, error: BaseException) -> None:
        self._failure = error
        self._stop.set()


class _StoppedError(Exception):
    """The service was stopped while it waited for what it needs to start."""


def _functions(
    name: str, functions: tuple[Any, ...], keywords: dict[str, Any]
) -> tuple[StartupFn | None, ProcessFn]:
    """Take startup and process out of what came by position and by keyword."""
    alone = len(functions) == 1 and "process" not in keywords
    names = ["process"] if alone else ["startup", "process"][: len(functions)]
    if len(functions) > len(names) or any(key in keywords for key in names):
        raise UsageError(f"Microservice({name!r}, …) takes {_PROCESS}, and {_STARTUP} before it")
    given = dict(zip(names, functions, strict=True))
    given |= {key: keywords.pop(key) for key in ("startup", "process") if key in keywords}
    if "process" not in given:
        raise UsageError(f"Microservice({name!r}, …) lacks {_PROCESS}")
    return given.get("startup"), cast(ProcessFn, given["process"])


def _check_function(name: str, role: str, function: object, expected: str, count: int) -> None:
    place = f"{role} of service {name!r}"
    if not callable(function):
        raise UsageError(f"{place} is {function!r}; expected a function {expected}")
    if inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function):
        raise UsageError(f"{place} is async; expected a plain function or generator {expected}")
    try:
        signature = inspect.signature(function)
    except ValueError:
        return  # some builtins do not say what they take
    try:
        signature.bind(*range(count))
    except TypeError:
        raise UsageError(f"{place} takes {signature}; expected {expected}") from None


@contextlib.contextmanager
def collect_services() -> Iterator[list[Microservice]]:
    """Collect the services that are started meanwhile on this thread, instead of running them."""
    collected: list[Microservice] = []
    token = _collected.set(collected)
    try:
        yield collected
    finally:
        _collected.reset(token)
