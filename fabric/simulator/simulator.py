"""The simulator: probes of a stretch of time in, what Prober and collectors would report out.

What it models, hop by hop and for all packets at once:

- every switch hashes the five-tuple with a seed of its own; encapsulated probes by their outer addresses
  alone, as routers do that know no inner header;
- every switch mirrors at ingress: leg 0 up to and including the decapsulating switch. That one mirrors the
  packet once, as it came in, and forwards the inner packet; leg 1 is seen from the next switch on;
- TTLs count down per switch: the outer one on leg 0, the inner one from decapsulation on (which counts as a
  hop), and 64 again for the reply;
- a kernel drops a probe with a bad TCP checksum and answers the others with a RST; a Prober, which reads raw
  packets, takes a RST whatever its checksum.

A fault acts on packets by the send time of their probe; only a collector that is out misses what arrives
meanwhile. Everything is a function of seed, faults and probes: runs over the same probes agree, however they
are cut into slices.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fabric.faults import FaultSpec
from fabric.index import FabricIndex
from fabric.lookup import ColumnLookup
from fabric.model import Fabric
from fabric.simulator.active import ActiveFault, Chips, activate
from fabric.simulator.clocks import Clocks
from fabric.simulator.draws import lots
from fabric.simulator.hazards import Hazards
from fabric.simulator.hosts import Answers, Hosts
from fabric.simulator.ledger import Ledger
from fabric.simulator.mirrors import Mirrors
from fabric.simulator.routes import NO_LINK, Routes
from fabric.simulator.settings import SimulatorSettings
from fabric.simulator.sources import Sources
from fabric.simulator.tally import HARMED_MAX, FaultTally, TallyBook
from fabric.simulator.truth import Truth
from fabric.simulator.walk import Packets, Walk, join_packets
from producers.wire import TTL, address_words, content_hash_as_sent
from schemas.batch import AlteredPacket
from schemas.nodes import PROBER_BASE
from schemas.partition import MEMBER_BITS, mix64
from schemas.rows import OUTCOME, Leg, ReplyKind, gather, rows_of

I4 = NDArray[np.int32]
I8 = NDArray[np.int64]
U8 = NDArray[np.uint64]


@dataclass(frozen=True, slots=True)
class Slice:
    """What became of n probes: those given, without those that a Prober that was out did not send."""

    probes: NDArray[np.void]  # as sent: `sent_at_us` is what the Prober's clock showed
    outcomes: NDArray[np.void]  # OUTCOME.dtype[n], in the order of the probes
    known_at_us: I8  # i8[n]: when the Prober knows each outcome (reply or timeout), us since 1970
    digests: NDArray[np.void]  # DIGEST.dtype[m], in the order of their arrival
    arrived_at_us: (
        I8  # i8[m]: when each really arrived; `observed_at_us` is what the collector's clock showed
    )
    altered: Sequence[AlteredPacket]  # whole packets of the digests (by row) whose content is wrong
    mirrored: I8  # i8[S]: copies that reached a collector, per row of the switch table
    mirror_lost: I8  # i8[S]: copies that did not
    truth: Truth
    tallies: Mapping[
        int, FaultTally
    ]  # by fault number: what each fault met and did; absent if it met nothing


class Simulator:
    """A running network. Not thread-safe."""

    def __init__(self, fabric: Fabric, seed: int, settings: SimulatorSettings | None = None) -> None:
        self.fabric = fabric
        self.settings = settings or SimulatorSettings()
        self.faults: list[ActiveFault] = []
        self._seed = seed
        self._index: FabricIndex = fabric.index
        self._routes = Routes(self._index, seed)
        self._chips = Chips(self._index)
        self._ends = _Ends(self._index, self._routes)
        self._hosts = Hosts(self._index, seed, self.settings)
        self._clocks = Clocks(fabric, seed, self.settings)
        self.sources = Sources(self._clocks, self.faults)
        self._mirrors = Mirrors(self._index, self._routes, self._clocks, seed, self.settings)

    def inject(self, spec: FaultSpec, start_us: int) -> int:
        """Switch a fault on for probes sent from `start_us` on, for as long as the specification says.

        `after` is left to the caller, who knows when the run began. Returns the number of the fault.
        """
        number = len(self.faults)
        self.faults.append(activate(spec, number, start_us, self._index, self._chips))
        return number

    def run(self, probes: NDArray[np.void]) -> Slice:
        """Send probes.

        probes: structured[n] with the fields of producers.plan.PLANNED_DTYPE. Raises ValueError if one comes
        from a Prober, or goes to a target or by a switch, that is not in the fabric.
        """
        faults = self._faults_on(probes["sent_at_us"].astype(np.int64))
        probes, unsent = send_from_working_probers(probes, faults)
        sent_at_us = probes["sent_at_us"].astype(np.int64)
        ledger = Ledger(sent_at_us)
        for number, tally in unsent.items():
            ledger.book.add(number, tally)
        probes = self._as_stamped(probes, sent_at_us, faults, ledger.book)
        hazards = Hazards(faults, self._index, self._routes, self._chips, ledger, probes, seed=self._seed)
        walk = Walk(self._index, self._routes, hazards, ledger, seed=self._seed, settings=self.settings)
        lot = lots(probes["probe_id"].astype(np.int64), sent_at_us)
        packets = self._send(probes, sent_at_us, lot)
        encapsulated = probes["via_node"] >= 0
        if encapsulated.any():
            packets = self._encapsulated(walk, packets, probes, encapsulated)
        start_ns = sent_at_us * 1_000 + self._member_delay_ns(probes)
        received = walk.deliver(packets, Leg.PROBE)
        answers = self._hosts.answer(received, probes, faults, ledger)
        replies = walk.deliver(self._reply(received, answers, probes), Leg.REPLY)

        sent_hash = content_hash_as_sent(probes)
        outcomes, known_after_us = self._outcomes(probes, replies, start_ns, sent_hash)
        got = self._mirrors.collect(walk.copies, ledger, probes, lot, sent_hash, self.faults)
        return Slice(
            probes=probes,
            outcomes=outcomes,
            known_at_us=sent_at_us + known_after_us,
            digests=got.digests,
            arrived_at_us=got.arrived_at_us,
            altered=got.altered,
            mirrored=got.mirrored,
            mirror_lost=got.mirror_lost,
            truth=ledger.truth,
            tallies=ledger.book.tallies(),
        )

    def _as_stamped(
        self, probes: NDArray[np.void], sent_at_us: I8, faults: list[ActiveFault], book: TallyBook
    ) -> NDArray[np.void]:
        """The probes with the send time that their Probers' clocks showed."""
        number = probes["probe_id"].astype(np.int64) >> 32
        off_us = self._clocks.of_probers(number, sent_at_us, faults, book)
        if isinstance(off_us, int):
            return probes
        probes = probes.copy()
        probes["sent_at_us"] = sent_at_us + off_us
        return probes

    def _faults_on(self, sent_at_us: I8) -> list[ActiveFault]:
        if not len(sent_at_us):
            return []
        first, last = int(sent_at_us.min()), int(sent_at_us.max())
        return [f for f in self.faults if f.start_us <= last and f.end_us > first]

    def _member_delay_ns(self, probes: NDArray[np.void]) -> I8:
        member = probes["probe_id"].astype(np.int64) & ((1 << MEMBER_BITS) - 1)
        return member * self.settings.member_gap_ns

    def _send(self, probes: NDArray[np.void], sent_at_us: I8, lot: U8) -> Packets:
        probe_id = probes["probe_id"].astype(np.int64)
        prober = (PROBER_BASE + (probe_id >> 32)).astype(np.int32)
        target = probes["target_node"].astype(np.int32)
        return Packets(
            probe=np.arange(len(probes)),
            lot=lot,
            flow=_flow(probes["source"], probes["target"], probes["source_port"], probes["destination_port"]),
            link=self._ends.up(prober),
            destination=self._ends.switch(target),
            last_link=self._ends.down(target),
            ttl=np.full(len(probes), TTL, dtype=np.int16),
            time_ns=sent_at_us * 1_000 + self._member_delay_ns(probes),
            version=np.zeros(len(probes), dtype=np.int16),
        )

    def _encapsulated(
        self, walk: Walk, packets: Packets, probes: NDArray[np.void], encapsulated: NDArray[np.bool_]
    ) -> Packets:
        """All packets of leg 1: those that are sent bare, and those that survive leg 0."""
        rows = np.flatnonzero(encapsulated)
        via = self._index.switch_row(probes["via_node"][rows].astype(np.int32))
        if (via < 0).any():
            raise ValueError("a probe goes by a switch that is not in the fabric")
        outer = packets.take(rows)
        outer.destination = via
        outer.last_link = np.full(len(rows), NO_LINK, dtype=np.int32)
        no_port = np.zeros(len(rows), dtype=np.int32)
        outer.flow = _flow(probes["outer_source"][rows], probes["via"][rows], no_port, no_port)
        inner = walk.encapsulated(outer)
        # The version and the clock of the outer packet go on; all else is the inner packet's own.
        sent = packets.take(inner.probe)
        sent.link, sent.time_ns, sent.version = inner.link, inner.time_ns, inner.version
        return join_packets(packets.take(~encapsulated), walk.decapsulate(sent))

    def _reply(self, received: Packets, answers: Answers, probes: NDArray[np.void]) -> Packets:
        packets = received.take(answers.answered)
        mine = gather(probes, packets.probe)
        target = mine["target_node"].astype(np.int32)
        prober = (PROBER_BASE + (mine["probe_id"].astype(np.int64) >> 32)).astype(np.int32)
        return Packets(
            probe=packets.probe,
            lot=packets.lot,
            flow=_flow(mine["target"], mine["source"], mine["destination_port"], mine["source_port"]),
            link=self._ends.up(target),
            destination=self._ends.switch(prober),
            last_link=self._ends.down(prober),
            ttl=np.full(len(packets), TTL, dtype=np.int16),
            time_ns=packets.time_ns + answers.delay_ns[answers.answered],
            version=np.zeros(len(packets), dtype=np.int16),
        )

    def _outcomes(
        self, probes: NDArray[np.void], replies: Packets, start_ns: I8, sent_hash: U8
    ) -> tuple[NDArray[np.void], I8]:
        timeout_us = self.settings.timeout_ms * 1_000
        rtt_ns = np.full(len(probes), -1, dtype=np.int64)
        rtt_ns[replies.probe] = replies.time_ns - start_ns[replies.probe]
        reply_ttl = np.full(len(probes), -1, dtype=np.int16)
        reply_ttl[replies.probe] = replies.ttl
        answered = (rtt_ns >= 0) & (rtt_ns <= timeout_us * 1_000)
        rtt_ns[~answered] = reply_ttl[~answered] = -1
        columns: dict[str, np.ndarray | int] = {
            name: probes[name]
            for name in ("probe_id", "sent_at_us", "target", "via", "source_port", "destination_port")
        }
        columns |= {"kind": probes["kind"], "group_size": probes["group_size"]}
        columns |= {"rtt_ns": rtt_ns, "reply_ttl": reply_ttl}
        columns["reply_kind"] = np.where(answered, ReplyKind.RST, ReplyKind.NONE)
        columns["content_hash"] = sent_hash
        after_us = np.where(answered, -(-rtt_ns // 1_000), timeout_us)
        return rows_of(OUTCOME, columns, len(probes)), after_us


def send_from_working_probers(
    probes: NDArray[np.void], faults: Sequence[ActiveFault]
) -> tuple[NDArray[np.void], dict[int, FaultTally]]:
    """The probes whose Prober is not out, and what each outage kept from being sent."""
    tallies: dict[int, FaultTally] = {}
    for fault in faults:
        if fault.kind != "prober_outage":
            continue
        sent_at_us = probes["sent_at_us"].astype(np.int64)
        out = (probes["probe_id"].astype(np.int64) >> 32 == fault.node - PROBER_BASE) & fault.is_on(
            sent_at_us
        )
        if out.any():
            count, first = int(np.count_nonzero(out)), np.sort(sent_at_us[out])[:HARMED_MAX]
            tallies[fault.number] = FaultTally(
                count, count, silenced=count, harmed=count, harmed_at_us=tuple(first.tolist())
            )
            probes = probes[~out]
    return probes, tallies


class _Ends:
    """How servers and Probers hang from the fabric."""

    def __init__(self, index: FabricIndex, routes: Routes) -> None:
        up = np.flatnonzero(routes.from_row < 0).astype(np.int32)
        down = np.flatnonzero(routes.to_row < 0).astype(np.int32)
        self._up = ColumnLookup(index.link_from[up].astype(np.uint64), up)
        self._down = ColumnLookup(index.link_to[down].astype(np.uint64), down)
        self._routes = routes

    def up(self, node: I4) -> I4:
        """Link from each server or Prober to its switch. Raises ValueError if it is not in the fabric."""
        return self._known(self._up(node.astype(np.uint64)))

    def down(self, node: I4) -> I4:
        """Link from its switch to each server or Prober. Raises ValueError if it is not in the fabric."""
        return self._known(self._down(node.astype(np.uint64)))

    def switch(self, node: I4) -> I4:
        """Row of the switch that each server or Prober hangs from."""
        return self._routes.to_row[self.up(node)]

    @staticmethod
    def _known(link: I4) -> I4:
        if (link < 0).any():
            raise ValueError("a probe comes from or goes to a node that is not in the fabric")
        return link


def _flow(
    source: NDArray[np.void],
    target: NDArray[np.void],
    source_port: NDArray[np.integer],
    target_port: NDArray[np.integer],
) -> U8:
    """Hash of the five-tuple: V16[n], V16[n], integers[n] twice -> u8[n]."""
    ports = (source_port.astype(np.uint64) << np.uint64(16)) | target_port.astype(np.uint64)
    flow = mix64(ports + np.uint64(0x9E3779B97F4A7C15))
    for address in (source, target):
        high, low = address_words(address)
        flow = mix64(flow ^ low) + high
    return flow
