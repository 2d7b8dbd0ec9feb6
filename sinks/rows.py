"""Messages to rows, per table: pure functions of the message, its place in the topic and the names of
nodes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from schemas import topics
from schemas.codec import decode
from schemas.framing import Framing, SingleObject
from sinks.columns import (
    Origin,
    Record,
    TableRows,
    integers,
    lists,
    objects,
    one_list,
    optional_integers,
    texts,
    times,
)
from sinks.evidence_rows import evidence_rows
from sinks.names import NodeNames

#: Tables in the order they are written. A row of `slots` says that the evidence of its slot is in: it
#: comes after it.
INSERT_ORDER = (
    "probe_results",
    "link_evidence",
    "mirror_counts",
    "pair_counts",
    "chip_evidence",
    "strays",
    "altered_bits",
    "flow_fates",
    "flow_paths",
    "slots",
    "silences",
    "fault_events",
    "coverage_reports",
    "coverage_unseen",
    "dead_letters",
)

#: The column whose day is the partition; tables that are not named have one partition.
DAY_COLUMN = {
    "probe_results": "sent_at",
    "link_evidence": "slot",
    "mirror_counts": "slot",
    "pair_counts": "slot",
    "chip_evidence": "slot",
    "strays": "slot",
    "altered_bits": "slot",
    "flow_fates": "slot",
    "slots": "slot",
    "coverage_reports": "slot",
    "coverage_unseen": "slot",
}

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
        "affected_servers": one_list(head["affected_servers"]),
        "example_probes.probe_id": lists(event, "example_probes", "probe_id", _fits(np.uint64, "probe_id")),
        "example_probes.sent_at": lists(event, "example_probes", "sent_at_us", _is_time("sent_at_us")),
        "legs": one_list(head["legs"]),
        **{
            f"bits.{name}": lists(event, "bits", name, _fits(dtype, f"bits.{name}"))
            for name, dtype in _BIT_FIELDS
        },
        "flaps": integers([head["flaps"]], np.uint32, "flaps"),
    }
    return [TableRows("fault_events", columns)]


_FAULT_TEXTS = ("fault_id", "state", "kind", "severity", "direction", "story", "silenced", "part_of")
_BIT_FIELDS: tuple[tuple[str, type[np.integer[Any]]], ...] = (
    ("byte_offset", np.int32),
    ("bit", np.uint8),
    ("to_one", np.int64),
    ("to_zero", np.int64),
)


def _coverage(head: Record, _: np.ndarray | None, __: NodeNames) -> list[TableRows]:
    slot = times([head["slot_us"]], "slot_us")[0]
    classes, unseen = head["classes"], head["unseen"]
    reports = {
        "slot": np.full(len(classes), slot),
        "window_us": integers([head["window_us"]] * len(classes), np.int64, "window_us"),
        "element_class": texts(c["element_class"] for c in classes),
        **{
            name: integers((c[name] for c in classes), np.uint32, name)
            for name in ("total", "crossable", "seen")
        },
    }
    missing = {
        "slot": np.full(len(unseen), slot),
        **{name: texts(u[name] for u in unseen) for name in ("element_class", "element")},
        # Never crossed is -1 there, and 1970 here.
        "last_seen": times((max(0, u["last_seen_us"]) for u in unseen), "last_seen_us"),
    }
    return [TableRows("coverage_reports", reports), TableRows("coverage_unseen", missing)]


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
    topics.EVIDENCE: evidence_rows,
    topics.FAULTS: _faults,
    topics.COVERAGE: _coverage,
    topics.DEAD_LETTERS: _dead_letters,
}

#: The topics that the sink reads.
SOURCE_TOPICS = tuple(_READERS)
