"""The ways of flows as the topic link-evidence tells them, for as long as they are repeated there."""

from __future__ import annotations

from collections import deque
from typing import Any

import numpy as np
from numpy.typing import NDArray

from producers.flow_paths import FlowPaths, gather_paths
from schemas.rows import PATHS

#: A way is said when it is new or has changed, and again at least every 300 s: one that was not said for two
#: such times belongs to a flow that is no longer probed.
FORGET_AFTER_US = 660_000_000


class Learner:
    """Collects PATHS rows of evidence messages, in the order of the log."""

    def __init__(self, forget_after_us: int = FORGET_AFTER_US) -> None:
        self._forget_after_us = forget_after_us
        self._said: deque[tuple[int, NDArray[np.void]]] = deque()
        self._now_us = 0

    def add(self, head: dict[str, Any]) -> None:
        """Take in the head of a message."""
        self._now_us = max(self._now_us, head["slot_us"])
        rows = np.frombuffer(head.get("paths", b""), PATHS.dtype)
        if len(rows):
            self._said.append((head["slot_us"], rows))
        while self._said and self._said[0][0] < self._now_us - self._forget_after_us:
            self._said.popleft()

    @property
    def rows(self) -> int:
        """PATHS rows that are kept."""
        return sum(len(rows) for _, rows in self._said)

    def flows(self) -> FlowPaths:
        """All flows that are known, each with its newest way."""
        kept = [rows for _, rows in self._said]
        return gather_paths(np.concatenate(kept) if kept else np.empty(0, PATHS.dtype))
