"""What a step says, as Kafka messages in the order in which they must be stored."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from schemas import topics
from schemas.codec import encode
from schemas.framing import Framing
from streams.backlog import Commit
from streams.join import Output
from streams.localise.localiser import Located

#: Results per message; a result of a long path takes about 1 kB.
RESULTS_PER_MESSAGE = 400


@dataclass(frozen=True, slots=True)
class OutMessage:
    """One message to be produced."""

    topic: str
    partition: int
    key: bytes | None
    value: bytes


class Outlet(Protocol):
    """Where messages go. `deliver` returns when the broker has stored all of them and raises if it
    has not stored one within the outlet's own deadline; then the process must end, and Kafka's
    committed offsets make the next one say the same again."""

    async def deliver(self, messages: Sequence[OutMessage]) -> None: ...


def of_join(partition: int, output: Output, framing: Framing) -> list[OutMessage]:
    """Results, evidence and dead letters of one step of a partition."""
    messages: list[OutMessage] = []
    for start in range(0, len(output.results), RESULTS_PER_MESSAGE):
        head = {"partition": partition, "rows": output.results[start : start + RESULTS_PER_MESSAGE]}
        messages.append(
            OutMessage(topics.RESULTS, partition, None, encode(topics.RESULTS, head, framing=framing))
        )
    for head, rows in output.evidence:
        value = encode(topics.EVIDENCE, head, rows, framing=framing)
        messages.append(OutMessage(topics.EVIDENCE, 0, str(partition).encode(), value))
    return messages + _dead_letters(output.dead_letters, framing)


def of_localiser(located: Located, framing: Framing) -> list[OutMessage]:
    """Fault events, coverage and dead letters of one step of the localiser."""
    faults = [
        OutMessage(
            topics.FAULTS, 0, event["fault_id"].encode(), encode(topics.FAULTS, event, framing=framing)
        )
        for event in located.faults
    ]
    coverage = [
        OutMessage(topics.COVERAGE, 0, None, encode(topics.COVERAGE, record, framing=framing))
        for record in located.coverage
    ]
    return faults + coverage + _dead_letters(located.dead_letters, framing)


def of_commit(key: str, partition: int, commit: Commit, framing: Framing) -> OutMessage:
    """The state that goes with a commit."""
    head = {
        "key": key,
        "positions": commit.positions,
        "log_time_ms": commit.log_time_ms,
        "watermark_us": commit.watermark_us,
        "state": commit.state,
    }
    return OutMessage(topics.STATE, partition, key.encode(), encode(topics.STATE, head, framing=framing))


def _dead_letters(records: Iterable[dict[str, Any]], framing: Framing) -> list[OutMessage]:
    return [
        OutMessage(
            topics.DEAD_LETTERS, 0, r["topic"].encode(), encode(topics.DEAD_LETTERS, r, framing=framing)
        )
        for r in records
    ]
