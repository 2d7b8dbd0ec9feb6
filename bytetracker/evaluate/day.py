"""Suite `healthy24h`: a day of a healthy network whose servers reboot now and then."""

from __future__ import annotations

from bytetracker.evaluate.draw import Draw
from bytetracker.evaluate.recipe import ONSET_S, Recipe

DAY_S = 86_400
REBOOTING = 0.1  # share of the servers that reboot once
REBOOT_S = (30, 180)
#: A probe group every 10 s to each server: 1,250 probes/s, a tenth of the usual pace, so that a day takes one
#: to two hours of computing.
INTERVAL_US = 10_000_000
WINDOW_S = 600.0


def day() -> list[Recipe]:
    return [Recipe("healthy24h", _reboots, DAY_S, INTERVAL_US, "medium", 500, 1, WINDOW_S)]


def _reboots(draw: Draw) -> list[str]:
    servers = draw.servers(round(len(draw.fabric.servers) * REBOOTING))
    last_s = DAY_S - REBOOT_S[1]
    return [
        f"reboot:{server}:after={ONSET_S + draw.number(0, last_s)},for={draw.number(*REBOOT_S)}"
        for server in servers
    ]
