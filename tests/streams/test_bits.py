"""Which bytes and bits of a packet were altered: in payload and headers, of probes and of replies."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scapy.layers.inet import IP, TCP
from scapy.layers.inet6 import IPv6
from scapy.packet import Raw

from fabric.address import pack_address
from producers.content import normalise
from producers.wire import PROBE_DTYPE, build
from schemas.payload import build_payload
from schemas.rows import OUTCOME
from streams import bits, packets
from streams.expected import expected_packets, is_certain, is_v4
from streams.join import Network
from streams.probes import ProbeColumns, Probes
from streams.settings import JoinSettings
from tests.streams.by_hand import DOWN, UP, Path, judge, lost
from tests.streams.fabrics import table
from tests.streams.logs import SMALL, START_US, Scenario, record
from tests.streams.plain_bytes import normalised
from tests.streams.reading import read

PROBE_ID = (1 << 32) | (7 << 3)
PROBER = {4: SMALL.prober_by_name["prober-1"].address, 6: "2001:db8::7"}
TARGET = {4: SMALL.server_by_name["server-2-1-1"].addresses[0], 6: "2001:db8::99"}
SOURCE_PORT, PORT = 20_000, 65_111
OUT, BACK = 1, 2


def network(version: int, source: str, destination: str):
    return (
        IP(src=source, dst=destination, id=0, flags="DF")
        if version == 4
        else IPv6(src=source, dst=destination)
    )


def probe_packet(version: int = 4, member: int = 0) -> bytes:
    """A probe of by_hand as scapy builds it, normalised."""
    probe_id = PROBE_ID + member
    payload = build_payload(np.array([probe_id]), np.array([START_US]))[0].tobytes()
    tcp = TCP(sport=SOURCE_PORT, dport=PORT, seq=probe_id % 2**32, flags="S", window=1024)
    return normalised(bytes(network(version, PROBER[version], TARGET[version]) / tcp / Raw(payload)))


def reset_packet(version: int = 4, member: int = 0, **fields) -> bytes:
    ack = (PROBE_ID + member + 513) % 2**32
    tcp = {"sport": PORT, "dport": SOURCE_PORT, "seq": 0, "ack": ack, "flags": "RA", "window": 0}
    packet = network(version, TARGET[version], PROBER[version]) / TCP(**{**tcp, **fields})
    return normalised(bytes(packet))


def flipped(packet: bytes, *flips: tuple[int, int]) -> bytes:
    out = bytearray(packet)
    for at, mask in flips:
        out[at] ^= mask
    return bytes(out)


def named(path: Path) -> list[tuple[int, int, int]]:
    """(offset, byte as sent, byte as seen) of the only probe's result."""
    (row,) = judge(path).rows.values()
    assert all(a["xor_mask"] == a["sent"] ^ a["seen"] for a in row["alterations"])
    return [(a["byte_offset"], a["sent"], a["seen"]) for a in row["alterations"]]


def bit_table(*paths: Path) -> dict[tuple[str, str, int, int, int], tuple[int, int]]:
    """(from, to, leg, byte, bit) -> (to one, to zero)."""
    rows = table(judge(*(replace(p, member=m) for m, p in enumerate(paths))).heads, "bits")
    name = SMALL.node_name
    return {(name(a), name(b) if b >= 0 else "?", *at): (one, zero) for a, b, *at, one, zero in rows}


def out_altered(seen: bytes, **more) -> Path:
    return Path(out="border-1 spine-1 leaf-2-1* tor-2-1*", back=UP, packets={"leaf-2-1*": seen}, **more)


def back_altered(seen: bytes, **more) -> Path:
    back = "tor-2-1 leaf-2-2 spine-2* border-1*"
    return Path(out=DOWN, back=back, packets={"spine-2*": seen}, **more)


# -- what packets must be ---------------------------------------------------------------------------


def probes_of(version: int) -> Probes:
    rows = np.zeros(5, OUTCOME.dtype)
    rows["probe_id"] = [PROBE_ID, 1, (1 << 32) | 0xFFFFFFFF, (65_535 << 32) | 0x80000000, (3 << 32) | 12_345]
    rows["sent_at_us"] = START_US + 1_000_003 * np.arange(5)
    rows["source_port"], rows["destination_port"] = [20_000, 1, 65_535, 33_000, 49_999], PORT
    tail = range(1, 6)
    texts = [f"10.0.{n}.{255 - n}" for n in tail] if version == 4 else [f"2001:db8:{n}::{n}" for n in tail]
    rows["target"] = [np.void(pack_address(text)) for text in texts]
    return ProbeColumns(SMALL.index)(rows)


@pytest.mark.parametrize("version", [4, 6])
def test_expected_probes_are_what_the_prober_builds(version):
    probes = probes_of(version)
    wanted = np.zeros(5, PROBE_DTYPE)
    for name in ("probe_id", "sent_at_us", "target", "source_port", "destination_port"):
        wanted[name] = probes.rows[name]
    wanted["source"] = np.void(pack_address(PROBER[version]))
    built, lengths = build(wanted)
    sent = normalise(built, lengths)[:, : lengths[0]]
    assert (is_v4(probes) == (version == 4)).all()
    every = np.arange(5, dtype=np.int32)
    assert (expected_packets(sent, probes, every, version == 4, reply=False) == sent).all()
    assert is_certain(version == 4, reply=False).all()


@pytest.mark.parametrize("version", [4, 6])
def test_expected_resets_are_what_a_closed_port_sends(version):
    probes = probes_of(version)
    sent = []
    for row, probe_id in zip(probes.rows, probes.probe_id.tolist(), strict=True):
        ack = (probe_id + 513) % 2**32
        tcp = TCP(sport=PORT, dport=int(row["source_port"]), seq=0, ack=ack, flags="RA", window=0)
        source = row["target"].tobytes()
        text = ".".join(map(str, source[12:])) if version == 4 else source.hex(":", 2)
        sent.append(np.frombuffer(normalised(bytes(network(version, text, PROBER[version]) / tcp)), np.uint8))
    every = np.arange(5, dtype=np.int32)
    assert (expected_packets(np.stack(sent), probes, every, version == 4, reply=True) == sent).all()


# -- what is named ----------------------------------------------------------------------------------


@pytest.mark.parametrize(("version", "header"), [(4, 20), (6, 40)])
def test_bytes_of_a_probe(version, header):
    """Payload, TCP header (ports, window, checksum, urgent pointer), addresses and lengths."""
    good = probe_packet(version)
    first, last = header + 20, header + 531
    destination = 19 if version == 4 else 39
    for at in (
        3 + (version == 6) * 2,
        destination,
        header + 3,
        header + 14,
        header + 17,
        header + 18,
        first,
        last,
    ):
        seen = flipped(good, (at, 0x41))
        assert named(out_altered(seen, target=TARGET[version])) == [(at, good[at], good[at] ^ 0x41)]
    seen = flipped(good, (first + 100, 0x41), (last, 0x80))
    assert named(out_altered(seen, target=TARGET[version])) == [
        (first + 100, good[first + 100], good[first + 100] ^ 0x41),
        (last, good[last], good[last] ^ 0x80),
    ]


@pytest.mark.parametrize(("version", "header"), [(4, 20), (6, 40)])
def test_bytes_of_a_reply(version, header):
    good = reset_packet(version)
    for at in (header + 1, header + 4, header + 8, header + 15, header + 16, header + 19):
        seen = flipped(good, (at, 0x10))
        assert named(back_altered(seen, target=TARGET[version])) == [(at, good[at], good[at] ^ 0x10)]


def test_what_other_stacks_write_into_replies_is_not_altered():
    """The identification of IPv4 and the flow label of IPv6 are free, and no TCP checksum covers them."""
    label = bytearray(flipped(reset_packet(6), (55, 4)))
    label[1:4] = b"\x0a\xbc\xde"
    assert [at for at, *_ in named(back_altered(bytes(label), target=TARGET[6]))] == [55]
    numbered = bytearray(flipped(reset_packet(4), (35, 4)))
    numbered[4:8] = b"\x12\x34\x00\x00"
    assert [at for at, *_ in named(back_altered(bytes(numbered)))] == [35]


def test_of_other_packets_nothing_is_named():
    assert named(back_altered(reset_packet(flags="SA", ack=PROBE_ID % 2**32 + 1))) == []
    assert named(back_altered(reset_packet() + b"more")) == []
    assert named(out_altered(b"")) == []
    assert named(out_altered(probe_packet()[:-1])) == []


def test_the_first_altered_copy_that_came_whole_counts():
    good = probe_packet()
    once, twice = flipped(good, (100, 1)), flipped(good, (100, 1), (200, 2))
    out = "border-1 spine-1 leaf-2-1* tor-2-1*"
    both = Path(out=out, back=UP, packets={"leaf-2-1*": once, "tor-2-1*": twice})
    assert [at for at, *_ in named(both)] == [100]
    assert [at for at, *_ in named(replace(both, packets={"tor-2-1*": twice}))] == [100, 200]
    damaged = Path(out="border-1* spine-1 leaf-2-1* tor-2-1*", back=UP)
    damaged = replace(damaged, packets={"border-1*": flipped(good, (300, 8)), "tor-2-1*": once})
    assert [at for at, *_ in named(damaged)] == [100], "a damaged mirror copy is no altered packet"


def test_a_damaged_mirror_copy_names_nothing():
    path = Path(out="border-1 spine-1* leaf-2-1 tor-2-1", back=UP)
    path = replace(path, packets={"spine-1*": flipped(probe_packet(), (300, 8))})
    assert named(path) == []
    assert bit_table(path) == {}


def test_bits_are_counted_by_place_and_by_what_they_became():
    """The window of a probe is 0x0400, that of a reply 0."""
    found = bit_table(
        out_altered(flipped(probe_packet(), (34, 0x0C))),
        out_altered(flipped(probe_packet(member=1), (34, 0x08), (35, 0x80))),
        back_altered(flipped(reset_packet(member=2), (34, 0x01))),
    )
    assert found == {
        ("spine-1", "leaf-2-1", OUT, 34, 2): (0, 1),
        ("spine-1", "leaf-2-1", OUT, 34, 3): (2, 0),
        ("spine-1", "leaf-2-1", OUT, 35, 7): (1, 0),
        ("leaf-2-2", "spine-2", BACK, 34, 0): (1, 0),
    }


def test_bits_of_a_packet_that_was_lost_later():
    path = lost("border-1 spine-1* leaf-2-1*", packets={"spine-1*": flipped(probe_packet(), (34, 0x04))})
    assert bit_table(path) == {("border-1", "spine-1", OUT, 34, 2): (0, 1)}


def test_the_bits_altered_most_often_are_kept(monkeypatch):
    monkeypatch.setattr(bits, "BITS_MAX", 2)
    masks = enumerate((0x09, 0x0D, 0x01))
    paths = [out_altered(flipped(probe_packet(member=m), (34, mask))) for m, mask in masks]
    assert [(byte, bit) for *_, byte, bit in bit_table(*paths)] == [(34, 0), (34, 3)]


def test_of_more_packets_than_are_kept_the_first_are_named(monkeypatch):
    monkeypatch.setattr(packets, "SLOT_MAX", 2)
    paths = [out_altered(flipped(probe_packet(member=m), (100, 1))) for m in range(3)]
    said = judge(*(replace(path, member=m) for m, path in enumerate(paths)))
    assert said.counted("altered") == {("spine-1", "leaf-2-1", OUT): 3}
    assert [len(row["alterations"]) for _, row in sorted(said.rows.items())] == [1, 1, 0]


# -- simulated --------------------------------------------------------------------------------------

FLIPS = [
    ("flip:leaf-1-1~tor-1-1:rate=0.9,offset=100,mask=4", ("leaf-1-1", "tor-1-1", OUT), {(120, 2)}),
    ("flip:spine-1~border-1:rate=0.9,offset=14,mask=128", ("spine-1", "border-1", BACK), {(34, 7)}),
    ("flip:border-2~spine-2:rate=0.9,offset=18,mask=3", ("border-2", "spine-2", OUT), {(38, 0), (38, 1)}),
    ("flip:tor-2-1~leaf-2-2:rate=0.9,offset=16,mask=1", ("tor-2-1", "leaf-2-2", BACK), {(36, 0)}),
    ("flip:server-1-1-1~tor-1-1:rate=0.9,offset=15,mask=16", ("server-1-1-1", "tor-1-1", BACK), {(35, 4)}),
]


@pytest.mark.parametrize(("fault", "where", "altered"), FLIPS)
def test_simulated_flips_are_found_where_they_are(fault, where, altered):
    """Every bit, and no other, between the right two switches; directions as the bytes had it."""
    network, settings = Network(SMALL), JoinSettings(sample_one_in=1)
    found: dict[tuple, set] = {}
    for partition, log in enumerate(record(Scenario(faults=(fault,)), 4)):
        heads = [head for head, _ in read(log, network, partition, settings).messages]
        for a, b, leg, byte, bit, one, zero in table(heads, "bits"):
            assert one + zero > 0
            key = SMALL.node_name(a), SMALL.node_name(b), leg
            found.setdefault(key, set()).add((byte, bit))
    assert found.pop(where) == altered
    others = {key[:2]: bits for key, bits in found.items()}
    assert others in ({}, {where[:2]: altered}), "probes of other kinds cross it on other legs"
