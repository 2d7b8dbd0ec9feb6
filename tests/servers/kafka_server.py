"""Apache Kafka itself: one node in KRaft mode, run from its jars."""

import subprocess
from pathlib import Path

from bytetracker.embedded.broker import answers_metadata
from bytetracker.embedded.process import ServerFailed, ServerProcess, free_port

_HOST = "127.0.0.1"
_FORMAT_TIMEOUT_S = 60.0
_START_TIMEOUT_S = 90.0
# A stop in order takes about 1 s; more is a hang.
_STOP_TIMEOUT_S = 20.0
# Quick to start rather than quick to run for hours: only the first compiler tier, no parallel collector.
_JVM = ["-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xshare:auto"]


class ApacheKafka:
    """One Kafka node, broker and controller, that keeps its data and its ports over ``stop`` and ``start``.

    It listens twice. ``bootstrap`` is the plain way in. The second listener tells its clients to come
    to ``proxied``, so that a proxy set up there sees all their traffic and not only the first contact.
    """

    name = "apache_kafka"

    def __init__(self, java: str, libraries: Path, folder: Path) -> None:
        """Choose ports and format the storage in ``folder``; nothing runs yet."""
        self._java = java
        self._classpath = f"{libraries}/*"
        self._folder = folder
        self._port, self._controller_port = free_port(), free_port()
        # Where its second listener listens, and where it sends the clients of that listener.
        self.behind_proxy_port, self.proxy_port = free_port(), free_port()
        self._process: ServerProcess | None = None
        self._format()

    @property
    def bootstrap(self) -> str:
        """Value of ``bootstrap.servers`` for the way in without a proxy."""
        return f"{_HOST}:{self._port}"

    @property
    def running(self) -> bool:
        """Whether its process runs."""
        return self._process is not None and self._process.running

    def start(self) -> None:
        """Start it and wait until it answers a metadata request; ``ServerFailed`` otherwise."""
        command = [self._java, "-Xmx512m", *_JVM, "-cp", self._classpath, "kafka.Kafka", str(self._config)]
        self._process = ServerProcess("Apache Kafka", command, self._folder / "kafka.log")
        self._process.start(lambda: answers_metadata(_HOST, self._port, timeout_s=5.0), _START_TIMEOUT_S)

    def stop(self) -> None:
        """End it in order."""
        if self._process is not None:
            self._process.stop(_STOP_TIMEOUT_S)

    def kill(self) -> None:
        """End it at once, as a crash would."""
        if self._process is not None:
            self._process.kill()

    @property
    def _config(self) -> Path:
        return self._folder / "server.properties"

    def _format(self) -> None:
        listeners = {
            "PLAINTEXT": self._port,
            "PROXIED": self.behind_proxy_port,
            "CONTROLLER": self._controller_port,
        }
        advertised = {"PLAINTEXT": self._port, "PROXIED": self.proxy_port}
        properties = {
            "process.roles": "broker,controller",
            "node.id": "1",
            "controller.quorum.voters": f"1@{_HOST}:{self._controller_port}",
            "listeners": _addresses(listeners),
            "advertised.listeners": _addresses(advertised),
            "listener.security.protocol.map": ",".join(f"{name}:PLAINTEXT" for name in listeners),
            "controller.listener.names": "CONTROLLER",
            "inter.broker.listener.name": "PLAINTEXT",
            "log.dirs": str(self._folder / "data"),
            # One node cannot hold the three copies that Kafka wants of its own topics.
            "offsets.topic.replication.factor": "1",
            "transaction.state.log.replication.factor": "1",
            "transaction.state.log.min.isr": "1",
            "share.coordinator.state.topic.replication.factor": "1",
            "share.coordinator.state.topic.min.isr": "1",
            # Each partition of these is files and threads; the tests need few.
            "offsets.topic.num.partitions": "4",
            "transaction.state.log.num.partitions": "2",
            "group.initial.rebalance.delay.ms": "0",
            # Below the default of 6 s, so that a test may wait for a killed worker to be noticed.
            "group.min.session.timeout.ms": "1000",
            # After a crash a node is let back in only when its former session has run out (9 s by default).
            "broker.session.timeout.ms": "2000",
            "broker.heartbeat.interval.ms": "500",
            # A missing topic is a mistake that the tests shall see.
            "auto.create.topics.enable": "false",
        }
        self._folder.mkdir(parents=True, exist_ok=True)
        self._config.write_text("".join(f"{key}={value}\n" for key, value in properties.items()))
        # Any 16 bytes in base64url will do: this cluster never meets another.
        format_storage = [
            "kafka.tools.StorageTool",
            "format",
            "-t",
            "Qnl0ZVRyYWNrZXJUZXN0cw",
            "-c",
            str(self._config),
        ]
        done = subprocess.run(
            [self._java, "-Xmx128m", *_JVM, "-cp", self._classpath, *format_storage],
            capture_output=True,
            text=True,
            timeout=_FORMAT_TIMEOUT_S,
            check=False,
        )
        if done.returncode != 0:
            raise ServerFailed(f"formatting the storage of Apache Kafka failed\n{done.stdout}{done.stderr}")


def _addresses(ports: dict[str, int]) -> str:
    return ",".join(f"{name}://{_HOST}:{port}" for name, port in ports.items())
