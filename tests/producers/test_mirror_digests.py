"""Which copies become digests, of which probe, and what is said about them."""

from __future__ import annotations

import numpy as np
import pytest
from mirror_frames import (
    EXPORTER,
    HARDWARE_ID,
    INDEX,
    KEY,
    PROBE_PORT,
    PROBER,
    PROBER_NUMBER,
    SESSION,
    TARGET,
    TIMESTAMP,
    Wrap,
    arp_frame,
    encapsulated,
    network,
    probe_id_of,
    rst,
    syn,
)
from scapy.layers.inet import TCP
from scapy.packet import Packet, Raw

from fabric.inventory import load_fabric
from producers.addresses import AddressTable
from producers.mirror.digests import NOT_A_PROBE, UNKNOWN_EXPORTER, Digests, digest
from producers.mirror.inventory import Exporter, ExporterMap, ProbeMap
from producers.packets import PacketBatch
from schemas.rows import DIGEST, DigestFlag, Direction, Leg

PROBES = ProbeMap(AddressTable({PROBER[4]: PROBER_NUMBER, PROBER[6]: PROBER_NUMBER}), PROBE_PORT)
EXPORTERS = ExporterMap([Exporter(EXPORTER[4], 11, "index"), Exporter(EXPORTER[6], 12, "none")])


def digests_of(*frames: bytes, exporters: ExporterMap = EXPORTERS) -> Digests:
    return digest(
        PacketBatch.of(frames, received_us=[1_000 + n for n in range(len(frames))]), exporters, PROBES
    )


@pytest.mark.parametrize("version", [4, 6])
@pytest.mark.parametrize("outer", [4, 6])
def test_all_three_legs_name_the_same_probe(version: int, outer: int) -> None:
    seq32 = 0xFFFFFFF9
    legs = [
        encapsulated(syn(version, seq32), 4, ttl=44),
        syn(version, seq32, ttl=43),
        rst(version, seq32, ttl=42),
    ]
    rows = digests_of(*(Wrap("III", outer).frame(packet) for packet in legs)).rows
    assert rows.dtype == DIGEST.dtype
    assert rows["probe_id"].tolist() == [probe_id_of(seq32)] * 3
    assert rows["leg"].tolist() == [Leg.ENCAPSULATED, Leg.PROBE, Leg.REPLY]
    assert rows["ttl"].tolist() == [44, 43, 42]
    assert rows["flags"].tolist() == [0, 0, 0]
    assert rows["observed_at_us"].tolist() == [1_000, 1_001, 1_002]
    assert rows["exporter_time"].tolist() == [TIMESTAMP] * 3
    assert rows["direction"].tolist() == [Direction.EGRESS] * 3
    assert rows["switch"].tolist() == [11 if outer == 4 else 12] * 3
    header_length = 20 if version == 4 else 40
    assert rows["length"].tolist() == [header_length + 532, header_length + 532, header_length + 20]
    assert rows["content_hash"][0] == rows["content_hash"][1] != rows["content_hash"][2]


@pytest.mark.parametrize("seq32", [0, 1, 0x1FFFFFFF, 2**32 - 513, 2**32 - 1])
def test_replies_give_the_sequence_number_back_across_the_wrap(seq32: int) -> None:
    assert digests_of(Wrap().frame(rst(4, seq32))).rows["probe_id"].tolist() == [probe_id_of(seq32)]


def test_an_open_port_acknowledges_the_syn_alone() -> None:
    tcp = TCP(sport=PROBE_PORT, dport=33_000, ack=1_001, flags="SA")
    row = digests_of(Wrap().frame(network(4, TARGET[4], PROBER[4], 60) / tcp)).rows
    assert (row["probe_id"].tolist(), row["leg"].tolist()) == ([probe_id_of(1_000)], [Leg.REPLY])


@pytest.mark.parametrize(
    ("wrap", "port_field", "port"),
    [
        (Wrap("II"), "index", INDEX),
        (Wrap("II"), "session", SESSION),
        (Wrap("III"), "session", SESSION),
        (Wrap("III"), "hardware_id", HARDWARE_ID),
        (Wrap("teb", key=KEY), "key", KEY),
        (Wrap("teb", key=0xFFFFFFFF), "key", -1),
        (Wrap("teb"), "key", -1),
        (Wrap("I"), "none", -1),
    ],
)
def test_the_port_is_read_where_the_inventory_says(wrap: Wrap, port_field: str, port: int) -> None:
    exporters = ExporterMap([Exporter(EXPORTER[4], 1, port_field)])  # type: ignore[arg-type]
    assert digests_of(wrap.frame(syn()), exporters=exporters).rows["port"].tolist() == [port]


def altered(packet: Packet, at: int, mask: int = 0x20) -> bytes:
    raw = bytearray(bytes(packet))
    raw[at] ^= mask
    return bytes(raw)


@pytest.mark.parametrize("version", [4, 6])
@pytest.mark.parametrize("leg", [Leg.ENCAPSULATED, Leg.PROBE])
def test_every_altered_byte_of_the_payload_is_reported_with_the_packet(version: int, leg: Leg) -> None:
    packet = syn(version)
    payload_at = len(bytes(packet)) - 512
    at = [payload_at + n for n in [*range(16), *range(24, 512, 13), 511]]  # all but the send time
    packets = [altered(packet, each) for each in at]
    if leg is Leg.ENCAPSULATED:
        packets = [bytes(encapsulated(Raw(each), 4)) for each in packets]
        packets = [each[:9] + bytes([4 if version == 4 else 41]) + each[10:] for each in packets]
    digests = digests_of(*(Wrap().frame(each) for each in packets))
    assert (digests.rows["leg"] == leg).all()
    assert (digests.rows["flags"] == DigestFlag.BAD_CHECKSUM | DigestFlag.PAYLOAD_ALTERED).all()
    assert [each.row for each in digests.altered] == list(range(len(at)))
    for each, place in zip(digests.altered, at, strict=True):
        assert len(each.packet) == len(bytes(packet))
        assert each.packet[place] == bytes(packet)[place] ^ 0x20


def test_a_repaired_checksum_does_not_hide_an_altered_payload() -> None:
    packet = network(4, PROBER[4], TARGET[4], 9) / TCP(
        sport=33_000, dport=PROBE_PORT, seq=0x1234567, flags="S"
    )
    packet /= Raw(altered(syn(4), 300)[-512:])  # scapy fills in a checksum that is right for what it covers
    digests = digests_of(Wrap().frame(packet))
    assert digests.rows["flags"].tolist() == [DigestFlag.PAYLOAD_ALTERED]
    assert len(digests.altered) == 1


def test_an_altered_send_time_or_header_shows_in_checksum_and_hash() -> None:
    good = syn(4)
    rows = digests_of(*(Wrap().frame(p) for p in (bytes(good), altered(good, 60), altered(good, 34)))).rows
    assert rows["flags"].tolist() == [0, DigestFlag.BAD_CHECKSUM, DigestFlag.BAD_CHECKSUM]
    assert len(set(rows["content_hash"].tolist())) == 3


def test_truncated_copies_are_digests_without_verdict() -> None:
    frame = Wrap().frame(syn(4))
    digests = digests_of(frame[:120], frame[:-1])
    assert digests.rows["flags"].tolist() == [DigestFlag.TRUNCATED] * 2
    assert digests.altered == ()


def test_everything_else_is_counted() -> None:
    other_port = network(4, PROBER[4], TARGET[4], 9) / TCP(dport=80, flags="S") / Raw(bytes(512))
    stranger = network(4, "10.9.9.9", TARGET[4], 9) / TCP(dport=PROBE_PORT, flags="S") / Raw(bytes(512))
    short = network(4, PROBER[4], TARGET[4], 9) / TCP(dport=PROBE_PORT, flags="S")
    good = Wrap().frame(syn(4))
    digests = digests_of(
        good,
        *(Wrap().frame(packet) for packet in (other_port, stranger, short)),
        arp_frame(Wrap()),
        Wrap(exporter="192.0.2.200").frame(syn(4)),
        good[:60],
        good[14:],
    )
    assert len(digests.rows) == 1
    assert digests.rejected == {NOT_A_PROBE: 4, UNKNOWN_EXPORTER: 1, "inner_cut": 1, "not_a_mirror": 1}
    assert len(digests.copies.switch) == 5


def test_no_frames_are_no_digests() -> None:
    assert len(digests_of().rows) == 0


def test_an_exporter_belongs_to_one_switch() -> None:
    with pytest.raises(ValueError, match="twice"):
        ExporterMap([Exporter("192.0.2.1", 1, "index"), Exporter("192.0.2.1", 2, "index")])


def test_maps_of_a_fabric_know_its_exporters_and_probers() -> None:
    fabric = load_fabric("lab")
    exporters, probes = ExporterMap.of(fabric), ProbeMap.of(fabric)
    switch, prober = fabric.switches[-1], fabric.probers[0]
    probe = syn(4)
    probe.src, probe[TCP].dport = prober.address, fabric.probe_port
    del probe[TCP].chksum
    frame = Wrap(
        {1: "I", 2: "II", 3: "III", "teb": "teb"}[switch.dialect], exporter=switch.exporter_addresses[0]
    )
    digests = digest(PacketBatch.of([frame.frame(probe)]), exporters, probes)
    assert digests.rows["switch"].tolist() == [switch.node]
    assert (np.asarray(digests.rows["probe_id"]) >> 32).tolist() == [prober.number]
