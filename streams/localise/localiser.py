"""The localising stage: messages of `link-evidence` in, records of `faults` out. Pure."""

from __future__ import annotations

import json
from collections import deque
from dataclasses import dataclass, field
from typing import Any

from fabric.model import Fabric
from schemas import topics
from schemas.codec import decode
from schemas.errors import BadMessage
from schemas.framing import Framing, SingleObject
from streams.intake import dead_letter
from streams.join import Commit
from streams.localise.align import SlotAlignment
from streams.localise.life import FaultLives
from streams.localise.marks import Marks

#: State is stored after so many slots; until then the evidence is read again after a restart.
COMMIT_EVERY_SLOTS = 5


@dataclass(slots=True)
class Located:
    """What a step gives."""

    faults: list[dict[str, Any]] = field(default_factory=list)
    dead_letters: list[dict[str, Any]] = field(default_factory=list)
    commit: Commit | None = None
    slots: int = 0


class Localiser:
    """State of the stage. It reads the one partition of `link-evidence`.

    `partitions`: how many input partitions report evidence. `state`: from a Commit, or None.
    """

    def __init__(
        self, fabric: Fabric, partitions: int, state: bytes | None = None, framing: Framing | None = None
    ) -> None:
        self._framing: Framing = framing or SingleObject()
        self._align = SlotAlignment(partitions)
        self._marks = Marks(fabric)
        self._lives = FaultLives()
        self._position = -1
        self._held: deque[tuple[int, int]] = deque()  # offset, slot of messages not done with
        self._since_commit = 0
        if state is not None:
            self._restore(json.loads(state), partitions)

    def step(self, offset: int, timestamp_ms: int, value: bytes | None) -> Located:
        """Take in the next message; those before the restored position are skipped."""
        located = Located()
        if offset < self._position:
            return located
        try:
            head, rows = decode(topics.EVIDENCE, value, framing=self._framing)
        except BadMessage as error:
            located.dead_letters.append(dead_letter(topics.EVIDENCE, 0, offset, timestamp_ms, value, error))
            return located
        assert rows is not None
        self._align.offer(head, rows, timestamp_ms)
        self._held.append((offset, head["slot_us"]))
        for slot in self._align.complete():
            located.slots += 1
            located.faults += self._lives.step(self._marks.add(slot), slot.decided_at_us)
        self._since_commit += located.slots
        if self._since_commit >= COMMIT_EVERY_SLOTS:
            self._since_commit = 0
            located.commit = self._commit()
        return located

    def _commit(self) -> Commit:
        while self._held and self._held[0][1] <= self._align.done_us:
            self._position = self._held.popleft()[0] + 1
        state = {
            "position": self._position,
            "align": self._align.snapshot(),
            "learnt_slots": self._marks.learnt_slots,
            "usual": [[*cell, usual] for cell, usual in self._marks.usual.items()],
            "window": list(self._marks.window),
            "lives": self._lives.snapshot(),
        }
        return Commit(
            {topics.EVIDENCE: self._position},
            self._align.log_time_ms,
            self._align.done_us,
            json.dumps(state).encode(),
        )

    def _restore(self, state: dict[str, Any], partitions: int) -> None:
        self._position = state["position"]
        self._align = SlotAlignment.restore(partitions, state["align"])
        self._marks.usual = {(f, t, leg): usual for f, t, leg, usual in state["usual"]}
        self._marks.learnt_slots = state["learnt_slots"]
        self._marks.window = deque(state["window"])
        self._lives = FaultLives.restore(state["lives"])
