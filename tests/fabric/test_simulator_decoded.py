"""Simulated digests equal those that the mirror decoder reads from the packets they stand for.

The packets are put together here, byte by byte, from what a digest says; the decoder knows nothing of the
simulator. So both agree on ports, TTLs, legs, lengths, hashes and flags, in every mirror dialect and both
address families, of whole copies, of copies cut short and of copies gone bad.
"""

import struct
from dataclasses import replace
from ipaddress import ip_address

import numpy as np
import pytest

from fabric.address import unpack_address
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
from schemas.rows import DIGEST, DigestFlag, Leg
from tests.fabric.simulated import SMALL, SMALL_6, START_US

SAMPLES = 400
BYTES_LEFT = 120
ETHERNET = bytes(12) + b"\x08\x00"


def in_dialect(dialect, fabric=SMALL):
    return replace(
        fabric,
        switches=tuple(
            replace(s, dialect=dialect, port_field=PORT_FIELD_BY_DIALECT[dialect]) for s in fabric.switches
        ),
    )


def ip(source, target, protocol, payload, ttl=64):
    source, target = ip_address(source), ip_address(target)
    if source.version == 6:
        head = struct.pack(">IHBB", 6 << 28, len(payload), protocol, ttl)
    else:
        head = struct.pack(">BBHHHBBH", 0x45, 0, 20 + len(payload), 0, 0x4000, ttl, protocol, 0)
    return head + source.packed + target.packed + payload


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
    six = inner[0] >> 4 == 6
    inner[7 if six else 8] = ttl if row["leg"] != Leg.ENCAPSULATED else 64
    if row["leg"] != Leg.ENCAPSULATED:
        return bytes(inner)
    addresses = (unpack_address(probe[name][0].tobytes()) for name in ("outer_source", "via"))
    return ip(*addresses, 41 if six else 4, bytes(inner), ttl)


def as_mirrored(fabric, row, packet, bytes_left=None):
    """The packet, or what is left of it, as a collector receives it."""
    switch = next(s for s in fabric.switches if s.node == row["switch"])
    header = mirror_header(switch.dialect, switch.port_field, switch.number, max(int(row["port"]), 1))
    front = bytearray(header.template)
    if header.timestamp_at is not None:
        struct.pack_into(">I", front, header.timestamp_at, int(row["exporter_time"]))
    kind = b"\x86\xdd" if packet[0] >> 4 == 6 else b"\x08\x00"
    gre = bytes(front) + ETHERNET[:-2] + kind + packet[:bytes_left]
    return ETHERNET + ip(switch.exporter_addresses[0], "100.127.0.1", 47, gre)


@pytest.mark.parametrize(
    "fabric",
    [*(in_dialect(dialect) for dialect in (1, 2, 3, "teb")), in_dialect(2, SMALL_6)],
    ids=["type 1", "type 2", "type 3", "teb", "v6"],
)
def test_simulated_digests_are_what_the_decoder_reads(fabric):
    faults = (
        "flip:spine-1:rate=0.7",
        "mirror_corrupt:leaf-1-1:rate=0.5",
        f"mirror_truncate:tor-1-1:bytes={BYTES_LEFT}",
        f"mirror_truncate:spine-2:bytes={BYTES_LEFT}",
    )
    simulator = Simulator(fabric, seed=4)
    for fault in faults:
        simulator.inject(parse_spec(fault, fabric), START_US)
    probes = build_plan(fabric, fabric.probers[0]).due(START_US, START_US + 3_000_000)
    result = simulator.run(probes)
    packet_of = {a.row: a.packet for a in result.altered}
    row_of = {int(p): i for i, p in enumerate(probes["probe_id"])}

    flagged = np.flatnonzero(result.digests["flags"] != 0).tolist()[: 2 * SAMPLES]
    chosen = np.unique([*range(SAMPLES), *flagged])
    frames = []
    for i in chosen.tolist():
        row = result.digests[i]
        at = row_of[int(row["probe_id"])]
        packet = as_copied(row, probes[at : at + 1], packet_of.get(i))
        cut = BYTES_LEFT if row["flags"] & DigestFlag.TRUNCATED else None
        frames.append(as_mirrored(fabric, row, packet, cut))
    batch = PacketBatch.of(frames, received_us=result.digests["observed_at_us"][chosen].tolist())

    decoded = digest(batch, ExporterMap.of(fabric), ProbeMap.of(fabric))
    assert not decoded.rejected
    expected = result.digests[chosen]
    # A packet that the flip altered and that was cut short then is not rebuilt here: its bytes do not travel.
    known = expected["flags"] & DigestFlag.TRUNCATED == 0
    known |= ~np.isin(expected["probe_id"], probes["probe_id"][result.truth.altered_leg >= 0])
    for field in DIGEST.dtype.names:
        rows = known if field == "content_hash" else slice(None)
        assert decoded.rows[field][rows].tolist() == expected[field][rows].tolist(), field
    assert {Leg(leg) for leg in np.unique(expected["leg"])} == set(Leg)
    assert [a.packet for a in decoded.altered] == [packet_of[i] for i in chosen.tolist() if i in packet_of]
    assert decoded.altered
    assert (known & (expected["flags"] == DigestFlag.TRUNCATED)).sum() > 50
    corrupted = expected["switch"] == fabric.node("leaf-1-1")
    assert (expected["flags"][corrupted] > 0).any()


def test_what_the_decoder_cannot_read_is_no_digest():
    """Where a cut takes the TCP header too, the simulator has no digest and the decoder finds no probe."""
    for fabric, bytes_left in ((SMALL, 33), (SMALL_6, 53)):
        whole = Simulator(fabric, seed=4).run(
            build_plan(fabric, fabric.probers[0]).due(START_US, START_US + 10**6)
        )
        row_of = {int(p): i for i, p in enumerate(whole.probes["probe_id"])}
        frames = []
        for row in whole.digests[:SAMPLES]:
            at = row_of[int(row["probe_id"])]
            packet = as_copied(row, whole.probes[at : at + 1], None)
            frames += [as_mirrored(fabric, row, packet, bytes_left + more) for more in (0, 1)]
        decoded = digest(PacketBatch.of(frames), ExporterMap.of(fabric), ProbeMap.of(fabric))
        plain = whole.digests[:SAMPLES]["leg"] != Leg.ENCAPSULATED
        assert len(decoded.rows) == plain.sum() > 0
        assert sum(decoded.rejected.values()) == len(frames) - plain.sum()
