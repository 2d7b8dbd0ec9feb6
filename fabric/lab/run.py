"""A running lab: namespaces, mirrors, decapsulation and faults, as one context manager."""

from __future__ import annotations

import atexit
import contextlib
import json
import select
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from types import FrameType, TracebackType
from typing import TypeVar

from fabric.lab.enter import open_in_namespace, run_in_namespace
from fabric.lab.exporter import READY, ExporterCounters
from fabric.lab.faults import LabFaults
from fabric.lab.namespaces import LabError, Run, build, remove, remove_leftovers
from fabric.lab.tasks import exporter_tasks
from fabric.lab.topology import (
    HOST_DEVICE,
    MANAGEMENT_DEVICE,
    LabPlan,
    device_towards,
    namespace_of,
    plan_lab,
)
from fabric.model import Fabric

T = TypeVar("T")

EXPORTER_START_TIMEOUT_S = 10.0
EXPORTER_STOP_TIMEOUT_S = 5.0


class Lab:
    """A fabric made of network namespaces, for as long as the `with` block lasts.

    Only the network is here: Prober and collector stay processes of the caller, and open their sockets in
    `prober_namespace` and `collector_namespace` (see `open_in`). So they still reach the broker on loopback.
    Needs root. Everything is taken down at the end of the block, at the end of the process, on SIGTERM and
    on SIGHUP; after SIGKILL the exporter ends by itself and the next lab removes the namespaces.
    """

    prober_device = HOST_DEVICE
    collector_device = MANAGEMENT_DEVICE

    def __init__(self, fabric: Fabric, seed: int = 0) -> None:
        """seed: of the faults' random choices. Raises ValueError for a fabric a lab cannot be made of."""
        plan_lab(fabric, "btlab-00000000")  # refuses early what `start` would refuse
        self.fabric = fabric
        self.mirrored: ExporterCounters | None = None  # after the end: what the exporters did
        self._seed = seed
        self._run: Run | None = None
        self._plan: LabPlan | None = None
        self._faults: LabFaults | None = None
        self._exporter: subprocess.Popen[str] | None = None
        self._old_handlers: dict[signal.Signals, signal.Handlers] = {}

    def __enter__(self) -> Lab:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def start(self) -> None:
        """Build and start everything; returns when probes can be sent. Raises LabError, having cleaned up."""
        self._run = Run()
        atexit.register(self.close)
        self._catch_termination()
        try:
            remove_leftovers()
            self._plan = plan_lab(self.fabric, self._run.name)
            build(self._plan)
            self._start_exporter()
            self._faults = LabFaults(self.fabric, self._run.name, self._seed)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Take everything down. May be called again."""
        if self._run is None:
            return
        self._stop_exporter()
        if self._plan is not None:
            remove(self._plan.namespace_names)
        self._run.release()
        self._run = None  # not before: if all this is interrupted, it is done again when the process ends
        atexit.unregister(self.close)
        for number, handler in self._old_handlers.items():
            signal.signal(number, handler)
        self._old_handlers.clear()

    @property
    def faults(self) -> LabFaults:
        if self._faults is None:
            raise LabError("the lab is not running")
        return self._faults

    @property
    def run_name(self) -> str:
        if self._run is None:
            raise LabError("the lab is not running")
        return self._run.name

    @property
    def prober_namespace(self) -> str:
        """Of the first Prober; of others: `namespace(name)`."""
        return self.namespace(self.fabric.probers[0].name)

    @property
    def collector_namespace(self) -> str:
        """Of the first collector; of others: `namespace(name)`."""
        return self.namespace(self.fabric.collectors[0].name)

    @property
    def exporter_process_id(self) -> int | None:
        return self._exporter.pid if self._exporter is not None else None

    def namespace(self, node: str) -> str:
        """Namespace of a switch, server, Prober or collector."""
        return namespace_of(self.run_name, node)

    def device(self, from_node: str, to_node: str) -> str:
        """The interface, in the namespace of from_node, of its cable to to_node."""
        return device_towards(self.fabric, from_node, to_node)

    def open_in(self, node: str, factory: Callable[[], T]) -> T:
        """What `factory()` returns when called in the namespace of a node, e.g. a socket."""
        return open_in_namespace(self.namespace(node), factory)

    def run_in(self, node: str, command: Sequence[str], timeout_s: float = 10.0) -> str:
        """Standard output of a command that runs in the namespace of a node. Raises CalledProcessError."""
        return run_in_namespace(self.namespace(node), command, timeout_s=timeout_s).stdout

    def check(self) -> None:
        """Raises LabError if the mirroring has stopped working."""
        if self._exporter is not None and self._exporter.poll() is not None:
            raise LabError(f"the exporter process ended with status {self._exporter.returncode}")

    def _start_exporter(self) -> None:
        self._exporter = subprocess.Popen(
            [sys.executable, "-m", "fabric.lab.exporter"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=Path(__file__).parents[2],  # so that it finds the package also from a checkout
        )
        assert self._exporter.stdin is not None
        assert self._exporter.stdout is not None
        self._exporter.stdin.write(exporter_tasks(self.fabric, self.run_name).to_json() + "\n")
        self._exporter.stdin.flush()
        readable, _, _ = select.select([self._exporter.stdout], [], [], EXPORTER_START_TIMEOUT_S)
        if not readable or self._exporter.stdout.readline().strip() != READY:
            raise LabError("the exporter process did not start; its message is above")

    def _stop_exporter(self) -> None:
        if self._exporter is None:
            return
        exporter, self._exporter = self._exporter, None
        try:
            written, _ = exporter.communicate(timeout=EXPORTER_STOP_TIMEOUT_S)
            with contextlib.suppress(ValueError):
                self.mirrored = ExporterCounters(**json.loads(written))
        except subprocess.TimeoutExpired:
            exporter.kill()
            exporter.communicate()

    def _catch_termination(self) -> None:
        """Let SIGTERM and SIGHUP unwind the stack, unless the application handles them already."""
        for number in (signal.SIGTERM, signal.SIGHUP):
            with contextlib.suppress(ValueError):  # not the main thread: the application's business
                if signal.getsignal(number) is signal.SIG_DFL:
                    signal.signal(number, _exit_on_termination)
                    self._old_handlers[number] = signal.SIG_DFL


def _exit_on_termination(number: int, frame: FrameType | None) -> None:
    raise SystemExit(128 + number)
