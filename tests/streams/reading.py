"""Drives the join over recorded logs: at any pace, in any interleaving."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from schemas.codec import decode
from streams.backlog import Commit
from streams.join import Network, Output, PartitionJoin
from streams.settings import JoinSettings
from tests.streams.logs import Log, Message


@dataclass
class Said:
    """Everything that a reading said, by key; `repeats` counts what was said again in other words."""

    results: dict[tuple[int, int], dict[str, Any]] = field(default_factory=dict)
    evidence: dict[int, tuple[dict[str, Any], bytes]] = field(default_factory=dict)
    dead: dict[tuple[str, int], dict[str, Any]] = field(default_factory=dict)
    commits: list[Commit] = field(default_factory=list)
    contradictions: list[Any] = field(default_factory=list)
    messages: list[tuple[dict[str, Any], np.ndarray]] = field(default_factory=list)

    def take(self, output: Output) -> None:
        for result in output.results:
            self._keep(self.results, (result["probe_id"], result["sent_at_us"]), result)
        for head, rows in output.evidence:
            self._keep(self.evidence, head["slot_us"], (head, rows.tobytes()))
            self.messages.append((head, rows))
        for letter in output.dead_letters:
            self._keep(self.dead, (letter["topic"], letter["offset"]), letter)
        if output.commit is not None:
            self.commits.append(output.commit)

    def _keep(self, kept: dict[Any, Any], key: Any, value: Any) -> None:
        if kept.setdefault(key, value) != value:
            self.contradictions.append((key, kept[key], value))

    def everything(self) -> tuple[Any, ...]:
        return (
            sorted(self.results.items()),
            sorted(self.evidence.items(), key=lambda item: item[0]),
            sorted(self.dead.items()),
        )


def read(
    log: Log,
    network: Network,
    partition: int = 0,
    settings: JoinSettings | None = None,
    *,
    pace: np.random.Generator | int = 8,
    interleave: bool = False,
) -> Said:
    """Read a log to its end, a step every `pace` messages (or every 1 to 40 as a generator draws)."""
    said = Said()
    join = PartitionJoin(partition, network, settings or JoinSettings())
    for chunk in chunks(log, pace, interleave):
        for m in chunk:
            join.offer(m.side, m.offset, m.timestamp_ms, m.value)
        said.take(join.step())
    return said


def chunks(log: Log, pace: np.random.Generator | int, interleave: bool) -> Iterator[list[Message]]:
    order = list(log.written)
    if interleave:
        assert isinstance(pace, np.random.Generator)
        order = interleaved(log, pace)
    at = 0
    while at < len(order):
        size = pace if isinstance(pace, int) else int(pace.integers(1, 41))
        yield order[at : at + size]
        at += size


def interleaved(log: Log, rng: np.random.Generator) -> list[Message]:
    """One side or the other runs ahead, by chance; each side stays in order."""
    left, right = list(log.sides[0]), list(log.sides[1])
    order: list[Message] = []
    while left or right:
        side = left if right == [] or (left and rng.random() < 0.5) else right
        for _ in range(int(rng.integers(1, 30))):
            if side:
                order.append(side.pop(0))
    return order


def evidence_rows(message: bytes) -> np.ndarray:
    """Rows of a message of `link-evidence`."""
    _, rows = decode("link-evidence", message)
    assert rows is not None
    return rows
