"""Messages to rows, per table: pure functions of the message, its place in the topic and the names of
nodes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from schemas import topics
from schemas.codec import decode
from schemas.errors import BadMessage
from schemas.framing import Framing, SingleObject
from schemas.rows import PAIRS, Kind, Leg
from sinks.columns import (
    Origin,
    Record,
    TableRows,
    integers,
    lists,
    narrow,
    objects,
    optional_integers,
    texts,
    times,
)
from sinks.names import NodeNames

#: Tables in the order they are written. A row of `slots` says that the evidence of its slot is in: it
#: comes after it.
INSERT_ORDER = (
    "probe_results",
    "link_evidence",
    "mirror_counts",
    "pair_counts",
    "slots",
    "fault_events",
    "dead_letters",
)

#: The column whose day is the partition; tables that are not named have one partition.
DAY_COLUMN = {
    "probe_results": "sent_at",
    "link_evidence": "slot",
    "mirror_counts": "slot",
    "pair_counts": "slot",
    "slots": "slot",
}

LEG_NAMES = np.array([leg.name.lower() for leg in Leg], dtype=object)
KIND_NAMES = np.array([kind.name.lower() for kind in Kind], dtype=object)

_SINGLE_OBJECT = SingleObject()


def rows_of_message(
    message: bytes | None, origin: Origin, names: NodeNames, *, framing: Framing = _SINGLE_OBJECT
) -> tuple[TableRows, ...]:
    """All rows of one message of a topic that the sink reads. Raises BadMessage, and what a schema
    registry raises while it cannot be reached; KeyError for any other topic."""
    head, mapped = decode(origin.topic, message, framing=framing)
    found = _READERS[origin.topic](head, mapped, names)
    return tuple(
        TableRows(rows.table, {**rows.columns, **origin.columns(rows.count)}) for rows in found if rows.count
    )


def _results(head: Record, _: np.ndarray | None, __: NodeNames) -> list[TableRows]:
    rows: list[Record] = head["rows"]
    partition = integers([head["partition"]], np.int32, "partition")[0]

    def column(name: str) -> list[Any]:
        return [row[name] for row in rows]

    columns = {
        "sent_at": times(column("sent_at_us"), "sent_at_us"),
        "probe_id": integers(column("probe_id"), np.uint64, "probe_id"),
        **{name: texts(column(name)) for name in _RESULT_TEXTS},
        "sampled": np.array(column("sampled"), dtype=bool),
        "source_port": integers(column("source_port"), np.int32, "source_port"),
        "destination_port": integers(column("destination_port"), np.int32, "destination_port"),
        "rtt_ns": optional_integers(column("rtt_ns"), np.int64, "rtt_ns"),
        "reply_ttl": optional_integers(column("reply_ttl"), np.int32, "reply_ttl"),
        "fault_leg": texts(leg or "" for leg in column("fault_leg")),
        "hops.leg": lists(rows, "hops", "leg"),
        "hops.switch": lists(rows, "hops", "switch"),
        "hops.port": lists(rows, "hops", "port", _fits(np.int32, "hops.port")),
        "hops.ttl": lists(rows, "hops", "ttl", _fits(np.int32, "hops.ttl")),
        "hops.observed_at": lists(rows, "hops", "observed_at_us", _is_time("hops.observed_at_us")),
        "hops.altered": lists(rows, "hops", "altered"),
        "hops.content_hash": lists(rows, "hops", "content_hash", convert=_hash),
        **{
            f"alterations.{name}": lists(rows, "alterations", name, _fits(dtype, f"alterations.{name}"))
            for name, dtype in _ALTERATION_FIELDS
        },
        "input_partition": np.full(len(rows), partition, np.int32),
    }
    return [TableRows("probe_results", columns)]


_RESULT_TEXTS = (
    "kind",
    "verdict",
    "reason",
    "prober",
    "target",
    "target_address",
    "via",
    "reply_kind",
    "last_seen",
    "next_node",
)
_ALTERATION_FIELDS: tuple[tuple[str, type[np.integer[Any]]], ...] = (
    ("byte_offset", np.int32),
    ("xor_mask", np.uint8),
    ("sent", np.uint8),
    ("seen", np.uint8),
)


def _hash(data: bytes) -> int:
    return int.from_bytes(data, "big")


def _fits(dtype: type[np.integer[Any]], name: str) -> Callable[[list[Any]], Any]:
    return lambda values: integers(values, dtype, name)


def _is_time(name: str) -> Callable[[list[Any]], Any]:
    return lambda values: times(values, name)


def _evidence(head: Record, mapped: np.ndarray | None, names: NodeNames) -> list[TableRows]:
    assert mapped is not None
    n = len(mapped)
    slot = times([head["slot_us"]], "slot_us")[0]
    partition = integers([head["partition"]], np.int32, "partition")[0]
    evidence = TableRows(
        "link_evidence",
        {
            "slot": np.full(n, slot),
            "input_partition": np.full(n, partition),
            "from_node": names(mapped["from_node"]),
            "to_node": names(mapped["to_node"]),
            "leg": _named(mapped["leg"], LEG_NAMES, "leg"),
            **{name: narrow(mapped[name], np.uint32, name) for name in _EVIDENCE_COUNTS},
        },
    )
    summary = TableRows(
        "slots",
        {
            "slot": np.array([slot]),
            "input_partition": np.array([partition]),
            "slot_length_us": integers([head["slot_length_us"]], np.int64, "slot_length_us"),
            "watermark": times([head["watermark_us"]], "watermark_us"),
            **{name: integers([head[name]], np.uint64, name) for name in _SLOT_COUNTS},
            "verdicts": objects([_counts(head["verdicts"])]),
            "silent_sources": _one(head["silent_sources"]),
            "evidence_rows": np.array([n], dtype=np.uint32),
        },
    )
    mirrors = _mirror_counts(head["exporters"], slot, partition, names)
    pairs = _pair_counts(np.frombuffer(head["pairs"], PAIRS.dtype), slot, partition, names)
    return [evidence, mirrors, pairs, summary]


_EVIDENCE_COUNTS = ("passed", "lost", "altered", "mirror_missing")
_SLOT_COUNTS = ("probes", "late_outcomes", "late_digests", "duplicates")


def _mirror_counts(exporters: Sequence[Record], slot: int, partition: int, names: NodeNames) -> TableRows:
    n = len(exporters)
    switches = integers((e["switch"] for e in exporters), np.int32, "switch")
    return TableRows(
        "mirror_counts",
        {
            "slot": np.full(n, slot, np.int64),
            "input_partition": np.full(n, partition, np.int32),
            "switch": names(switches),
            "received": integers((e["received"] for e in exporters), np.uint64, "received"),
            "lost": integers((e["lost"] for e in exporters), np.uint64, "lost"),
        },
    )


def _pair_counts(pairs: np.ndarray, slot: int, partition: int, names: NodeNames) -> TableRows:
    n = len(pairs)
    return TableRows(
        "pair_counts",
        {
            "slot": np.full(n, slot, np.int64),
            "input_partition": np.full(n, partition, np.int32),
            "kind": _named(pairs["kind"], KIND_NAMES, "kind"),
            "from_node": names(pairs["from_node"]),
            "to_node": names(pairs["to_node"]),
            **{name: narrow(pairs[name], np.uint32, name) for name in _PAIR_COUNTS},
            **{name: narrow(pairs[name], np.uint64, name) for name in ("rtt_sum_ns", "rtt_max_ns")},
        },
    )


_PAIR_COUNTS = ("probes", "answered", "network_lost", "silent", "altered")


def _named(numbers: np.ndarray, texts_of: np.ndarray, name: str) -> np.ndarray:
    """The names of small numbers. Raises BadMessage if one has none."""
    if len(numbers) and (numbers.min() < 0 or numbers.max() >= len(texts_of)):
        raise BadMessage("out_of_range", f"{name} from {numbers.min()} to {numbers.max()}")
    found: np.ndarray = texts_of[numbers]
    return found


def _counts(counts: dict[str, int]) -> dict[str, int]:
    integers(counts.values(), np.uint64, "verdicts")
    return counts


def _one(value: Iterable[Any]) -> np.ndarray:
    """One row that holds a list."""
    column = np.empty(1, dtype=object)
    column[0] = list(value)
    return column


def _faults(head: Record, _: np.ndarray | None, __: NodeNames) -> list[TableRows]:
    event = [head]
    columns = {
        **{name: texts([head[name]]) for name in _FAULT_TEXTS},
        "version": integers([head["version"]], np.uint32, "version"),
        "suspects.element": lists(event, "suspects", "element"),
        "suspects.confidence": lists(event, "suspects", "confidence"),
        **{name: objects([head[name]]) for name in ("loss_rate", "loss_rate_low", "loss_rate_high")},
        **{name: integers([head[name]], np.int64, name) for name in ("probes_bad", "probes_total")},
        "first_seen": times([head["first_seen_us"]], "first_seen_us"),
        "last_seen": times([head["last_seen_us"]], "last_seen_us"),
        "detected_at": times([head["detected_at_us"]], "detected_at_us"),
        "affected_servers": _one(head["affected_servers"]),
        "example_probes.probe_id": lists(event, "example_probes", "probe_id", _fits(np.uint64, "probe_id")),
        "example_probes.sent_at": lists(event, "example_probes", "sent_at_us", _is_time("sent_at_us")),
    }
    return [TableRows("fault_events", columns)]


_FAULT_TEXTS = ("fault_id", "state", "kind", "severity", "direction", "story")


def _dead_letters(head: Record, _: np.ndarray | None, __: NodeNames) -> list[TableRows]:
    columns = {
        **{name: texts([head[name]]) for name in ("topic", "reason", "detail", "payload")},
        "partition": integers([head["partition"]], np.int32, "partition"),
        "offset": integers([head["offset"]], np.int64, "offset"),
        # A timestamp that Kafka did not set is -1.
        "written_at": times([max(0, min(head["timestamp_ms"], 4_102_444_799_000))], "timestamp_ms"),
        "payload_bytes": integers([head["payload_bytes"]], np.int64, "payload_bytes"),
    }
    return [TableRows("dead_letters", columns)]


_READERS: dict[str, Callable[[Record, np.ndarray | None, NodeNames], list[TableRows]]] = {
    topics.RESULTS: _results,
    topics.EVIDENCE: _evidence,
    topics.FAULTS: _faults,
    topics.DEAD_LETTERS: _dead_letters,
}

#: The topics that the sink reads.
SOURCE_TOPICS = tuple(_READERS)
