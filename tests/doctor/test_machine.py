"""Ports, interfaces and rights, of this machine."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

import pytest
from prometheus_client import CollectorRegistry

from bytetracker.doctor.machine import (
    Listener,
    check_controller,
    check_ports,
    check_sniffer,
    listeners_of,
)
from bytetracker.embedded.process import free_port
from bytetracker.service.metrics import serve_metrics

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def taken_port() -> Iterator[int]:
    """One that somebody else listens on."""
    with closing(socket.create_server(("127.0.0.1", 0))) as server:
        yield server.getsockname()[1]


def test_ports(taken_port: int) -> None:
    free = free_port()
    found = list(
        check_ports(listeners_of("127.0.0.1", {"sink": free, "worker": taken_port, "prober": 0}, None))
    )
    assert [(finding.status, finding.what) for finding in found] == [
        ("ok", f"127.0.0.1:{free} is free for sink"),
        ("fail", f"127.0.0.1:{taken_port} (worker.metrics_port): Address already in use"),
    ]


def test_a_port_that_two_parts_want(taken_port: int) -> None:
    port = free_port()
    _, finding = check_ports(
        [Listener("a", "127.0.0.1", port, "a.port"), Listener("b", "::1", port, "b.port")]
    )
    assert finding.status == "fail" and finding.what == f"b.port and a.port are both {port}"


def test_a_port_that_a_part_of_ours_has() -> None:
    """The doctor is run beside a running deployment too."""
    port = free_port()
    serve_metrics("sink", "127.0.0.1", port, CollectorRegistry())
    (finding,) = check_ports(listeners_of("127.0.0.1", {"sink": port}, None))
    assert (finding.status, finding.what) == ("ok", f"127.0.0.1:{port}: a part of ours answers")


def test_a_port_that_our_page_has() -> None:
    class Page(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"<title>ByteTracker</title>" if self.path == "/" else b"")

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Page) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        port = server.server_port
        ours = check_ports(listeners_of("127.0.0.1", {}, ("0.0.0.0", port)))
        other = check_ports(listeners_of("127.0.0.1", {"sink": port}, None))
        assert [finding.status for finding in (*ours, *other)] == ["ok", "fail"]
        server.shutdown()
    assert list(check_ports(listeners_of("127.0.0.1", {}, ("127.0.0.1", 0)))) == []  # any free one


def test_an_address_that_is_not_ours() -> None:
    (finding,) = check_ports(listeners_of("192.0.2.1", {"sink": 9999}, None))
    assert finding.status == "fail" and "sink.metrics_port" in finding.do


def test_a_namespace_that_is_not_there() -> None:
    (finding,) = check_sniffer("collector", "eth0", "no-such-namespace")
    assert (finding.check, finding.status) == ("collector.interface", "fail")


def test_the_controller_file() -> None:
    assert list(check_controller(None, lambda: "never asked")) == []
    assert [f.status for f in check_controller("/x", lambda: "it is gone")] == ["fail"]
    assert [f.status for f in check_controller("/x", lambda: "")] == ["ok"]


@pytest.mark.root
def test_root_may_open_raw_sockets() -> None:
    (first, *rest) = check_sniffer("prober", "lo", None)
    assert (first.check, first.status, rest) == ("prober.rights", "ok", [])
    (finding,) = check_sniffer("prober", "no-such-if", None)
    assert (finding.check, finding.status) == ("prober.interface", "fail")
    assert "lo" in finding.do


@pytest.mark.root
def test_without_rights_the_doctor_says_how_to_get_them(tmp_path: Path) -> None:
    """As an ordinary user, on a configuration with a Prober and a collector."""
    config = tmp_path / "bytetracker.yaml"
    config.write_text(
        "inventory: lab\nkafka: {bootstrap_servers: '127.0.0.1:1'}\nstore: {path: /nowhere/store}\n"
        "prober: {prober: prober-1, interface: lo, controller_file: /nowhere/go}\n"
        "collector: {name: collector-1, interface: lo}\n"
    )
    # What the test wrote must be readable for that user.
    for folder in (tmp_path, *tmp_path.parents):
        if folder.stat().st_uid == os.getuid() and str(folder).startswith("/tmp/"):
            folder.chmod(0o755)
    done = subprocess.run(
        [
            *("setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups"),
            *("--inh-caps=-all", "--bounding-set=-all", "--no-new-privs"),
            *(sys.executable, "-m", "bytetracker", "doctor", "--config", str(config), "--format", "json"),
        ],
        cwd=ROOT, capture_output=True, text=True, timeout=120, check=False,
        env={**os.environ, "HOME": str(tmp_path)},
    )  # fmt: skip
    assert done.returncode == 2, done.stderr
    found = {f["check"]: f for f in json.loads(done.stdout)["findings"]}
    for part in ("prober", "collector"):
        assert found[f"{part}.rights"]["status"] == "fail"
        assert "CAP_NET_RAW" in found[f"{part}.rights"]["do"]
    assert found["prober.controller"]["status"] == "fail"
    assert found["inventory.prober"]["status"] == "ok"
    assert found["broker"]["status"] == found["store"]["status"] == "fail"
