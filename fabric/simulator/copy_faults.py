"""What faults of mirrors do to copies: some are never made or received, some are cut short or altered."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fabric.simulator.active import ActiveFault
from fabric.simulator.content import AlteredContent, header_length, packet_length, tunnel_length
from fabric.simulator.flips import bits_to_flip, segment_bytes
from fabric.simulator.tally import HARMED_MAX, FaultTally, TallyBook
from producers.content import content_hash, zero_beyond
from schemas.partition import mix64
from schemas.rows import DigestFlag, Leg

I1 = NDArray[np.int8]
I4 = NDArray[np.int32]
I8 = NDArray[np.int64]
U1 = NDArray[np.uint8]
U8 = NDArray[np.uint64]
Bools = NDArray[np.bool_]
Rows = NDArray[np.intp]

_WHOLE = np.int32(2**31 - 1)
#: A decoder needs a TCP header up to its flags to see a probe or a reply.
_TCP_BYTES_MIN = 14


@dataclass(frozen=True, slots=True)
class Copied:
    """Copies as mirrors made them, one row each."""

    probe: Rows
    leg: I1
    place: U8  # tells the copies of one probe apart
    switch: I4  # switch row
    observed_at_us: I8


@dataclass(frozen=True, slots=True)
class Bits:
    """Bits that differ in copies: row of the copy, byte of the TCP segment, and mask."""

    copy: Rows
    offset: I4
    mask: U1


class CopyFaults:
    """What the faults that are on leave of the copies of one slice."""

    def __init__(
        self,
        faults: Sequence[ActiveFault],
        copied: Copied,
        probes: NDArray[np.void],
        lot: U8,
        book: TallyBook,
        seed: int,
    ) -> None:
        """lot: u8[n], of the probes (see fabric.simulator.draws)."""
        self._copied, self._probes, self._lot = copied, probes, lot
        self._book, self._seed = book, seed
        count = len(copied.probe)
        self.lost: Bools = np.zeros(count, dtype=np.bool_)  # sent, and never received: sequence gaps tell
        self.unsent: Bools = np.zeros(count, dtype=np.bool_)  # nothing tells
        self.unreadable: Bools = np.zeros(count, dtype=np.bool_)  # received, and no probe to be seen in it
        self.captured: I4 = np.full(count, _WHOLE, dtype=np.int32)  # bytes of the innermost IP packet
        self.altered: list[Bits] = []
        mine = [fault for fault in faults if fault.acts_on_copies]
        near = np.flatnonzero(np.isin(copied.switch, [row for f in mine for row in f.switch_rows]))
        for fault in mine if len(near) else ():
            self._act(fault, near[np.isin(copied.switch[near], fault.switch_rows)])

    @property
    def touched(self) -> Bools:
        """Copies whose bytes are not those of the packet: bool[c]."""
        touched: Bools = self.captured != _WHOLE
        for bits in self.altered:
            touched[bits.copy] = True
        return touched

    def alter(self, packets: U1, copy: Rows) -> None:
        """Alter packets as their copies are, in place: u1[m, w], normalised; intp[m], rows of the copies."""
        header = header_length(self._probes[self._copied.probe[copy]])
        row_of: I4 = np.full(len(self.captured), -1, dtype=np.int32)
        row_of[copy] = np.arange(len(copy))
        for bits in self.altered:
            row = row_of[bits.copy]
            mine = np.flatnonzero(row >= 0)
            packets[row[mine], header[row[mine]] + bits.offset[mine]] ^= bits.mask[mine]

    def cut(self, content: AlteredContent, copy: Rows) -> AlteredContent:
        """What a decoder makes of copies that are cut short: their hash is that of what is left."""
        captured = self.captured[copy]
        short = np.flatnonzero(captured < content.lengths)
        if not len(short):
            return content
        packets, lengths = content.packets[short], captured[short]
        zero_beyond(packets, lengths)
        content.content_hash[short] = content_hash(packets, lengths)
        content.flags[short] = DigestFlag.TRUNCATED
        return content

    def _act(self, fault: ActiveFault, at: Rows) -> None:
        # A collector that is out misses what arrives meanwhile; all else goes by the probe's send time.
        sent_at_us = self._book.sent_at_us[self._copied.probe[at]]
        at = at[fault.is_on(self._copied.observed_at_us[at] if fault.collector >= 0 else sent_at_us)]
        silenced, altered = at[:0], at[:0]
        if fault.kind == "mirror_outage":
            silenced = at
            self.unsent[at] = True
        elif fault.kind == "mirror_loss":
            silenced = at[fault.hits(self._lots(at), self._seed)]
            self.lost[silenced] = True
        elif fault.kind == "mirror_truncate":
            silenced, altered = self._cut(at, int(fault.spec.params["bytes"]))
        elif fault.kind == "mirror_corrupt":
            altered = self._corrupt(fault, at[fault.hits(self._lots(at), self._seed)])
        if len(at):
            self._book.add(fault.number, self._tally(at, silenced, altered))

    def _cut(self, at: Rows, bytes_left: int) -> tuple[Rows, Rows]:
        """Cut copies short; returns those in which no probe is to be seen any more, and the others cut."""
        probes, leg = self._probes[self._copied.probe[at]], self._copied.leg[at]
        captured = bytes_left - np.where(leg == Leg.ENCAPSULATED, tunnel_length(probes), 0)
        whole = np.where(
            leg == Leg.REPLY, packet_length(probes, reply=True), packet_length(probes, reply=False)
        )
        cut = np.flatnonzero(captured < whole)
        readable = captured[cut] >= header_length(probes[cut]) + _TCP_BYTES_MIN
        self.captured[at[cut]] = np.minimum(self.captured[at[cut]], np.maximum(captured[cut], 0))
        gone, left = at[cut[~readable]], at[cut[readable]]
        self.unreadable[gone] = True
        return gone, left

    def _corrupt(self, fault: ActiveFault, at: Rows) -> Rows:
        parts: list[Rows] = []
        for reply in (False, True):
            mine = at[(self._copied.leg[at] == Leg.REPLY) == reply]
            offset, mask = bits_to_flip(fault, self._lots(mine), self._seed, reply)
            inside = offset < segment_bytes(reply)
            self.altered.append(Bits(mine[inside], offset[inside], mask[inside]))
            parts.append(mine[inside])
        return np.concatenate(parts)

    def _lots(self, at: Rows) -> U8:
        return mix64(self._lot[self._copied.probe[at]] ^ self._copied.place[at])

    def _tally(self, met: Rows, silenced: Rows, altered: Rows) -> FaultTally:
        harmed = self._copied.probe[np.concatenate([silenced, altered])]
        times = np.sort(self._book.sent_at_us[harmed])[:HARMED_MAX]
        return FaultTally(
            packets=len(met),
            probes=len(np.unique(self._copied.probe[met])),
            silenced=len(silenced),
            altered=len(altered),
            harmed=len(harmed),
            harmed_at_us=tuple(times.tolist()),
        )
