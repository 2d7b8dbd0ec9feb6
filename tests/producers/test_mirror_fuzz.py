"""Any bytes in: a row or an explained error, never an exception, and the same in whatever company they
come."""

from __future__ import annotations

import dataclasses
import io
import os
import random
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mirror_frames import PROBE_PORT, PROBER, PROBER_NUMBER, Wrap, all_wraps, inner_packets

from producers.addresses import AddressTable
from producers.decode_report import decode_file
from producers.mirror.decode import Decoded, decode
from producers.mirror.digests import digest, joined
from producers.mirror.errors import EXPLANATION, MirrorError
from producers.mirror.inventory import Exporter, ExporterMap, ProbeMap
from producers.mirror.sequences import count, drain, no_copies
from producers.packets import LinkType, PacketBatch
from producers.sources.records import CaptureError
from schemas.rows import DIGEST

CAPTURES = Path(
    os.environ.get("BYTETRACKER_CAPTURES", Path(__file__).resolve().parents[3] / "shared" / "captures")
)
_captures = sorted(CAPTURES.glob("*.pcap*")) if CAPTURES.is_dir() else []

EXPORTERS = ExporterMap([Exporter("192.0.2.1", 1, "index"), Exporter("2001:db8::1", 2, "key")])
PROBES = ProbeMap(AddressTable({PROBER[4]: PROBER_NUMBER, PROBER[6]: PROBER_NUMBER}), PROBE_PORT)


def some_frames() -> list[bytes]:
    picked = random.Random(5).sample(list(all_wraps()), 40)
    packets = list(inner_packets().values())
    return [wrap.frame(packets[place % len(packets)]) for place, wrap in enumerate(picked)]


FRAMES = some_frames()


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    """A mirrored packet with some bytes overwritten, and perhaps an end missing."""
    frame = bytearray(draw(st.sampled_from(FRAMES)))
    for _ in range(draw(st.integers(0, 4))):
        frame[draw(st.integers(0, min(len(frame), 140) - 1))] = draw(st.integers(0, 255))
    return bytes(frame[: draw(st.integers(0, len(frame)))]) if draw(st.booleans()) else bytes(frame)


any_frame = st.one_of(st.binary(max_size=200), mutated())


def assert_rows_equal(one: Decoded, row: int, other: Decoded, other_row: int) -> None:
    """Equal in every column that means something."""
    assert one.errors[row] == other.errors[other_row]
    if one.errors[row]:
        return
    has_ip = bool(one.version[row])
    of_ip = {"source", "destination", "ttl", "hop_ttl", "ip_id", "length"}
    for field in dataclasses.fields(Decoded):
        if field.name in ("mirror", "transport", "contents", "frames", "packet_at", "received_us"):
            continue
        if has_ip or field.name not in of_ip:
            mine, theirs = getattr(one, field.name)[row], getattr(other, field.name)[other_row]
            assert np.array_equal(mine, theirs), field.name
    for name in ("session", "index", "hardware_id", "platform_port", "key", "exporter_time", "is_egress"):
        assert getattr(one.mirror, name)[row] == getattr(other.mirror, name)[other_row], name
    for name in ("source_port", "destination_port", "tcp_seq", "tcp_ack", "tcp_flags"):
        assert getattr(one.transport, name)[row] == getattr(other.transport, name)[other_row], name
    for name in ("content_hash", "written_id", "payload_is_intact") if has_ip else ():
        assert getattr(one.contents, name)[row] == getattr(other.contents, name)[other_row], name
    assert one.packets(np.array([row])) == other.packets(np.array([other_row]))


@given(st.lists(any_frame, min_size=1, max_size=12), st.sampled_from(list(LinkType)))
@settings(max_examples=300, deadline=None)
def test_any_batch_decodes_as_its_frames_do_alone(frames: list[bytes], link_type: LinkType) -> None:
    together = decode(PacketBatch.of(frames, link_type=link_type))
    for row, frame in enumerate(frames):
        alone = decode(PacketBatch.of([frame], link_type=link_type))
        assert_rows_equal(alone, 0, together, row)
        error = MirrorError(int(alone.errors[0]))
        assert error is MirrorError.NONE or EXPLANATION[error]


@given(st.lists(any_frame, min_size=1, max_size=12), st.binary(min_size=1, max_size=8))
@settings(max_examples=100, deadline=None)
def test_what_lies_behind_a_packet_in_its_row_does_not_matter(frames: list[bytes], rubbish: bytes) -> None:
    clean = PacketBatch.of(frames)
    dirty = PacketBatch.of([frame.ljust(clean.data.shape[1] + 80, b"\0") for frame in frames])
    for row, frame in enumerate(frames):
        tail = dirty.data[row, len(frame) :]
        tail[:] = np.resize(np.frombuffer(rubbish, np.uint8), len(tail))
    dirty = dataclasses.replace(dirty, lengths=clean.lengths)
    one, other = decode(clean), decode(dirty)
    for row in range(len(frames)):
        assert_rows_equal(one, row, other, row)


@given(st.lists(any_frame, max_size=30), st.integers(1, 30))
@settings(max_examples=150, deadline=None)
def test_digests_and_counts_do_not_depend_on_batching(frames: list[bytes], rows_max: int) -> None:
    batch = PacketBatch.of(frames)
    whole = digest(batch, EXPORTERS, PROBES)
    assert len(whole.rows) + sum(whole.rejected.values()) == len(frames)
    parts = [digest(block, EXPORTERS, PROBES) for block in batch.blocks(rows_max)]
    assert all(part.rows.dtype == DIGEST.dtype for part in [whole, *parts, joined(parts)])
    assert b"".join(part.rows.tobytes() for part in parts) == whole.rows.tobytes()
    assert sum((part.rejected for part in parts), whole.rejected - whole.rejected) == whole.rejected
    assert [p.packet for part in parts for p in part.altered] == [p.packet for p in whole.altered]
    state = no_copies()
    for part in parts:
        state = count(state, part.copies)
    assert drain(state)[1] == drain(count(no_copies(), whole.copies))[1]


@pytest.mark.skipif(not _captures, reason=f"no captures in {CAPTURES}")
@pytest.mark.parametrize("path", _captures, ids=lambda path: path.name)
def test_damaged_captures_give_lines_or_one_clear_error(path: Path, tmp_path: Path) -> None:
    chance = random.Random(path.name)
    original = path.read_bytes()[:20_000]
    damaged_path = tmp_path / "damaged.pcap"
    for _ in range(30):
        damaged = bytearray(
            original[: chance.randrange(len(original)) + 1 if chance.random() < 0.3 else None]
        )
        for _ in range(chance.randrange(1, 12)):
            damaged[chance.randrange(len(damaged))] = chance.randrange(256)
        damaged_path.write_bytes(damaged)
        try:
            summary = decode_file(damaged_path, emit_json=True, out=io.StringIO(), err=io.StringIO())
        except CaptureError as error:
            assert str(error)
        else:
            assert summary.mirrored + summary.skipped + sum(summary.errors.values()) <= summary.frames


@pytest.mark.parametrize("pieces", [1, 2, 3, 4])
def test_a_table_of_one_packet_repeated_decodes_to_equal_rows(pieces: int) -> None:
    frame = Wrap().frame(inner_packets()["syn4"])
    decoded = decode(PacketBatch.of([frame] * pieces))
    for row in range(pieces):
        assert_rows_equal(decoded, 0, decoded, row)
