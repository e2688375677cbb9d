"""Which bucket a key stands for, asked once per process."""

from __future__ import annotations

import threading
from concurrent.futures import Future

from .models import SystemMap
from .validate import clean_key

__all__ = ["BucketNames"]


class BucketNames:
    """The buckets of one service, by key. Safe to use from several threads."""

    def __init__(self, system_map: SystemMap, service_name: str) -> None:
        self._system_map = system_map
        self._service_name = service_name
        self._lock = threading.Lock()
        self._answers: dict[str, Future[str]] = {}

    def resolve(self, key: str) -> str:
        """Return the bucket that ``key`` stands for.

        Threads that ask for the same key at the same time share one question and its outcome; an
        answer is kept, a failure is not.

        Args:
            key: The bucket reference, such as ``"in"``. Slashes around it do not count.

        Raises:
            ConfigurationError: The configuration does not know the key, or cannot be asked.
            UsageError: There can be no such key.
        """
        key = clean_key(key)
        with self._lock:
            known = self._answers.get(key)
            answer = self._answers.setdefault(key, Future())
        if known is None:
            self._ask(key, answer)
        return answer.result()

    def _ask(self, key: str, answer: Future[str]) -> None:
        try:
            answer.set_result(self._system_map.bucket(self._service_name, key))
        except BaseException as error:
            with self._lock:
                del self._answers[key]
            answer.set_exception(error)
            raise
