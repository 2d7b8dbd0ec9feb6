"""The localising stage: messages of `link-evidence` in, records of `faults` out. Pure.

Its state is the last HISTORY_US of the log: evidence is acknowledged only when it is older than that,
so that a new owner reads again what the findings to come depend on. What is stored beside it is small
whatever the size of the fabric.
"""

from __future__ import annotations

import json
import zlib
from collections import deque
from dataclasses import dataclass, field
from typing import Any

from fabric.model import Fabric
from schemas import topics
from schemas.errors import BadMessage
from schemas.framing import Framing, SingleObject
from streams.backlog import Commit
from streams.intake import dead_letter
from streams.localise.align import SlotAlignment
from streams.localise.commands import COMMANDS_PARTITION
from streams.localise.detectors import HISTORY_US, Detectors
from streams.localise.life import FaultLives
from streams.localise.reading import read

#: State is stored after so much event time; until then the evidence is read again after a restart.
COMMIT_EVERY_US = 5_000_000

_NEVER_US = -(2**62)


@dataclass(slots=True)
class Located:
    """What a step gives."""

    faults: list[dict[str, Any]] = field(default_factory=list)
    dead_letters: list[dict[str, Any]] = field(default_factory=list)
    coverage: list[dict[str, Any]] = field(default_factory=list)
    commit: Commit | None = None
    slots: int = 0
    refused: int = 0  # findings that were not reported because too many faults were open


@dataclass(frozen=True, slots=True)
class _Checkpoint:
    """Slots up to `done_us` need nothing from `position` on; `align` is what was known there."""

    done_us: int
    position: int
    read_to: int
    align: dict[str, Any]


class Localiser:
    """State of the stage. It reads the one partition of `link-evidence`.

    `partitions`: how many input partitions report evidence. `state`: from a Commit, or None.
    """

    def __init__(
        self, fabric: Fabric, partitions: int, state: bytes | None = None, framing: Framing | None = None
    ) -> None:
        self._framing: Framing = framing or SingleObject()
        self._align = SlotAlignment(partitions)
        self._detectors = Detectors(fabric)
        self._lives = FaultLives(fabric)
        self._partitions = partitions
        self._position = -1
        self._read_to = -1  # messages before this offset are in the alignment's times already
        self._judged_us = _NEVER_US  # slots up to here have been judged
        self._held: deque[tuple[int, int]] = deque()  # offset, slot of messages not done with
        self._checkpoints: deque[_Checkpoint] = deque()  # one per slot of the history
        self._committed_us = _NEVER_US  # slots up to here are in a commit, or were before the first
        self._commands_to = 0  # commands before this offset are in the lives already
        if state is not None:
            self._restore(fabric, unpack_state(state), partitions)

    @property
    def position(self) -> int:
        """Offset of the first message that is needed: 0 if none has been."""
        return max(0, self._position)

    def step(self, offset: int, timestamp_ms: int, value: bytes | None) -> Located:
        """Take in the next message; those before the restored position are skipped."""
        located = Located()
        if offset < self._position:
            return located
        try:
            head, rows = read(value, timestamp_ms, self._partitions, self._framing)
            if head["partition"] == COMMANDS_PARTITION:
                self._obey(head["commands"], offset)
                return located
        except BadMessage as error:
            located.dead_letters.append(dead_letter(topics.EVIDENCE, 0, offset, timestamp_ms, value, error))
            return located
        self._align.offer(head, rows, timestamp_ms, again=offset < self._read_to)
        self._read_to = max(self._read_to, offset + 1)
        self._held.append((offset, head["slot_us"]))
        for slot in self._align.complete():
            located.slots += 1
            if slot.slot_us <= self._judged_us:
                self._detectors.remember(slot)
                continue
            located.faults += self._lives.step(self._detectors.add(slot), slot.decided_at_us)
            located.coverage += self._detectors.coverage_reports(slot.slot_us + slot.slot_length_us)
            self._judged_us = slot.slot_us
        located.refused, self._lives.refused = self._lives.refused, 0
        if located.slots:
            self._remember_where()
        if self._committed_us == _NEVER_US:
            self._committed_us = self._judged_us
        if self._judged_us - self._committed_us >= COMMIT_EVERY_US:
            self._committed_us = self._judged_us
            located.commit = self._commit()
        return located

    def _obey(self, commands: list[dict[str, Any]], offset: int) -> None:
        """Commands that come again after a restart have been obeyed. Raises BadMessage."""
        if offset >= self._commands_to:
            self._commands_to = offset + 1
            for command in commands:
                self._lives.apply(command)

    def _remember_where(self) -> None:
        """A place in the log from which the slots after the newest one can be put together again."""
        while self._held and self._held[0][1] <= self._align.done_us:
            self._position = self._held.popleft()[0] + 1
        self._checkpoints.append(
            _Checkpoint(self._align.done_us, self._position, self._read_to, self._align.snapshot())
        )

    def _commit(self) -> Commit | None:
        """State from the newest checkpoint that the whole history comes after, if there is one."""
        found: _Checkpoint | None = None
        while self._checkpoints and self._checkpoints[0].done_us <= self._judged_us - HISTORY_US:
            found = self._checkpoints.popleft()
        if found is None:
            return None
        self._checkpoints.appendleft(found)
        state = {
            "position": found.position,
            "read_to": found.read_to,
            "align": found.align,
            "judged_us": self._judged_us,
            "detectors": self._detectors.snapshot(),
            "lives": self._lives.snapshot(),
            "commands_to": self._commands_to,
        }
        return Commit(
            {topics.EVIDENCE: found.position},
            found.align["log_time_ms"],
            self._judged_us,
            # A thousand open faults have to fit into one message.
            zlib.compress(json.dumps(state).encode(), 1),
        )

    def _restore(self, fabric: Fabric, state: dict[str, Any], partitions: int) -> None:
        self._position = state["position"]
        self._read_to = state["read_to"]
        self._align = SlotAlignment.restore(partitions, state["align"])
        self._judged_us = state["judged_us"]
        self._detectors.restore(state["detectors"])
        self._lives = FaultLives.restore(fabric, state["lives"])
        self._commands_to = state["commands_to"]


def unpack_state(state: bytes) -> dict[str, Any]:
    """What a commit of the localiser carries, as plain values; `lives` is that of FaultLives.snapshot."""
    values: dict[str, Any] = json.loads(zlib.decompress(state))
    return values
