"""Messages of every topic, and Avro as fastavro alone sees it."""

from __future__ import annotations

import io
import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import fastavro
import numpy as np

from schemas import catalog, topics
from schemas.catalog import Schema
from schemas.codec import encode

EXAMPLES = Path(catalog.__file__).parent / "examples"
MAPPED = (topics.OUTCOMES, topics.DIGESTS, topics.EVIDENCE)
EVERY_EXAMPLE = [(path.parent.name, path) for path in sorted(EXAMPLES.glob("*/*.json"))]


def load(schema: Schema, path: Path) -> dict[str, Any]:
    """An example as values: JSON strings of fields that are bytes become bytes (one character each)."""
    value: dict[str, Any] = _typed(schema.definition, json.loads(path.read_text()), {})
    return value


def _typed(kind: Any, value: Any, names: dict[str, Any]) -> Any:  # noqa: PLR0911
    if isinstance(kind, str):
        kind = names.get(kind, kind)
    if isinstance(kind, list):
        return None if value is None else _typed(next(k for k in kind if k != "null"), value, names)
    if kind == "bytes":
        return value.encode("latin-1")
    if not isinstance(kind, dict):
        return value
    if "name" in kind:
        names[kind["name"]] = kind
    match kind["type"]:
        case "record":
            return {
                f["name"]: _typed(f["type"], value[f["name"]], names)
                for f in kind["fields"]
                if f["name"] in value or "default" not in f
            } | {f["name"]: f["default"] for f in kind["fields"] if f["name"] not in value and "default" in f}
        case "array":
            return [_typed(kind["items"], each, names) for each in value]
        case "map":
            return value
        case "fixed":
            return Decimal(value) if kind.get("logicalType") == "decimal" else value.encode("latin-1")
    return value


def rows_of(schema: Schema, records: list[dict[str, Any]]) -> np.ndarray:
    """Records as fastavro has them, as the packed table."""
    assert schema.row_dtype is not None
    return _packed(schema.row_dtype, records)


def head_of(schema: Schema, value: dict[str, Any]) -> dict[str, Any]:
    """A message as fastavro has it, as the head that the codec takes and gives."""
    head = {name: field for name, field in value.items() if name != "rows" or schema.row_dtype is None}
    return head | {name: _packed(dtype, head[name]).tobytes() for name, dtype in schema.tables.items()}


def _packed(dtype: np.dtype[np.void], records: list[dict[str, Any]]) -> np.ndarray:
    rows = np.zeros(len(records), dtype)
    for i, record in enumerate(records):
        for name, value in record.items():
            kind = dtype[name].kind
            number = int.from_bytes(value, "big") if kind == "u" else value
            rows[name][i] = np.void(value) if kind == "V" else int(number)
    return rows


def by_codec(schema: Schema, value: dict[str, Any]) -> bytes:
    if schema.row_dtype is None:
        return encode(schema.topic, value)
    return encode(schema.topic, head_of(schema, value), rows_of(schema, value["rows"]))


def by_fastavro(schema: Schema, value: dict[str, Any]) -> bytes:
    out = io.BytesIO()
    fastavro.schemaless_writer(out, schema.parsed, value)
    return b"\xc3\x01" + schema.fingerprint + out.getvalue()


def read_by_fastavro(schema: Schema, message: bytes) -> dict[str, Any]:
    stream = io.BytesIO(message[10:])
    value: dict[str, Any] = fastavro.schemaless_reader(stream, schema.parsed, None)
    assert stream.read() == b""
    return value
