"""Every process serves what docs/metrics.md says, no more and no less."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from bytetracker.embedded.process import free_port
from docs.generate.metrics import metrics
from tests.alerts.rig import Process
from tests.docs.pages import ROOT

pytestmark = [pytest.mark.servers, pytest.mark.slow]

START_TIMEOUT_S = 90.0
_SAID = re.compile(r"^Metrics of ([\w.-]+): (http://\S+)$", re.MULTILINE)
_RUN = re.compile(r"(\S*/bytetracker\.yaml)")


def documented(*parts: str) -> set[str]:
    return {each.name for part in ("every part", *parts) for each in metrics()[part]}


def served(url: str) -> set[str]:
    """Names of our metrics as a query has them; fails if nobody answers in time."""
    deadline_s = time.monotonic() + START_TIMEOUT_S
    while True:
        try:
            text = httpx.get(url, timeout=5, trust_env=False).text
            break
        except httpx.HTTPError:
            assert time.monotonic() < deadline_s, f"{url} does not answer"
            time.sleep(0.2)
    families = {family.name: family.type for family in text_string_to_metric_families(text)}
    return {
        name + {"counter": "_total"}.get(kind, "")
        for name, kind in families.items()
        if name.startswith("bytetracker_")
    }


@contextmanager
def running(folder: Path, *words: str) -> Iterator[dict[str, str]]:
    """A run with metrics; gives process -> address of its endpoint."""
    log = folder / "log"
    with log.open("w") as written:
        command = [sys.executable, "-m", "bytetracker", *words, "--metrics-port", str(free_ports(8))]
        run = subprocess.Popen(command, cwd=folder, stdout=written, stderr=written)
    try:
        deadline_s = time.monotonic() + START_TIMEOUT_S
        while not (said := dict(_SAID.findall(log.read_text()))):
            assert run.poll() is None, log.read_text()
            assert time.monotonic() < deadline_s, log.read_text()
            time.sleep(0.2)
        yield said
    finally:
        run.send_signal(signal.SIGTERM)
        try:
            run.wait(60)
        except subprocess.TimeoutExpired:
            run.kill()
            run.wait()


def free_ports(count: int) -> int:
    """The first of so many that were free a moment ago."""
    for _ in range(50):
        first = free_port()
        if first + count < 65_535 and all(_is_free(first + n) for n in range(count)):
            return first
    raise AssertionError("no free ports")


def _is_free(port: int) -> bool:
    import socket

    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def test_the_processes_of_a_demo_and_alerts(tmp_path: Path) -> None:
    with running(tmp_path, "demo") as said:
        assert set(said) == {"sink", "worker-1", "worker-2", "console"}
        assert served(said["sink"]) == documented("sink")
        assert served(said["console"]) == documented("console")
        for worker in ("worker-1", "worker-2"):
            assert served(said[worker]) == documented("worker")
        # Beside the demo, told of its broker by the configuration that the demo left.
        (config,) = tmp_path.rglob("bytetracker.yaml")
        port = free_port()
        receivers = {"am": {"kind": "alertmanager", "url": "http://127.0.0.1:9"}}
        document = yaml.safe_load(config.read_text())
        alerts = Process(
            tmp_path / "alerts", document | {"alerts": {"metrics_port": port, "receivers": receivers}}
        )
        alerts.start()
        try:
            assert served(f"http://127.0.0.1:{port}/metrics") == documented("alerts")
        finally:
            alerts.kill()


@pytest.mark.root
def test_prober_and_collectors(tmp_path: Path) -> None:
    with running(tmp_path, "lab", "--no-console") as said:
        assert {"prober", "sink", "worker-1", "worker-2"} < set(said)
        assert served(said["prober"]) >= documented("publisher")
        # Its own are there once its sockets are open.
        deadline_s = time.monotonic() + START_TIMEOUT_S
        while served(said["prober"]) != documented("prober", "publisher"):
            assert time.monotonic() < deadline_s, served(said["prober"]) ^ documented("prober", "publisher")
            time.sleep(0.5)
        collectors = set(said) - {"prober", "sink", "worker-1", "worker-2"}
        assert collectors
        for name in collectors:
            assert served(said[name]) == documented("collector", "publisher")


def test_nothing_is_served_unless_asked(tmp_path: Path) -> None:
    """A demo on a laptop opens no port for metrics."""
    from bytetracker.run.pipeline import PipelineOptions
    from bytetracker.settings import Settings

    assert PipelineOptions(tmp_path, "demo").metrics_port == 0
    settings = Settings()
    assert settings.metrics_address == "127.0.0.1"
    for options in (
        settings.worker_settings(),
        settings.sink_settings(),
        settings.collector_settings(),
        settings.alerts_settings(),
        settings.console_settings(),
    ):
        assert options.metrics_port == 0


def test_a_port_that_is_taken_is_said_so(tmp_path: Path) -> None:
    import socket

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        config = tmp_path / "bytetracker.yaml"
        config.write_text(yaml.safe_dump({"sink": {"metrics_port": port}, "store": {"path": str(tmp_path)}}))
        command = [sys.executable, "-m", "bytetracker", "sink", "--config", str(config)]
        said = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    assert said.returncode != 0
    assert f"metrics cannot be served at 127.0.0.1:{port}" in said.stderr
    assert "sink.metrics_port" in said.stderr
