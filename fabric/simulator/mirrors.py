"""What collectors get of the copies that ingress mirrors made: digest rows, and what never arrived."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fabric.index import FabricIndex
from fabric.model import Fabric, Switch
from fabric.simulator.active import ActiveFault
from fabric.simulator.clocks import Clocks
from fabric.simulator.content import judge, packet_length, packets_of
from fabric.simulator.copy_faults import Copied, CopyFaults
from fabric.simulator.draws import draw_uniform
from fabric.simulator.ledger import Alteration, Ledger
from fabric.simulator.reply_hash import reply_hash
from fabric.simulator.routes import Routes
from fabric.simulator.settings import SimulatorSettings
from fabric.simulator.tally import TallyBook
from fabric.simulator.walk import Copies
from schemas.batch import AlteredPacket
from schemas.partition import mix64
from schemas.rows import DIGEST, DigestFlag, Direction, Leg, gather, rows_of

I4 = NDArray[np.int32]
I8 = NDArray[np.int64]
U8 = NDArray[np.uint64]
Bools = NDArray[np.bool_]
Rows = NDArray[np.intp]

_MIRROR = 2_000_002  # what a draw decides; see fabric.simulator.draws
_TICK_NS = 100_000  # of the clock that ERSPAN Type III exporters stamp copies with (granularity 0)


@dataclass(frozen=True, slots=True)
class Collected:
    """See fabric.simulator.simulator.Slice, which takes these over."""

    digests: NDArray[np.void]
    arrived_at_us: I8
    altered: Sequence[AlteredPacket]
    mirrored: I8
    mirror_lost: I8


class Mirrors:
    """All exporters and the way to their collectors."""

    def __init__(
        self, index: FabricIndex, routes: Routes, clocks: Clocks, seed: int, settings: SimulatorSettings
    ) -> None:
        switches = index.fabric.switches
        self._index, self._routes, self._clocks = index, routes, clocks
        self._seed, self._settings = seed, settings
        self._names_port = np.array([s.port_field != "none" for s in switches], dtype=np.bool_)
        self._stamps = np.array([s.dialect == 3 for s in switches], dtype=np.bool_)
        self._collector_of: I4 = np.array([_collector_place(index.fabric, s) for s in switches], np.int32)
        # No two exporters' clocks agree, and none loses as many copies as another.
        node = mix64(index.switch_node.astype(np.uint64))
        self._clock_skew: I8 = (node >> np.uint64(33)).astype(np.int64)
        deviation = 2 * draw_uniform(node, seed, _MIRROR) - 1
        self._loss_rate = settings.mirror_loss_rate * settings.mirror_loss_spread**deviation

    def collect(
        self,
        parts: list[Copies],
        ledger: Ledger,
        probes: NDArray[np.void],
        lot: U8,
        sent_hash: U8,
        faults: Sequence[ActiveFault],
    ) -> Collected:
        """parts: the copies of a walk. probes: structured[n], all of the slice; lot: u8[n], for their draws;
        sent_hash: u8[n], their content hashes. faults: all that are injected."""
        copies = _Joined(parts)
        row = self._routes.to_row[copies.link]
        settings = self._settings
        transit_us = settings.mirror_base_us + copies.mirror_delay * settings.mirror_jitter_us
        observed_at_us = copies.time_ns // 1_000 + transit_us.astype(np.int64)
        lost = self._background_loss(parts, lot)
        gone = lost
        spoilt = None
        acting = _acting(faults, ledger.book.sent_at_us, observed_at_us)
        if acting:
            copied = Copied(copies.probe, copies.leg, places_of(parts), row, observed_at_us)
            spoilt = CopyFaults(acting, copied, probes, lot, ledger.book, self._seed)
            lost = (lost | spoilt.lost) & ~spoilt.unsent
            gone = lost | spoilt.unsent
        switches = len(self._names_port)
        mirror_lost = np.bincount(row[lost], minlength=switches)
        mirrored = np.bincount(row[~gone], minlength=switches)
        digests = self._rows(copies, row, observed_at_us, probes, sent_hash)
        self._stamp(digests, row, observed_at_us, faults, ledger.book)
        order = order_of(observed_at_us)
        order = order[~(gone | spoilt.unreadable if spoilt else gone)[order]]
        digests = gather(digests, order)
        altered = _mark_altered(digests, copies, order, probes, ledger.alterations, spoilt)
        return Collected(
            digests,
            observed_at_us[order],
            altered,
            mirrored.astype(np.int64),
            mirror_lost.astype(np.int64),
        )

    def _rows(
        self, copies: _Joined, row: I4, observed_at_us: I8, probes: NDArray[np.void], sent_hash: U8
    ) -> NDArray[np.void]:
        """One digest of each copy, as if no packet had been altered."""
        # Probes first, then their replies: one look-up for both.
        packet = copies.probe + len(probes) * (copies.leg == Leg.REPLY)
        content_hash = np.concatenate([sent_hash, reply_hash(probes)])
        length = np.concatenate([packet_length(probes, reply=False), packet_length(probes, reply=True)])
        ticks = (copies.time_ns // _TICK_NS + self._clock_skew[row]) & 0xFFFFFFFF
        return rows_of(
            DIGEST,
            {
                "probe_id": probes["probe_id"][copies.probe],
                "observed_at_us": observed_at_us,
                "exporter_time": np.where(self._stamps[row], ticks, -1),
                "content_hash": content_hash[packet],
                "switch": self._index.switch_node[row],
                "port": np.where(self._names_port[row], self._index.link_to_port[copies.link], -1),
                "length": length[packet],
                "ttl": copies.ttl,
                "flags": 0,
                "leg": copies.leg,
                "direction": Direction.INGRESS,
            },
            len(copies.probe),
        )

    def _stamp(
        self,
        digests: NDArray[np.void],
        row: I4,
        observed_at_us: I8,
        faults: Sequence[ActiveFault],
        book: TallyBook,
    ) -> None:
        """Write the time as wrong clocks show it."""
        clocks = self._clocks
        off_us = clocks.of_collectors(self._collector_of[row], observed_at_us, faults, book)
        if not isinstance(off_us, int):
            digests["observed_at_us"] = observed_at_us + off_us
        off_us = clocks.of_exporters(row, observed_at_us, faults, book)
        if not isinstance(off_us, int):
            ticks = (digests["exporter_time"] + off_us * 1_000 // _TICK_NS) & 0xFFFFFFFF
            digests["exporter_time"] = np.where(self._stamps[row], ticks, -1)

    def _background_loss(self, parts: list[Copies], lot: U8) -> Bools:
        """Which copies are lost by chance: bool[copies], in the order in which they were made."""
        count = sum(len(copies.probe) for copies in parts)
        if self._settings.mirror_loss_rate <= 0:
            return np.zeros(count, dtype=np.bool_)
        return np.concatenate(
            [
                draw_uniform(lot[copies.probe], self._seed, _MIRROR, copies.leg, copies.hop)
                < self._loss_rate[self._routes.to_row[copies.link]]
                for copies in parts
            ]
        )


class _Joined:
    """The columns of all copies, in the order in which they were made."""

    def __init__(self, parts: list[Copies]) -> None:
        self.probe: Rows = np.concatenate([c.probe for c in parts])
        self.link: I4 = np.concatenate([c.link for c in parts])
        self.ttl = np.concatenate([c.ttl for c in parts])
        self.time_ns: I8 = np.concatenate([c.time_ns for c in parts])
        self.mirror_delay = np.concatenate([c.mirror_delay for c in parts])
        self.version = np.concatenate([c.version for c in parts])
        self.leg = np.repeat(np.array([c.leg for c in parts], np.int8), [len(c.probe) for c in parts])


def _collector_place(fabric: Fabric, switch: Switch) -> int:
    collector = fabric.collector_of(switch)
    return -1 if collector is None else fabric.collectors.index(collector)


def _acting(faults: Sequence[ActiveFault], sent_at_us: I8, observed_at_us: I8) -> list[ActiveFault]:
    """Faults of mirrors that are on while copies are made or on their way."""
    if not len(observed_at_us):
        return []
    first, last = int(sent_at_us.min()), int(observed_at_us.max())
    return [f for f in faults if f.acts_on_copies and f.start_us <= last and f.end_us > first]


def places_of(parts: list[Copies]) -> U8:
    """What tells the copies of one probe apart, for draws: u8[copies]."""
    place = np.array([copies.leg << 8 | copies.hop for copies in parts], dtype=np.uint64)
    return np.repeat(place, [len(copies.probe) for copies in parts])


def order_of(times: I8) -> Rows:
    """Rows in the order of their times, those of equal times as they came: i8[n] -> intp[n]."""
    if not len(times):
        return np.empty(0, dtype=np.intp)
    # One word holds time and row, and sorting plain words is ten times faster than a stable argsort.
    first = int(times.min())
    bits = len(times).bit_length()
    if (int(times.max()) - first).bit_length() + bits > 62:
        return np.argsort(times, kind="stable")
    key = (times - first) << bits | np.arange(len(times))
    key.sort()
    return np.asarray(key & ((1 << bits) - 1), dtype=np.intp)


def _mark_altered(
    digests: NDArray[np.void],
    copies: _Joined,
    order: Rows,
    probes: NDArray[np.void],
    alterations: list[Alteration],
    spoilt: CopyFaults | None,
) -> list[AlteredPacket]:
    """Give altered copies their true hash and flags; return those whose content is visibly wrong.

    order: row of `copies` of each digest.
    """
    altered: list[AlteredPacket] = []
    if not alterations and spoilt is None:
        return altered
    version, is_reply = copies.version[order], copies.leg[order] == Leg.REPLY
    touched = version > 0
    if spoilt is not None:
        touched |= spoilt.touched[order]
    for reply in (False, True):
        rows = np.flatnonzero(touched & (is_reply == reply))
        if not len(rows):
            continue
        probe = copies.probe[order[rows]]
        packets = packets_of(probes, probe, version[rows], reply, alterations)
        if spoilt is not None:
            spoilt.alter(packets, order[rows])
        content = judge(packets, probes[probe], reply)
        if spoilt is not None:
            content = spoilt.cut(content, order[rows])
        digests["content_hash"][rows] = content.content_hash
        digests["flags"][rows] = content.flags
        # Rare, and a packet is bytes anyway.
        for at in np.flatnonzero(content.flags & ~DigestFlag.TRUNCATED).tolist():
            packet = content.packets[at, : content.lengths[at]].tobytes()
            altered.append(AlteredPacket(int(rows[at]), packet))
    return altered
