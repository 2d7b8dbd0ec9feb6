"""Creates the topics."""

from __future__ import annotations

from collections.abc import Mapping

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient, NewTopic

from schemas.topics import all_topics

TIMEOUT_S = 30.0
#: A broker that is up answers at once; one that is starting is waited for by whoever starts it.
KNOCK_TIMEOUT_S = 10.0


class BrokerUnreachable(RuntimeError):
    """Nobody answers at the broker's address."""


class TopicsDiffer(RuntimeError):
    """A topic exists with another number of partitions than asked for."""


def create_topics(config: Mapping[str, str], join_partitions: int, replication: int = 1) -> dict[str, str]:
    """Create every topic that is missing; returns topic -> `created` or `exists`.

    `config`: how librdkafka reaches the broker. Raises TopicsDiffer if a topic exists with another number
    of partitions (producers and workers must agree on it), BrokerUnreachable, KafkaException for what the
    broker refuses.
    """
    # librdkafka would write a line for each of its tries, some 20 a second.
    admin = AdminClient({**config, "log_level": 0})
    try:
        admin.list_topics(timeout=KNOCK_TIMEOUT_S)
    except KafkaException as error:
        raise BrokerUnreachable(
            f"no Kafka broker answers at {config['bootstrap.servers']}: {error.args[0].str()}"
        ) from error
    wanted = {
        topic.name: NewTopic(
            topic.name,
            num_partitions=topic.partitions(join_partitions),
            replication_factor=replication,
            config=topic.broker_config(),
        )
        for topic in all_topics()
    }
    done: dict[str, str] = {}
    for name, future in admin.create_topics(list(wanted.values()), request_timeout=TIMEOUT_S).items():
        try:
            future.result(timeout=TIMEOUT_S)
            done[name] = "created"
        except KafkaException as error:
            if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
                raise
            done[name] = "exists"
    found = admin.list_topics(timeout=TIMEOUT_S).topics
    for name, topic in wanted.items():
        partitions = len(found[name].partitions) if name in found else 0
        if done[name] == "exists" and partitions != topic.num_partitions:
            raise TopicsDiffer(
                f"{name} has {partitions} partitions and the configuration wants {topic.num_partitions}; "
                f"set `partitions` to what the topics were created with, or make new topics"
            )
    return done
