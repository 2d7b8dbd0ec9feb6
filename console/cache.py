"""Answers that many pages ask for at once are made once, and kept for a moment."""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable
from threading import Lock
from typing import Any, TypeVar

_T = TypeVar("_T")

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

    def get(self, key: Hashable, keep_s: float, make: Callable[[], _T]) -> _T:
        """What `make` gives, or gave at most `keep_s` ago. Raises what `make` raises, which is not kept."""
        found = self._fresh(key)
        if found is not None:
            return found[0]  # type: ignore[no-any-return]
        with self._lock:
            own = self._locks.setdefault(key, Lock())
        with own:
            found = self._fresh(key)
            if found is not None:
                return found[0]  # type: ignore[no-any-return]
            made = make()
            with self._lock:
                self._kept.pop(key, None)
                self._kept[key] = (self._clock_s() + keep_s, made)
                while len(self._kept) > ENTRIES_MAX:
                    old = next(iter(self._kept))
                    del self._kept[old]
                    self._locks.pop(old, None)
            return made

    def forget(self, key: Hashable) -> None:
        with self._lock:
            self._kept.pop(key, None)

    def _fresh(self, key: Hashable) -> tuple[Any] | None:
        with self._lock:
            kept = self._kept.get(key)
        return (kept[1],) if kept is not None and kept[0] > self._clock_s() else None
