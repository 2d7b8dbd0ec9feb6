"""The envelope that batches of the two joined topics share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from schemas import topics
from schemas.codec import decode, encode
from schemas.framing import Framing, SingleObject
from schemas.rows import DIGEST, END_OF_SOURCE_US, OUTCOME

#: A batch of this source is a tick: it moves log time on and belongs to no source.
CLOCK_SOURCE = "clock"

_SINGLE_OBJECT = SingleObject()
_LAYOUTS = {topics.OUTCOMES: OUTCOME, topics.DIGESTS: DIGEST}


@dataclass(frozen=True, slots=True)
class AlteredPacket:
    """The whole normalised packet of a digest whose content is wrong; `row` indexes the batch."""

    row: int
    packet: bytes


@dataclass(frozen=True, slots=True)
class ExporterCount:
    """Mirror copies of one ERSPAN session since the count before."""

    switch: int
    session: int
    received: int
    lost: int


@dataclass(frozen=True, slots=True)
class Envelope:
    """Who wrote a batch, and what it promises about time. See docs/schema.md, "The envelope of a batch"."""

    source: str
    epoch: int
    partition: int
    sequence: int
    low_watermark_us: int

    @property
    def is_tick(self) -> bool:
        return self.source == CLOCK_SOURCE

    @property
    def ends(self) -> bool:
        return self.low_watermark_us >= END_OF_SOURCE_US


@dataclass(frozen=True, slots=True)
class Batch:
    """One message: rows of OUTCOME.dtype or DIGEST.dtype, shape (n,)."""

    envelope: Envelope
    rows: np.ndarray
    altered: Sequence[AlteredPacket] = ()
    exporters: Sequence[ExporterCount] = ()


def encode_batch(topic: str, batch: Batch, *, framing: Framing = _SINGLE_OBJECT) -> bytes:
    """Write a batch of `probe-outcomes` or `mirror-digests`; raises ValueError on a wrong dtype."""
    e = batch.envelope
    head: dict[str, Any] = {
        "source": e.source,
        "epoch": e.epoch,
        "partition": e.partition,
        "sequence": e.sequence,
        "low_watermark_us": e.low_watermark_us,
    }
    if topic == topics.DIGESTS:
        head["altered"] = [{"row": a.row, "packet": a.packet} for a in batch.altered]
        head["exporters"] = [
            {"switch": c.switch, "session": c.session, "received": c.received, "lost": c.lost}
            for c in batch.exporters
        ]
    return encode(topic, head, batch.rows, framing=framing)


def decode_batch(topic: str, message: bytes | None, *, framing: Framing = _SINGLE_OBJECT) -> Batch:
    """Read a batch; raises BadMessage. The rows are a read-only view of the message."""
    head, rows = decode(topic, message, framing=framing)
    assert rows is not None
    envelope = Envelope(
        head["source"], head["epoch"], head["partition"], head["sequence"], head["low_watermark_us"]
    )
    altered = tuple(AlteredPacket(a["row"], a["packet"]) for a in head.get("altered", ()))
    exporters = tuple(
        ExporterCount(c["switch"], c["session"], c["received"], c["lost"]) for c in head.get("exporters", ())
    )
    return Batch(envelope, rows, altered, exporters)


def tick(topic: str, partition: int, *, framing: Framing = _SINGLE_OBJECT) -> bytes:
    """A batch that says only that time went on."""
    empty = np.empty(0, _LAYOUTS[topic].dtype)
    return encode_batch(topic, Batch(Envelope(CLOCK_SOURCE, 0, partition, 0, 0), empty), framing=framing)
