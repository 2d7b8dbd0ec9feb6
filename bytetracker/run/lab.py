"""`bytetracker lab`: the pipeline on a fabric of network namespaces, with real kernels."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from pathlib import Path
from random import Random
from threading import Event

from bytetracker.run.demo import LOOK_S, READY_TIMEOUT_S, default_fault, tell_console, tell_end, tell_metrics
from bytetracker.run.folder import run_folder
from bytetracker.run.pipeline import Child, EmbeddedPipeline, PipelineOptions, last_object
from bytetracker.run.report import RunReport
from bytetracker.run.schedule import FaultSchedule
from bytetracker.run.screen import Screen
from bytetracker.run.stopping import stop_on_signals
from fabric.faults import FaultSpec, parse_spec
from fabric.inventory import load_fabric
from fabric.lab.fault_rules import fault_rules
from fabric.lab.namespaces import LabError
from fabric.lab.run import Lab

FABRIC = "lab"
PROBER_STOP_S = 5.0
COLLECTOR_STOP_S = 5.0
#: Copies that are still on their way when the Prober has ended.
LAST_COPIES_S = 0.5


def run_lab(
    seconds: float | None,
    fault_specs: Sequence[str],
    interval_ms: int,
    report_path: Path | None,
    *,
    console: bool = False,
    metrics_port: int = 0,
) -> RunReport:
    """Run until `seconds` have passed or a signal comes; each target is probed every `interval_ms`.
    `metrics_port`: the first port for metrics, 0: none.

    Raises LabError without root, and what `bytetracker.commands.errors` lists.
    """
    if os.geteuid() != 0:
        raise LabError("the lab makes network namespaces and opens raw sockets: run it as root")
    fabric = load_fabric(FABRIC)
    specs = [parse_spec(text, fabric) for text in fault_specs or [default_fault(fabric)]]
    for spec in specs:
        fault_rules(spec, fabric, "fault", Random(0))  # what the lab cannot do is refused before it is built
    stop = stop_on_signals()
    folder = run_folder("lab")
    report = RunReport()
    options = PipelineOptions(folder, FABRIC, console=console, metrics_port=metrics_port)
    with Lab(fabric) as lab, EmbeddedPipeline(options) as pipeline:
        prober, collectors = _start_producers(lab, pipeline, interval_ms)
        size = f"{len(fabric.switches)} switches, {len(fabric.servers)} servers"
        tell_console(pipeline.console_url)
        tell_metrics(pipeline.metrics_ports)
        with Screen(f"ByteTracker lab: {size}. Ctrl-C stops it.", page=pipeline.console_url) as screen:

            def injected(spec: FaultSpec) -> None:
                report.injected.append((spec.text, time.time_ns()))
                screen.note(f"injected {spec.text}")

            schedule = FaultSchedule(specs, lab.faults, injected)
            started = _wait_until_ready(pipeline, screen, stop)
            while not stop.is_set() and (seconds is None or time.monotonic() - started < seconds):
                lab.check()
                pipeline.check()
                schedule.advance(time.monotonic() - started)
                screen.update(pipeline.watcher.look(LOOK_S))
            pipeline.stop_child("prober", PROBER_STOP_S)
            report.probes_sent = int(last_object(prober).get("published", 0))
            time.sleep(LAST_COPIES_S)
            for name in collectors:
                pipeline.stop_child(name, COLLECTOR_STOP_S)
            report.digests_sent = sum(
                int(last_object(child).get("digests", 0)) for child in collectors.values()
            )
            report.store = pipeline.finish(report.probes_sent, hurry=stop.is_set())
            report.seen = pipeline.watcher.seen
            screen.update(report.seen)
    tell_end(report, folder, report_path)
    return report


def _wait_until_ready(pipeline: EmbeddedPipeline, screen: Screen, stop: Event) -> float:
    """Let the workers share out the partitions before the clock of the run starts; returns its start."""
    waiting_until = time.monotonic() + READY_TIMEOUT_S
    while len(pipeline.watcher.seen.partitions) < pipeline.partitions and not stop.is_set():
        pipeline.check()
        screen.update(pipeline.watcher.look(LOOK_S))
        if time.monotonic() > waiting_until:
            break
    return time.monotonic()


def _start_producers(
    lab: Lab, pipeline: EmbeddedPipeline, interval_ms: int
) -> tuple[Child, dict[str, Child]]:
    """The same processes as in production; their sockets are in the lab's namespaces."""
    name = lab.fabric.probers[0].name
    pipeline.write_config(
        {
            "prober": {
                "prober": name,
                "interface": lab.prober_device,
                "namespace": lab.prober_namespace,
                "plan": {"interval_us": interval_ms * 1_000},
                "ring_frames": 4_096,
            },
            "collector": {"interface": lab.collector_device, "ring_packets": 4_096},
        }
    )
    config = ["--config", str(pipeline.config_path)]
    collectors = {
        collector.name: pipeline.add_child(
            collector.name,
            ["collector", *config],
            {
                "BYTETRACKER_COLLECTOR__NAME": collector.name,
                "BYTETRACKER_COLLECTOR__NAMESPACE": lab.namespace(collector.name),
            },
        )
        for collector in lab.fabric.collectors
    }
    return pipeline.add_child("prober", ["prober", *config]), collectors
