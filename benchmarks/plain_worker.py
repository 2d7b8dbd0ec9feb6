"""A Faust worker as one would write it first: one record per message, decoded and joined one by one.

    python -m benchmarks.plain_worker BOOTSTRAP FABRIC MESSAGES

Prints one line of JSON when it has joined so many messages.
"""

from __future__ import annotations

import json
import os
import sys
import time
from typing import Any

import faust

from benchmarks.plain_join import PlainJoin, read_row
from fabric.builtin import builtin_fabric
from streams.intake import TOPICS

_CLOSE_EVERY = 10_000


def build(bootstrap: str, fabric: str, messages: int) -> Any:
    """The app; joins what has come every so many messages, which favours it: it looks at no time."""
    app = faust.App(
        "plain-worker",
        broker=f"aiokafka://{bootstrap}",
        consumer_auto_offset_reset="earliest",
        topic_allow_declare=False,
        topic_disable_leader=True,
        web_enabled=False,
        datadir=os.environ["BYTETRACKER_FAUST_DATADIR"],
    )
    join = PlainJoin(builtin_fabric(fabric))
    joined = app.topic(*TOPICS, key_serializer="raw", value_serializer="raw")

    @app.agent(joined)  # type: ignore[untyped-decorator]
    async def one_by_one(stream: Any) -> None:
        taken, before, digests = 0, 0.0, 0
        async for event in stream.events():
            if not taken:
                before = time.process_time()
            side = TOPICS.index(event.message.topic)
            digests += side
            join.take(side, (read_row(side, event.value),))
            taken += 1
            if taken % _CLOSE_EVERY == 0 or taken == messages:
                join.close()
            if taken == messages:
                cpu_s = time.process_time() - before
                print(json.dumps({"digests": digests, "cpu_s": cpu_s}))  # noqa: T201 - its result

    return app


if __name__ == "__main__":
    arguments = sys.argv[1:]
    faust.Worker(
        build(arguments[0], arguments[1], int(arguments[2])), loglevel="WARN", redirect_stdouts=False
    ).execute_from_commandline()
