"""Other methods, run on the same data, so that there is something to compare with.

Some read the evidence that the localiser reads, slot by slot. The tomographies read outcomes flow by flow,
with the true way of each flow: more than they would know in a network.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from bytetracker.evaluate.flows import FlowWindow
from bytetracker.evaluate.pipeline import LoggedEvent
from schemas.framing import SingleObject
from streams.localise.align import SlotAlignment, WholeSlot
from streams.localise.reading import read

OURS = "bytetracker"
#: Names pairs of switches and no element: it can be right that something is wrong, not about what.
PINGMESH = "Pingmesh-like"


class Method(Protocol):
    """Something that finds faults. `events`: what it has said so far, as records of the topic `faults` with
    their log times."""

    name: str
    events: list[LoggedEvent]


class SlotMethod(Method, Protocol):
    """A method that reads evidence."""

    def add(self, slot: WholeSlot, log_us: int) -> None:
        """The next slot, complete at a log time."""


class WindowMethod(Method, Protocol):
    """A method that reads what flows lost."""

    def add(self, window: FlowWindow, log_us: int) -> None:
        """The next window, complete at a log time."""


class EvidenceReader:
    """Messages of `link-evidence` to slots to methods."""

    def __init__(self, partitions: int, methods: Sequence[SlotMethod]) -> None:
        self._partitions = partitions
        self._methods = methods
        self._align = SlotAlignment(partitions)

    def read(self, offset: int, timestamp_ms: int, value: bytes) -> None:
        """The next message."""
        head, rows = read(value, timestamp_ms, self._partitions, SingleObject())
        self._align.offer(head, rows, timestamp_ms)
        for slot in self._align.complete():
            for method in self._methods:
                method.add(slot, timestamp_ms * 1_000)
