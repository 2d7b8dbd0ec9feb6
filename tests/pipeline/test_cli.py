"""The command line, whose words other programs rely on."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import click
import pytest
import yaml

from bytetracker import __version__
from bytetracker.cli import main
from bytetracker.embedded import leash
from bytetracker.embedded.broker import EmbeddedBroker, EmbeddedBrokerOptions
from bytetracker.embedded.process import free_port
from bytetracker.topics_admin import create_topics
from fabric.faults import KINDS
from fabric.inventory import load_fabric
from schemas.topics import all_topics
from tests.pipeline.commands import until

COMMANDS = {
    *("demo", "lab", "fabric show", "plan", "decode", "replay", "prober", "collector", "worker", "sink"),
    *("fabric generate", "topics create", "migrate", "sql", "version", "silence", "coverage", "evaluate"),
    *("faults", "path", "doctor", "completion", "console", "alerts", "sizing"),
    *("inventory import containerlab", "inventory import netbox"),
}
RECORD_KEYS = {
    *("frame", "exporter", "erspan_type", "session", "sequence", "inner_src", "inner_dst", "protocol"),
    *("src_port", "dst_port", "tcp_seq", "tcp_ack", "tcp_flags", "ttl", "ip_id", "length", "truncated"),
    *("tcp_checksum_ok", "content_hash", "probe_id"),
}


def _invoke(*arguments: str) -> tuple[int, str, str]:
    """A command within this process: exit code, output, errors."""
    from click.testing import CliRunner

    result = CliRunner().invoke(main, list(arguments), prog_name="bytetracker")
    return result.exit_code, result.stdout, result.stderr


def _leaves(command: click.Command, path: str = "") -> dict[str, click.Command]:
    if isinstance(command, click.Group):
        return {
            name: leaf
            for word, each in command.commands.items()
            for name, leaf in _leaves(each, f"{path} {word}".strip()).items()
        }
    return {path: command}


def test_the_commands_are_those_that_are_promised() -> None:
    assert set(_leaves(main)) == COMMANDS


@pytest.mark.parametrize("name", sorted({*COMMANDS, "", "topics", "fabric"}))
def test_help_everywhere(name: str) -> None:
    code, out, err = _invoke(*name.split(), "--help")
    assert (code, err) == (0, "")
    assert out.startswith("Usage: bytetracker")


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_every_option_is_explained(name: str) -> None:
    for parameter in _leaves(main)[name].params:
        if isinstance(parameter, click.Option):
            assert parameter.help, parameter.name


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["demo", "--fault", "nonsense:tor-1-1"], ["unknown kind 'nonsense'", *KINDS]),
        (["demo", "--fault", "loss:tor-1-1~leaf-1-9:rate=0.3"], ["leaf-1-9", "leaf-1-1"]),
        (["demo", "--fault", "host_down:server-1-1-99"], ["server-1-1-99", "server-1-1-9,"]),
        (["demo", "--fault", "loss:tor-1-1~leaf-1-1"], ["needs rate="]),
        (["demo", "--fault", "loss:tor-1-1~leaf-1-1:rate=2"], ["rate must be a number from"]),
        (["demo", "--fault", "loss:tor-1-1~leaf-1-1:rate=0.1,speed=3"], ["unknown key 'speed'", "after"]),
        (["demo", "--fabric", "nowhere"], ["no fabric 'nowhere'", "demo", "lab"]),
        (["demo", "--seconds", "soon"], ["'soon'"]),
        (["fabric", "show", "--fabric", "nowhere"], ["no fabric 'nowhere'"]),
        (["plan", "--fabric", "nowhere"], ["no fabric 'nowhere'"]),
        (["worker", "--config", "/nowhere.yaml"], ["/nowhere.yaml"]),
        (["sink", "--config", "/nowhere.yaml"], ["/nowhere.yaml"]),
        (["prober", "--config", "/nowhere.yaml"], ["/nowhere.yaml"]),
        (["collector", "--config", "/nowhere.yaml"], ["/nowhere.yaml"]),
        (["decode", "/nowhere.pcap"], ["/nowhere.pcap"]),
        (["decode", __file__], ["test_cli.py"]),
        (["replay", "/nowhere.pcap"], ["/nowhere.pcap"]),
        (["sql", "SELECT 1", "--store", "/nowhere"], ["/nowhere"]),
        (["sql"], ["QUERY"]),
        (["silence"], ["Give one of ELEMENT, --list and --end"]),
        (["silence", "spine-1", "--list"], ["Give one of ELEMENT, --list and --end"]),
        (["silence", "--list", "--for", "2h"], ["go with ELEMENT"]),
        (["silence", "spine-1", "--for", "2h"], ["--why"]),
        (["silence", "spine-1", "--why", "optics"], ["--for", "--until"]),
        (["silence", "spine-1", "--why", "x", "--for", "2x"], ["'2x' is no duration", "1d12h"]),
        (["silence", "spine-1", "--why", "x", "--for", "0s"], ["'0s' is no duration"]),
        (["silence", "spine-1", "--why", "x", "--until", "2026-03-01 22:00"], ["its zone"]),
        (["silence", "spine-1", "--why", "x", "--until", "2020-01-01T00:00Z"], ["is over already"]),
        (["silence", "spine-11", "--why", "x", "--for", "2h"], ["spine-11", "spine-1"]),
        (["silence", "pod-11", "--why", "x", "--for", "2h"], ["pod-11", "pods: pod-1"]),
        (["unheard-of"], ["unheard-of"]),
        (["topics", "unheard-of"], ["unheard-of"]),
    ],
)
def test_an_error_is_one_line_that_says_what_to_change(arguments: list[str], said: list[str]) -> None:
    code, _, err = _invoke(*arguments)
    assert code != 0
    lines = err.strip().splitlines()
    assert len(lines) == 1, err
    for words in said:
        assert words in lines[0]


def test_mistyped_options_are_refused_and_secrets_kept(tmp_path: Path) -> None:
    config = tmp_path / "c.yaml"
    config.write_text("sink: {rows_maxx: 3}\nstore: {kind: clickhouse, password: hunter2, prot: 1}\n")
    code, _, err = _invoke("sink", "--config", str(config))
    assert code == 1
    assert "rows_max" in err or "port" in err
    assert "hunter2" not in err


def test_without_a_broker_it_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bytetracker.topics_admin.KNOCK_TIMEOUT_S", 1.0)
    config = tmp_path / "c.yaml"
    address = f"127.0.0.1:{free_port()}"
    config.write_text(yaml.safe_dump({"kafka": {"bootstrap_servers": address}}))
    code, _, err = _invoke("topics", "create", "--config", str(config))
    assert code == 1
    assert err.count("\n") == 1
    assert address in err


def test_version() -> None:
    assert _invoke("version") == (0, f"bytetracker {__version__}\n", "")


@pytest.mark.parametrize("name", ["demo", "lab", "small", "fat-tree-4"])
def test_fabric_as_json(name: str) -> None:
    code, out, _ = _invoke("fabric", "show", "--fabric", name, "--json")
    document = json.loads(out)
    assert code == 0
    assert {"switches", "links", "servers", "probers"} <= set(document)
    assert {"name", "tier", "pod", "chips"} <= set(document["switches"][0])
    assert {"name", "tor"} <= set(document["servers"][0])
    assert len(document["probers"]) > 0
    links = {(link["from"], link["to"]) for link in document["links"]}
    assert links == {(b, a) for a, b in links}
    names = {switch["name"] for switch in document["switches"]}
    assert {server["tor"] for server in document["servers"]} <= names


@pytest.mark.parametrize("name", ["tiny", "dci"])
def test_a_generated_inventory_is_the_fabric(name: str, tmp_path: Path) -> None:
    code, out, _ = _invoke("fabric", "generate", "--fabric", name)
    assert code == 0
    path = tmp_path / "inventory.yaml"
    path.write_text(out)
    assert load_fabric(path) == load_fabric(name)
    assert _invoke("fabric", "show", "--fabric", str(path)) == _invoke("fabric", "show", "--fabric", name)


def test_plan_as_json() -> None:
    code, out, _ = _invoke("plan", "--fabric", "lab", "--json")
    document = json.loads(out)
    assert code == 0
    assert document["fabric"] == "lab"
    assert document["probers"][0]["probes_per_s"] > 0


@pytest.fixture
def capture(tmp_path: Path) -> Path:
    """Two mirrored packets, a frame that is no mirror, and a mirror that breaks off."""
    from scapy.layers.inet import GRE, IP, TCP, UDP
    from scapy.layers.l2 import Ether
    from scapy.utils import wrpcap

    link = Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02")  # given, or scapy asks the network
    inner = link / IP(src="10.0.0.1", dst="10.0.0.2", ttl=9, id=77) / TCP(sport=5, dport=6, seq=8) / b"x"
    erspan = bytes([0x10, 0x00, 0x00, 0x2A]) + bytes(4) + bytes(inner)  # Type II, session 42
    to_collector = link / IP(src="192.0.2.1", dst="192.0.2.9")
    outer = to_collector / GRE(proto=0x88BE, seqnum_present=1, sequence_number=7) / erspan
    broken = to_collector / GRE(proto=0x88BE, seqnum_present=1) / b"\x10"
    noise = link / IP(src="192.0.2.1", dst="192.0.2.9") / UDP() / b"noise"
    path = tmp_path / "two.pcap"
    wrpcap(str(path), [outer, noise, broken, outer])
    return path


def test_decode(capture: Path) -> None:
    code, out, err = _invoke("decode", str(capture), "--json")
    assert code == 0, err
    records = [json.loads(line) for line in out.splitlines()]
    assert [record["frame"] for record in records] == [1, 3, 4]
    assert set(records[1]) == {"frame", "error"}
    first = records[0]
    assert set(first) == RECORD_KEYS
    expected = {
        "exporter": "192.0.2.1",
        "erspan_type": 2,
        "session": 42,
        "sequence": 7,
        "inner_src": "10.0.0.1",
        "inner_dst": "10.0.0.2",
        "protocol": 6,
        "src_port": 5,
        "dst_port": 6,
        "tcp_seq": 8,
        "tcp_ack": 0,
        "ttl": 9,
        "ip_id": 77,
        "length": 41,
        "truncated": False,
        "tcp_checksum_ok": True,
        "probe_id": None,
    }
    assert {key: first[key] for key in expected} == expected
    assert "1" in err  # the frame that is no mirror is counted
    code, out, _ = _invoke("decode", str(capture))
    assert code == 0
    assert len(out.splitlines()) == 3


def test_decode_of_a_damaged_file(capture: Path) -> None:
    capture.write_bytes(capture.read_bytes()[:-30])
    code, out, err = _invoke("decode", str(capture), "--json")
    assert code == 1
    assert len(out.splitlines()) == 2
    assert err


@pytest.mark.servers
def test_topics_are_created_once(tmp_path: Path) -> None:
    with EmbeddedBroker(EmbeddedBrokerOptions(log_path=tmp_path / "broker.log")) as broker:
        config = tmp_path / "c.yaml"
        settings = {"partitions": 3, "kafka": {"bootstrap_servers": broker.bootstrap}}
        config.write_text(yaml.safe_dump(settings))
        first = _invoke("topics", "create", "--config", str(config))
        second = _invoke("topics", "create", "--config", str(config))
        assert (first[0], second[0]) == (0, 0)
        assert [line.split(": ")[1] for line in first[1].splitlines()] == ["created"] * len(all_topics())
        assert second[1] == first[1].replace("created", "exists")
        config.write_text(yaml.safe_dump(settings | {"partitions": 4}))
        code, _, err = _invoke("topics", "create", "--config", str(config))
        assert code == 1
        assert "has 3 partitions and the configuration wants 4" in err
        broker.kill()


@pytest.mark.servers
@pytest.mark.slow
@pytest.mark.parametrize("way", ["faust", "bytetracker"])
def test_a_worker_starts_either_way_and_stops_on_sigterm(way: str, tmp_path: Path) -> None:
    log_path = tmp_path / "worker.log"
    with EmbeddedBroker(EmbeddedBrokerOptions(log_path=tmp_path / "broker.log")) as broker:
        create_topics({"bootstrap.servers": broker.bootstrap}, 2)
        config = tmp_path / "c.yaml"
        config.write_text(
            yaml.safe_dump(
                {"inventory": "lab", "partitions": 2, "kafka": {"bootstrap_servers": broker.bootstrap}}
            )
        )
        command = {
            "faust": ["-m", "faust", "-A", "streams.app", "worker", "-l", "info"],
            "bytetracker": ["-m", "bytetracker", "worker"],
        }[way]
        environment = {
            **os.environ,
            "BYTETRACKER_CONFIG": str(config),
            "BYTETRACKER_FAUST_DATADIR": str(tmp_path / "faust"),
        }
        with log_path.open("wb") as log:
            worker = subprocess.Popen(
                [
                    *[sys.executable, "-I", "-S", leash.__file__, str(os.getpid()), "0"],
                    *[sys.executable, *command],
                ],
                env=environment,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        try:
            # A worker that has its partitions answers a tick; the group's offsets show that it reads.
            until(lambda: "OK ^" in log_path.read_text() or "Ready" in log_path.read_text(), 40, "not ready")
            time.sleep(1)
            assert worker.poll() is None, log_path.read_text()
            worker.send_signal(signal.SIGTERM)
            assert worker.wait(10) == 0, log_path.read_text()
        finally:
            worker.kill()
            worker.wait()
            broker.kill()
