"""A process that has a chDB folder, for tests of those that want to read it.

`python -m tests.sinks.holder sink|reader FOLDER`: says `ready`, then obeys lines on standard input: `insert
N`, `count`, `end`. A sink also inserts by itself, as fast as it can, between `start` and `stop`, and then
says how many rows and the longest insert.
"""

from __future__ import annotations

import sys
import threading
from contextlib import ExitStack, closing
from time import monotonic
from typing import TextIO

import numpy as np

from bytetracker.logs import configure_logs
from sinks.opening import answering_readers, open_to_write
from sinks.reading import open_reader
from sinks.settings import ChdbSettings
from sinks.store import Store


class Inserting:
    """Inserts of 1,000 rows, one after another."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._rows, self._longest_s = 0, 0.0
        self._thread.start()

    def finish(self) -> str:
        self._stop.set()
        self._thread.join()
        return f"{self._rows} {self._longest_s:.3f}"

    def _run(self) -> None:
        while not self._stop.wait(0.01):
            began = monotonic()
            insert(self._store, 1000)
            self._rows += 1000
            self._longest_s = max(self._longest_s, monotonic() - began)


def insert(store: Store, count: int) -> None:
    store.insert("t", {"n": np.arange(count, dtype=np.uint64)})


def hold(store: Store, lines: TextIO) -> None:
    inserting: Inserting | None = None
    for line in lines:
        match line.split():
            case ["insert", count]:
                insert(store, int(count))
                tell("done")
            case ["start"]:
                inserting = Inserting(store)
            case ["stop"] if inserting is not None:
                tell(inserting.finish())
            case ["count"]:
                tell(str(store.query("SELECT count() FROM t").rows[0][0]))
            case ["end"]:
                return


def tell(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def main(role: str, folder: str) -> None:
    configure_logs("info", as_json=False)  # on stderr
    settings = ChdbSettings(folder)
    with ExitStack() as stack:
        if role == "reader":
            reader = stack.enter_context(closing(open_reader(settings)))
            tell("ready")
            for line in sys.stdin:
                if line.strip() == "end":
                    return
                tell(str(reader.query("SELECT count() FROM t").rows[0][0]))
            return
        store = stack.enter_context(closing(open_to_write(settings)))
        store.prepare()
        store.execute("CREATE TABLE IF NOT EXISTS t (n UInt64) ENGINE = MergeTree ORDER BY n")
        stack.enter_context(answering_readers(settings))
        tell("ready")
        hold(store, sys.stdin)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
