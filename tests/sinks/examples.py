"""Example messages of the topics that the sink reads, from schemas/examples, as bytes of a message.

They are written as JSON in which bytes are strings of the characters U+0000 to U+00FF, as in Avro's JSON
encoding.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from schemas import catalog
from schemas.codec import encode
from sinks.rows import SOURCE_TOPICS

FOLDER = Path(__file__).parents[2] / "schemas" / "examples"


def example_paths() -> list[tuple[str, Path]]:
    """(topic, file) of every example."""
    return [(topic, path) for topic in SOURCE_TOPICS for path in sorted((FOLDER / topic).glob("*.json"))]


def example(topic: str, name: str) -> dict[str, Any]:
    """The message as plain values."""
    found: dict[str, Any] = json.loads((FOLDER / topic / f"{name}.json").read_text())
    return found


def as_message(topic: str, value: dict[str, Any]) -> bytes:
    """The message as bytes."""
    dtype = catalog.latest(topic).row_dtype
    if dtype is None:
        for row in value.get("rows", []):
            for hop in row["hops"]:
                if isinstance(hop["content_hash"], str):
                    hop["content_hash"] = hop["content_hash"].encode("latin-1")
        if isinstance(value.get("payload"), str):
            value = {**value, "payload": value["payload"].encode("latin-1")}
        return encode(topic, value)
    tables = catalog.latest(topic).tables
    head = {name: field for name, field in value.items() if name != "rows"}
    head |= {name: _packed(value.get(name, []), table).tobytes() for name, table in tables.items()}
    return encode(topic, head, _packed(value["rows"], dtype))


def _packed(rows: list[dict[str, Any]], dtype: np.dtype[np.void]) -> np.ndarray:
    return np.array([tuple(_field(row[name]) for name in dtype.names or ()) for row in rows], dtype=dtype)


def _field(value: Any) -> Any:
    return value.encode("latin-1") if isinstance(value, str) else value
