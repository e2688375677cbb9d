"""One request: the six steps of the contract, in order."""

from __future__ import annotations

import logging
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING

from ..broker.protocol import Broker
from ..errors import OutputError
from ..files import FileAccess, RequestFiles
from ..hotpath import InvalidOutputError, Publish, RoutingTable
from ..typing import CaseVariable, Output, ProcessFn, StartupFn

if TYPE_CHECKING:
    from ..database import DatabaseSession

__all__ = ["RequestRunner", "Routes"]

_log = logging.getLogger(__name__)

_REMEMBERED_CASES = 1_000  # a process that makes up cases must not fill memory and log
_OTHER_CASES = str, "all cases after these"


class Routes:
    """The routing table of one service, with what people need to know of it. Threads share it.

    Args:
        routes: For every case the indexes of its queues.

    Attributes:
        unlisted: How many outputs went nowhere, by type and value of their case.
    """

    def __init__(self, routes: Iterable[tuple[CaseVariable, Sequence[int]]]) -> None:
        self._table = RoutingTable(routes)
        self._lock = threading.Lock()
        self.unlisted: Counter[tuple[type, CaseVariable]] = Counter()

    def plan(self, outputs: Iterable[Output] | None) -> list[Publish]:
        """Exhaust what ``process`` gave back and return what is to be published.

        Raises:
            OutputError: Something in it cannot be sent; the message names id and case.
        """
        try:
            publishes, unlisted = self._table.plan(outputs)
        except InvalidOutputError as error:
            raise OutputError(str(error)) from None
        finally:
            # A generator that was not exhausted ends now, while its files are still there.
            close = getattr(outputs, "close", None)
            if close is not None:
                close()
        for case in unlisted:
            self._note_unlisted(case)
        return publishes

    def _note_unlisted(self, case: CaseVariable) -> None:
        key = type(case), case
        with self._lock:
            if key not in self.unlisted and len(self.unlisted) >= _REMEMBERED_CASES:
                key = _OTHER_CASES
            self.unlisted[key] += 1
            is_first = self.unlisted[key] == 1
        if is_first and key is not _OTHER_CASES:
            _log.warning(
                "case %r (%s) is not in the configuration: outputs of it are not sent anywhere",
                case,
                type(case).__name__,
            )


class RequestRunner:
    """Takes one request after another through its steps. One per worker thread.

    Args:
        process: The user's function.
        routes: Turns outputs into publishes.
        access: Where files come from and go to; closed with this.
        session: This thread's database session.
        broker: Where outputs go.
    """

    def __init__(
        self,
        process: ProcessFn,
        *,
        routes: Routes,
        access: FileAccess,
        session: DatabaseSession,
        broker: Broker,
    ) -> None:
        self._process = process
        self._routes = routes
        self._access = access
        self._session = session
        self._broker = broker

    def run(self, epoch: int, tag: int, request: int) -> None:
        """Take one delivery through all steps; `_steps` says what it raises."""
        files = RequestFiles(request, self._access)
        publishes = self._steps(files, self._process, request)
        # 5. ids are published; 6. the last confirm acknowledges the message
        self._broker.finish(epoch, tag, request, publishes)

    def run_startup(self, startup: StartupFn) -> None:
        """Take ``startup`` through the same steps; its outputs are safe when this returns."""
        files = RequestFiles(None, self._access)
        self._broker.send(self._steps(files, startup))

    def close(self) -> None:
        """Remove what was kept for the next request: the folder of local copies."""
        self._access.close()

    def _steps(
        self,
        files: RequestFiles,
        function: Callable[..., Iterable[Output] | None],
        *arguments: int,
    ) -> list[Publish]:
        """Do what the contract says of one request, in its order, and return what to publish.

        Raises:
            BaseException: Whatever ``function`` raises, or an error of ours. What was not yet
                uploaded never is, the transaction is rolled back, and nothing is published.
        """
        session = self._session
        try:
            outputs = function(*arguments, files.read_file, files.write_file, session.connection)
            publishes = self._routes.plan(outputs)  # 1. the iterable is exhausted
            files.close()  # 2. every file is closed
            files.upload()  # 3. staged files are uploaded, local copies removed
            session.commit()  # 4. the transaction is committed
        except BaseException:
            session.rollback()
            files.discard()
            raise
        return publishes
