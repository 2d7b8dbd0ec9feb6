"""The plain way to look for culprits: evidence as ordinary records, a dictionary and a test per link.

Page's test at one scale, and nothing else: no background, no chips, no explanation. So it does much less
than the localiser, and is still what one would write first.
"""

from __future__ import annotations

import io
import math
from collections import defaultdict
from typing import Any

import fastavro

from schemas import catalog, topics

P0, P1 = 1e-6, 5e-4
SCORE_MIN = 16.0

Link = tuple[int, int]


class PlainLocaliser:
    """Scores by directed link."""

    def __init__(self) -> None:
        self.passed: dict[Link, int] = defaultdict(int)
        self.score: dict[Link, float] = defaultdict(float)

    def take(self, rows: list[dict[str, Any]]) -> set[Link]:
        """Take in the rows of a message; links that are suspect."""
        rise, fall = math.log(P1 / P0), math.log((1 - P0) / (1 - P1))
        found = set()
        for row in rows:
            link = int(row["from_node"]), int(row["to_node"])
            passed = int(row["passed"])
            self.passed[link] += passed
            score = self.score[link] + int(row["lost"]) * rise - passed * fall
            self.score[link] = max(0.0, score)
            if score > SCORE_MIN:
                found.add(link)
        return found


def records(value: bytes, prefix_bytes: int) -> list[dict[str, Any]]:
    """Rows of an evidence message as fastavro reads them."""
    stream = io.BytesIO(value)
    stream.seek(prefix_bytes)
    message = fastavro.schemaless_reader(stream, catalog.latest(topics.EVIDENCE).parsed, None)
    assert isinstance(message, dict)
    found: list[dict[str, Any]] = message["rows"]
    return found
