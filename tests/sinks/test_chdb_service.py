"""A chDB folder that another process has is read through that process."""

from __future__ import annotations

import json
import os
import socket
import stat
import struct
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from pathlib import Path
from time import monotonic, sleep

import pytest

from sinks import chdb_wire as wire
from sinks.chdb_reader import ChdbReader
from sinks.reading import Limits, Reader, open_reader
from sinks.settings import ChdbSettings
from sinks.store import StoreError, TransientStoreError

pytestmark = pytest.mark.servers


class Holder:
    """tests.sinks.holder as a child process."""

    def __init__(self, role: str, folder: Path) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.sinks.holder", role, str(folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self.line() == "ready"

    def say(self, text: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(text + "\n")
        self.process.stdin.flush()

    def line(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def ask(self, text: str) -> str:
        self.say(text)
        return self.line()

    def end(self) -> None:
        if self.process.poll() is None:
            self.say("end")
            self.process.wait(20)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait(20)


@pytest.fixture
def hold() -> Iterator[Callable[[str, Path], Holder]]:
    started: list[Holder] = []

    def start(role: str, folder: Path) -> Holder:
        started.append(Holder(role, folder))
        return started[-1]

    yield start
    for each in started:
        each.kill()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "store"


@pytest.fixture
def sink(hold: Callable[[str, Path], Holder], folder: Path) -> Holder:
    return hold("sink", folder)


@pytest.fixture
def reader(sink: Holder, folder: Path) -> Iterator[Reader]:
    with closing(open_reader(ChdbSettings(str(folder)))) as found:
        yield found


def test_a_reader_sees_what_the_sink_stores(sink: Holder, reader: Reader) -> None:
    assert reader.query("SELECT count() FROM t").rows == [(0,)]
    sink.ask("insert 10")
    assert reader.query("SELECT count(), sum(n) FROM t WHERE n >= {low:UInt64}", {"low": 5}).rows == [(5, 35)]
    empty = reader.query("SELECT n AS a FROM t WHERE 0")
    assert (empty.names, empty.types) == (("a",), ("UInt64",))


def test_errors_come_through(reader: Reader) -> None:
    with pytest.raises(StoreError) as caught:
        reader.query("SELECT * FROM nowhere")
    assert (caught.value.code, isinstance(caught.value, TransientStoreError)) == (60, False)
    with pytest.raises(TransientStoreError):
        reader.query(
            "SELECT count() FROM numbers(1000000000000) WHERE sipHash64(number) = 1", limits=Limits(seconds=1)
        )
    with pytest.raises(StoreError) as caught:
        reader.query("SELECT file('/etc/hostname')", limits=Limits())
    assert caught.value.code == 497
    with pytest.raises(StoreError) as caught:
        reader.query("DROP TABLE t")
    assert caught.value.code == 164


def test_only_the_same_user_can_connect(sink: Holder, folder: Path) -> None:
    found = wire.socket_path(folder).stat()
    assert stat.S_ISSOCK(found.st_mode)
    assert stat.S_IMODE(found.st_mode) == 0o600
    assert found.st_uid == os.geteuid()


def test_many_readers_beside_a_sink_that_inserts(sink: Holder, folder: Path) -> None:
    """Eight clients, each with its own questions; nothing is mixed up, and all rows are stored."""
    sink.say("start")

    def ask(number: int) -> int:
        with closing(open_reader(ChdbSettings(str(folder)))) as reader:
            for turn in range(10):
                value = number * 100 + turn
                assert reader.query(f"SELECT {value}, max(n) < 1000 FROM t").rows[0][0] == value
                reader.query("SELECT n, count() FROM t GROUP BY n LIMIT 5", limits=Limits())
            return number

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(ask, range(8))) == list(range(8))
    rows, _ = sink.ask("stop").split()
    assert int(sink.ask("count")) == int(rows) > 0


def test_long_questions_do_not_hold_up_the_sink(sink: Holder, reader: Reader) -> None:
    sleeping = "SELECT sum(sleepEachRow(1)) FROM numbers(12) SETTINGS max_block_size = 1, max_threads = 1"
    threads = [threading.Thread(target=reader.query, args=(sleeping,)) for _ in range(2)]
    for thread in threads:
        thread.start()
    for number in range(3):
        assert sink.ask("insert 10") == "done"
        assert reader.query("SELECT count() FROM t").rows == [(10 * (number + 1),)]
    assert all(thread.is_alive() for thread in threads)
    for thread in threads:
        thread.join(60)


def test_garbage_harms_nobody(sink: Holder, reader: Reader, folder: Path) -> None:
    def length(number: int) -> bytes:
        return struct.pack(">I", number)

    def message(value: object) -> bytes:
        text = json.dumps(value).encode()
        return length(len(text)) + text

    bad = [
        b"GET / HTTP/1.1\r\n\r\n",
        length(0),
        length(2**32 - 1) + b"x" * 100,
        length(10) + b"not json!!",
        length(4) + b"\xff\xfe\x00\x01",
        message([1, 2]),
        message({}),
        message({"sql": 5}),
        message({"sql": "SELECT 1", "parameters": [1]}),
        message({"sql": "SELECT 1", "parameters": {"a": {"b": 1}}}),
        message({"sql": "SELECT 1", "limits": {"seconds": -1}}),
        message({"sql": "SELECT 1", "limits": {"seconds": "x"}}),
        message({"sql": "SELECT 1", "limits": {"no_such": 1}}),
        message({"sql": "SELECT '\ud800'"}),
        b"\x00",
        os.urandom(4096),
    ]
    for data in bad:
        with closing(connect(folder)) as client:
            client.sendall(data)
            with suppress(OSError):
                client.shutdown(socket.SHUT_WR)
            client.settimeout(30)
            with suppress(ConnectionResetError):
                while client.recv(65536):
                    pass
        assert reader.query("SELECT 1").rows == [(1,)]
    assert sink.ask("count") == "0"


def test_clients_that_stay_silent_or_do_not_listen_hold_up_nobody(
    sink: Holder, reader: Reader, folder: Path
) -> None:
    silent = [connect(folder) for _ in range(10)]
    half = connect(folder)
    half.sendall(b"\x00\x00")
    deaf = connect(folder)
    text = json.dumps({"sql": "SELECT repeat('x', 1000 + number % 3) FROM numbers(50000)"}).encode()
    deaf.sendall(struct.pack(">I", len(text)) + text)
    try:
        for _ in range(5):
            assert reader.query("SELECT 1").rows == [(1,)]
        assert sink.ask("insert 5") == "done"
    finally:
        for client in (*silent, half, deaf):
            client.close()


def test_too_many_clients_are_turned_away_and_come_again_later(sink: Holder, folder: Path) -> None:
    crowd = [connect(folder) for _ in range(40)]
    with closing(open_reader(ChdbSettings(str(folder)))) as reader:
        with pytest.raises(TransientStoreError, match="others are connected"):
            reader.query("SELECT 1")
        for client in crowd:
            client.close()
        until = monotonic() + 20
        while True:
            try:
                assert reader.query("SELECT 1").rows == [(1,)]
                return
            except TransientStoreError:
                assert monotonic() < until
                sleep(0.1)


def test_a_killed_sink_is_followed_by_the_next(
    sink: Holder, reader: Reader, folder: Path, hold: Callable[[str, Path], Holder]
) -> None:
    sink.ask("insert 7")
    assert reader.query("SELECT count() FROM t").rows == [(7,)]
    sink.kill()
    assert wire.socket_path(folder).exists()  # left over
    following: list[object] = []

    def follow() -> None:
        following.append(reader.query("SELECT count() FROM t").rows)

    thread = threading.Thread(target=follow)
    successor = hold("sink", folder)
    thread.start()
    thread.join(30)
    assert following == [[(7,)]]
    assert successor.ask("insert 3") == "done"
    assert reader.query("SELECT count() FROM t").rows == [(10,)]


def test_a_question_that_the_sink_dies_over_is_asked_again(
    sink: Holder, folder: Path, hold: Callable[[str, Path], Holder]
) -> None:
    sink.ask("insert 7")
    second = hold("reader", folder)
    assert second.ask("count") == "7"
    sink.kill()
    # Nobody has the folder now, so the reader opens it itself.
    assert second.ask("count") == "7"


def test_a_reader_that_has_the_folder_answers_others_and_gives_it_up_to_a_sink(
    folder: Path, hold: Callable[[str, Path], Holder]
) -> None:
    first = hold("sink", folder)
    first.ask("insert 7")
    first.end()
    assert not wire.socket_path(folder).exists()
    holding = hold("reader", folder)
    assert holding.ask("count") == "7"
    other = hold("reader", folder)
    assert other.ask("count") == "7"
    sink = hold("sink", folder)  # would fail if the folder were kept from it
    sink.ask("insert 3")
    assert holding.ask("count") == "10"
    assert other.ask("count") == "10"


def test_a_second_sink_is_refused(sink: Holder, folder: Path) -> None:
    found = subprocess.run(
        [sys.executable, "-m", "tests.sinks.holder", "sink", str(folder)],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert "another process has it open" in found.stderr
    assert sink.ask("count") == "0"


def test_a_store_that_is_not_there_is_not_made(tmp_path: Path) -> None:
    with (
        closing(open_reader(ChdbSettings(str(tmp_path / "none")))) as reader,
        pytest.raises(StoreError, match="there is no chDB store"),
    ):
        reader.query("SELECT 1")
    assert not (tmp_path / "none").exists()


def test_paths_too_long_for_a_socket_address(tmp_path: Path, hold: Callable[[str, Path], Holder]) -> None:
    folder = tmp_path / ("deep" * 30) / "store"
    folder.parent.mkdir()
    assert len(str(wire.socket_path(folder))) > 108
    hold("sink", folder).ask("insert 4")
    with closing(open_reader(ChdbSettings(str(folder)))) as reader:
        assert isinstance(reader, ChdbReader)
        assert reader.query("SELECT count() FROM t").rows == [(4,)]


def connect(folder: Path) -> socket.socket:
    client = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    with wire.address(wire.socket_path(folder)) as address:
        client.connect(address)
    return client
