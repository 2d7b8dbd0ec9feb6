"""The schema registry as a `Registry`: confluent-kafka's client behind the two calls that are needed.

The client is imported only when a registry is in use: it brings an HTTP stack with it.
"""

from __future__ import annotations

from typing import Any

from schemas.framing import Confluent, Framing, SingleObject

TIMEOUT_S = 10
_NOT_FOUND = 404


class ConfluentRegistry:
    """Any registry with Confluent's REST interface; `client` is a SchemaRegistryClient."""

    def __init__(self, client: Any) -> None:
        self._client = client

    def register(self, subject: str, definition: str) -> int:
        from confluent_kafka.schema_registry import Schema  # noqa: PLC0415

        return int(self._client.register_schema(subject, Schema(definition, "AVRO")))

    def definition(self, schema_id: int) -> str | None:
        from confluent_kafka.schema_registry.error import SchemaRegistryError  # noqa: PLC0415

        try:
            return str(self._client.get_schema(schema_id).schema_str)
        except SchemaRegistryError as error:
            if error.http_status_code == _NOT_FOUND:
                return None
            raise


def framing_for(schema_registry_url: str | None) -> Framing:
    """The framing that the configuration asks for; no connection is made yet."""
    if not schema_registry_url:
        return SingleObject()
    from confluent_kafka.schema_registry import SchemaRegistryClient  # noqa: PLC0415

    client = SchemaRegistryClient({"url": schema_registry_url, "timeout": TIMEOUT_S})
    return Confluent(ConfluentRegistry(client))
