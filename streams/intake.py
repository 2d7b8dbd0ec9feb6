"""One message in: a batch whose rows may be used, or a dead letter that says why not."""

from __future__ import annotations

from typing import Any

import numpy as np

from schemas import topics
from schemas.batch import Batch, decode_batch
from schemas.errors import BadMessage
from schemas.framing import Framing
from schemas.rows import Kind, Leg, ReplyKind
from streams.merge import LogMessage
from streams.watermark import AHEAD_MAX_US

#: The two logs of a partition, by side.
TOPICS = (topics.OUTCOMES, topics.DIGESTS)
OUTCOME_SIDE, DIGEST_SIDE = 0, 1

PAYLOAD_KEPT_BYTES = 65_536
#: Mirror copies that one batch may claim to have counted.
COUNT_MAX = 1 << 40

_RANGES: dict[str, dict[str, tuple[int, int]]] = {
    topics.OUTCOMES: {
        "probe_id": (0, 2**62),
        "sent_at_us": (0, 2**62),
        "rtt_ns": (-1, 2**62),
        "kind": (0, max(Kind)),
        "group_size": (1, 8),
        "reply_kind": (0, max(ReplyKind)),
    },
    topics.DIGESTS: {
        "probe_id": (0, 2**62),
        "observed_at_us": (0, 2**62),
        "ttl": (0, 255),
        "leg": (0, max(Leg)),
    },
}


def read(message: LogMessage, partition: int, framing: Framing) -> Batch:
    """Decode and check a message; raises BadMessage with the reason."""
    topic = TOPICS[message.side]
    batch = decode_batch(topic, message.value, framing=framing)
    envelope, rows = batch.envelope, batch.rows
    if envelope.is_tick:
        return batch
    if envelope.partition != partition:
        raise BadMessage(
            "wrong_partition", f"written for partition {envelope.partition}, found in {partition}"
        )
    if envelope.sequence < 0 or envelope.epoch < 0:
        raise BadMessage("bad_envelope", f"epoch {envelope.epoch}, sequence {envelope.sequence}")
    for count in batch.exporters:
        if count.switch < 0 or not 0 <= count.received <= COUNT_MAX or not 0 <= count.lost <= COUNT_MAX:
            raise BadMessage("bad_envelope", f"exporter {count.switch}: {count.received} and {count.lost}")
    limit_us = message.timestamp_ms * 1_000 + AHEAD_MAX_US
    if envelope.epoch > limit_us:
        # Believed, it would make every later batch of the source one from before a restart.
        raise BadMessage("clock_ahead", f"epoch {envelope.epoch} us is ahead of log time")
    if envelope.low_watermark_us > limit_us and not envelope.ends:
        raise BadMessage("clock_ahead", f"low watermark {envelope.low_watermark_us} us is ahead of log time")
    if len(rows):
        _check_rows(topic, rows, limit_us)
    return batch


def time_column(side: int) -> str:
    """Name of the column that says when a row of that side happened."""
    return "sent_at_us" if side == OUTCOME_SIDE else "observed_at_us"


def _check_rows(topic: str, rows: np.ndarray, limit_us: int) -> None:
    for name, (low, high) in _RANGES[topic].items():
        # In native order first: NumPy has no fast loops for other byte orders.
        column = rows[name].astype(rows.dtype[name].newbyteorder("="))
        least, most = int(column.min()), int(column.max())
        if least < low or most > high:
            raise BadMessage("bad_rows", f"{name} runs from {least} to {most}, allowed are {low} to {high}")
    newest = int(rows[time_column(TOPICS.index(topic))].max())
    if newest > limit_us:
        raise BadMessage("clock_ahead", f"a row of {newest} us is ahead of log time")


def dead_letter(
    topic: str, partition: int, offset: int, timestamp_ms: int, value: bytes | None, error: BadMessage
) -> dict[str, Any]:
    """Record for the topic `dead-letters`."""
    payload = value or b""
    return {
        "topic": topic,
        "partition": partition,
        "offset": offset,
        "timestamp_ms": timestamp_ms,
        "reason": error.reason,
        "detail": error.detail,
        "payload": payload[:PAYLOAD_KEPT_BYTES],
        "payload_bytes": len(payload),
    }
