"""Decoded copies to digest rows: who saw which probe, where, and whether it was whole."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from producers.mirror.decode import BLOCK_ROWS, CHECKSUM_WRONG, Decoded, decode
from producers.mirror.errors import MirrorError
from producers.mirror.frames import Bools
from producers.mirror.inventory import ExporterMap, ProbeMap
from producers.mirror.probes import recognise
from producers.mirror.sequences import Copies
from producers.packets import PacketBatch
from schemas.batch import AlteredPacket
from schemas.rows import DIGEST, DigestFlag, Direction, Leg, rows_of

UNKNOWN_EXPORTER = "unknown_exporter"
NOT_A_PROBE = "not_a_probe"


@dataclass(frozen=True, slots=True)
class Digests:
    """What a batch of frames gave: every frame is a row of `rows` or counted in `rejected`."""

    rows: NDArray[np.void]  # DIGEST.dtype[m]
    altered: tuple[AlteredPacket, ...]  # of the rows that failed a check
    rejected: Counter[str]  # reason (name of a MirrorError in small letters, or one of the above) -> frames
    copies: Copies  # of all readable copies of known exporters, probes or not


def digest(batch: PacketBatch, exporters: ExporterMap, probes: ProbeMap) -> Digests:
    """Decode a batch of any size and keep the probes, block by block so that the tables stay in the cache."""
    parts = [to_digests(decode(block), exporters, probes) for block in batch.blocks(BLOCK_ROWS)]
    return joined(parts)


def to_digests(decoded: Decoded, exporters: ExporterMap, probes: ProbeMap) -> Digests:
    """Digests of one decoded block."""
    switch, port = exporters.switches_and_ports(decoded.exporter, decoded.mirror)
    readable = decoded.errors == MirrorError.NONE
    known = readable & (switch >= 0)
    found = recognise(decoded, probes)
    kept = known & (found.leg >= 0)
    rejected = _rejections(decoded, readable, known, kept)
    with_payload = kept & (found.leg != Leg.REPLY) & ~decoded.truncated
    contents = decoded.contents
    is_sent_payload = contents.payload_is_intact & (contents.written_id == found.probe_id)
    payload_is_altered = with_payload & ~is_sent_payload
    flags = (
        decoded.truncated * np.int16(DigestFlag.TRUNCATED)
        + (decoded.checksum == CHECKSUM_WRONG) * np.int16(DigestFlag.BAD_CHECKSUM)
        + payload_is_altered * np.int16(DigestFlag.PAYLOAD_ALTERED)
    )
    columns = {
        "probe_id": found.probe_id,
        "observed_at_us": decoded.received_us,
        "exporter_time": decoded.mirror.exporter_time,
        "content_hash": contents.content_hash,
        "switch": switch,
        "port": port,
        "length": decoded.length,
        "ttl": decoded.hop_ttl,
        "flags": flags,
        "leg": found.leg,
        "direction": np.where(decoded.mirror.is_egress, Direction.EGRESS, Direction.INGRESS),
    }
    if not kept.all():
        columns = {name: column[kept] for name, column in columns.items()}
    return Digests(
        rows=rows_of(DIGEST, columns, int(np.count_nonzero(kept))),
        altered=_altered_packets(decoded, kept, flags),
        rejected=rejected,
        copies=Copies(switch, decoded.mirror.session, decoded.sequence).rows(known),
    )


def joined(parts: list[Digests]) -> Digests:
    """The digests of consecutive blocks as one."""
    if len(parts) == 1:
        return parts[0]
    starts = np.cumsum([0] + [len(part.rows) for part in parts])
    return Digests(
        rows=stacked([part.rows for part in parts]),
        altered=tuple(
            AlteredPacket(int(start) + each.row, each.packet)
            for start, part in zip(starts, parts, strict=False)
            for each in part.altered
        ),
        rejected=sum((part.rejected for part in parts), Counter()),
        copies=Copies.joined([part.copies for part in parts]),
    )


def stacked(parts: Sequence[NDArray[np.void]]) -> NDArray[np.void]:
    """Digest rows one behind the other. Not np.concatenate alone: that turns them into native byte order."""
    return np.concatenate([np.empty(0, DIGEST.dtype), *parts], dtype=DIGEST.dtype)


def _altered_packets(decoded: Decoded, kept: Bools, flags: NDArray[np.int16]) -> tuple[AlteredPacket, ...]:
    """The whole packets of the kept rows that failed a check."""
    indices = np.flatnonzero(kept & (flags > DigestFlag.TRUNCATED))
    if not len(indices):
        return ()
    places = np.cumsum(kept)[indices] - 1
    return tuple(
        AlteredPacket(place, packet)
        for place, packet in zip(places.tolist(), decoded.packets(indices), strict=True)
    )


def _rejections(decoded: Decoded, readable: Bools, known: Bools, kept: Bools) -> Counter[str]:
    counts: Counter[str] = Counter()
    if kept.all():
        return counts
    for error, count in zip(*np.unique(decoded.errors[~readable], return_counts=True), strict=True):
        counts[MirrorError(int(error)).name.lower()] = int(count)
    counts[UNKNOWN_EXPORTER] = int((readable & ~known).sum())
    counts[NOT_A_PROBE] = int((known & ~kept).sum())
    return +counts
