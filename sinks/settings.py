"""What can be set for a sink and its store, with units and reasons."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}")


def checked_name(name: str) -> str:
    """A name that may stand in SQL as it is; ValueError otherwise."""
    if not _NAME.fullmatch(name):
        raise ValueError(f"{name!r} is no name for a database or table: letters, digits and _ only")
    return name


@dataclass(frozen=True, slots=True)
class ChdbSettings:
    """The embedded store."""

    path: str  # folder, made if need be; one process at a time
    database: str = "bytetracker"
    insert_deadline_s: float = 30.0  # the engine gives an insert up after that
    query_deadline_s: float = 60.0  # and a query


@dataclass(frozen=True, slots=True)
class ClickHouseSettings:
    """A ClickHouse server over its native port."""

    host: str = "127.0.0.1"
    port: int = 9000  # 9440 is usual with TLS
    database: str = "bytetracker"
    user: str = "default"
    password: str = field(default="", repr=False)  # never printed
    secure: bool = False  # TLS
    verify: bool = True  # check the server's certificate
    ca_file: str | None = None  # PEM; None: the system's authorities
    certificate_file: str | None = None  # PEM; client certificate
    key_file: str | None = None  # PEM; its key
    compression: bool = False  # LZ4 on the wire: costs CPU here, saves network
    connect_timeout_s: float = 5.0  # to connect, and to get a sign of life from an idle connection
    insert_deadline_s: float = 30.0  # the server gives an insert up after that; the client waits 5 s longer
    query_deadline_s: float = 60.0  # and a query


StoreSettings = ChdbSettings | ClickHouseSettings


@dataclass(frozen=True, slots=True)
class Retention:
    """How long rows are kept, in days of *event* time; None: for ever.

    Event time, because a row's age is that of the probe. So with a retention set, rows of an old
    capture that is replayed are too old when they arrive, and vanish at the next merge: hence the
    default, and hence no retention where captures are replayed.
    """

    probe_results_days: int | None = None
    link_evidence_days: int | None = None  # and all else that is said per slot, and flow paths
    link_minutes_days: int | None = None  # also reports on coverage
    fault_events_days: int | None = None  # also silences
    dead_letters_days: int | None = None

    def __post_init__(self) -> None:
        for name in self.__dataclass_fields__:
            days = getattr(self, name)
            if days is not None and days < 1:
                raise ValueError(f"{name}: keep at least 1 day, or None for ever, not {days}")


@dataclass(frozen=True, slots=True)
class SinkSettings:
    """One sink process."""

    bootstrap_servers: str  # of Kafka, host:port,host:port
    group_id: str = "bytetracker-sink"  # consumer group; several sinks share the partitions
    kafka: Mapping[str, str] = field(
        default_factory=dict, repr=False
    )  # further librdkafka settings: TLS, SASL
    schema_registry_url: str | None = None  # None: Avro single-object encoding
    rows_max: int = 100_000  # rows gathered before they are stored
    flush_interval_ms: int = 1_000  # gathered rows are stored at the latest after that
    poll_ms: int = 100  # longest wait for messages
    messages_max: int = 500  # messages taken at a time
    queue_kib: int = 65_536  # KiB that librdkafka may fetch ahead, all partitions together
    fetch_bytes_max: int = 4_194_304  # per partition and request; 16 MiB stalled on the embedded broker
    backoff_min_ms: int = 100  # after the store's first failure
    backoff_max_ms: int = 5_000  # doubles up to that
    rollup_interval_ms: int = 10_000  # how often stale minutes of the rollup are recomputed
    rollup_minutes_max: int = 60  # minutes recomputed in one statement
    drain_timeout_ms: int = (
        30_000  # a draining sink gives up after that; nothing is lost, it is just not stored
    )
    session_timeout_ms: int = (
        6_000  # group membership; with librdkafka's default the first assignment takes 23 s
    )
    heartbeat_interval_ms: int = 500
    metrics_port: int = 0  # TCP port of the Prometheus endpoint; 0: none

    def __post_init__(self) -> None:
        for name in ("rows_max", "flush_interval_ms", "messages_max", "backoff_min_ms"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1")
        if self.backoff_max_ms < self.backoff_min_ms:
            raise ValueError(
                f"backoff_max_ms ({self.backoff_max_ms}) is less than backoff_min_ms ({self.backoff_min_ms})"
            )
