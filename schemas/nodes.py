"""Node numbers: one integer for a switch, a server or a Prober, as rows carry them."""

from __future__ import annotations

SWITCH_BASE = 0
SERVER_BASE = 100_000_000
PROBER_BASE = 200_000_000
NODE_LIMIT = 300_000_000

UNKNOWN_NODE = -1
