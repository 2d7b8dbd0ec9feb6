"""How a message says which schema it was written with.

Two framings: Avro single-object encoding (``C3 01`` and the CRC-64-AVRO fingerprint; Avro 1.12
specification, "Single-object encoding") by default, and Confluent's wire format (``00`` and a
schema ID) when a schema registry is in use. Readers accept both.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Protocol

from schemas import catalog
from schemas.catalog import Schema
from schemas.errors import BadMessage

SINGLE_OBJECT_MARK = b"\xc3\x01"
SINGLE_OBJECT_BYTES = 10
CONFLUENT_MARK = b"\x00"
CONFLUENT_BYTES = 5


class Framing(Protocol):
    """Names schemas in front of a message body.

    `prefix` may ask a registry the first time it sees a schema (blocks at most its timeout) and
    raises what the registry's client raises. `schema_of` returns the writer's schema and the length
    of the prefix, or raises BadMessage.
    """

    def prefix(self, schema: Schema) -> bytes: ...

    def schema_of(self, topic: str, message: bytes) -> tuple[Schema, int]: ...


class SingleObject:
    """Avro single-object encoding; knows the schemas in the catalogue and nothing else."""

    def prefix(self, schema: Schema) -> bytes:
        return SINGLE_OBJECT_MARK + schema.fingerprint

    def schema_of(self, topic: str, message: bytes) -> tuple[Schema, int]:
        if message[:1] == CONFLUENT_MARK:
            raise BadMessage(
                "no_registry", "written with a schema registry; set schema_registry_url to read it"
            )
        if message[:2] != SINGLE_OBJECT_MARK:
            raise BadMessage("bad_framing", f"starts with {message[:2].hex() or 'nothing'}, not c301")
        if len(message) < SINGLE_OBJECT_BYTES:
            raise BadMessage("truncated", f"{len(message)} bytes are too few for a fingerprint")
        fingerprint = bytes(message[2:SINGLE_OBJECT_BYTES])
        for schema in catalog.versions(topic):
            if schema.fingerprint == fingerprint:
                return schema, SINGLE_OBJECT_BYTES
        raise BadMessage("unknown_schema", f"fingerprint {fingerprint.hex()} is no schema of {topic}")


class Registry(Protocol):
    """A schema registry: numbers for schemas. Both calls may block up to the registry's timeout, and
    raise what its client raises when it cannot be reached."""

    def register(self, subject: str, definition: str) -> int:
        """Number of a schema (JSON text) under a subject; registers it if it is new."""

    def definition(self, schema_id: int) -> str | None:
        """The schema of a number as JSON text; None if there is none."""


@dataclass(slots=True)
class Confluent:
    """Confluent's wire format; also reads single-object messages, so that a topic may change over.

    The registry is asked once per schema and remembered; the catalogue stays the authority on what
    a schema means, the registry only maps numbers to it.
    """

    registry: Registry
    _id_of: dict[bytes, int] = field(default_factory=dict)
    _schema_by_id: dict[tuple[str, int], Schema] = field(default_factory=dict)
    _single_object: SingleObject = field(default_factory=SingleObject)

    def prefix(self, schema: Schema) -> bytes:
        schema_id = self._id_of.get(schema.fingerprint)
        if schema_id is None:
            schema_id = self.registry.register(f"{schema.topic}-value", json.dumps(schema.definition))
            self._id_of[schema.fingerprint] = schema_id
        return CONFLUENT_MARK + schema_id.to_bytes(4, "big")

    def schema_of(self, topic: str, message: bytes) -> tuple[Schema, int]:
        if message[:1] != CONFLUENT_MARK:
            return self._single_object.schema_of(topic, message)
        if len(message) < CONFLUENT_BYTES:
            raise BadMessage("truncated", f"{len(message)} bytes are too few for a schema ID")
        schema_id = int.from_bytes(message[1:CONFLUENT_BYTES], "big")
        known = self._schema_by_id.get((topic, schema_id))
        if known is None:
            known = self._ask(topic, schema_id)
            self._schema_by_id[(topic, schema_id)] = known
        return known, CONFLUENT_BYTES

    def _ask(self, topic: str, schema_id: int) -> Schema:
        text = self.registry.definition(schema_id)
        if text is None:
            raise BadMessage("unknown_schema", f"the registry has no schema {schema_id}")
        definition = json.loads(text)
        for schema in catalog.versions(topic):
            if schema.definition == definition:
                return schema
        raise BadMessage("unknown_schema", f"schema {schema_id} of the registry is no schema of {topic}")
