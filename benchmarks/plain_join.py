"""The join as one would write it first: ordinary Avro records, dictionaries, one probe after another.

It gives the verdicts that losses need (ok, network loss, silent host, unobserved) and the links that
were passed and lost on; it knows nothing of altered content, odd paths, late rows and missing mirror
copies, so it has less to do than the real one.
"""

from __future__ import annotations

import io
from collections import Counter, defaultdict
from collections.abc import Iterable
from typing import Any

import fastavro
import numpy as np

from fabric.address import pack_address
from fabric.model import Fabric
from schemas.batch import decode_batch
from schemas.layout import Layout
from schemas.rows import DIGEST, OUTCOME
from streams.intake import TOPICS

Record = dict[str, Any]

_LAYOUTS = (OUTCOME, DIGEST)


def plain_schema(layout: Layout) -> dict[str, Any]:
    """A row layout as an ordinary Avro record of longs and byte strings."""
    return {
        "type": "record",
        "name": f"Plain{layout.name}",
        "fields": [{"name": f.name, "type": "bytes" if f.kind == "bytes" else "long"} for f in layout.fields],
    }


_ROW = [fastavro.parse_schema(plain_schema(layout)) for layout in _LAYOUTS]
_BATCH = [fastavro.parse_schema({"type": "array", "items": plain_schema(layout)}) for layout in _LAYOUTS]


def records(side: int, message: bytes) -> list[Record]:
    """Rows of one message as plain values; hashes as signed numbers, as Avro's `long` wants them."""
    rows = decode_batch(TOPICS[side], message).rows
    columns = []
    for field in _LAYOUTS[side].fields:
        column = rows[field.name]
        if field.kind == "bytes":
            columns.append([value.tobytes() for value in column])
        else:
            columns.append(column.astype(np.uint64).astype(np.int64).tolist())
    names = [field.name for field in _LAYOUTS[side].fields]
    return [dict(zip(names, values, strict=True)) for values in zip(*columns, strict=True)]


def write_batch(side: int, rows: list[Record]) -> bytes:
    """Many records in one message."""
    out = io.BytesIO()
    fastavro.schemaless_writer(out, _BATCH[side], rows)
    return out.getvalue()


def read_batch(side: int, message: bytes) -> list[Record]:
    """Reverse of `write_batch`."""
    rows: Any = fastavro.schemaless_reader(io.BytesIO(message), _BATCH[side], None)
    return rows  # type: ignore[no-any-return]


def write_row(side: int, row: Record) -> bytes:
    """One record in one message."""
    out = io.BytesIO()
    fastavro.schemaless_writer(out, _ROW[side], row)
    return out.getvalue()


def read_row(side: int, message: bytes) -> Record:
    """Reverse of `write_row`."""
    row: Any = fastavro.schemaless_reader(io.BytesIO(message), _ROW[side], None)
    return row  # type: ignore[no-any-return]


class PlainJoin:
    """Takes records in any order; `close` judges all probes taken in so far."""

    def __init__(self, fabric: Fabric) -> None:
        self._outcomes: dict[tuple[int, int], Record] = {}
        self._digests: defaultdict[int, list[Record]] = defaultdict(list)
        self._node_by_address = {
            pack_address(address): server.node for server in fabric.servers for address in server.addresses
        } | {pack_address(p.address): p.node for p in fabric.probers}
        attached = {p.node: fabric.node(p.switch) for p in fabric.probers}
        self._prober_by_number = {p.number: p.node for p in fabric.probers}
        self._tor = {s.node: fabric.node(s.tor) for s in fabric.servers} | attached
        self._via = {pack_address(s.address): s.node for s in fabric.switches}
        self.verdicts: Counter[str] = Counter()
        self.passed: Counter[tuple[int, int, int]] = Counter()
        self.digests = 0

    def take(self, side: int, rows: Iterable[Record]) -> None:
        """Records of one side."""
        if side == 0:
            for row in rows:
                self._outcomes[(row["sent_at_us"], row["probe_id"])] = row
        else:
            for row in rows:
                self._digests[row["probe_id"]].append(row)

    def close(self) -> None:
        """Judge every probe."""
        for (_, probe_id), outcome in self._outcomes.items():
            copies = self._digests.pop(probe_id, [])
            self.digests += len(copies)
            copies.sort(key=lambda row: (row["leg"], -row["ttl"]))
            self.verdicts[self._judge(outcome, copies)] += 1
        self._outcomes.clear()

    def _judge(self, outcome: Record, copies: list[Record]) -> str:
        target = self._node_by_address[outcome["target"]]
        prober = self._prober_by_number[outcome["probe_id"] >> 32]
        tor, attached = self._tor[target], self._tor[prober]
        legs: list[list[int]] = [[], [], []]
        passed = self.passed
        previous: Record | None = None
        for copy in copies:
            leg, switch = copy["leg"], copy["switch"]
            if previous is not None and previous["leg"] == leg:
                passed[(previous["switch"], switch, leg)] += 1
            legs[leg].append(switch)
            previous = copy
        encapsulated, probe, reply = legs
        replied = outcome["rtt_ns"] >= 0
        if encapsulated:
            if encapsulated[0] == attached:
                passed[(prober, attached, 0)] += 1
            if probe and encapsulated[-1] == self._via.get(outcome["via"]):
                passed[(encapsulated[-1], probe[0], 1)] += 1
        elif probe and probe[0] == attached:
            passed[(prober, attached, 1)] += 1
        if replied or reply:
            passed[(tor, target, 1)] += 1
            passed[(target, tor, 2)] += 1
        if replied:
            passed[(attached, prober, 2)] += 1
            return "ok"
        if reply:
            return "network_loss"
        if probe and probe[-1] == tor:
            return "host_silent"
        return "network_loss" if probe or encapsulated else "unobserved"
