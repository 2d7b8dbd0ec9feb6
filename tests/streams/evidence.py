"""Messages of `link-evidence`, written by hand."""

from __future__ import annotations

import numpy as np

from schemas.codec import encode
from schemas.rows import EVIDENCE
from tests.streams.logs import SMALL, START_US

GOOD_HEAD = {
    "partition": 0,
    "slot_us": START_US,
    "slot_length_us": 1_000_000,
    "watermark_us": START_US + 2_000_000,
    "probes": 5,
    "digests": 40,
    "verdicts": {"ok": 5},
    "late_outcomes": 0,
    "late_digests": 0,
    "duplicates": 0,
    "silent_sources": [],
    "exporters": [],
    "examples": [],
}


def evidence(head: dict, *rows: tuple) -> bytes:
    return encode("link-evidence", {**GOOD_HEAD, **head}, np.array(list(rows), EVIDENCE.dtype))


LOSS = (SMALL.node("leaf-1-1"), SMALL.node("tor-1-1"), 1, 10, 6, 0, 0)
