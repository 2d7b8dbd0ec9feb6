"""Every row is in the tables exactly once, whatever happens to the store or to the sink on the way.

Base tables and aggregates are checked by the same sums: see rig.check_stored.
"""

from __future__ import annotations

import dataclasses
import json
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from threading import Thread
from time import sleep
from typing import Any
from uuid import uuid4

import pytest

from fabric.model import Fabric
from sinks.migrate import migrate
from sinks.settings import ChdbSettings, ClickHouseSettings, SinkSettings, StoreSettings
from sinks.store import Store
from tests.servers.clickhouse_server import ClickHouseNative
from tests.servers.fixtures import Broker
from tests.servers.proxy import CuttableProxy
from tests.sinks.rig import (
    Unreliable,
    check_stored,
    connect,
    create_topics,
    running_sink,
    send,
    sink_settings,
    until,
)

pytestmark = [pytest.mark.servers, pytest.mark.slow]

_ROOT = Path(__file__).parents[2]
_OUTAGE_S = 30.0
_SHORT_OUTAGE_S = 4.0


@pytest.fixture
def bootstrap(request: pytest.FixtureRequest) -> str:
    """The broker that the test names, or the embedded one; its topics are empty."""
    broker: Broker = request.getfixturevalue(getattr(request, "param", "embedded_broker"))
    create_topics(broker.bootstrap)
    return broker.bootstrap


@pytest.fixture
def sink_options(request: pytest.FixtureRequest) -> dict[str, int]:
    """What the settings of a sink need for that broker."""
    return {"session_timeout_ms": 6_000} if "apache_kafka" in request.node.name else {}


class Feed:
    """Sends a slot and a batch of results every 50 ms, in a thread, until told to stop."""

    def __init__(self, bootstrap: str) -> None:
        self._bootstrap = bootstrap
        self._sent = 0
        self._stopped = False
        self._thread = Thread(target=self._run, daemon=True)

    def __enter__(self) -> Feed:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> int:
        """How many of each were sent, and that is final."""
        self._stopped = True
        self._thread.join(30)
        return self._sent

    def _run(self) -> None:
        producer = connect(self._bootstrap)
        while not self._stopped:
            send(producer, range(self._sent, self._sent + 1), range(self._sent, self._sent + 1))
            self._sent += 1
            sleep(0.05)


def _survive(
    settings: SinkSettings,
    lab: Fabric,
    store: Store,
    outage: Callable[[], None],
    check: Callable[[int], None],
) -> None:
    """Feed, break, mend, drain, check; and the sink must have noticed and must not have grown."""
    with running_sink(settings, lab, store) as sink, Feed(settings.bootstrap_servers) as feed:
        until(lambda: sink.metrics.rows.labels("probe_results")._value.get() > 0)
        before = sink.metrics.retries._value.get()
        outage()
        sent = feed.stop()
        report = sink.finish()
    assert report.drained
    assert report.retries > before, "the outage was not one"
    assert sent > 20
    check(sent)


@pytest.mark.parametrize(
    ("bootstrap", "hang_s"), [("embedded_broker", 0.0), ("apache_kafka", 1.5)], indirect=["bootstrap"]
)
def test_chdb_that_fails_or_hangs(
    bootstrap: str,
    chdb_path: Path,
    opened: Callable[[StoreSettings], Store],
    lab: Fabric,
    hang_s: float,
    sink_options: dict[str, int],
) -> None:
    real = opened(ChdbSettings(str(chdb_path), f"test_{uuid4().hex[:12]}"))
    migrate(real)
    store = Unreliable(real)
    store.hang_s = hang_s

    def outage() -> None:
        store.down = True
        sleep(_SHORT_OUTAGE_S if hang_s else _OUTAGE_S)
        store.down = False

    check = lambda n: check_stored(real, range(n), range(n))  # noqa: E731
    _survive(sink_settings(bootstrap, **sink_options), lab, store, outage, check)


def _clickhouse(server: ClickHouseNative, port: int) -> ClickHouseSettings:
    return ClickHouseSettings(
        server.host,
        port,
        f"test_{uuid4().hex[:12]}",
        connect_timeout_s=1,
        insert_deadline_s=2,
        query_deadline_s=5,
    )


@pytest.mark.timeout(240)
@pytest.mark.parametrize("mode", ["black_hole", "refuse"])
def test_clickhouse_cut_off_for_30_s(
    bootstrap: str,
    clickhouse_native: ClickHouseNative,
    cuttable_proxy: Callable[[int], CuttableProxy],
    opened: Callable[[StoreSettings], Store],
    lab: Fabric,
    mode: str,
) -> None:
    proxy = cuttable_proxy(clickhouse_native.native_port)
    settings = _clickhouse(clickhouse_native, proxy.port)
    direct = opened(dataclasses.replace(settings, port=clickhouse_native.native_port))
    migrate(direct)

    def outage() -> None:
        proxy.cut(mode)  # type: ignore[arg-type]
        sleep(_OUTAGE_S if mode == "black_hole" else _SHORT_OUTAGE_S)
        proxy.cut("pass")

    check = lambda n: check_stored(direct, range(n), range(n))  # noqa: E731
    _survive(sink_settings(bootstrap), lab, opened(settings), outage, check)


@pytest.mark.timeout(240)
def test_clickhouse_killed_and_restarted(
    bootstrap: str,
    start_clickhouse: Callable[[], ClickHouseNative],
    opened: Callable[[StoreSettings], Store],
    lab: Fabric,
) -> None:
    server = start_clickhouse()
    settings = _clickhouse(server, server.native_port)
    store = opened(settings)
    migrate(store)

    def outage() -> None:
        server.kill()
        sleep(_SHORT_OUTAGE_S)
        server.start()

    check = lambda n: check_stored(opened(settings), range(n), range(n))  # noqa: E731
    _survive(sink_settings(bootstrap), lab, store, outage, check)


class Launcher:
    """Runs tests/sinks/launched.py."""

    def __init__(self, folder: Path, settings: StoreSettings, sink: SinkSettings) -> None:
        self._folder = folder
        self._store = dataclasses.asdict(settings)
        self._sink = dataclasses.asdict(sink)

    def run(self, mode: str, **more: Any) -> int:
        """Exit code, negative for the signal that ended it."""
        plan = self._folder / "plan.json"
        plan.write_text(json.dumps({"mode": mode, "store": self._store, "sink": self._sink, **more}))
        command = [sys.executable, "-m", "tests.sinks.launched", str(plan)]
        done = subprocess.run(command, cwd=_ROOT, timeout=90, check=False, capture_output=True, text=True)
        if done.returncode not in {0, -signal.SIGKILL}:
            raise AssertionError(f"{mode}: exit {done.returncode}\n{done.stdout}\n{done.stderr}")
        return done.returncode


@pytest.mark.timeout(240)
@pytest.mark.parametrize(
    ("bootstrap", "kind"),
    [("embedded_broker", "chdb"), ("embedded_broker", "clickhouse"), ("apache_kafka", "clickhouse")],
    indirect=["bootstrap"],
)
def test_sink_killed_between_insert_and_commit(
    bootstrap: str,
    kind: str,
    tmp_path: Path,
    request: pytest.FixtureRequest,
    sink_options: dict[str, int],
) -> None:
    """Killed after its evidence is in, then after everything is in and nothing is committed; twice each
    time it has stored some more. Then left in peace."""
    settings: StoreSettings = ChdbSettings(str(tmp_path / "store"))
    if kind == "clickhouse":
        server = request.getfixturevalue("clickhouse_native")
        settings = ClickHouseSettings(server.host, server.native_port, f"test_{uuid4().hex[:12]}")
    launcher = Launcher(tmp_path, settings, sink_settings(bootstrap, rows_max=400, **sink_options))
    send(bootstrap, range(90), range(40))
    assert launcher.run("migrate") == 0
    for kill in (("link_evidence", 1), ("slots", 3)):
        assert launcher.run("run", kill=kill) == -signal.SIGKILL
    assert launcher.run("run") == 0
    assert launcher.run("check", slots=90, results=40) == 0
