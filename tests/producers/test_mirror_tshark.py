"""The decode command against tshark, on real captures and on files like them."""

from __future__ import annotations

import io
import os
import shutil
import subprocess
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from pathlib import Path

import pytest
from mirror_frames import FORMATS, Wrap, all_wraps, arp_frame, encapsulated, inner_packets, syn
from scapy.layers.inet import IP, TCP, fragment
from scapy.layers.l2 import ARP, Ether
from scapy.packet import Raw
from scapy.utils import PcapNgWriter, PcapWriter

from producers.decode_report import DecodeSummary, decode_lines
from producers.sources.capture import CaptureSource

CAPTURES = Path(
    os.environ.get("BYTETRACKER_CAPTURES", Path(__file__).resolve().parents[3] / "shared" / "captures")
)
_captures = sorted(CAPTURES.glob("*.pcap*")) if CAPTURES.is_dir() else []

pytestmark = pytest.mark.skipif(
    shutil.which("tshark") is None and not os.environ.get("CI"), reason="tshark is not installed"
)

_IPV6_EXTENSIONS = {0, 43, 44, 51, 60}
_CHECKSUM_STATUS = {"0": False, "1": True}

Line = dict[str, object]


def our_lines(path: Path) -> tuple[dict[int, Line], DecodeSummary]:
    summary = DecodeSummary()
    source = CaptureSource(path)
    lines = list(decode_lines(source, summary))
    source.close()
    assert len({line["frame"] for line in lines}) == len(lines)
    return {int(str(line["frame"])): line for line in lines}, summary


def tshark_lines(path: Path) -> dict[int, Line]:
    """What tshark knows of each frame that it finds a mirrored packet in, under our keys."""
    options = ["-o", "tcp.check_checksum:TRUE", "-o", "tcp.relative_sequence_numbers:FALSE"]
    command = ["tshark", "-r", str(path), "-T", "pdml", *options]
    output = subprocess.run(command, capture_output=True, check=False, timeout=120).stdout
    lines: dict[int, Line] = {}
    for _, element in ET.iterparse(io.BytesIO(output)):
        if element.tag == "packet":
            layers = [(layer.get("name", ""), layer) for layer in element.findall("proto")]
            number = int(layers[0][1].find("field[@name='num']").get("show"))  # type: ignore[union-attr,arg-type]
            if (line := dict(_read_layers(layers))) and "erspan_type" in line:
                lines[number] = line
            element.clear()
    return lines


def _read_layers(layers: list[tuple[str, ET.Element]]) -> Iterator[tuple[str, object]]:
    names = [name for name, _ in layers]
    if "gre" not in names:
        return
    gre_at = names.index("gre")
    gre = layers[gre_at][1]
    outer = next(layer for name, layer in layers if name in ("ip", "ipv6"))
    yield "exporter", show(outer, "ip.src") or show(outer, "ipv6.src")
    yield "sequence", number(show(gre, "gre.sequence_number"))
    erspan = next((layer for name, layer in layers if name == "erspan"), None)
    protocol = number(show(gre, "gre.proto"))
    if erspan is not None:
        version = number(show(erspan, "erspan.version"))
        yield "erspan_type", {None: 1, 1: 2, 2: 3}[version]
        yield "session", number(show(erspan, "erspan.spanid"))
    elif protocol == 0x88BE:
        yield "erspan_type", 1
    elif protocol == 0x6558:
        yield "erspan_type", "teb"
    inside = layers[gre_at + 1 :]
    ip = [layer for name, layer in inside if name in ("ip", "ipv6")]
    if ip:
        yield from _read_ip(ip[-1])
    transport = [layer for name, layer in inside if name in ("tcp", "udp")]
    if transport:
        yield from _read_transport(transport[-1])


def _read_ip(layer: ET.Element) -> Iterator[tuple[str, object]]:
    prefix = layer.get("name")
    yield "inner_src", show(layer, f"{prefix}.src")
    yield "inner_dst", show(layer, f"{prefix}.dst")
    if prefix == "ip":
        yield "ttl", number(show(layer, "ip.ttl"))
        yield "ip_id", number(show(layer, "ip.id"))
        yield "length", number(show(layer, "ip.len"))
        yield "protocol", number(show(layer, "ip.proto"))
    else:
        yield "ttl", number(show(layer, "ipv6.hlim"))
        yield "length", 40 + int(show(layer, "ipv6.plen") or 0)
        next_header = number(show(layer, "ipv6.nxt"))
        if next_header not in _IPV6_EXTENSIONS:
            yield "protocol", next_header


def _read_transport(layer: ET.Element) -> Iterator[tuple[str, object]]:
    prefix = layer.get("name")
    yield "src_port", number(show(layer, f"{prefix}.srcport"))
    yield "dst_port", number(show(layer, f"{prefix}.dstport"))
    if prefix == "tcp":
        yield "tcp_seq", number(show(layer, "tcp.seq_raw"))
        yield "tcp_ack", number(show(layer, "tcp.ack_raw"))
        yield "tcp_flags", number(show(layer, "tcp.flags"))
        yield "tcp_checksum_ok", _CHECKSUM_STATUS.get(show(layer, "tcp.checksum.status") or "")


def show(layer: ET.Element, name: str) -> str | None:
    field = next((each for each in layer.iter("field") if each.get("name") == name), None)
    return None if field is None else field.get("show")


def number(text: str | None) -> int | None:
    return None if text is None else int(text, 0)


def assert_agree(path: Path) -> dict[int, Line]:
    """Every mirrored packet that tshark finds has a line of ours with the same values, and the other way
    round."""
    ours, _ = our_lines(path)
    theirs = tshark_lines(path)
    readable = {frame for frame, line in ours.items() if "error" not in line}
    # Formats that tshark has no name for.
    unknown_to_tshark = {frame for frame in readable if ours[frame]["erspan_type"] == "0x8949"}
    assert readable - unknown_to_tshark == {frame for frame in theirs if frame in readable}
    for frame, line in theirs.items():
        if "error" in ours.get(frame, {"error": None}):
            # tshark shows what it found before a packet ended or contradicted itself.
            assert frame in ours
            continue
        for key, value in line.items():
            # tshark adds up a copy that the exporter cut as if it were whole, and calls its checksum wrong.
            unverifiable = key == "tcp_checksum_ok" and ours[frame]["truncated"]
            # It also shows the fields of a nested IP header that is not all there.
            unverifiable |= bool(ours[frame]["truncated"]) and ours[frame]["protocol"] in (4, 41)
            if value is not None and not unverifiable:
                assert ours[frame][key] == value, (frame, key, line, ours[frame])
    return ours


@pytest.mark.skipif(not _captures, reason=f"no captures in {CAPTURES}")
@pytest.mark.parametrize("path", _captures, ids=lambda path: path.name)
def test_real_captures(path: Path) -> None:
    lines = assert_agree(path)
    if path.name == "erspan-type-iii-fuzz.pcap":
        assert list(lines) == [1]
        assert "error" in lines[1]
    else:
        assert not any("error" in line for line in lines.values())


@pytest.mark.skipif(not _captures, reason=f"no captures in {CAPTURES}")
def test_sequence_numbers_of_a_real_session_have_no_gap() -> None:
    lines, _ = our_lines(CAPTURES / "erspan-type-ii-3.pcap")
    assert [line["sequence"] for line in lines.values()] == list(range(106_954, 107_062))


def test_all_formats_of_all_packets(tmp_path: Path) -> None:
    path = tmp_path / "all.pcap"
    with PcapWriter(str(path), linktype=1) as writer:
        for packet in inner_packets().values():
            for wrap in [*map(Wrap, FORMATS), *list(all_wraps())[:: len(FORMATS) * 5]]:
                writer.write(Ether(wrap.frame(packet)))
        writer.write(Ether(arp_frame(Wrap())))
    lines = assert_agree(path)
    assert not any("error" in line for line in lines.values())


@pytest.mark.parametrize("captured", [60, 90, 100, 110, 120, 200])
def test_truncated_copies(tmp_path: Path, captured: int) -> None:
    path = tmp_path / "cut.pcap"
    with PcapWriter(str(path), linktype=1) as writer:
        for wrap in map(Wrap, FORMATS):
            for packet in (syn(4), syn(6), encapsulated(syn(4))):
                writer.write(wrap.frame(packet)[:captured])
    assert_agree(path)


def test_pcapng_and_frames_that_are_no_mirrors(tmp_path: Path) -> None:
    path = tmp_path / "mixed.pcapng"
    with PcapNgWriter(str(path)) as writer:
        writer.write(Ether() / ARP())
        writer.write(Ether(Wrap("III").frame(syn(4))))
        writer.write(Ether() / syn(6))
        writer.write(Ether(Wrap("II").frame(syn(6))))
    assert list(assert_agree(path)) == [2, 4]
    _, summary = our_lines(path)
    assert (summary.frames, summary.mirrored, summary.skipped) == (4, 2, 2)


def test_fragmented_mirror_packets_are_reported_where_they_are_whole(tmp_path: Path) -> None:
    path = tmp_path / "fragments.pcap"
    large = IP(src="10.0.0.1", dst="10.0.0.2") / TCP(sport=5, dport=6, seq=7) / Raw(b"x" * 2_000)
    pieces = [Ether() / each for each in fragment(IP(Wrap("teb", key=9).frame(large)[14:]), 1_000)]
    lost = [
        Ether() / each for each in fragment(IP(Wrap("II", exporter="192.0.2.7").frame(large)[14:]), 1_000)
    ]
    assert len(pieces) == 3
    with PcapWriter(str(path), linktype=1) as writer:
        for each in (pieces[2], lost[1], pieces[0], Ether(Wrap().frame(syn(4))), pieces[1]):
            writer.write(each)
    lines, _ = our_lines(path)
    assert list(lines) == [4, 5, 2]
    assert "fragment" in str(lines[2]["error"])
    assert (lines[5]["length"], lines[5]["tcp_checksum_ok"], lines[5]["truncated"]) == (2_040, True, False)
    assert tshark_lines(path).keys() == {4, 5}
