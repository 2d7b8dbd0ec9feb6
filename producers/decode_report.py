"""What `bytetracker decode FILE [--json]` prints: every mirrored packet of a capture, one line each."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TextIO

import numpy as np
from numpy.typing import NDArray

from producers.addresses import Addresses, address_text
from producers.mirror.decode import BLOCK_ROWS, CHECKSUM_RIGHT, CHECKSUM_UNKNOWN, Decoded, decode
from producers.mirror.errors import EXPLANATION, MirrorError
from producers.mirror.erspan import MirrorFormat
from producers.mirror.fragments import Reassembly
from producers.mirror.probes import written_probe_id
from producers.packets import I64, PacketBatch
from producers.sources.capture import CaptureSource
from producers.sources.records import CaptureError
from producers.sources.source import EndOfPackets, PacketSource

Line = dict[str, object]

# How reports name the formats.
_FORMAT_NAME: dict[int, object] = {
    MirrorFormat.TYPE_I: 1,
    MirrorFormat.TYPE_II: 2,
    MirrorFormat.TYPE_III: 3,
    MirrorFormat.TEB: "teb",
    MirrorFormat.OPAQUE_22: "0x8949",
}


@dataclass(slots=True)
class DecodeSummary:
    """What became of the frames of a file."""

    frames: int = 0
    mirrored: int = 0
    errors: Counter[str] = field(default_factory=Counter)  # explanation -> frames
    skipped: int = 0  # no mirrors
    damage: str | None = None  # why the rest of the file could not be read


def decode_file(path: str | Path, *, emit_json: bool, out: TextIO, err: TextIO) -> DecodeSummary:
    """Decode a pcap or pcapng file: lines to `out`, a summary of what is not there to `err`.

    Raises OSError if the file cannot be read and CaptureError if it is no capture. A file that is damaged
    from some place on is decoded up to there; `damage` of the summary then says so (and so does `err`).
    """
    summary = DecodeSummary()
    source = CaptureSource(path)
    try:
        for line in decode_lines(source, summary):
            print(json.dumps(line) if emit_json else _as_text(line), file=out)
    finally:
        source.close()
    if summary.skipped:
        print(f"{summary.skipped} of {summary.frames} frames are no mirrored packets", file=err)
    if summary.damage:
        print(f"{path}: {summary.damage}", file=err)
    return summary


def decode_lines(source: PacketSource, summary: DecodeSummary) -> Iterator[Line]:
    """The lines of a report as dictionaries with the documented keys, in the order of frames.

    Outer packets that were fragmented are put together again and reported at the frame that completes them;
    fragments that stay incomplete come last, as errors. `summary` is updated on the way.
    """
    reassembly = Reassembly()
    for batch in _blocks(source, summary):
        frames = np.arange(summary.frames + 1, summary.frames + 1 + len(batch))
        summary.frames += len(batch)
        whole, frames = reassembly.resolve(batch, frames)
        decoded = decode(whole)
        summary.skipped += int((decoded.errors == MirrorError.NOT_A_MIRROR).sum())
        yield from _lines(decoded, frames, summary)
    for frame in reassembly.incomplete():
        yield _error_line(frame, MirrorError.OUTER_FRAGMENT, summary)


def _blocks(source: PacketSource, summary: DecodeSummary) -> Iterator[PacketBatch]:
    try:
        while True:
            batch = source.next_batch(BLOCK_ROWS)
            if batch is not None:
                yield batch
    except EndOfPackets:
        return
    except CaptureError as damage:
        summary.damage = str(damage)


def _error_line(frame: int, error: MirrorError, summary: DecodeSummary) -> Line:
    explanation = EXPLANATION[error]
    summary.errors[explanation] += 1
    return {"frame": frame, "error": explanation}


def _lines(decoded: Decoded, frames: I64, summary: DecodeSummary) -> Iterator[Line]:
    """One line per row that is a mirrored packet or should have been one."""
    columns = _columns(decoded)
    for row, (frame, error) in enumerate(zip(frames.tolist(), decoded.errors.tolist(), strict=True)):
        if error == MirrorError.NOT_A_MIRROR:
            continue
        if error:
            yield _error_line(frame, MirrorError(error), summary)
        else:
            summary.mirrored += 1
            yield {"frame": frame} | {key: values[row] for key, values in columns.items()}


def _columns(decoded: Decoded) -> dict[str, list[object]]:
    """Every key of a line but `frame`, as lists over the rows, with None for what is absent."""
    is_ip = decoded.version > 0
    tcp = decoded.transport
    ip_only = partial(_or_none, present=is_ip)
    return {
        "exporter": _texts(decoded.exporter, np.ones(len(decoded), np.bool_)),
        "erspan_type": [_FORMAT_NAME.get(number) for number in decoded.mirror.format.tolist()],
        "session": _or_none(decoded.mirror.session),
        "sequence": _or_none(decoded.sequence),
        "inner_src": _texts(decoded.source, is_ip),
        "inner_dst": _texts(decoded.destination, is_ip),
        "protocol": _or_none(decoded.protocol),
        "src_port": _or_none(tcp.source_port),
        "dst_port": _or_none(tcp.destination_port),
        "tcp_seq": _or_none(tcp.tcp_seq),
        "tcp_ack": _or_none(tcp.tcp_ack),
        "tcp_flags": _or_none(tcp.tcp_flags),
        "ttl": ip_only(decoded.ttl),
        "ip_id": ip_only(decoded.ip_id),
        "length": ip_only(decoded.length),
        "truncated": (decoded.truncated | decoded.mirror.cut_by_exporter).tolist(),
        "tcp_checksum_ok": [
            None if state == CHECKSUM_UNKNOWN else state == CHECKSUM_RIGHT
            for state in decoded.checksum.tolist()
        ],
        "content_hash": [
            f"{value:016x}" if present else None
            for value, present in zip(decoded.contents.content_hash.tolist(), is_ip.tolist(), strict=True)
        ],
        "probe_id": _or_none(written_probe_id(decoded)),
    }


def _or_none(column: NDArray[np.integer], present: NDArray[np.bool_] | None = None) -> list[object]:
    """Numbers, None where they are negative (our mark for absent) or not `present`."""
    shown = column >= 0 if present is None else present & (column >= 0)
    return [
        value if is_shown else None for value, is_shown in zip(column.tolist(), shown.tolist(), strict=True)
    ]


def _texts(addresses: Addresses, present: NDArray[np.bool_]) -> list[object]:
    return [
        address_text(high, low) if is_shown else None
        for (high, low), is_shown in zip(addresses.tolist(), present.tolist(), strict=True)
    ]


def _as_text(line: Line) -> str:
    """A line for people: what is there, as key=value."""
    return " ".join(f"{key}={value}" for key, value in line.items() if value is not None)
