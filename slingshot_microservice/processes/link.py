"""What a parent and its child say to each other: one word a line, over a socket."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from contextlib import suppress

__all__ = ["DRAIN", "RECYCLING", "RUNNING", "ChildLink", "ParentLink"]

DRAIN = "drain"
"""The child says after how many seconds it ends at the latest when it is told to stop."""
RUNNING = "running"
"""The child says that it takes messages."""
RECYCLING = "recycling"
"""The child says that it ends because it has done what one process is to do."""

_READ_BYTES = 4_096


class ChildLink:
    """A child's end.

    Args:
        descriptor: The socket that it was started with.
    """

    def __init__(self, descriptor: int) -> None:
        self._socket = socket.socket(fileno=descriptor)
        self._socket.set_inheritable(False)  # a child of ours would keep it open

    def watch(self, on_parent_gone: Callable[[], None]) -> None:
        """Have ``on_parent_gone`` called, on a thread of its own, when the parent is no more."""
        threading.Thread(
            target=self._wait, args=(on_parent_gone,), name="parent", daemon=True
        ).start()

    def say(self, word: str, value: object = "") -> None:
        """Tell the parent. Where there is none any more, nobody minds."""
        with suppress(OSError):
            self._socket.sendall(f"{word} {value}\n".encode())

    def _wait(self, on_parent_gone: Callable[[], None]) -> None:
        with suppress(OSError):
            while self._socket.recv(_READ_BYTES):
                pass  # a parent has nothing to say
        on_parent_gone()


class ParentLink:
    """A parent's end of one child; never blocks.

    Args:
        end: The socket.
        on_word: Called with each word that the child says, and its value.
    """

    def __init__(self, end: socket.socket, on_word: Callable[[str, str], None]) -> None:
        end.setblocking(False)
        self._end = end
        self._on_word = on_word
        self._begun = b""

    def fileno(self) -> int:
        """Return the descriptor, for a selector."""
        return self._end.fileno()

    def read(self) -> bool:
        """Hear all that the child has said; return whether it may say more."""
        try:
            while data := self._end.recv(_READ_BYTES):
                *lines, self._begun = (self._begun + data).split(b"\n")
                for line in lines:
                    word, _, value = line.decode("utf-8", "replace").partition(" ")
                    self._on_word(word, value)
        except BlockingIOError:
            return True
        except OSError:
            pass  # a child that was killed may have left what it was not sent
        return False

    def close(self) -> None:
        """End it."""
        self._end.close()
