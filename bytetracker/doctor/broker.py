"""Whether the broker is there, has our topics as they must be, and who lags behind.

`look` asks the broker; the rest is pure and says what the answers mean.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient, ConfigResource, ResourceType

from bytetracker.doctor.finding import Finding, fail, ok, warn
from schemas.topics import Topic, all_topics

TIMEOUT_S = 10.0
#: What a broker answers while it makes its topic of commits, or moves it: the first who asks it of a group.
_SETTLING = frozenset(
    {
        KafkaError.NOT_COORDINATOR,
        KafkaError.COORDINATOR_NOT_AVAILABLE,
        KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
    }
)
_RIGHTS = frozenset(
    {
        KafkaError.TOPIC_AUTHORIZATION_FAILED,
        KafkaError.GROUP_AUTHORIZATION_FAILED,
        KafkaError.CLUSTER_AUTHORIZATION_FAILED,
    }
)
#: What must be as `schemas/topics.yaml` says; the rest (retention) may be changed by those who know why.
_SETTINGS_THAT_MATTER = ("cleanup.policy", "message.timestamp.type")


@dataclass(frozen=True, slots=True)
class TopicFacts:
    """One topic as the broker has it."""

    partitions: int
    replicas: int  # the fewest of any partition
    in_sync: int  # the fewest in-sync replicas
    config: Mapping[str, str] = field(default_factory=dict)  # empty: the broker does not say
    error: str = ""  # why it may not be seen


@dataclass(frozen=True, slots=True)
class BrokerFacts:
    """What the broker says of itself."""

    brokers: int
    topics: Mapping[str, TopicFacts]


@dataclass(frozen=True, slots=True)
class Lag:
    """Messages that a consumer group has yet to take, and of which it never took any."""

    behind: int
    uncommitted: tuple[str, ...]  # topic/partition with messages and no commit


def look(config: Mapping[str, str]) -> BrokerFacts:
    """Ask. Raises KafkaException if nobody answers."""
    admin = AdminClient({**config, "log_level": 0})
    found = admin.list_topics(timeout=TIMEOUT_S)
    names = [topic.name for topic in all_topics() if topic.name in found.topics]
    configs = _configs(admin, names)
    facts = {}
    for name in names:
        topic = found.topics[name]
        partitions = topic.partitions.values()
        facts[name] = TopicFacts(
            len(partitions),
            min((len(p.replicas) for p in partitions), default=0),
            min((len(p.isrs) for p in partitions), default=0),
            configs.get(name, {}),
            topic.error.str() if topic.error is not None else "",
        )
    return BrokerFacts(len(found.brokers), facts)


def _configs(admin: AdminClient, names: list[str]) -> dict[str, dict[str, str]]:
    """Settings of topics, as far as the broker says them and we may see them."""
    if not names:
        return {}
    asked = admin.describe_configs([ConfigResource(ResourceType.TOPIC, name) for name in names])
    found = {}
    for resource, future in asked.items():
        try:
            entries = future.result(TIMEOUT_S)
        except (KafkaException, TimeoutError):
            continue
        found[resource.name] = {name: entry.value for name, entry in entries.items()}
    return found


def judge_topics(facts: BrokerFacts, join_partitions: int, wanted: tuple[Topic, ...]) -> Iterator[Finding]:
    """Whether the topics are what producers, workers and sinks rely on."""
    missing = [topic.name for topic in wanted if topic.name not in facts.topics]
    if missing:
        yield fail("broker.topics", f"missing: {', '.join(missing)}", "run `bytetracker topics create`")
    good = not missing
    for topic in wanted:
        found = facts.topics.get(topic.name)
        if found is None:
            continue
        for finding in _judge_topic(topic, found, join_partitions, facts.brokers):
            good = False
            yield finding
    if good:
        copies = min((found.replicas for found in facts.topics.values()), default=0)
        yield ok("broker.topics", f"all {len(wanted)} are there as they should be, {copies} replica(s) each")


def _judge_topic(topic: Topic, found: TopicFacts, join_partitions: int, brokers: int) -> Iterator[Finding]:
    if found.error:
        yield fail(
            "broker.access",
            f"{topic.name}: {found.error}",
            "grant this user to read it, and its writers to write it",
        )
        return
    partitions = topic.partitions(join_partitions)
    if found.partitions != partitions:
        yield fail(
            "broker.partitions",
            f"{topic.name} has {found.partitions} partitions, and should have {partitions}",
            "set `partitions` to what the topics were created with, or make them anew",
        )
    for name in _SETTINGS_THAT_MATTER:
        value, should = found.config.get(name), topic.broker_config()[name]
        if value is not None and {*value.split(",")} != {*should.split(",")}:
            yield fail(
                "broker.settings",
                f"{topic.name} has {name}={value}, and should have {should}",
                f"alter the topic's configuration: {name}={should}",
            )
    if found.in_sync < found.replicas:
        yield warn(
            "broker.replicas",
            f"{topic.name} has a partition with {found.in_sync} of {found.replicas} replicas in sync",
            "see to the broker that is behind or away",
        )
    elif found.replicas == 1 and brokers > 1:
        yield warn(
            "broker.replicas",
            f"{topic.name} has one replica on {brokers} brokers: a broker that dies takes messages with it",
            "raise its replication to 3, or create topics with --replication 3",
        )


def lag_of(config: Mapping[str, str], group: str, topics: Mapping[str, int]) -> Lag:
    """How far a group is behind in topics (name -> partitions), without joining it. The embedded broker
    takes the last batch of a partition for one message. Raises KafkaException."""
    consumer = Consumer(
        {**config, "group.id": group, "enable.auto.commit": False, "log_level": 0, "client.id": "doctor"}
    )
    behind, uncommitted = 0, []
    try:
        places = [TopicPartition(name, number) for name, count in topics.items() for number in range(count)]
        for place in _committed(consumer, places):
            low, high = consumer.get_watermark_offsets(place, timeout=TIMEOUT_S)
            if place.offset >= 0:
                behind += max(0, high - max(place.offset, low))
            elif high > low:
                behind += high - low
                uncommitted.append(f"{place.topic}/{place.partition}")
    finally:
        consumer.close()
    return Lag(behind, tuple(uncommitted))


def _committed(consumer: Consumer, places: list[TopicPartition]) -> list[TopicPartition]:
    until = time.monotonic() + TIMEOUT_S
    while True:
        try:
            return list(consumer.committed(places, timeout=TIMEOUT_S))
        except KafkaException as error:
            if error.args[0].code() not in _SETTLING or time.monotonic() > until:
                raise
            time.sleep(0.2)


def judge_refusal(error: KafkaError) -> Finding:
    """What it means that a broker that answers does not tell of groups or of messages."""
    if error.code() in _RIGHTS:
        return fail("broker.access", error.str(), "grant this user to read topics and groups")
    return fail("broker.groups", error.str(), "try again; if it stays like this, look into the broker's log")


#: Messages. A worker and a sink take some hundred a second each; more than a minute of that is behind.
LAG_MAX = 20_000


def judge_lag(who: str, group: str, lag: Lag) -> Finding:
    """Whether a part keeps up."""
    check = f"lag.{who}"
    if lag.uncommitted:
        shown = ", ".join(lag.uncommitted[:4]) + (" ..." if len(lag.uncommitted) > 4 else "")
        return warn(
            check,
            f"group {group} has taken nothing yet from {shown}",
            f"start `bytetracker {who}`, or look into its log",
        )
    if lag.behind > LAG_MAX:
        return fail(
            check,
            f"group {group} is {lag.behind:,} messages behind",
            f"start more of `bytetracker {who}` (at most one per partition works), or see what slows it",
        )
    return ok(check, f"group {group} is {lag.behind:,} messages behind")
