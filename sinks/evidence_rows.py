"""Rows of the messages of `link-evidence`: what happened in a slot, and what operators ask for."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from schemas.errors import BadMessage
from schemas.nodes import UNKNOWN_NODE
from schemas.rows import BITS, FATES, PAIRS, PATHS, STRAYS, TURNS, Kind, Leg
from sinks.columns import Record, TableRows, integers, narrow, objects, one_list, texts, times
from sinks.names import NodeNames

LEG_NAMES = np.array([leg.name.lower() for leg in Leg], dtype=object)
KIND_NAMES = np.array([kind.name.lower() for kind in Kind], dtype=object)
#: The verdicts that a stray may have; see schemas.rows.STRAYS.
STRAY_NAMES = {5: "loop", 6: "unexpected_path"}

#: `partition` of a message that holds nothing but operators' commands.
COMMANDS_PARTITION = -1

_EVIDENCE_COUNTS = ("passed", "lost", "altered", "mirror_missing")
_SLOT_COUNTS = ("probes", "late_outcomes", "late_digests", "duplicates")
_PAIR_COUNTS = ("probes", "answered", "network_lost", "silent", "altered")


def evidence_rows(head: Record, mapped: np.ndarray | None, names: NodeNames) -> list[TableRows]:
    """All rows of one message, the row of `slots` last. Raises BadMessage."""
    assert mapped is not None
    slot = int(times([head["slot_us"]], "slot_us")[0])
    partition = int(integers([head["partition"]], np.int32, "partition")[0])
    if partition == COMMANDS_PARTITION:
        return [_commands(head["commands"], slot)]
    return [
        _links(mapped, slot, partition, names),
        _mirrors(head["exporters"], slot, partition, names),
        _pairs(np.frombuffer(head["pairs"], PAIRS.dtype), slot, partition, names),
        _chips(np.frombuffer(head["turns"], TURNS.dtype), slot, partition, names),
        _strays(np.frombuffer(head["strays"], STRAYS.dtype), slot, partition, names),
        _bits(np.frombuffer(head["bits"], BITS.dtype), slot, partition, names),
        _fates(np.frombuffer(head["fates"], FATES.dtype), slot, partition, names),
        _paths(np.frombuffer(head["paths"], PATHS.dtype), slot, names),
        _summary(head, slot, partition, len(mapped)),
    ]


def _links(mapped: np.ndarray, slot: int, partition: int, names: NodeNames) -> TableRows:
    return TableRows(
        "link_evidence",
        {
            **_where(mapped, slot, partition),
            "from_node": names(mapped["from_node"]),
            "to_node": names(mapped["to_node"]),
            "leg": _named(mapped["leg"], LEG_NAMES, "leg"),
            **_counts(mapped, _EVIDENCE_COUNTS),
        },
    )


def _summary(head: Record, slot: int, partition: int, evidence_rows: int) -> TableRows:
    return TableRows(
        "slots",
        {
            "slot": np.array([slot]),
            "input_partition": np.array([partition], np.int32),
            "slot_length_us": integers([head["slot_length_us"]], np.int64, "slot_length_us"),
            "watermark": times([head["watermark_us"]], "watermark_us"),
            **{name: integers([head[name]], np.uint64, name) for name in _SLOT_COUNTS},
            "verdicts": objects([_checked(head["verdicts"])]),
            "silent_sources": one_list(head["silent_sources"]),
            "evidence_rows": np.array([evidence_rows], dtype=np.uint32),
        },
    )


def _mirrors(exporters: Sequence[Record], slot: int, partition: int, names: NodeNames) -> TableRows:
    switches = integers((e["switch"] for e in exporters), np.int32, "switch")
    return TableRows(
        "mirror_counts",
        {
            **_where(exporters, slot, partition),
            "switch": names(switches),
            "received": integers((e["received"] for e in exporters), np.uint64, "received"),
            "lost": integers((e["lost"] for e in exporters), np.uint64, "lost"),
        },
    )


def _pairs(pairs: np.ndarray, slot: int, partition: int, names: NodeNames) -> TableRows:
    return TableRows(
        "pair_counts",
        {
            **_where(pairs, slot, partition),
            "kind": _named(pairs["kind"], KIND_NAMES, "kind"),
            "from_node": names(pairs["from_node"]),
            "to_node": names(pairs["to_node"]),
            **_counts(pairs, _PAIR_COUNTS),
            **{name: narrow(pairs[name], np.uint64, name) for name in ("rtt_sum_ns", "rtt_max_ns")},
        },
    )


def _chips(turns: np.ndarray, slot: int, partition: int, names: NodeNames) -> TableRows:
    return TableRows(
        "chip_evidence",
        {
            **_where(turns, slot, partition),
            "switch": names(turns["switch"]),
            "from_chip": names.chips(turns["switch"], turns["from_chip"]),
            "to_chip": names.chips(turns["switch"], turns["to_chip"]),
            "leg": _named(turns["leg"], LEG_NAMES, "leg"),
            **_counts(turns, ("passed", "lost", "altered")),
        },
    )


def _strays(strays: np.ndarray, slot: int, partition: int, names: NodeNames) -> TableRows:
    verdicts = strays["verdict"].tolist()
    if not STRAY_NAMES.keys() >= set(verdicts):
        raise BadMessage("out_of_range", f"verdicts of strays are {sorted(set(verdicts))}")
    return TableRows(
        "strays",
        {
            **_where(strays, slot, partition),
            "verdict": texts(STRAY_NAMES[verdict] for verdict in verdicts),
            "from_node": names(strays["from_node"]),
            "to_node": names(strays["to_node"]),
            "leg": _named(strays["leg"], LEG_NAMES, "leg"),
            **_counts(strays, ("probes",)),
        },
    )


def _bits(bits: np.ndarray, slot: int, partition: int, names: NodeNames) -> TableRows:
    return TableRows(
        "altered_bits",
        {
            **_where(bits, slot, partition),
            "from_node": names(bits["from_node"]),
            "to_node": names(bits["to_node"]),
            "leg": _named(bits["leg"], LEG_NAMES, "leg"),
            "byte_offset": narrow(bits["byte_offset"], np.int32, "byte_offset"),
            "bit": narrow(bits["bit"], np.uint8, "bit"),
            **_counts(bits, ("to_one", "to_zero")),
        },
    )


def _fates(fates: np.ndarray, slot: int, partition: int, names: NodeNames) -> TableRows:
    return TableRows(
        "flow_fates",
        {
            **_where(fates, slot, partition),
            "from_node": names(fates["from_node"]),
            "to_node": names(fates["to_node"]),
            "leg": _named(fates["leg"], LEG_NAMES, "leg"),
            **_counts(fates, ("lost_again", "recovered")),
        },
    )


def _paths(paths: np.ndarray, slot: int, names: NodeNames) -> TableRows:
    most = PATHS.dtype["switches"].itemsize // 4
    switches = np.frombuffer(paths["switches"].tobytes(), ">i4").reshape(len(paths), most)
    ended = switches == UNKNOWN_NODE
    known = np.where(ended.any(axis=1), ended.argmax(axis=1), most).tolist()
    named = names(switches.ravel()).reshape(switches.shape).tolist()
    lists = np.empty(len(paths), dtype=object)
    for row, hops in enumerate(known):  # a list a row is what the store takes
        lists[row] = named[row][:hops]
    return TableRows(
        "flow_paths",
        {
            "slot": np.full(len(paths), slot, np.int64),
            **{name: names(paths[name]) for name in ("prober", "target", "via")},
            "source_port": narrow(paths["source_port"], np.int32, "source_port"),
            "leg": _named(paths["leg"], LEG_NAMES, "leg"),
            "switches": lists,
        },
    )


def _commands(commands: Sequence[Record], given_us: int) -> TableRows:
    return TableRows(
        "silences",
        {
            "given_at": np.full(len(commands), given_us, np.int64),
            **{name: texts(c[name] for c in commands) for name in ("action", "element", "why", "by")},
            "starts_at": times((c["from_us"] for c in commands), "from_us"),
            "ends_at": times((c["until_us"] for c in commands), "until_us"),
        },
    )


def _where(rows: Sequence[Any] | np.ndarray, slot: int, partition: int) -> dict[str, np.ndarray]:
    n = len(rows)
    return {"slot": np.full(n, slot, np.int64), "input_partition": np.full(n, partition, np.int32)}


def _counts(rows: np.ndarray, names: Iterable[str]) -> dict[str, np.ndarray]:
    return {name: narrow(rows[name], np.uint32, name) for name in names}


def _named(numbers: np.ndarray, texts_of: np.ndarray, name: str) -> np.ndarray:
    """The names of small numbers. Raises BadMessage if one has none."""
    if len(numbers) and (numbers.min() < 0 or numbers.max() >= len(texts_of)):
        raise BadMessage("out_of_range", f"{name} from {numbers.min()} to {numbers.max()}")
    found: np.ndarray = texts_of[numbers]
    return found


def _checked(counts: dict[str, int]) -> dict[str, int]:
    integers(counts.values(), np.uint64, "verdicts")
    return counts
