"""From the bytes of mirrored copies to verdicts: what routers rewrite, what mirrors cut, what they damage.

Copies are built with scapy, decoded by the real decoder and joined by the real join.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pytest
from scapy.contrib.erspan import ERSPAN_II
from scapy.layers.inet import GRE, IP, TCP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import Dot1Q, Ether
from scapy.packet import Packet, Raw

from fabric.address import pack_address
from producers.addresses import AddressTable
from producers.content import content_hash, normalise
from producers.mirror.digests import digest
from producers.mirror.inventory import ExporterMap, ProbeMap
from producers.packets import PacketBatch
from producers.wire import PROBE_DTYPE, build
from schemas.rows import OUTCOME, ReplyKind
from tests.streams.by_hand import DOWN, UP, Verdicts, judge_rows
from tests.streams.fabrics import table
from tests.streams.logs import SMALL, START_US

PROBER = {4: SMALL.prober_by_name["prober-1"].address, 6: "2001:db8::7"}
TARGET = {4: SMALL.server_by_name["server-2-1-1"].addresses[0], 6: "2001:db8::99"}
EXPORTERS = ExporterMap.of(SMALL)
PROBES = ProbeMap(AddressTable({PROBER[4]: 1, PROBER[6]: 1}), SMALL.probe_port)
SOURCE_PORT = 20_000
SEEDS = range(6)


@dataclass(frozen=True)
class Way:
    """A probe and its reply. Keys are switches: bits flipped on the link before it (`altered`), bits
    flipped in its mirror copy alone (`damaged`) and the bytes that are left of its copy (`cut`); each is
    (byte of the IP packet, mask)."""

    version: int = 4
    answered: bool = True
    altered: dict[str, tuple[int, int]] = field(default_factory=dict)
    altered_back: dict[str, tuple[int, int]] = field(default_factory=dict)
    damaged: dict[str, tuple[int, int]] = field(default_factory=dict)
    damaged_back: dict[str, tuple[int, int]] = field(default_factory=dict)
    cut: dict[str, int] = field(default_factory=dict)


def joined(*ways: Way, seed: int = 0) -> Verdicts:
    rng = np.random.default_rng(seed)
    outcomes, frames = [], []
    for member, way in enumerate(ways):
        probe_id = (1 << 32) | (7 << 3) | member
        sent = probe(probe_id, way.version)
        ids = np.frombuffer(bytes(sent), np.uint8)[None]
        lengths = np.array([ids.shape[1]])
        as_sent = int(content_hash(normalise(ids, lengths), lengths)[0])
        rtt_ns, kind, ttl = (80_000, ReplyKind.RST, 60) if way.answered else (-1, ReplyKind.NONE, -1)
        outcomes.append(
            (
                *(probe_id, START_US, rtt_ns, as_sent, np.void(pack_address(TARGET[way.version])), bytes(16)),
                *(SOURCE_PORT, SMALL.probe_port, ttl, 0, 3, kind),
            )
        )
        frames += walk(sent, DOWN, way.altered, way.damaged, way.cut, rng)
        if way.answered or way.altered_back:
            back = reset(probe_id, way.version)
            frames += walk(back, UP, way.altered_back, way.damaged_back, way.cut, rng)
    batch = PacketBatch.of(frames, received_us=[START_US + 50 + n for n in range(len(frames))])
    decoded = digest(batch, EXPORTERS, PROBES)
    assert not decoded.rejected
    return judge_rows(np.array(outcomes, OUTCOME.dtype), decoded.rows, decoded.altered)


def probe(probe_id: int, version: int) -> bytes:
    row = np.zeros(1, PROBE_DTYPE)
    row["probe_id"], row["sent_at_us"] = probe_id, START_US
    row["source"] = np.void(pack_address(PROBER[version]))
    row["target"] = np.void(pack_address(TARGET[version]))
    row["source_port"], row["destination_port"] = SOURCE_PORT, SMALL.probe_port
    built, lengths = build(row)
    return built[0, : lengths[0]].tobytes()


def reset(probe_id: int, version: int) -> bytes:
    ack = (probe_id + 513) % 2**32
    tcp = TCP(sport=SMALL.probe_port, dport=SOURCE_PORT, seq=0, ack=ack, flags="RA", window=0)
    near, far = TARGET[version], PROBER[version]
    if version == 4:
        return bytes(IP(src=near, dst=far, id=0, flags="DF", ttl=64) / tcp)
    return bytes(IPv6(src=near, dst=far, hlim=64, fl=0x12345) / tcp)


def walk(
    packet: bytes,
    switches: str,
    altered: dict[str, tuple[int, int]],
    damaged: dict[str, tuple[int, int]],
    cut: dict[str, int],
    rng: np.random.Generator,
) -> list[bytes]:
    """Frames with the copies of a packet. Every hop counts TTL down, and rewrites DSCP and ECN and VLAN
    tags as it likes."""
    frames = []
    for hop, name in enumerate(switches.split()):
        if name in altered:
            packet = flipped(packet, *altered[name])
        passed = rewritten(packet, 64 - hop, int(rng.integers(256)))
        copy = flipped(passed, *damaged[name]) if name in damaged else passed
        frames.append(frame(name, copy[: cut.get(name, len(copy))], rng))
    return frames


def flipped(packet: bytes, at: int, mask: int) -> bytes:
    return packet[:at] + bytes([packet[at] ^ mask]) + packet[at + 1 :]


def rewritten(packet: bytes, ttl: int, traffic_class: int) -> bytes:
    """What routers may write: TTL or hop limit, DSCP and ECN, and with them the IPv4 header checksum."""
    out = bytearray(packet)
    if out[0] >> 4 == 6:
        out[0] = 0x60 | traffic_class >> 4
        out[1] = (traffic_class & 0xF) << 4 | out[1] & 0xF
        out[7] = ttl
        return bytes(out)
    out[1], out[8] = traffic_class, ttl
    out[10:12] = b"\0\0"
    total = sum(int.from_bytes(out[i : i + 2], "big") for i in range(0, 20, 2))
    total = (total & 0xFFFF) + (total >> 16)
    out[10:12] = (~((total & 0xFFFF) + (total >> 16)) & 0xFFFF).to_bytes(2, "big")
    return bytes(out)


def frame(switch: str, copy: bytes, rng: np.random.Generator) -> bytes:
    """The mirror packet of one copy, in the format of ERSPAN Type II."""
    inner: Packet = Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02")
    for _ in range(int(rng.integers(3))):
        inner = inner / Dot1Q(vlan=int(rng.integers(1, 4_000)), prio=int(rng.integers(8)))
    inner.lastlayer().type = 0x86DD if copy[0] >> 4 == 6 else 0x0800
    exporter = SMALL.switch_by_name[switch].exporter_addresses[0]
    gre = GRE(proto=0x88BE, seqnum_present=1, sequence_number=int(rng.integers(2**31)))
    mirror = ERSPAN_II(session_id=1, index=3) / Raw(bytes(inner) + copy)
    outer = Ether(src="02:00:00:00:00:03", dst="02:00:00:00:00:04")
    for _ in range(int(rng.integers(2))):
        outer = outer / Dot1Q(vlan=int(rng.integers(1, 4_000)))
    return bytes(outer / IP(src=exporter, dst="192.0.2.99", proto=47) / gre / Raw(bytes(mirror)))


def bits_of(said: Verdicts) -> dict[tuple[str, str, int, int, int], int]:
    """(from, to, leg, byte, bit) -> packets"""
    name = SMALL.node_name
    return {
        (name(a), name(b) if b >= 0 else "?", leg, byte, bit): one + zero
        for a, b, leg, byte, bit, one, zero in table(said.heads, "bits")
    }


def damaged_of(said: Verdicts) -> dict[str, int]:
    exporters = [each for head in said.heads for each in head["exporters"]]
    return {SMALL.node_name(each["switch"]): each["damaged"] for each in exporters if each["damaged"]}


def verdicts(said: Verdicts) -> list[str]:
    return [row["verdict"] for _, row in sorted(said.rows.items())]


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("version", [4, 6])
def test_what_routers_rewrite_is_no_alteration(version, seed):
    said = joined(Way(version), Way(version), Way(version, answered=False), seed=seed)
    assert verdicts(said)[:2] == ["ok", "ok"]
    assert "corrupted" not in verdicts(said)
    assert said.counted("altered") == {}
    assert bits_of(said) == damaged_of(said) == {}


@pytest.mark.parametrize("left", [40, 60, 64, 100, 128, 256, 551])
@pytest.mark.parametrize("version", [4, 6])
def test_what_mirrors_cut_is_no_alteration(version, left):
    """Cut so short that no TCP header is left, a copy is no probe's; so headers are whole here."""
    left = max(left, 60) if version == 6 else left
    cut = dict.fromkeys(("spine-1", "tor-2-1", "leaf-2-2", "border-1"), left)
    said = joined(Way(version, cut=cut), Way(version, cut=cut, answered=False), seed=left)
    assert verdicts(said)[0] == "ok"
    assert said.counted("altered") == {}
    assert bits_of(said) == damaged_of(said) == {}


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("version", [4, 6])
def test_an_altered_packet_is_found_under_all_of_that(version, seed):
    rng = np.random.default_rng(seed + 100)
    header = 20 if version == 4 else 40
    at, mask = header + int(rng.integers(14, 532)), 1 << int(rng.integers(8))
    back_at = header + int(rng.integers(14, 20))
    said = joined(
        Way(version, altered={"leaf-2-1": (at, mask)}, answered=False, cut={"border-1": 90}),
        Way(version, altered_back={"spine-2": (back_at, mask)}),
        Way(version, altered={"leaf-2-1": (at, mask)}, answered=False),
        seed=seed,
    )
    bit = mask.bit_length() - 1
    assert bits_of(said) == {
        ("spine-1", "leaf-2-1", 1, at, bit): 2,
        ("leaf-2-2", "spine-2", 2, back_at, bit): 1,
    }
    assert said.counted("altered") == {("spine-1", "leaf-2-1", 1): 2, ("leaf-2-2", "spine-2", 2): 1}
    assert verdicts(said)[1] == "altered"
    assert damaged_of(said) == {}


def test_alterations_around_a_cut_copy():
    """A copy that was cut tells nothing of what it lost: the change lies between those around it."""
    said = joined(Way(altered={"spine-1": (200, 4)}, answered=False, cut={"spine-1": 128, "leaf-2-1": 128}))
    assert said.counted("altered") == {("border-1", "?", 1): 1}
    assert bits_of(said) == {("border-1", "?", 1, 200, 2): 1}


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("version", [4, 6])
def test_an_altered_mirror_copy_is_no_altered_packet(version, seed):
    """Wherever it was taken; the last copy of a reply is the one that needs another's word."""
    rng = np.random.default_rng(seed)
    header = 20 if version == 4 else 40
    out = {name: (header + int(rng.integers(14, 532)), 8) for name in DOWN.split()}
    back = {name: (header + int(rng.integers(14, 20)), 8) for name in UP.split()}
    members = [
        *(Way(version, damaged={name: flip}) for name, flip in out.items()),
        *(Way(version, damaged_back={name: flip}) for name, flip in back.items()),
    ]
    said = joined(*members, seed=seed)
    assert verdicts(said) == ["ok"] * 8
    assert said.counted("altered") == {}
    assert bits_of(said) == {}
    assert damaged_of(said) == {
        "border-1": 2,
        "tor-2-1": 2,
        **dict.fromkeys(("spine-1", "leaf-2-1", "leaf-2-2", "spine-2"), 1),
    }


def test_a_damaged_copy_beside_an_altered_packet():
    way = Way(altered={"leaf-2-1": (120, 1)}, damaged={"border-1": (300, 2)}, answered=False)
    said = joined(way)
    assert bits_of(said) == {("spine-1", "leaf-2-1", 1, 120, 0): 1}
    assert damaged_of(said) == {"border-1": 1}
