"""Answers that many pages ask for at once are made once, and kept for a moment."""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable
from threading import Lock, Thread
from typing import Any, TypeVar

import structlog

_T = TypeVar("_T")
_log = structlog.get_logger(__name__)

#: Different answers that are kept; beyond it the oldest go.
ENTRIES_MAX = 256


class Moments:
    """For any number of threads: of those that ask for the same at a time one works, the others wait for
    it."""

    def __init__(self, clock_s: Callable[[], float] = time.monotonic) -> None:
        self._clock_s = clock_s
        self._lock = Lock()
        self._locks: dict[Hashable, Lock] = {}
        self._kept: dict[Hashable, tuple[float, Any]] = {}

    def get(self, key: Hashable, keep_s: float, make: Callable[[], _T], stale_s: float = 0.0) -> _T:
        """What `make` gives, or gave at most `keep_s` ago. What is older, by at most `stale_s`, is given at
        once too, while it is made anew for those who come next. Raises what `make` raises, which is not
        kept."""
        found = self._fresh(key, stale_s)
        if found is not None:
            made, old = found
            if old:
                self._renew(key, keep_s, make)
            return made  # type: ignore[no-any-return]
        with self._own(key):
            found = self._fresh(key, 0.0)
            return found[0] if found is not None else self._make(key, keep_s, make)

    def _own(self, key: Hashable) -> Lock:
        with self._lock:
            return self._locks.setdefault(key, Lock())

    def _make(self, key: Hashable, keep_s: float, make: Callable[[], _T]) -> _T:
        made = make()
        with self._lock:
            self._kept.pop(key, None)
            self._kept[key] = (self._clock_s() + keep_s, made)
            while len(self._kept) > ENTRIES_MAX:
                old = next(iter(self._kept))
                del self._kept[old]
                self._locks.pop(old, None)
        return made

    def _renew(self, key: Hashable, keep_s: float, make: Callable[[], Any]) -> None:
        """In a thread of its own, unless somebody is at it already."""
        lock = self._own(key)
        if not lock.acquire(blocking=False):
            return

        def run() -> None:
            try:
                self._make(key, keep_s, make)
            except Exception as error:
                # Who asks when it has become too old to show is told what is wrong.
                _log.info("answer_not_renewed", key=repr(key)[:100], error=str(error)[:200])
            finally:
                lock.release()

        Thread(target=run, name="renew", daemon=True).start()

    def forget(self, key: Hashable) -> None:
        with self._lock:
            self._kept.pop(key, None)

    def _fresh(self, key: Hashable, stale_s: float) -> tuple[Any, bool] | None:
        """(answer, whether it is past its time)."""
        with self._lock:
            kept = self._kept.get(key)
        now_s = self._clock_s()
        if kept is None or kept[0] + stale_s <= now_s:
            return None
        return kept[1], kept[0] <= now_s
