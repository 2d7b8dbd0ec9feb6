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

    `head` is the schema without the mapped arrays, or the whole schema where the rows are ordinary
    records; `row_dtype` is how NumPy maps a row, None where rows are ordinary; `tables` are the mapped
    arrays before the rows, by name.
    """

    topic: str
    version: int
    definition: dict[str, Any]
    parsed: Any
    head: Any
    fingerprint: bytes
    row_dtype: np.dtype[np.void] | None
    tables: dict[str, np.dtype[np.void]]


def _mapped_arrays(definition: dict[str, Any]) -> dict[str, np.dtype[np.void]]:
    """The arrays at the end of a schema whose elements are records of `fixed` fields only, in order."""
    sizes: dict[str, str] = {}
    found: dict[str, np.dtype[np.void]] = {}
    for field in definition["fields"]:
        dtype = _mapped_dtype(field["type"], sizes)
        if dtype is None:
            found.clear()
        else:
            found[field["name"]] = dtype
    return found


def _mapped_dtype(array: Any, sizes: dict[str, str]) -> np.dtype[np.void] | None:
    """dtype of the elements of such an array, None for any other type. `sizes`: formats of the types
    defined so far, by name."""
    if not (isinstance(array, dict) and array.get("type") == "array" and isinstance(array["items"], dict)):
        return None
    columns: list[tuple[str, str]] = []
    for field in array["items"]["fields"]:
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
    tables = _mapped_arrays(definition)
    head = parsed
    if tables:
        fields = definition["fields"][: -len(tables)]
        head = fastavro.parse_schema({**json.loads(path.read_text()), "fields": fields})
    row_dtype = tables.pop(definition["fields"][-1]["name"], None)
    # fastavro gives this fingerprint little-endian, which is what single-object encoding wants.
    crc = bytes.fromhex(fingerprint(to_parsing_canonical_form(definition), "CRC-64-AVRO"))
    return Schema(path.parent.name, int(path.stem), definition, parsed, head, crc, row_dtype, tables)


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
