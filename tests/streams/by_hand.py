"""Probes whose paths are written by hand, as names of switches, and what the join says of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from fabric.address import pack_address
from fabric.model import Fabric
from schemas import topics
from schemas.batch import AlteredPacket, Batch, Envelope, encode_batch, tick
from schemas.rows import DIGEST, END_OF_SOURCE_US, OUTCOME, DigestFlag, Direction, Kind, ReplyKind
from streams.closing import Closed, close
from streams.join import Network, PartitionJoin
from streams.settings import JoinSettings
from tests.streams.logs import SMALL, START_US

AS_SENT, OF_REPLY, OTHER = 0xA1, 0xB2, 0xC3
#: Marks behind a switch's name: what is wrong with its copy.
MARKS = {
    "*": (OTHER, DigestFlag.BAD_CHECKSUM | DigestFlag.PAYLOAD_ALTERED),
    "^": (OTHER, 0),  # another content, and a checksum that fits
    "%": (OTHER, DigestFlag.TRUNCATED),
}


@dataclass(frozen=True)
class Path:
    """One probe. Legs are switches in the order of the path, `-` for a copy that is missing; `*`, `^`
    and `%` behind a name mark a damaged copy (see MARKS), `+` one that comes twice, `>` one that is
    mirrored as it comes in and as it goes out, `=` one that is mirrored only as it goes out."""

    out: str = ""
    back: str = ""
    encapsulated: str = ""
    rtt_ns: int = 80_000
    reply_kind: ReplyKind = ReplyKind.RST
    target: str = "server-2-1-1"
    via: str = ""
    member: int = 0
    group_size: int = 3
    back_after_us: int = 100
    first_ttl: int = 64
    sent_us: int = 0  # after the start
    source_port: int = 20_000
    prober: int = 1
    packets: dict[str, bytes] = field(default_factory=dict)  # name with its mark -> whole packet


DOWN = "border-1 spine-1 leaf-2-1 tor-2-1"
UP = "tor-2-1 leaf-2-2 spine-2 border-1"
HEALTHY = Path(out=DOWN, back=UP)
LOST = Path(rtt_ns=-1, reply_kind=ReplyKind.NONE)


def lost(out: str = "", back: str = "", **more: Any) -> Path:
    return replace(LOST, out=out, back=back, **more)


@dataclass
class Verdicts:
    """`rows`: results by member; `cells`: (from, to, leg) -> (passed, lost, altered, missing)."""

    rows: dict[int, dict[str, Any]]
    cells: dict[tuple[str, str, int], tuple[int, int, int, int]]
    heads: list[dict[str, Any]]

    @property
    def only(self) -> dict[str, Any]:
        (row,) = self.rows.values()
        return row

    def counted(self, which: str) -> dict[tuple[str, str, int], int]:
        at = ("passed", "lost", "altered", "missing").index(which)
        return {cell: counts[at] for cell, counts in self.cells.items() if counts[at]}


def judge(*paths: Path, fabric: Fabric = SMALL, settings: JoinSettings | None = None) -> Verdicts:
    """Send the probes through a join of one partition."""
    outcomes, digests, altered = _written(paths, fabric)
    return judge_rows(outcomes, digests, altered, fabric=fabric, settings=settings)


def closed_by_hand(*paths: Path, fabric: Fabric = SMALL) -> Closed:
    """What the join works out of these probes of one slot, numbered by their order."""
    network, settings = Network(fabric), JoinSettings()
    numbered = [replace(path, member=member) for member, path in enumerate(paths)]
    outcomes, rows, _ = _written(numbered, fabric)
    probes = network.columns(outcomes)
    of = np.searchsorted(probes.probe_id, rows["probe_id"].astype(np.int64)).astype(np.int32)
    return close(probes, rows, of, network.places, settings)


def _written(paths: Sequence[Path], fabric: Fabric) -> tuple[np.ndarray, np.ndarray, list[AlteredPacket]]:
    """OUTCOME rows, DIGEST rows, and whole packets."""
    outcomes, digests, altered = [], [], []
    for path in paths:
        probe_id = (path.prober << 32) | (7 << 3) | path.member
        outcomes.append(_outcome(path, probe_id, fabric))
        for leg, names in enumerate((path.encapsulated, path.out, path.back)):
            for row, packet in _copies(path, leg, names, probe_id, fabric):
                if packet is not None:
                    altered.append(AlteredPacket(len(digests), packet))
                digests.append(row)
    return np.array(outcomes, OUTCOME.dtype), np.array(digests, DIGEST.dtype), altered


def judge_rows(
    outcomes: np.ndarray,
    digests: np.ndarray,
    altered: Sequence[AlteredPacket] = (),
    *,
    fabric: Fabric = SMALL,
    settings: JoinSettings | None = None,
) -> Verdicts:
    """What a join of one partition says of these rows."""
    settings = settings or JoinSettings(sample_one_in=1)
    join = PartitionJoin(0, Network(fabric), settings)
    now_ms = START_US // 1_000 + 100
    tables = outcomes, digests
    for side, topic in enumerate((topics.OUTCOMES, topics.DIGESTS)):
        for sequence, (rows, promise) in enumerate(((tables[side], 0), (tables[side][:0], END_OF_SOURCE_US))):
            envelope = Envelope("source", 1, 0, sequence, promise)
            batch = Batch(envelope, rows, altered if side and not sequence else ())
            join.offer(side, sequence, now_ms, encode_batch(topic, batch))
        join.offer(side, 2, now_ms + 1, tick(topic, 0))
    output = join.step()
    assert not output.dead_letters
    name = {-1: "?", **{n: fabric.node_name(n) for n in _nodes(fabric)}}
    cells = {
        (name.get(f, str(f)), name.get(t, str(t)), leg): tuple(counts)
        for _, rows in output.evidence
        for f, t, leg, *counts in rows.tolist()
    }
    return Verdicts(
        {row["probe_id"] & 7: row for row in output.results}, cells, [head for head, _ in output.evidence]
    )


def _nodes(fabric: Fabric) -> list[int]:
    return [each.node for each in (*fabric.switches, *fabric.servers, *fabric.probers)]


def _outcome(path: Path, probe_id: int, fabric: Fabric) -> tuple:
    target = path.target
    if target in fabric.server_by_name:
        target = fabric.server_by_name[target].addresses[0]
    elif target in fabric.prober_by_name:
        target = fabric.prober_by_name[target].address
    via = pack_address(fabric.switch_by_name[path.via].address) if path.via else bytes(16)
    kind = Kind.EAST_WEST if path.via else Kind.NORTH_SOUTH
    reply_ttl = -1 if path.rtt_ns < 0 else 60
    return (
        *(
            probe_id,
            START_US + path.sent_us,
            path.rtt_ns,
            AS_SENT,
            np.void(pack_address(target)),
            np.void(via),
        ),
        *(path.source_port, 65_111, reply_ttl, kind, path.group_size, path.reply_kind),
    )


def _copies(
    path: Path, leg: int, names: str, probe_id: int, fabric: Fabric
) -> list[tuple[tuple, bytes | None]]:
    rows = []
    for hop, word in enumerate(names.split()):
        name, mark = (word[:-1], word[-1]) if word[-1] in "*^%+>=" else (word, "")
        if name == "-":
            continue
        content, flags = MARKS.get(mark, (OF_REPLY if leg == 2 else AS_SENT, 0))
        switch = int(name) if name.isdigit() else fabric.node(name)
        at_us = START_US + path.sent_us + 50 + hop + (path.back_after_us if leg == 2 else 0)
        row = (probe_id, at_us, -1, content, switch, 1, 552, path.first_ttl - hop, flags, leg, 0)
        if mark != "=":
            rows += [(row, path.packets.get(word))] * (2 if mark == "+" else 1)
        if mark in (">", "="):
            rows.append(((*row[:7], row[7] - 1, flags, leg, Direction.EGRESS), None))
    return rows
