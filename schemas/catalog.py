"""All versions of all schemas, as kept in `schemas/avsc`, and their fingerprints."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import fastavro
import numpy as np
from fastavro.schema import fingerprint, to_parsing_canonical_form

FOLDER = Path(__file__).parent / "avsc"


@dataclass(frozen=True, slots=True, eq=False)
class Schema:
    """One version of a topic's message.

    `head` is the schema without the mapped rows, or the whole schema where the rows are ordinary
    records; `row_dtype` is how NumPy maps a row, None where rows are ordinary.
    """

    topic: str
    version: int
    definition: dict[str, Any]
    parsed: Any
    head: Any
    fingerprint: bytes
    row_dtype: np.dtype[np.void] | None


def _mapped_dtype(definition: dict[str, Any]) -> np.dtype[np.void] | None:
    """dtype of the last field if it is an array of records of `fixed` fields only, else None."""
    last = definition["fields"][-1]["type"]
    if not (isinstance(last, dict) and last.get("type") == "array" and isinstance(last["items"], dict)):
        return None
    sizes: dict[str, str] = {}
    columns: list[tuple[str, str]] = []
    for field in last["items"]["fields"]:
        kind = field["type"]
        if isinstance(kind, dict) and kind["type"] == "fixed":
            sizes[kind["name"]] = _numpy_format(kind)
            kind = kind["name"]
        if not isinstance(kind, str) or kind not in sizes:
            return None
        columns.append((field["name"], sizes[kind]))
    return np.dtype(columns)


def _numpy_format(fixed: dict[str, Any]) -> str:
    size = fixed["size"]
    if fixed.get("logicalType") == "decimal":
        return "i1" if size == 1 else f">i{size}"
    return ">u8" if fixed["name"].startswith("Hash") else f"V{size}"


def _load(path: Path) -> Schema:
    definition = json.loads(path.read_text())
    parsed = fastavro.parse_schema(json.loads(path.read_text()))
    row_dtype = _mapped_dtype(definition)
    head = parsed
    if row_dtype is not None:
        head = fastavro.parse_schema({**json.loads(path.read_text()), "fields": definition["fields"][:-1]})
    # fastavro gives this fingerprint little-endian, which is what single-object encoding wants.
    crc = bytes.fromhex(fingerprint(to_parsing_canonical_form(definition), "CRC-64-AVRO"))
    return Schema(path.parent.name, int(path.stem), definition, parsed, head, crc, row_dtype)


@cache
def versions(topic: str) -> tuple[Schema, ...]:
    """Every version of a topic's schema, oldest first. Raises KeyError for an unknown topic."""
    found = sorted((_load(p) for p in (FOLDER / topic).glob("*.avsc")), key=lambda s: s.version)
    if not found:
        raise KeyError(f"no schema for topic {topic!r}; known: {', '.join(topics())}")
    return tuple(found)


def latest(topic: str) -> Schema:
    """The version that is written today."""
    return versions(topic)[-1]


@cache
def topics() -> tuple[str, ...]:
    """Names of all topics that have a schema."""
    return tuple(sorted(p.name for p in FOLDER.iterdir() if p.is_dir()))
