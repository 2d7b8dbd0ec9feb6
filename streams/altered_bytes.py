"""Which bytes of an altered packet are not as they should be, from the first altered copy that came whole."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from schemas.rows import Leg
from streams.closing import Closed
from streams.expected import SYN_ACK, expected_packets, header_length, is_certain, is_v4, packet_length
from streams.packets import Packets

I4 = NDArray[np.int32]
U1 = NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class AlteredBytes:
    """Altered bytes, sorted by probe and offset, each column of shape (k,): row of the probe, offset in the
    IP packet, and the byte as sent and as seen."""

    probe: I4
    byte_offset: I4
    sent: U1
    seen: U1

    def by_probe(self) -> dict[int, list[tuple[int, int, int]]]:
        """The bytes of each probe that has any: offset, byte as sent, byte as seen."""
        found: dict[int, list[tuple[int, int, int]]] = defaultdict(list)
        columns = self.probe, self.byte_offset, self.sent, self.seen
        for probe, *byte in zip(*(column.tolist() for column in columns), strict=True):
            found[probe].append(tuple(byte))
        return found


def altered_bytes(closed: Closed, packets: Packets) -> AlteredBytes:
    """The altered bytes of all altered probes and replies of which a whole copy is at hand."""
    probe, whole = _first_whole_copies(closed, packets)
    found = [AlteredBytes(*(np.empty(0, np.int32),) * 2, *(np.empty(0, np.uint8),) * 2)]
    if not len(probe):
        return found[0]
    reply = closed.altered.leg[probe] == Leg.REPLY
    v4 = is_v4(closed.probes)[probe]
    length = np.array([len(packet) for packet in whole])
    for one_v4 in (True, False):
        for one_reply in (True, False):
            alike = (v4 == one_v4) & (reply == one_reply)
            alike &= length == packet_length(one_v4, one_reply)  # another length: it can be anything
            rows = np.flatnonzero(alike)
            if len(rows):
                joined = b"".join(whole[row] for row in rows.tolist())
                seen = np.frombuffer(joined, np.uint8).reshape(len(rows), -1)
                found.append(_differences(closed, probe[rows], seen, one_v4, one_reply))
    columns = (
        np.concatenate([getattr(part, name) for part in found]) for name in AlteredBytes.__dataclass_fields__
    )
    probe, offset, sent, seen = columns
    order = np.lexsort((offset, probe))
    return AlteredBytes(probe[order], offset[order], sent[order], seen[order])


def _first_whole_copies(closed: Closed, packets: Packets) -> tuple[I4, list[bytes]]:
    """Probes, and of each the first altered copy that came with its packet. Few copies are altered."""
    probes, whole = [], []
    for probe in np.flatnonzero(closed.altered.found).tolist() if len(packets) else ():
        packet = _first_whole_copy(closed, probe, packets)
        if packet is not None:
            probes.append(probe)
            whole.append(packet)
    return np.array(probes, np.int32), whole


def _first_whole_copy(closed: Closed, probe: int, packets: Packets) -> bytes | None:
    hops, altered = closed.hops, closed.altered
    last_leg = Leg.REPLY if altered.leg[probe] == Leg.REPLY else Leg.PROBE
    for hop in range(int(altered.first_bad[probe]), int(closed.legs.end[probe, last_leg])):
        if altered.bad_copy[hop]:
            where = int(hops.leg[hop]), int(hops.switch[hop]), int(hops.ttl[hop])
            packet = packets.get((int(closed.probes.probe_id[probe]), *where))
            if packet is not None:
                return packet
    return None


def _differences(closed: Closed, probe: I4, seen: U1, v4: bool, reply: bool) -> AlteredBytes:
    sent = expected_packets(seen, closed.probes, probe, v4, reply)
    differs = (seen != sent) & is_certain(v4, reply)
    if reply:
        # An open port answers SYN-ACK, of which the rest cannot be told.
        differs[seen[:, header_length(v4) + 13] == SYN_ACK] = False
    row, offset = np.nonzero(differs)
    return AlteredBytes(probe[row], offset.astype(np.int32), sent[row, offset], seen[row, offset])
