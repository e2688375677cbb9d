"""What a parent and its child say to each other: one word a line, over a socket."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from contextlib import suppress

__all__ = ["DRAIN", "RECYCLING", "RUNNING", "TROUBLE", "ChildLink", "ParentLink"]

DRAIN = "drain"
"""The child says after how many seconds it ends at the latest when it is told to stop."""
RUNNING = "running"
"""The child says that it takes messages."""
RECYCLING = "recycling"
"""The child says that it ends because it has done what one process is to do."""

TROUBLE = "trouble"
"""The child says, when it is asked, why it takes no messages; nothing while it does."""

_QUESTION = b"?"
_READ_BYTES = 4_096


class ChildLink:
    """A child's end.

    Args:
        descriptor: The socket that it was started with.
    """

    def __init__(self, descriptor: int) -> None:
        self._socket = socket.socket(fileno=descriptor)
        self._socket.set_inheritable(False)  # a child of ours would keep it open

    def watch(self, on_parent_gone: Callable[[], None], trouble: Callable[[], str | None]) -> None:
        """Answer the parent, on a thread of its own, until it is no more.

        Args:
            on_parent_gone: Called then.
            trouble: Says why no messages are taken; None while they are.
        """
        threading.Thread(
            target=self._serve, args=(on_parent_gone, trouble), name="parent", daemon=True
        ).start()

    def say(self, word: str, value: object = "") -> None:
        """Tell the parent. Where there is none any more, nobody minds."""
        with suppress(OSError):
            self._socket.sendall(f"{word} {value}\n".encode())

    def _serve(self, on_parent_gone: Callable[[], None], trouble: Callable[[], str | None]) -> None:
        with suppress(OSError):
            while self._socket.recv(_READ_BYTES):  # it has one question only
                self.say(TROUBLE, " ".join((trouble() or "").split()))
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

    def ask(self) -> None:
        """Ask the child for its trouble; any thread may."""
        with suppress(OSError):  # one that does not read answers no question either
            self._end.send(_QUESTION)

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
