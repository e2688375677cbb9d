"""A TCP proxy on loopback with which tests break connections on purpose."""

from __future__ import annotations

import asyncio
import contextlib
import enum
import socket
import struct
import threading
from collections.abc import Coroutine
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, TypeVar

from .ports import LOOPBACK

__all__ = ["Direction", "Proxy"]

_CHUNK_BYTES = 65_536
_BOUND_SECONDS = 20.0
_SLOW_STEPS_A_SECOND = 20
# Closing with a linger of no time sends RST instead of FIN.
_NO_LINGER = struct.pack("ii", 1, 0)

_T = TypeVar("_T")


class Direction(enum.Enum):
    """Which way bytes go."""

    UP = "from the client to the target"
    DOWN = "from the target to the client"


@dataclass
class _CutPoint:
    """Where connections are cut: after ``count`` bytes in ``direction``, ``times`` times."""

    count: int
    direction: Direction
    times: int
    reset: bool


@dataclass(eq=False)
class _Link:
    """One connection of a client with its own connection to the target."""

    client: socket.socket
    target: socket.socket
    reset: bool = False
    carried: dict[Direction, int] = field(default_factory=lambda: dict.fromkeys(Direction, 0))

    def ends(self, direction: Direction) -> tuple[socket.socket, socket.socket]:
        """Return where bytes of ``direction`` come from, and where they go."""
        up = direction is Direction.UP
        return (self.client, self.target) if up else (self.target, self.client)

    def close(self) -> None:
        for end in (self.client, self.target):
            if self.reset:
                with contextlib.suppress(OSError):
                    end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGER)
            end.close()


class _CutError(Exception):
    """The cut point is reached."""


class Proxy:
    """Passes connections on to a target, and breaks them when it is told to.

    Every method may be called at any time, from any thread but the proxy's own.

    Args:
        host: The target's address.
        port: The target's TCP port. It need not listen yet: a connection that cannot be passed
            on is closed.

    Attributes:
        host: The proxy's own address.
        port: The proxy's own TCP port.
        accepted: Connections taken so far.
        cuts: Connections cut so far, by `cut` and `cut_after`.
        carried: Bytes passed on so far, of all connections.
    """

    host = LOOPBACK

    def __init__(self, host: str, port: int) -> None:
        self._target = host, port
        self._loop = asyncio.new_event_loop()
        self._gates = {direction: asyncio.Event() for direction in Direction}
        self._rates: dict[Direction, int] = {}
        self._links: dict[asyncio.Task[None], _Link] = {}
        self._cut_point: _CutPoint | None = None
        self._listening: asyncio.Task[None] | None = None
        self.port = 0
        self.accepted = 0
        self.cuts = 0
        self.carried = dict.fromkeys(Direction, 0)
        for gate in self._gates.values():
            gate.set()
        self._thread = threading.Thread(target=self._loop.run_forever, name="proxy", daemon=True)
        self._thread.start()
        self.accept()

    def __enter__(self) -> Proxy:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    @property
    def open(self) -> int:
        """How many connections there are now."""
        return len(self._links)

    def cut(self, *, reset: bool = True) -> int:
        """Cut all connections; those that come later are passed on.

        Args:
            reset: With RST, which may overtake bytes that were passed on; or else with FIN.

        Returns:
            How many there were.
        """
        return self._run(self._cut_all(reset))

    def cut_after(
        self, count: int, direction: Direction, *, times: int = 1, reset: bool = False
    ) -> None:
        """Cut connections that have carried ``count`` more bytes; forgets an earlier order.

        Bytes are counted on every connection by itself: from now on, or from its beginning.

        Args:
            count: Bytes that are still passed on, at least 1.
            direction: Which bytes count.
            times: How many connections to cut in all; 0 lets all live.
            reset: See `cut`.
        """
        self._run(self._set_cut_point(_CutPoint(count, direction, times, reset)))

    def hold(self, *directions: Direction) -> None:
        """Pass nothing on, both ways unless told which; connections are taken and stay open."""
        self._run(self._set_gates(directions, is_open=False))

    def release(self, *directions: Direction) -> None:
        """Pass on again, both ways unless told which, and what was held first."""
        self._run(self._set_gates(directions, is_open=True))

    def slow(self, rate: int, *directions: Direction) -> None:
        """Pass on ``rate`` bytes a second on each connection; 0 is as fast as can be."""
        self._run(self._set_rates(rate, directions))

    def refuse(self) -> None:
        """Refuse new connections, as a port does on which nothing listens."""
        self._run(self._stop_listening())

    def accept(self) -> None:
        """Take connections (again), on the same port."""
        self._run(self._start_listening())

    def close(self) -> None:
        """Cut everything, and end."""
        if self._loop.is_closed():
            return
        self._run(self._stop_listening())
        self._run(self._cut_all(reset=True))
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(_BOUND_SECONDS)
        self._loop.close()

    def _run(self, coroutine: Coroutine[Any, Any, _T]) -> _T:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(_BOUND_SECONDS)

    # All that follows runs on the proxy's thread.

    async def _cut_all(self, reset: bool) -> int:
        links = dict(self._links)
        for task, link in links.items():
            link.reset = reset
            task.cancel()
        await asyncio.gather(*links, return_exceptions=True)
        self.cuts += len(links)
        return len(links)

    async def _set_cut_point(self, point: _CutPoint) -> None:
        self._cut_point = point if point.times else None
        for link in self._links.values():
            link.carried = dict.fromkeys(Direction, 0)

    async def _set_gates(self, directions: tuple[Direction, ...], *, is_open: bool) -> None:
        for direction in directions or Direction:
            gate = self._gates[direction]
            gate.set() if is_open else gate.clear()

    async def _set_rates(self, rate: int, directions: tuple[Direction, ...]) -> None:
        self._rates |= dict.fromkeys(directions or Direction, rate)

    async def _start_listening(self) -> None:
        if self._listening is None:
            listener = socket.create_server((self.host, self.port), backlog=128)
            listener.setblocking(False)
            self.port = listener.getsockname()[1]
            self._listening = self._loop.create_task(self._listen(listener))

    async def _stop_listening(self) -> None:
        listening, self._listening = self._listening, None
        if listening is not None:
            listening.cancel()
            await asyncio.gather(listening, return_exceptions=True)

    async def _listen(self, listener: socket.socket) -> None:
        with listener:
            while True:
                client, _address = await self._loop.sock_accept(listener)
                self.accepted += 1
                link = _Link(client, socket.socket())
                task = self._loop.create_task(self._serve(link))
                self._links[task] = link
                task.add_done_callback(self._forget)

    def _forget(self, task: asyncio.Task[None]) -> None:
        # Not in the task itself: one that is cancelled before it begins would leave them open.
        self._links.pop(task).close()

    async def _serve(self, link: _Link) -> None:
        pumps: list[asyncio.Task[None]] = []
        try:
            for end in (link.client, link.target):
                end.setblocking(False)
                end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            await self._loop.sock_connect(link.target, self._target)
            pumps += [self._loop.create_task(self._pump(link, way)) for way in Direction]
            await asyncio.gather(*pumps)
        except _CutError:
            self.cuts += 1
        except OSError:
            link.reset = True
        finally:
            for pump in pumps:
                pump.cancel()
            await asyncio.gather(*pumps, return_exceptions=True)

    async def _pump(self, link: _Link, direction: Direction) -> None:
        source, sink = link.ends(direction)
        gate = self._gates[direction]
        while True:
            await gate.wait()  # unread, what is held fills the sender's buffers, as on a dead wire
            data = await self._loop.sock_recv(source, _CHUNK_BYTES)
            await gate.wait()
            if not data:
                sink.shutdown(socket.SHUT_WR)
                return
            while data:
                rate = self._rates.get(direction, 0)
                size = max(1, rate // _SLOW_STEPS_A_SECOND) if rate else len(data)
                piece, data = data[:size], data[size:]
                await gate.wait()
                await self._carry(link, direction, sink, piece)
                await asyncio.sleep(len(piece) / rate if rate else 0)

    async def _carry(
        self, link: _Link, direction: Direction, sink: socket.socket, data: bytes
    ) -> None:
        point = self._cut_point
        if point is None or point.direction is not direction:
            is_end = False
        else:
            is_end = link.carried[direction] + len(data) >= point.count
            data = data[: point.count - link.carried[direction]] if is_end else data
        link.carried[direction] += len(data)
        self.carried[direction] += len(data)
        if is_end and point is not None:
            link.reset = point.reset
            point.times -= 1
            if not point.times:
                self._cut_point = None
        await self._loop.sock_sendall(sink, data)
        if is_end:
            raise _CutError
