"""The decoder on frames built with scapy: every format, network layer, tag, option, cut and trailer."""

from __future__ import annotations

import numpy as np
import pytest
from mirror_frames import (
    COLLECTOR,
    EXPORTER,
    FORMATS,
    HARDWARE_ID,
    INDEX,
    KEY,
    PLATFORM_PORT,
    SESSION,
    TIMESTAMP,
    Wrap,
    all_wraps,
    arp_frame,
    encapsulated,
    inner_packets,
    rst,
    syn,
)
from scapy.layers.inet import IP, TCP, UDP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import Ether
from scapy.packet import Packet, Raw

from producers.addresses import address_text
from producers.content import content_hash, normalise
from producers.mirror.decode import CHECKSUM_RIGHT, CHECKSUM_UNKNOWN, CHECKSUM_WRONG, Decoded, decode
from producers.mirror.errors import EXPLANATION, MirrorError
from producers.mirror.erspan import MirrorFormat
from producers.packets import LinkType, PacketBatch

FORMAT = {
    "I": MirrorFormat.TYPE_I,
    "II": MirrorFormat.TYPE_II,
    "III": MirrorFormat.TYPE_III,
    "III+platform": MirrorFormat.TYPE_III,
    "teb": MirrorFormat.TEB,
    "0x8949": MirrorFormat.OPAQUE_22,
}


def decode_one(frame: bytes, link_type: LinkType = LinkType.ETHERNET) -> Decoded:
    return decode(PacketBatch.of([frame], link_type=link_type))


def innermost(packet: Packet) -> Packet:
    """The last IP layer of a packet, as scapy sees it after a round trip."""
    raw = bytes(packet)
    layer = (IP if raw[0] >> 4 == 4 else IPv6)(raw)
    nested = [each for each in (layer.payload.getlayer(IP), layer.payload.getlayer(IPv6)) if each is not None]
    return nested[-1] if nested else layer


def hash_of(raw: bytes) -> int:
    row, length = np.frombuffer(raw, np.uint8)[None, :], np.array([len(raw)])
    return int(content_hash(normalise(row, length), length)[0])


def assert_same_packet(decoded: Decoded, row: int, packet: Packet, why: str) -> None:
    """Row `row` says what scapy says about the innermost IP packet."""
    expected = innermost(packet)
    is_v4 = isinstance(expected, IP)
    assert decoded.errors[row] == 0, why
    assert decoded.version[row] == (4 if is_v4 else 6), why
    assert address_text(*decoded.source[row].tolist()) == expected.src, why
    assert address_text(*decoded.destination[row].tolist()) == expected.dst, why
    assert decoded.ttl[row] == (expected.ttl if is_v4 else expected.hlim), why
    assert decoded.ip_id[row] == (expected.id if is_v4 else -1), why
    assert decoded.length[row] == decoded.captured[row] == len(bytes(expected)), why
    assert not decoded.truncated[row], why
    assert decoded.contents.content_hash[row] == hash_of(bytes(expected)), why
    tcp = expected.getlayer(TCP)
    ports = tcp or expected.getlayer(UDP)
    assert decoded.transport.source_port[row] == (ports.sport if ports else -1), why
    assert decoded.transport.destination_port[row] == (ports.dport if ports else -1), why
    assert decoded.transport.tcp_seq[row] == (tcp.seq if tcp else -1), why
    assert decoded.transport.tcp_ack[row] == (tcp.ack if tcp else -1), why
    assert decoded.transport.tcp_flags[row] == (int(tcp.flags) if tcp else -1), why
    assert decoded.checksum[row] == (CHECKSUM_RIGHT if tcp else CHECKSUM_UNKNOWN), why


def assert_same_wrap(decoded: Decoded, row: int, wrap: Wrap) -> None:
    """Row `row` says how its copy was wrapped."""
    mirror, why = decoded.mirror, repr(wrap)
    is_ii, is_iii = wrap.format == "II", wrap.format.startswith("III")
    assert address_text(*decoded.exporter[row].tolist()) == EXPORTER[wrap.outer], why
    assert mirror.format[row] == FORMAT[wrap.format], why
    assert decoded.sequence[row] == ((wrap.sequence or 0) if wrap.has_sequence else -1), why
    assert mirror.key[row] == (-1 if wrap.key is None else wrap.key), why
    assert mirror.session[row] == (SESSION if is_ii or is_iii else -1), why
    assert mirror.index[row] == (INDEX if is_ii else -1), why
    assert mirror.exporter_time[row] == (TIMESTAMP if is_iii else -1), why
    assert mirror.hardware_id[row] == (HARDWARE_ID if is_iii else -1), why
    assert mirror.platform_port[row] == (PLATFORM_PORT if wrap.format == "III+platform" else -1), why
    assert mirror.is_egress[row] == is_iii, why


@pytest.mark.parametrize("kind", inner_packets())
def test_every_wrap_of_a_packet_decodes_alike_alone_and_together(kind: str) -> None:
    packet, wraps = inner_packets()[kind], list(all_wraps())
    frames = [wrap.frame(packet) for wrap in wraps]
    together = decode(PacketBatch.of(frames))
    for row, (wrap, frame) in enumerate(zip(wraps, frames, strict=True)):
        alone = decode_one(frame)
        assert_same_wrap(alone, 0, wrap)
        assert_same_wrap(together, row, wrap)
        assert_same_packet(alone, 0, packet, repr(wrap))
        assert_same_packet(together, row, packet, repr(wrap))


def test_packets_in_packets_give_the_inner_one_and_the_ttl_of_the_outer_one() -> None:
    packet = encapsulated(syn(4, ttl=63), 4, ttl=17)
    decoded = decode_one(Wrap().frame(packet))
    assert decoded.encapsulated[0]
    assert (decoded.hop_ttl[0], decoded.ttl[0]) == (17, 63)
    plain = decode_one(Wrap().frame(syn(4, ttl=63)))
    assert not plain.encapsulated[0]
    assert (plain.hop_ttl[0], plain.ttl[0]) == (63, 63)
    assert plain.contents.content_hash[0] == decoded.contents.content_hash[0]


def test_copies_without_ip_are_rows_without_inner_fields() -> None:
    decoded = decode_one(arp_frame(Wrap()))
    assert decoded.errors[0] == 0
    assert decoded.mirror.session[0] == SESSION
    assert (decoded.version[0], decoded.protocol[0], decoded.transport.source_port[0]) == (0, -1, -1)


@pytest.mark.parametrize("version", [4, 6])
@pytest.mark.parametrize("wrap", [Wrap(each) for each in FORMATS], ids=FORMATS)
def test_a_copy_cut_anywhere_is_a_truncated_row_or_an_explained_error(version: int, wrap: Wrap) -> None:
    packet = syn(version)
    frame = wrap.frame(packet)
    copy_at = len(frame) - len(bytes(packet))
    header_length = 20 if version == 4 else 40
    cuts = [frame[:length] for length in range(len(frame))]
    decoded = decode(PacketBatch.of(cuts))
    for length in range(len(frame)):
        captured = length - copy_at
        if length < 14 + 20:  # not even the outer protocol is known
            assert decoded.errors[length] == MirrorError.NOT_A_MIRROR
        elif captured < header_length:
            assert decoded.errors[length] not in (MirrorError.NONE, MirrorError.NOT_A_MIRROR)
            assert EXPLANATION[MirrorError(int(decoded.errors[length]))]
        else:
            assert decoded.errors[length] == 0
            assert decoded.truncated[length]
            assert decoded.captured[length] == captured
            assert decoded.length[length] == len(bytes(packet))
            assert decoded.checksum[length] == CHECKSUM_UNKNOWN
            has_ports, has_flags = captured >= header_length + 4, captured >= header_length + 14
            assert (decoded.transport.source_port[length] >= 0) == has_ports
            assert (decoded.transport.tcp_flags[length] >= 0) == has_flags


@pytest.mark.parametrize("beside", [[], [Wrap("teb", outer=6).frame(syn(4))]], ids=["alone", "beside others"])
def test_a_payload_whose_end_lies_beyond_the_copy_is_not_called_intact(beside: list[bytes]) -> None:
    frame = bytearray(Wrap("teb").frame(syn(4)))
    frame[16:18] = (512).to_bytes(2, "big")  # the outer packet says that it ends earlier than the frame
    decoded = decode(PacketBatch.of([*beside, bytes(frame)]))
    assert decoded.errors[-1] == 0
    assert decoded.truncated[-1]
    assert decoded.contents.written_id[-1] >= 0  # its first words are there
    assert not decoded.contents.payload_is_intact[-1]


def test_a_wrong_tcp_checksum_is_seen_wherever_the_damage_is() -> None:
    frame = Wrap("III", padding=4).frame(syn(6))
    good = bytearray(frame)
    damaged = []
    start = len(frame) - 4 - 532  # TCP and payload
    for at in range(start, len(frame) - 4, 7):
        good[at] ^= 0x10
        damaged.append(bytes(good))
        good[at] ^= 0x10
    decoded = decode(PacketBatch.of(damaged))
    is_tcp_start_intact = decoded.errors == 0
    assert is_tcp_start_intact.all()
    assert (decoded.checksum == CHECKSUM_WRONG).all()


def test_tcp_checksums_of_all_lengths_and_values() -> None:
    packets = [
        bytes(IP(src="1.2.3.4", dst="5.6.7.8") / TCP(seq=n) / Raw(bytes([n % 256] * n)))
        for n in range(0, 260, 3)
    ]
    packets += [bytes(IPv6(src="::1", dst="fd::8") / TCP(seq=n) / Raw(b"\xff" * n)) for n in range(60)]
    decoded = decode(PacketBatch.of([Wrap().frame(packet) for packet in packets]))
    assert (decoded.checksum == CHECKSUM_RIGHT).all()


def test_fragments_of_the_mirrored_packet_have_no_checksum_and_later_ones_no_ports() -> None:
    first = IP(src="10.0.0.5", dst="10.0.0.6", flags="MF") / TCP(sport=1, dport=2)
    later = IP(src="10.0.0.5", dst="10.0.0.6", frag=100, proto=6) / Raw(bytes(TCP(sport=1, dport=2)))
    decoded = decode(PacketBatch.of([Wrap().frame(first), Wrap().frame(later)]))
    assert decoded.checksum.tolist() == [CHECKSUM_UNKNOWN, CHECKSUM_UNKNOWN]
    assert decoded.transport.source_port.tolist() == [1, -1]
    assert decoded.protocol.tolist() == [6, 6]


def test_what_is_no_mirror_is_said_to_be_none() -> None:
    plain = bytes(Ether() / syn(4))
    gre_ip = bytes(Ether() / IP(proto=47) / Raw(b"\0\0\x08\0" + bytes(syn(4))))
    pptp = bytes(Ether() / IP(proto=47) / Raw(b"\x30\x01\x88\x0b" + bytes(40)))
    decoded = decode(PacketBatch.of([plain, gre_ip, pptp, b"", b"\0" * 60]))
    assert (decoded.errors == MirrorError.NOT_A_MIRROR).all()


def damaged(frame: bytes, at: int, value: bytes) -> bytes:
    return frame[:at] + value + frame[at + len(value) :]


def test_errors_name_what_is_wrong() -> None:
    ii, iii = Wrap("II").frame(syn(4)), Wrap("III").frame(syn(4))
    gre_at, erspan_at, inner_at = 34, 42, 50
    cases = {
        MirrorError.OUTER_FRAGMENT: damaged(ii, 20, b"\0\x10"),
        MirrorError.OUTER_IP_INVALID: damaged(ii, 16, b"\0\x05"),
        MirrorError.GRE_CUT: ii[: gre_at + 6],
        MirrorError.GRE_ROUTING: damaged(ii, gre_at, b"\x50"),
        MirrorError.ERSPAN_CUT: ii[: erspan_at + 5],
        MirrorError.ERSPAN_VERSION: damaged(ii, erspan_at, b"\x20"),
        MirrorError.ERSPAN_FRAME_TYPE: damaged(iii, erspan_at + 10, b"\x7c"),
        MirrorError.INNER_CUT: ii[: inner_at + 20],
        MirrorError.INNER_IP_INVALID: damaged(ii, inner_at + 14, b"\x75"),
    }
    decoded = decode(PacketBatch.of(list(cases.values())))
    assert decoded.errors.tolist() == [int(error) for error in cases]
    assert set(EXPLANATION) == set(MirrorError) - {MirrorError.NONE}


def test_type_iii_may_carry_a_bare_ip_packet() -> None:
    for version in (4, 6):
        frame = bytearray(Wrap("III").frame(syn(version), inner_link=Raw(b"")))
        frame[42 + 10] = 2 << 2  # frame type IP
        decoded = decode_one(bytes(frame))
        assert_same_packet(decoded, 0, syn(version), "frame type 2")


@pytest.mark.parametrize("version", [4, 6])
def test_other_link_layers_hold_the_same_packet(version: int) -> None:
    frame = Wrap(outer=version).frame(rst(version))
    ethertype = frame[12:14]
    by_link = {
        LinkType.RAW_IP: frame[14:],
        LinkType.LINUX_SLL: b"\0\0\0\1\0\6" + bytes(8) + ethertype + frame[14:],
        LinkType.LINUX_SLL2: ethertype + bytes(18) + frame[14:],
    }
    for link_type, packet in by_link.items():
        decoded = decode_one(packet, link_type)
        assert_same_packet(decoded, 0, rst(version), link_type.name)


def test_no_frames_decode_to_no_rows() -> None:
    assert len(decode(PacketBatch.of([]))) == 0


def test_builder_and_decoder_agree_on_who_collects() -> None:
    assert IP(Wrap().frame(syn(4))[14:]).dst == COLLECTOR[4]
    assert KEY != INDEX
