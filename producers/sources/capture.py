"""Packets from a capture file."""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from producers.packets import U8, LinkType, PacketBatch
from producers.sources.records import CaptureError, Record, read_records
from producers.sources.source import ROWS_MAX, EndOfPackets

_TABLE_BYTES_MAX = 16 * 1024 * 1024
"""A batch is cut before its table gets larger; one huge packet must not make every row huge."""


class CaptureSource:
    """The packets of a pcap or pcapng file, with the times at which they were captured.

    A file that is damaged somewhere gives all packets before that place; then `next_batch` raises
    CaptureError.
    """

    def __init__(self, path: str | Path) -> None:
        """Raises OSError if the file cannot be read, CaptureError if it is no capture."""
        with Path(path).open("rb") as file:
            try:
                self._data: mmap.mmap | bytes = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
            except ValueError:
                raise CaptureError("the file is empty") from None
        self._bytes: U8 = np.frombuffer(self._data, dtype=np.uint8)
        self._records: Iterator[Record] = read_records(memoryview(self._data))
        self._next: Record | None = None
        self._damage: CaptureError | None = None

    def next_batch(self, rows_max: int = ROWS_MAX, timeout_s: float = 0.0) -> PacketBatch | None:
        """See PacketSource. A batch also ends where the link layer changes. Raises CaptureError at damage."""
        records = self._take(rows_max)
        if records:
            return self._batch(records)
        if self._damage is not None:
            raise self._damage
        raise EndOfPackets

    def lost(self) -> int:
        """Always 0: a file says nothing of packets that are not in it."""
        return 0

    def close(self) -> None:
        """Let go of the file."""
        self._records, self._next = iter(()), None

    def _take(self, rows_max: int) -> list[Record]:
        records: list[Record] = []
        width = 0
        while len(records) < rows_max:
            record = self._next or self._read()
            self._next = None
            if record is None:
                break
            width = max(width, record.length)
            too_large = width * (len(records) + 1) > _TABLE_BYTES_MAX
            if records and (too_large or record.link_type != records[0].link_type):
                self._next = record
                break
            records.append(record)
        return records

    def _read(self) -> Record | None:
        try:
            return next(self._records, None)
        except CaptureError as damage:
            self._damage = damage
            return None

    def _batch(self, records: list[Record]) -> PacketBatch:
        at, lengths, wire_lengths, received_us = np.array(
            [record[:4] for record in records], dtype=np.int64
        ).T
        return PacketBatch(
            data=_table(self._bytes, at, lengths),
            lengths=lengths.astype(np.int32),
            wire_lengths=np.minimum(wire_lengths, 2**31 - 1).astype(np.int32),
            received_us=received_us.copy(),
            link_type=LinkType(records[0].link_type),
        )


def _table(data: U8, at: np.ndarray, lengths: np.ndarray) -> U8:
    """One packet per row; behind a packet comes what follows it in the file. at, lengths: i8[n]."""
    width = int(lengths.max())
    # One element per possible start; elements overlap, so that a row is gathered in one piece.
    fits = at + width <= len(data)
    table = np.zeros((len(at), width), dtype=np.uint8)
    if width and fits.any():
        starts: np.ndarray = np.ndarray((len(data) - width + 1,), f"V{width}", data, strides=(1,))
        table[fits] = starts[at[fits]].view(np.uint8).reshape(-1, width)
    for row in np.flatnonzero(~fits):  # only the last packets of a file
        table[row, : lengths[row]] = data[at[row] : at[row] + lengths[row]]
    return table
