"""`bytetracker demo`: a simulated fabric, and everything behind it for real."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from threading import Event, Thread

import click

from bytetracker.run.folder import run_folder
from bytetracker.run.pipeline import CONSOLE_PORT, EmbeddedPipeline, PipelineOptions
from bytetracker.run.report import RunReport
from bytetracker.run.screen import Screen
from bytetracker.run.stopping import stop_on_signals
from bytetracker.service.publisher import open_publisher
from fabric.faults import FaultSpec, parse_spec
from fabric.inventory import load_fabric
from fabric.model import Fabric
from fabric.simulator.live import LiveSimulation
from fabric.simulator.simulator import Simulator
from producers.plan import build_plan
from producers.publish import BatchPublisher
from schemas import topics

#: The fault that a newcomer sees being found, so many seconds after the start.
SHOWN_FAULT_AFTER_S = 15
LOOK_S = 0.25
SEED = 1
#: The network starts without them if the workers are not ready by then; they catch up.
READY_TIMEOUT_S = 60.0
BEAT_S = 0.25


def run_demo(
    seconds: float | None,
    fault_specs: Sequence[str],
    fabric_name: str,
    report_path: Path | None,
    *,
    console: bool = False,
    metrics_port: int = 0,
) -> RunReport:
    """Run until `seconds` have passed or a signal comes; `console`: with a web page; `metrics_port`: the
    first port for metrics, 0: none.

    Raises what `bytetracker.commands.errors` lists.
    """
    fabric = load_fabric(fabric_name)
    faults = [parse_spec(text, fabric) for text in fault_specs or [default_fault(fabric)]]
    stop = stop_on_signals()
    folder = run_folder("demo")
    report = RunReport()
    options = PipelineOptions(folder, fabric_name, console=console, metrics_port=metrics_port)
    with EmbeddedPipeline(options) as pipeline:
        simulation = _Simulation(pipeline, fabric, faults, report)
        title = f"ByteTracker demo: fabric {fabric.name}, {len(fabric.servers)} servers. Ctrl-C stops it."
        tell_console(pipeline.console_url)
        tell_metrics(pipeline.metrics_ports)
        with Screen(title, simulation.sent, page=pipeline.console_url) as screen:
            simulation.on_note = screen.note
            simulation.start(seconds, lambda: len(pipeline.watcher.seen.partitions) == pipeline.partitions)
            while simulation.running and not stop.is_set():
                pipeline.check()
                screen.update(pipeline.watcher.look(LOOK_S))
            simulation.finish()
            report.store = pipeline.finish(report.probes_sent, hurry=stop.is_set())
            report.seen = pipeline.watcher.seen
            screen.update(report.seen)
    tell_end(report, folder, report_path)
    return report


def tell_console(url: str) -> None:
    """Say where the page is, before all else."""
    if not url:
        return
    usual = f":{CONSOLE_PORT}/" in url
    taken = "" if usual else f" (port {CONSOLE_PORT} is taken)"
    click.echo(f"Open {url} in a browser: faults, paths, coverage, SQL{taken}", err=True)


def tell_metrics(ports: Mapping[str, int]) -> None:
    """Say where whose metrics are."""
    for name, port in ports.items():
        click.echo(f"Metrics of {name}: http://127.0.0.1:{port}/metrics", err=True)


def tell_end(report: RunReport, folder: Path, report_path: Path | None) -> None:
    """Say how it went, and where to look further."""
    seen = report.seen
    click.echo(
        f"{seen.probes:,} of {report.probes_sent:,} probes joined, {len(seen.faults)} fault(s) found, "
        f"{sum(report.store.values()):,} rows stored.\n"
        f"Logs and store are in {folder}; look at it, or ask it questions:\n"
        f"  bytetracker console --store {folder / 'store'}\n"
        f"  bytetracker sql --store {folder / 'store'} 'SELECT * FROM fault_history'"
    )
    if report_path is not None:
        report.write(report_path)


def default_fault(fabric: Fabric) -> str:
    """Loss on the first link between a leaf and a spine."""
    tier = {switch.name: switch.tier for switch in fabric.switches}
    for link in fabric.links:
        if tier.get(link.from_name) == "leaf" and tier.get(link.to_name) == "spine":
            return f"loss:{link.name}:rate=0.3,after={SHOWN_FAULT_AFTER_S}"
    return f"host_down:{fabric.servers[0].name}:after={SHOWN_FAULT_AFTER_S}"


class _Simulation:
    """The simulated network, in a thread of its own."""

    def __init__(
        self, pipeline: EmbeddedPipeline, fabric: Fabric, faults: list[FaultSpec], report: RunReport
    ) -> None:
        self.on_note: Callable[[str], None] = click.echo
        self._report = report
        self._error: Exception | None = None
        self._done = Event()

        def publisher(topic: str, source: str) -> BatchPublisher:
            return open_publisher(pipeline.kafka, pipeline.partitions, topic, source)

        self._live = LiveSimulation(
            Simulator(fabric, SEED),
            {prober.name: build_plan(fabric, prober) for prober in fabric.probers},
            {prober.name: publisher(topics.OUTCOMES, prober.name) for prober in fabric.probers},
            {collector.name: publisher(topics.DIGESTS, collector.name) for collector in fabric.collectors},
            faults=faults,
            on_injected=self._injected,
        )
        self._thread = Thread(target=self._run, name="simulation", daemon=True)
        self._seconds: float | None = None
        self._ready: Callable[[], bool] = lambda: True
        self._stopping = Event()

    def sent(self) -> tuple[int, int]:
        """Probes and digests so far."""
        return self._live.counts.probes_sent, self._live.counts.digests_sent

    @property
    def running(self) -> bool:
        return not self._done.is_set()

    def start(self, seconds: float | None, ready: Callable[[], bool]) -> None:
        """Run for `seconds` from the moment that the pipeline is `ready`; until then sources only say that
        they are there. Workers need some seconds to share out the partitions."""
        self._seconds, self._ready = seconds, ready
        self._thread.start()

    def finish(self) -> None:
        """Stop sending, wait for what is under way, and take over the counts. Raises what went wrong."""
        self._stopping.set()
        self._live.stop()
        self._thread.join()
        if self._error is not None:
            raise self._error
        self._report.probes_sent, self._report.digests_sent = self.sent()

    def _injected(self, spec: FaultSpec, started_ns: int) -> None:
        self._report.injected.append((spec.text, started_ns))
        self.on_note(f"injected {spec.text}")

    def _run(self) -> None:
        try:
            waiting_until = time.monotonic() + READY_TIMEOUT_S
            while not (self._ready() or self._stopping.is_set() or time.monotonic() > waiting_until):
                self._live.beat()
                self._stopping.wait(BEAT_S)
            self._live.run(self._seconds)
        except Exception as error:
            self._error = error
        finally:
            self._done.set()
