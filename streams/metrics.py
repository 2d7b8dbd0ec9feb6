"""Every metric of a worker, in one place."""

from __future__ import annotations

from prometheus_client import Counter, Gauge, Histogram

MESSAGES = Counter("bytetracker_worker_messages", "Messages consumed", ["topic"])
ROWS_OPEN = Gauge("bytetracker_worker_open_rows", "Rows that wait for their probe to close", ["partition"])
PROBES = Counter("bytetracker_worker_probes", "Probes closed, by verdict", ["verdict"])
DIGESTS_JOINED = Counter("bytetracker_worker_digests_joined", "Digests that found their probe")
LATE_ROWS = Counter("bytetracker_worker_late_rows", "Rows that came after their probe was closed", ["kind"])
DUPLICATES = Counter("bytetracker_worker_duplicate_rows", "Rows that were seen before")
DEAD_LETTERS = Counter(
    "bytetracker_worker_dead_letters", "Messages that could not be used", ["topic", "reason"]
)
TICKS = Counter("bytetracker_worker_ticks", "Ticks appended to a log that had fallen silent", ["topic"])
PAUSES = Counter(
    "bytetracker_worker_pauses", "Times a log was paused because it ran ahead of the other", ["topic"]
)
MISSING = Counter(
    "bytetracker_worker_missing_messages", "Messages that had expired before they were read", ["topic"]
)
ASKED_AGAIN = Counter(
    "bytetracker_worker_asked_again", "Times a log was asked again for messages passed over", ["topic"]
)
BATCHES_MISSING = Counter(
    "bytetracker_worker_missing_batches",
    "Batches that sources numbered and that never came: lost between a producer and the log",
)
COMMITS = Counter("bytetracker_worker_commits", "Commits of a stage", ["stage"])
FAULT_EVENTS = Counter("bytetracker_worker_fault_events", "Fault events", ["kind", "state"])
FAULTS_REFUSED = Counter(
    "bytetracker_worker_refused_findings", "Findings not reported because too many faults were open"
)
WATERMARK = Gauge(
    "bytetracker_worker_watermark_seconds", "Event time that a partition has reached", ["partition"]
)
STEP_SECONDS = Histogram(
    "bytetracker_worker_step_seconds",
    "Time of one step of a partition, from messages to stored outputs",
    buckets=(0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1, 3, 10),
)
