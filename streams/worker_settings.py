"""What can be set for a worker."""

from __future__ import annotations

from dataclasses import dataclass, field

from schemas.kafka import KafkaSettings
from schemas.topics import PARTITIONS_DEFAULT
from streams.settings import JoinSettings


@dataclass(frozen=True, slots=True)
class WorkerSettings:
    """One worker process. Workers with the same `app_id` share the partitions."""

    #: Shared by all processes; the file has it at the top.
    kafka: KafkaSettings = field(default_factory=KafkaSettings)
    #: Inventory file or name of a built-in fabric; at the top of the file too.
    fabric: str = "demo"
    #: Partitions of the joined topics, as they were created; at the top of the file too.
    partitions: int = PARTITIONS_DEFAULT
    #: Consumer group of the workers.
    app_id: str = "bytetracker-worker"
    #: Event-time rules of the join.
    join: JoinSettings = field(default_factory=JoinSettings)
    #: TCP port of the Prometheus endpoint; 0: none.
    metrics_port: int = 0
    #: After so long without a sign of life the group gives a worker's partitions to others, s.
    session_timeout_s: int = 10
    #: Messages fetched but not yet taken in, per stream.
    buffer_messages_max: int = 512
