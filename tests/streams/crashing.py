"""A worker that dies between any two effects, and its successors, until the log has been read.

The effects of a step come in the order of `streams.runtime`: outputs one by one, then the state,
then the acknowledgement of the input. What has happened stays; what has not is lost with the worker.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from streams.backlog import Commit
from streams.join import Network, Output, PartitionJoin
from streams.settings import JoinSettings
from tests.streams.logs import Log
from tests.streams.reading import Said, interleaved


class Died(Exception):
    """The worker was killed."""


@dataclass
class Disk:
    """What outlives a worker: outputs, the stored state, and the acknowledged position per side."""

    said: Said = field(default_factory=Said)
    state: bytes | None = None
    acknowledged: list[int] = field(default_factory=lambda: [0, 0])
    deaths: int = 0


@dataclass
class Fate:
    """Decides before every effect whether the worker dies; at most `deaths_max` times."""

    rng: np.random.Generator
    share: float
    deaths_max: int = 30

    def strikes(self, disk: Disk) -> None:
        if disk.deaths < self.deaths_max and self.rng.random() < self.share:
            disk.deaths += 1
            raise Died


def read_crashing(
    log: Log,
    network: Network,
    partition: int,
    settings: JoinSettings,
    rng: np.random.Generator,
    share: float = 0.02,
) -> Disk:
    """Read a log to its end, by as many workers as it takes."""
    disk, fate = Disk(), Fate(rng, share)
    while True:
        try:
            _live(log, network, partition, settings, rng, disk, fate)
        except Died:
            continue
        return disk


def _live(
    log: Log,
    network: Network,
    partition: int,
    settings: JoinSettings,
    rng: np.random.Generator,
    disk: Disk,
    fate: Fate,
) -> None:
    join = PartitionJoin(partition, network, settings, disk.state)
    order = [m for m in interleaved(log, rng) if m.offset >= disk.acknowledged[m.side]]
    pending: Commit | None = None
    at = 0
    while at < len(order):
        size = int(rng.integers(1, 30))
        for m in order[at : at + size]:
            join.offer(m.side, m.offset, m.timestamp_ms, m.value)
        at += size
        output = join.step()
        for piece in _pieces(output):
            fate.strikes(disk)
            disk.said.take(piece)
        pending = output.commit or pending
        if pending is not None and rng.random() < 0.7:
            fate.strikes(disk)
            disk.state = pending.state
            fate.strikes(disk)
            for side, topic in enumerate(("probe-outcomes", "mirror-digests")):
                disk.acknowledged[side] = max(disk.acknowledged[side], pending.positions.get(topic, 0))
            pending = None


def _pieces(output: Output) -> list[Output]:
    """The messages of a step, in the order in which they are stored."""
    pieces = [Output(results=output.results[i : i + 5]) for i in range(0, len(output.results), 5)]
    pieces += [Output(evidence=[each]) for each in output.evidence]
    pieces += [Output(dead_letters=[each]) for each in output.dead_letters]
    return pieces


def differences(one: Said, other: Said) -> list[Any]:
    """Keys under which two readings differ; empty if they say the same."""
    found: list[Any] = []
    for name in ("results", "evidence", "dead"):
        a, b = getattr(one, name), getattr(other, name)
        found += [(name, key) for key in sorted(a.keys() | b.keys()) if a.get(key) != b.get(key)]
    return found
