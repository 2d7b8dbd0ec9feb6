"""The embedded pipeline: broker, topics, stream workers and sink, as processes of one run.

    with EmbeddedPipeline(options) as pipeline:
        ... produce to pipeline.kafka ...
        pipeline.check()          about once a second
        pipeline.finish(...)      everything joined, stored and stopped, in this order

Every child dies with this process, whatever happens to it (see bytetracker.embedded.leash).
"""

from __future__ import annotations

import json
import re
import sys
import time
from collections import deque
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import structlog
import yaml

from bytetracker.embedded.broker import EmbeddedBroker, EmbeddedBrokerOptions
from bytetracker.embedded.process import ServerFailed, ServerProcess, free_port, is_free
from bytetracker.run.watch import Watcher
from bytetracker.topics_admin import create_topics
from schemas.kafka import KafkaSettings
from sinks.settings import ChdbSettings

#: A child that ends by itself is started again, but not more often than this.
RESTARTS_MAX = 5
RESTART_WINDOW_S = 60.0
#: Ctrl-C must leave nothing behind within 10 s; before and after these a second or so goes by.
HURRY_JOIN_S = 2.5
HURRY_S = 7.5
WORKER_STOP_S = 3.0
#: Without hurry there is time to let everything arrive.
JOIN_S = 15.0
SINK_STOP_S = 30.0
#: The console is asked with the workers, and needs less than they.
CONSOLE_STOP_S = 0.5
#: Where the page of a run is, unless somebody listens there.
CONSOLE_PORT = 8080

#: Name of the process that serves the page.
CONSOLE = "console"

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class PipelineOptions:
    """How the embedded pipeline runs."""

    #: Folder of this run: configuration, logs and the store. Made if need be.
    folder: Path
    #: Inventory file or name of a built-in fabric.
    inventory: str
    #: Partitions of the joined topics.
    partitions: int = 4
    #: Faust workers.
    workers: int = 2
    #: Resident memory at which the embedded broker, and so the run, ends.
    broker_bytes_max: int = 2 * 1024**3
    #: Whether the web page is served.
    console: bool = False
    #: Metrics of the processes are served at this port of 127.0.0.1 and those after it; 0: none.
    metrics_port: int = 0


class Child:
    """A process of a run that is started again when it crashes. `vital`: a run cannot go on without it."""

    def __init__(
        self,
        name: str,
        arguments: list[str],
        folder: Path,
        environment: dict[str, str] | None = None,
        *,
        vital: bool = True,
    ) -> None:
        self.vital = vital
        command = [sys.executable, "-m", "bytetracker", *arguments]
        self.process = ServerProcess(name, command, folder / f"{name}.log", environment=environment)
        self._starts: deque[float] = deque()

    def start(self) -> None:
        """Start it; it is ready when it works, which nobody waits for here."""
        self._starts.append(time.monotonic())
        self.process.start(lambda: True, 5.0)

    def keep(self) -> None:
        """Start it again if it has ended. Raises ServerFailed if that has happened too often."""
        if self.process.running:
            return
        now = time.monotonic()
        while self._starts and now - self._starts[0] > RESTART_WINDOW_S:
            self._starts.popleft()
        if len(self._starts) > RESTARTS_MAX:
            raise ServerFailed(
                f"{self.process.name} ended {len(self._starts)} times\n{self.process.log_tail()}"
            )
        log.warning("process ended, starting it again", process=self.process.name)
        self.start()


def last_object(child: Child) -> dict[str, Any]:
    """The JSON object that a process printed last; empty if it did not come so far."""
    found = re.findall(r"^\{.*\}$", child.process.log_path.read_text(errors="replace"), re.MULTILINE)
    return dict(json.loads(found[-1])) if found else {}


class EmbeddedPipeline:
    """A context manager; see the module."""

    def __init__(self, options: PipelineOptions) -> None:
        self._options = options
        self.folder = options.folder
        self._broker = EmbeddedBroker(
            EmbeddedBrokerOptions(
                log_path=options.folder / "broker.log", memory_bytes_max=options.broker_bytes_max
            )
        )
        self._store = ChdbSettings(path=str(options.folder / "store"))
        self.config_path = options.folder / "bytetracker.yaml"
        self._children: dict[str, Child] = {}
        self._watcher: Watcher | None = None
        #: Address of the web page; empty: there is none.
        self.console_url = ""
        #: Process -> the port that its metrics are served at.
        self.metrics_ports: dict[str, int] = {}

    @property
    def kafka(self) -> KafkaSettings:
        return KafkaSettings(bootstrap_servers=self._broker.bootstrap)

    @property
    def partitions(self) -> int:
        return self._options.partitions

    @property
    def watcher(self) -> Watcher:
        assert self._watcher is not None, "only inside the with block"
        return self._watcher

    def __enter__(self) -> EmbeddedPipeline:
        try:
            self._start()
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop()

    def _start(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        self._broker.start()
        create_topics(self.kafka.librdkafka(), self.partitions)
        self._watcher = Watcher(self.kafka.librdkafka())
        self.write_config({})
        self.add_child("sink", ["sink", "--config", str(self.config_path), "--drain"])
        for number in range(1, self._options.workers + 1):
            name = f"worker-{number}"
            self.add_child(
                name,
                ["worker", "--config", str(self.config_path)],
                {"BYTETRACKER_FAUST_DATADIR": str(self.folder / name)},
            )
        if self._options.console:
            self._start_console()

    def _start_console(self) -> None:
        """On the usual port, or on a free one if that is taken; who listens there keeps it."""
        port = CONSOLE_PORT if is_free(CONSOLE_PORT) else free_port()
        self.console_url = f"http://127.0.0.1:{port}/"
        self.add_child(
            CONSOLE,
            ["console", "--config", str(self.config_path)],
            {"BYTETRACKER_CONSOLE__HOST": "127.0.0.1", "BYTETRACKER_CONSOLE__PORT": str(port)},
            vital=False,  # another run may take the port before it does
        )

    def write_config(self, sections: dict[str, Any]) -> None:
        """The file that all children read; `sections` are added to what the pipeline itself needs."""
        document = {
            "inventory": self._options.inventory,
            "partitions": self.partitions,
            "kafka": {"bootstrap_servers": self.kafka.bootstrap_servers},
            "store": {"kind": "chdb", "path": self._store.path},
            **sections,
        }
        self.config_path.write_text(yaml.safe_dump(document, sort_keys=False), encoding="utf-8")

    def add_child(
        self,
        name: str,
        arguments: list[str],
        environment: dict[str, str] | None = None,
        *,
        vital: bool = True,
    ) -> Child:
        """Start a process of this run, and keep it running until `finish` or the end of the block."""
        if self._options.metrics_port:
            port = self._options.metrics_port + len(self.metrics_ports)
            self.metrics_ports[name] = port
            asked = {f"BYTETRACKER_{arguments[0].upper()}__METRICS_PORT": str(port)}
            environment = {**(environment or {}), **asked, "BYTETRACKER_METRICS_ADDRESS": "127.0.0.1"}
        child = self._children[name] = Child(name, arguments, self.folder, environment, vital=vital)
        child.start()
        return child

    def check(self) -> None:
        """Start again what has crashed. Raises ServerFailed or EmbeddedBrokerFull when that is no use."""
        self._broker.check()
        for name, child in list(self._children.items()):
            try:
                child.keep()
            except ServerFailed as failure:
                if child.vital:
                    raise
                log.warning("goes on without", process=name, reason=str(failure).splitlines()[-1][:200])
                del self._children[name]

    def stop_child(self, name: str, timeout_s: float) -> None:
        """Ask one process to end in order, and wait for it."""
        child = self._children.pop(name, None)
        if child is not None:
            child.process.stop(timeout_s)

    def finish(self, probes_sent: int, *, hurry: bool) -> dict[str, int]:
        """Wait until every probe is joined, then stop the workers, then the sink, which first stores what
        the topics hold. Returns the rows of every table.

        `hurry`: somebody pressed Ctrl-C. Waits less, and stops workers and sink together: a fault event
        of the last second may then be missing in the store.
        """
        asked_s = time.monotonic()
        deadline_s = asked_s + (HURRY_JOIN_S if hurry else JOIN_S)
        while self.watcher.look(0.1).probes < probes_sent and time.monotonic() < deadline_s:
            self.check()
        console = self._children.pop(CONSOLE, None)
        if console is not None:
            console.process.ask_to_stop()  # it has nothing to save
        workers = [self._children.pop(name) for name in list(self._children) if name.startswith("worker-")]
        sink = self._children.pop("sink")
        for worker in workers:
            worker.process.ask_to_stop()
        if hurry:
            sink.process.ask_to_stop()
        workers_end_s = time.monotonic() + WORKER_STOP_S  # all of them, not each
        for worker in workers:
            worker.process.wait_or_kill(max(0.0, workers_end_s - time.monotonic()))
        self.watcher.look(0.2)
        if not hurry:
            sink.process.ask_to_stop()  # once: a second signal ends it at once
        sink.process.wait_or_kill(max(0.0, asked_s + HURRY_S - time.monotonic()) if hurry else SINK_STOP_S)
        if console is not None:
            console.process.wait_or_kill(CONSOLE_STOP_S)
        tables: dict[str, int] = last_object(sink).get("tables", {})
        return tables

    def _stop(self) -> None:
        for name in list(self._children):
            self.stop_child(name, 2.0)
        if self._watcher is not None:
            self._watcher.close()
            self._watcher = None
        # Asked in order it waits 3 s for connections that nobody uses any more; it has nothing to save.
        self._broker.kill()
