"""A sink as a process of its own, which may be told to kill itself at the worst moment.

`python -m tests.sinks.launched FILE`: FILE is JSON with `mode` (migrate, run, check) and what that needs.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path
from threading import Event
from typing import Any

from fabric.builtin import builtin_fabric
from sinks.migrate import migrate
from sinks.opening import open_store
from sinks.settings import ChdbSettings, ClickHouseSettings, SinkSettings, StoreSettings
from sinks.sink import run_sink
from sinks.store import Columns, Store
from tests.sinks.rig import Unreliable, check_stored


class Deadly(Unreliable):
    """Kills its own process, as the power supply would, right after the n-th insert into a table."""

    def __init__(self, store: Store, table: str, inserts: int) -> None:
        super().__init__(store)
        self._table = table
        self._left = inserts

    def insert(self, table: str, columns: Columns) -> int:
        count = super().insert(table, columns)
        if table == self._table:
            self._left -= 1
            if self._left == 0:
                os.kill(os.getpid(), signal.SIGKILL)
        return count


def store_settings(plan: dict[str, Any]) -> StoreSettings:
    given = plan["store"]
    return ChdbSettings(**given) if "path" in given else ClickHouseSettings(**given)


def main(plan: dict[str, Any]) -> None:
    store: Store = open_store(store_settings(plan))
    match plan["mode"]:
        case "migrate":
            migrate(store)
        case "check":
            check_stored(store, range(plan["slots"]), range(plan["results"]))
        case "run":
            if plan.get("kill"):
                store = Deadly(store, *plan["kill"])
            stop = Event()
            stop.set()  # it drains what is there
            report = run_sink(SinkSettings(**plan["sink"]), builtin_fabric("lab"), store, stop, drain=True)
            assert report.drained
            sys.stdout.write(f"{report.messages}\n")
    store.close()


if __name__ == "__main__":
    main(json.loads(Path(sys.argv[1]).read_text()))
