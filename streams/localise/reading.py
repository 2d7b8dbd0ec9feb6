"""One message of `link-evidence` in: a head and rows that may be used, or BadMessage."""

from __future__ import annotations

from typing import Any

import numpy as np

from schemas import topics
from schemas.codec import decode
from schemas.errors import BadMessage
from schemas.framing import Framing
from schemas.nodes import NODE_LIMIT, UNKNOWN_NODE
from schemas.rows import Leg
from streams.localise.commands import COMMANDS_PARTITION, check_commands

#: A slot so far ahead of log time is refused: it would pass for everything up to it.
AHEAD_MAX_US = 60_000_000
SLOT_LENGTH_MAX_US = 3_600_000_000

_COUNTS = ("passed", "lost", "altered", "mirror_missing")


def read(
    value: bytes | None, timestamp_ms: int, partitions: int, framing: Framing
) -> tuple[dict[str, Any], np.ndarray]:
    """Decode and check a message; `timestamp_ms` is its Kafka timestamp. Raises BadMessage."""
    head, rows = decode(topics.EVIDENCE, value, framing=framing)
    assert rows is not None
    _check_head(head, timestamp_ms, partitions)
    if len(rows) and head["partition"] == COMMANDS_PARTITION:
        raise BadMessage("bad_evidence", f"{len(rows)} rows beside commands")
    if len(rows):
        # The sum over all partitions must fit into the same four bytes.
        most = (2**31 - 1) // partitions
        _check_range(rows, "from_node", 0, NODE_LIMIT)
        _check_range(rows, "to_node", UNKNOWN_NODE, NODE_LIMIT)
        _check_range(rows, "leg", 0, max(Leg))
        for name in _COUNTS:
            _check_range(rows, name, 0, most)
    return head, rows


def _check_head(head: dict[str, Any], timestamp_ms: int, partitions: int) -> None:
    if head["partition"] == COMMANDS_PARTITION:
        check_commands(head)
        return
    if not 0 <= head["partition"] < partitions:
        raise BadMessage("bad_evidence", f"partition {head['partition']}; there are {partitions}")
    slot_us, length_us, watermark_us = head["slot_us"], head["slot_length_us"], head["watermark_us"]
    if slot_us < 0 or not 0 < length_us <= SLOT_LENGTH_MAX_US or watermark_us < slot_us + length_us:
        raise BadMessage(
            "bad_evidence", f"slot {slot_us} us of {length_us} us, complete at {watermark_us} us"
        )
    if watermark_us > timestamp_ms * 1_000 + AHEAD_MAX_US:
        raise BadMessage("bad_evidence", f"watermark {watermark_us} us is ahead of log time")


def _check_range(rows: np.ndarray, name: str, low: int, high: int) -> None:
    least, most = rows[name].min(), rows[name].max()
    if least < low or most > high:
        raise BadMessage("bad_evidence", f"{name} runs from {least} to {most}, allowed are {low} to {high}")
