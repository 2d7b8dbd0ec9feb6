"""Simulated digests equal those that the mirror decoder reads from the packets they stand for.

The packets are put together here, byte by byte, from what a digest says; the decoder knows nothing of the
simulator. So both agree on ports, TTLs, legs, lengths, hashes and flags, in every mirror dialect.
"""

import struct
from dataclasses import replace
from ipaddress import ip_address

import numpy as np
import pytest

from fabric.builtin import builtin_fabric
from fabric.faults import parse_spec
from fabric.lab.mirror_header import mirror_header
from fabric.model import PORT_FIELD_BY_DIALECT
from fabric.simulator import Simulator
from fabric.simulator.content import build_replies
from producers.mirror.digests import digest
from producers.mirror.inventory import ExporterMap, ProbeMap
from producers.packets import PacketBatch
from producers.plan import build_plan
from producers.wire import build
from schemas.rows import DIGEST, Leg

START_US = 1_700_000_000_000_000
SAMPLES = 400
ETHERNET = bytes(12) + b"\x08\x00"


def in_dialect(dialect):
    fabric = builtin_fabric("small")
    return replace(
        fabric,
        switches=tuple(
            replace(s, dialect=dialect, port_field=PORT_FIELD_BY_DIALECT[dialect]) for s in fabric.switches
        ),
    )


def ipv4(source, target, protocol, payload, ttl=64):
    head = struct.pack(">BBHHHBBH", 0x45, 0, 20 + len(payload), 0, 0x4000, ttl, protocol, 0)
    return head + ip_address(source).packed + ip_address(target).packed + payload


def as_copied(row, probe, altered):
    """The packet as the switch saw it."""
    ttl = int(row["ttl"])
    if altered is not None:
        inner = bytearray(altered)
    elif row["leg"] == Leg.REPLY:
        packets, lengths = build_replies(probe)
        inner = bytearray(packets[0, : lengths[0]].tobytes())
    else:
        bare = probe.copy()
        bare["via"] = np.zeros(1, "V16")
        inner = bytearray(build(bare)[0][0].tobytes())
    if row["leg"] != Leg.ENCAPSULATED:
        inner[8] = ttl
        return bytes(inner)
    inner[8] = 64
    source, via = (probe[name][0].tobytes()[12:] for name in ("outer_source", "via"))
    return ipv4(source, via, 4, bytes(inner), ttl)


def as_mirrored(fabric, row, packet):
    """The packet as a collector receives it."""
    switch = next(s for s in fabric.switches if s.node == row["switch"])
    header = mirror_header(switch.dialect, switch.port_field, switch.number, max(int(row["port"]), 1))
    front = bytearray(header.template)
    if header.timestamp_at is not None:
        struct.pack_into(">I", front, header.timestamp_at, int(row["exporter_time"]))
    gre = bytes(front) + ETHERNET + packet
    return ETHERNET + ipv4(switch.exporter_addresses[0], "100.127.0.1", 47, gre)


@pytest.mark.parametrize("dialect", [1, 2, 3, "teb"])
def test_simulated_digests_are_what_the_decoder_reads(dialect):
    fabric = in_dialect(dialect)
    simulator = Simulator(fabric, seed=4)
    simulator.inject(parse_spec("flip:spine-1:rate=0.7", fabric), START_US)
    probes = build_plan(fabric, fabric.probers[0]).due(START_US, START_US + 3_000_000)
    result = simulator.run(probes)
    packet_of = {a.row: a.packet for a in result.altered}
    row_of = {int(p): i for i, p in enumerate(probes["probe_id"])}

    flagged = [a.row for a in result.altered][: SAMPLES // 2]
    chosen = np.unique([*range(SAMPLES), *flagged])
    frames = []
    for i in chosen.tolist():
        row = result.digests[i]
        at = row_of[int(row["probe_id"])]
        packet = as_copied(row, probes[at : at + 1], packet_of.get(i))
        frames.append(as_mirrored(fabric, row, packet))
    batch = PacketBatch.of(frames, received_us=result.digests["observed_at_us"][chosen].tolist())

    decoded = digest(batch, ExporterMap.of(fabric), ProbeMap.of(fabric))
    assert not decoded.rejected
    expected = result.digests[chosen]
    for field in DIGEST.dtype.names:
        assert decoded.rows[field].tolist() == expected[field].tolist(), field
    assert {Leg(leg) for leg in np.unique(expected["leg"])} == set(Leg)
    assert [a.packet for a in decoded.altered] == [packet_of[i] for i in chosen.tolist() if i in packet_of]
    assert decoded.altered
