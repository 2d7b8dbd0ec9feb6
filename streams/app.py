"""The Faust worker: the only file that knows Faust.

Faust gives consumer groups, partition assignment and producing. Of its stream operators only the
plain loop over events is used, with acknowledgement by hand (`noack`), because `take` and automatic
acknowledgement lose messages when processing fails. An unexpected error crashes the worker, and
Kafka gives its messages to the next one.

    faust -A streams.app worker         reads the file named by BYTETRACKER_CONFIG
    bytetracker worker --config FILE    the same
"""

from __future__ import annotations

import asyncio
import os
import ssl
from collections.abc import Sequence
from typing import Any

import faust
from faust.types.tuples import TP
from mode import CrashingSupervisor

from fabric.inventory import load_fabric
from schemas import topics
from schemas.kafka import KafkaSettings
from schemas.registry import framing_for
from streams.outbox import OutMessage
from streams.runtime import Runtime
from streams.state import KafkaStateReader
from streams.worker_settings import WorkerSettings

PUMP_EVERY_S = 0.1
#: A message must be stored within this time, or the worker crashes.
DELIVER_TIMEOUT_S = 60.0
#: The broker must say within this time where a log begins, or the worker crashes.
ASK_TIMEOUT_S = 10.0


class FaustOutlet:
    """Produces through Faust's own producer; waits until the broker has stored everything."""

    def __init__(self, app: Any) -> None:
        self._app = app
        self._topics: dict[str, Any] = {}

    async def deliver(self, messages: Sequence[OutMessage]) -> None:
        stored = [
            await self._topic(m.topic).send(key=m.key, value=m.value, partition=m.partition, force=True)
            for m in messages
        ]
        await asyncio.wait_for(asyncio.gather(*stored), DELIVER_TIMEOUT_S)

    def _topic(self, name: str) -> Any:
        if name not in self._topics:
            self._topics[name] = self._app.topic(name, key_serializer="raw", value_serializer="raw")
        return self._topics[name]


class FaustFlow:
    """Pauses and resumes fetching, in the way in which Faust does so itself when a stream's buffer is full.

    `Consumer.pause_partitions` would lose messages: of a partition paused like that Faust drops what it has
    already fetched (the check in `Consumer.getmany`) and does not fetch it again. Faust may resume a
    partition earlier than we do, when its own buffer has room again.
    """

    def __init__(self, app: Any) -> None:
        self._app = app

    def pause(self, topic: str, partition: int) -> None:
        self._app.consumer.on_buffer_full(TP(topic, partition))

    def resume(self, topic: str, partition: int) -> None:
        self._app.consumer.on_buffer_drop(TP(topic, partition))

    async def seek(self, topic: str, partition: int, offset: int) -> None:
        consumer, place = self._app.consumer, TP(topic, partition)
        if place in consumer.assignment():  # else it has just been taken away
            await asyncio.wait_for(consumer.seek(place, offset), ASK_TIMEOUT_S)

    async def first_offset(self, topic: str, partition: int) -> int:
        asked = self._app.consumer.earliest_offsets(TP(topic, partition))
        return int(next(iter((await asyncio.wait_for(asked, ASK_TIMEOUT_S)).values())))


def build_app(settings: WorkerSettings) -> Any:
    """A Faust app for these settings; connects to nothing yet."""
    kafka = settings.kafka
    app = faust.App(
        settings.app_id,
        broker=[f"aiokafka://{address.strip()}" for address in kafka.bootstrap_servers.split(",")],
        broker_credentials=_credentials(kafka),
        broker_session_timeout=settings.session_timeout_s,
        broker_heartbeat_interval=settings.session_timeout_s / 5,
        broker_commit_interval=1.0,
        # The start of the log, where nothing is committed: nothing may be skipped.
        consumer_auto_offset_reset="earliest",
        # 16 MB stalls against the embedded broker.
        consumer_max_fetch_size=4 * 1024 * 1024,
        producer_acks=-1,
        # aiokafka's lz4 is the slow, dense one: 25 times the CPU of zstd on evidence, for twice the bytes.
        producer_compression_type="zstd",
        producer_max_request_size=8 * 1024 * 1024,
        producer_linger=0,
        key_serializer="raw",
        value_serializer="raw",
        stream_buffer_maxsize=settings.buffer_messages_max,
        # Held acknowledgements must not hold up a shutdown or a rebalance: they are made again.
        stream_wait_empty=False,
        topic_allow_declare=False,
        topic_disable_leader=True,
        web_enabled=False,
        datadir=os.environ.get("BYTETRACKER_FAUST_DATADIR", "var/faust"),
    )
    framing = framing_for(kafka.schema_registry_url)
    runtime = Runtime(
        load_fabric(settings.fabric),
        settings.partitions,
        settings.join,
        FaustOutlet(app),
        KafkaStateReader(kafka.librdkafka(), framing),
        flow=FaustFlow(app),
        framing=framing,
        generation=lambda: app.consumer_generation_id,
    )
    joined = app.topic(topics.OUTCOMES, topics.DIGESTS, key_serializer="raw", value_serializer="raw")
    evidence = app.topic(topics.EVIDENCE, key_serializer="raw", value_serializer="raw")

    @app.agent(joined, name="join", supervisor_strategy=CrashingSupervisor)  # type: ignore[untyped-decorator]
    async def join(stream: Any) -> None:
        async for event in stream.noack().events():
            m = event.message
            at_ms = int(m.timestamp * 1000)
            await runtime.receive(m.topic, m.partition, m.offset, at_ms, m.value, event.ack, m.generation_id)

    @app.agent(evidence, name="localise", supervisor_strategy=CrashingSupervisor)  # type: ignore[untyped-decorator]
    async def localise(stream: Any) -> None:
        async for event in stream.noack().events():
            m = event.message
            at_ms = int(m.timestamp * 1000)
            await runtime.receive_evidence(m.offset, at_ms, m.value, event.ack, m.generation_id)

    @app.task  # type: ignore[untyped-decorator]
    async def pump() -> None:
        # No timer of Faust's: it complains of every step that takes longer than its interval.
        try:
            while not app.should_stop:
                await runtime.pump()
                await asyncio.sleep(PUMP_EVERY_S)
        except Exception as error:
            await app.crash(error)
            raise

    @app.on_partitions_revoked.connect  # type: ignore[untyped-decorator]
    async def revoked(*_: Any, **__: Any) -> None:
        await runtime.revoked()

    # Not on_partitions_assigned: when that is sent, messages may be flowing already.
    @app.on_rebalance_complete.connect  # type: ignore[untyped-decorator]
    async def assigned(*_: Any, **__: Any) -> None:
        await runtime.assigned()

    return app


def _credentials(kafka: KafkaSettings) -> Any:
    context = None
    if kafka.uses_tls:
        context = ssl.create_default_context(cafile=kafka.ssl_ca_file or None)
        if kafka.ssl_certificate_file:
            context.load_cert_chain(kafka.ssl_certificate_file, kafka.ssl_key_file or None)
    if kafka.uses_sasl:
        return faust.SASLCredentials(
            username=kafka.sasl_username,
            password=kafka.sasl_password,
            mechanism=kafka.sasl_mechanism,
            ssl_context=context,
        )
    return faust.SSLCredentials(context) if context is not None else None


def __getattr__(name: str) -> Any:
    """`streams.app.app`, built when somebody asks for it: importing this module reads no file."""
    if name != "app":
        raise AttributeError(name)
    # The one place where a stage looks up: `faust -A` imports this module and can pass it nothing.
    from bytetracker.settings import load_settings  # noqa: PLC0415

    globals()["app"] = build_app(load_settings(os.environ.get("BYTETRACKER_CONFIG")).worker_settings())
    return globals()["app"]
