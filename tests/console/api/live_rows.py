"""Messages of the topics that the console listens to, made by hand."""

from __future__ import annotations

from typing import Any

import numpy as np

from fabric.model import Fabric
from schemas import topics
from schemas.codec import decode, encode
from schemas.rows import EVIDENCE, rows_of
from tests.sinks.examples import example

SLOT_US = 250_000


def fault_message(fault_id: str = "f1", version: int = 1, **changes: Any) -> bytes:
    """A message of the topic `faults`."""
    opened = example(topics.FAULTS, "opened")
    return encode(topics.FAULTS, {**opened, "fault_id": fault_id, "version": version, **changes})


def fault_event(fault_id: str = "f1", version: int = 1, **changes: Any) -> dict[str, Any]:
    """The event in it."""
    return decode(topics.FAULTS, fault_message(fault_id, version, **changes))[0]


def evidence(
    fabric: Fabric, slot_us: int, links: dict[str, tuple[int, int, int, int]], partition: int = 0, **head: Any
) -> bytes:
    """A message of `link-evidence`: link -> passed, lost, altered, missing."""
    ends = [name.split("~") for name in links]
    counts = np.array(list(links.values()), dtype=np.int64).reshape(-1, 4)
    columns = {
        "from_node": np.array([fabric.node(near) for near, _ in ends], dtype=np.int64),
        "to_node": np.array([fabric.node(far) for _, far in ends], dtype=np.int64),
        "leg": 1,
        "passed": counts[:, 0],
        "lost": counts[:, 1],
        "altered": counts[:, 2],
        "mirror_missing": counts[:, 3],
    }
    known = {name: columns[name] for name in EVIDENCE.dtype.names or ()}
    document = {
        "partition": partition,
        "slot_us": slot_us,
        "slot_length_us": SLOT_US,
        "watermark_us": slot_us + SLOT_US,
        "probes": int(counts[:, :2].sum()),
        "digests": 0,
        "verdicts": {"ok": int(counts[:, 0].sum()), "network_loss": int(counts[:, 1].sum())},
        "late_outcomes": 0,
        "late_digests": 0,
        "duplicates": 0,
        "silent_sources": [],
        "exporters": [],
        "examples": [],
        **head,
    }
    return encode(topics.EVIDENCE, document, rows_of(EVIDENCE, known, len(counts)))


def decoded(message: bytes) -> tuple[dict[str, Any], np.ndarray]:
    head, rows = decode(topics.EVIDENCE, message)
    assert rows is not None
    return head, rows
