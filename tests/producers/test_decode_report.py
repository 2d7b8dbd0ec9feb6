"""The lines of the decode command: keys, nulls, errors, and what is said beside them."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
from mirror_frames import (
    EXPORTER,
    INDEX,
    PROBE_PORT,
    PROBER,
    SESSION,
    TARGET,
    Wrap,
    arp_frame,
    probe_id_of,
    rst,
    syn,
)
from scapy.layers.l2 import ARP, Ether
from scapy.utils import PcapWriter

from producers.decode_report import DecodeSummary, decode_file
from producers.sources.records import CaptureError

KEYS = [
    "frame", "exporter", "erspan_type", "session", "sequence", "inner_src", "inner_dst", "protocol",
    "src_port", "dst_port", "tcp_seq", "tcp_ack", "tcp_flags", "ttl", "ip_id", "length",
    "truncated", "tcp_checksum_ok", "content_hash", "probe_id",
]  # fmt: skip


def report(
    tmp_path: Path, *frames: bytes, tail: bytes = b""
) -> tuple[list[dict[str, object]], str, DecodeSummary]:
    path = tmp_path / "x.pcap"
    with PcapWriter(str(path), linktype=1) as writer:
        writer.write_header(None)
        for frame in frames:
            writer.write(frame)
    path.write_bytes(path.read_bytes() + tail)
    out, err = io.StringIO(), io.StringIO()
    summary = decode_file(path, emit_json=True, out=out, err=err)
    return [json.loads(line) for line in out.getvalue().splitlines()], err.getvalue(), summary


def test_a_probe(tmp_path: Path) -> None:
    (line,), err, _ = report(tmp_path, Wrap("II").frame(syn(4, 77, ttl=9)))
    assert list(line) == KEYS
    assert isinstance(line.pop("content_hash"), str)
    assert line == {
        "frame": 1,
        "exporter": EXPORTER[4],
        "erspan_type": 2,
        "session": SESSION,
        "sequence": 4_000_000_000,
        "inner_src": PROBER[4],
        "inner_dst": TARGET[4],
        "protocol": 6,
        "src_port": 33_000,
        "dst_port": PROBE_PORT,
        "tcp_seq": 77,
        "tcp_ack": 0,
        "tcp_flags": 2,
        "ttl": 9,
        "ip_id": 0x77,
        "length": 552,
        "truncated": False,
        "tcp_checksum_ok": True,
        "probe_id": probe_id_of(77),
    }
    assert err == ""


def test_absent_values_are_null(tmp_path: Path) -> None:
    (arp, reply), _, _ = report(
        tmp_path, arp_frame(Wrap("I")), Wrap("teb", outer=6, sequence=None).frame(rst(6))
    )
    absent = set(KEYS) - {"frame", "exporter", "erspan_type", "truncated"}
    assert {key for key in KEYS if arp[key] is None} == absent
    assert {key for key in KEYS if reply[key] is None} == {"session", "sequence", "ip_id", "probe_id"}
    assert (arp["erspan_type"], reply["erspan_type"]) == (1, "teb")


def test_content_hash_is_the_same_before_and_behind_a_router(tmp_path: Path) -> None:
    lines, _, _ = report(
        tmp_path, *(Wrap(each).frame(syn(6, ttl=n)) for n, each in enumerate(["I", "II", "III"]))
    )
    assert len({line["content_hash"] for line in lines}) == 1


def test_a_probe_with_an_altered_id_is_no_known_probe(tmp_path: Path) -> None:
    frame = bytearray(Wrap().frame(syn(4)))
    frame[-512 + 15] ^= 1
    (line,), _, _ = report(tmp_path, bytes(frame))
    assert (line["probe_id"], line["tcp_checksum_ok"]) == (None, False)


def test_errors_have_a_frame_and_a_reason_and_other_frames_are_counted(tmp_path: Path) -> None:
    frame = Wrap().frame(syn(4))
    lines, err, summary = report(tmp_path, bytes(Ether() / ARP()), frame[:45], frame, bytes(Ether() / syn(4)))
    assert [line["frame"] for line in lines] == [2, 3]
    assert list(lines[0]) == ["frame", "error"]
    assert err == "2 of 4 frames are no mirrored packets\n"
    assert (summary.frames, summary.mirrored, summary.skipped, sum(summary.errors.values())) == (4, 1, 2, 1)


def test_a_damaged_tail_is_named_after_the_lines_before_it(tmp_path: Path) -> None:
    lines, err, summary = report(tmp_path, Wrap().frame(syn(4)), tail=b"\1\2\3")
    assert len(lines) == 1
    assert summary.damage is not None
    assert "ends inside the record header" in err


def test_an_exporter_may_say_itself_that_it_cut_a_copy(tmp_path: Path) -> None:
    frame = bytearray(arp_frame(Wrap("II")))
    frame[42 + 2] |= 0x04
    (line,), _, _ = report(tmp_path, bytes(frame))
    assert (line["truncated"], line["session"]) == (True, SESSION)


def test_text_shows_what_is_there(tmp_path: Path) -> None:
    path = tmp_path / "x.pcap"
    with PcapWriter(str(path), linktype=1) as writer:
        writer.write(Wrap().frame(syn(4)))
    out = io.StringIO()
    decode_file(path, emit_json=False, out=out, err=io.StringIO())
    (line,) = out.getvalue().splitlines()
    assert line.startswith(f"frame=1 exporter={EXPORTER[4]} erspan_type=2 session={SESSION} ")
    assert "None" not in line
    assert str(INDEX) not in line


def test_what_is_no_capture_is_one_clear_error(tmp_path: Path) -> None:
    path = tmp_path / "x.txt"
    path.write_text("hello")
    with pytest.raises(CaptureError, match="neither a pcap nor a pcapng"):
        decode_file(path, emit_json=True, out=io.StringIO(), err=io.StringIO())
    with pytest.raises(FileNotFoundError):
        decode_file(tmp_path / "nosuch", emit_json=True, out=io.StringIO(), err=io.StringIO())
