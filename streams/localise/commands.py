"""What operators ask of the localiser, as messages of `link-evidence`.

Commands and evidence share one log, so that a restart and a replay see them in the same order. A message of
commands has the partition COMMANDS_PARTITION and holds nothing else.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from schemas import topics
from schemas.codec import encode
from schemas.errors import BadMessage
from schemas.framing import Framing
from schemas.rows import EVIDENCE

COMMANDS_PARTITION = -1
ACTIONS = ("silence", "unsilence")
#: Characters of an element's name and of a reason: they are part of the localiser's state.
TEXT_MAX = 500

_FIELDS = ("action", "element", "from_us", "until_us", "why", "by")


def command_message(commands: Sequence[Mapping[str, Any]], given_us: int, framing: Framing) -> bytes:
    """Write commands that were given at `given_us`, us since 1970. Raises BadMessage as `check_commands`."""
    head: dict[str, Any] = {
        "partition": COMMANDS_PARTITION,
        "slot_us": given_us,
        "slot_length_us": 0,
        "watermark_us": given_us,
        **dict.fromkeys(("probes", "digests", "late_outcomes", "late_digests", "duplicates"), 0),
        "verdicts": {},
        **{name: [] for name in ("silent_sources", "exporters", "examples")},
        "commands": [{name: command[name] for name in _FIELDS} for command in commands],
    }
    check_commands(head)
    return encode(topics.EVIDENCE, head, np.empty(0, EVIDENCE.dtype), framing=framing)


def check_commands(head: Mapping[str, Any]) -> None:
    """Raises BadMessage unless the commands of a message can be done."""
    for command in head["commands"]:
        if command["action"] not in ACTIONS:
            raise BadMessage(
                "bad_command", f"action {command['action']!r}; it must be {' or '.join(ACTIONS)}"
            )
        if not command["element"] or any(len(command[name]) > TEXT_MAX for name in ("element", "why", "by")):
            raise BadMessage("bad_command", f"element, why and by have 1 to {TEXT_MAX} characters")
        if command["action"] == "silence" and not 0 <= command["from_us"] < command["until_us"]:
            raise BadMessage("bad_command", f"from {command['from_us']} us until {command['until_us']} us")
