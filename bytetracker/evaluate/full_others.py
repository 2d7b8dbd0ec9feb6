"""Of suite `full`: altered and stray packets, hosts, mirrors, sources, health, several faults at once."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from bytetracker.evaluate.draw import Draw
from bytetracker.evaluate.full_forwarding import (
    EDGE_LINKS,
    HOST_LINKS,
    LINKS,
    PROBER_LINKS,
    TIERS,
    pace,
    slug,
)
from bytetracker.evaluate.recipe import FAST, FASTER, NORMAL, ONSET_S, QUICK, Recipe, lasting

#: What may strike together with others; `_several` draws of it.
_LOSS_RATES = (1, 0.5, 0.2, 0.1, 0.05)
_STRIKES = (
    *(f"loss:<{link}>:rate={rate:g}" for link in (*LINKS, *EDGE_LINKS) for rate in _LOSS_RATES),
    *(f"link_down:<{link}>" for link in (*LINKS, *EDGE_LINKS)),
    *(f"flip:<{link}>:rate={rate:g}" for link in (*LINKS, *EDGE_LINKS) for rate in (0.3, 0.1)),
    *(f"black_hole:<{link}>:share=0.3" for link in LINKS),
    *(f"loss:<{element}>:rate={rate:g}" for element in ("line-card", "tor", "leaf") for rate in (0.3, 0.1)),
    "switch_down:<tor>",
    "host_down:<server>",
    "host_down:<server>",
)


def recipes() -> Iterator[Recipe]:
    yield from _flips()
    yield from _astray()
    yield from _hosts()
    yield from _mirrors()
    yield from _sources()
    yield from _healthy()
    yield from _at_once()


def _flips() -> Iterator[Recipe]:
    for link in (*LINKS, *EDGE_LINKS, *PROBER_LINKS, *HOST_LINKS):
        for rate in (0.3, 0.01):
            active_s = lasting("demo", slug(link), rate, pace(rate), 15)
            yield Recipe(
                f"flip-{slug(link)}-{rate:g}", [f"flip:<{link}>:rate={rate:g}"], active_s, pace(rate)
            )
    for link in LINKS:
        for offset, mask in ((14, 0x01), (200, 0x11), (531, 0x80)):
            spec = f"flip:<{link}>:rate=0.1,offset={offset},mask={mask}"
            yield Recipe(f"flip-{slug(link)}-byte-{offset}", [spec], 12, QUICK)
        for stuck in (0, 1):
            spec = f"flip:<{link}>:rate=0.2,offset=300,mask=4,stuck={stuck}"
            yield Recipe(f"flip-{slug(link)}-stuck-at-{stuck}", [spec], 12, QUICK)
    for element in ("line-card", "fabric-chip", "chip-pair", "tor", "leaf", "spine"):
        yield Recipe(f"flip-{element}-0.1", [f"flip:<{element}>:rate=0.1"], 15, QUICK)


def _astray() -> Iterator[Recipe]:
    for share in (1, 0.2):
        for link in ("leaf~spine", "spine~leaf", "tor~leaf", "leaf~tor", "border~spine"):
            yield Recipe(f"loop-{slug(link)}-{share:g}", [f"loop:<{link}>:share={share:g}"], 12, QUICK)
        for link in ("leaf~tor", "spine~leaf", "tor~leaf"):
            spec = f"wrong_route:<{link}>:share={share:g}"
            yield Recipe(f"wrong-route-{slug(link)}-{share:g}", [spec], 12, QUICK)


def _hosts() -> Iterator[Recipe]:
    for number in (1, 2, 3):
        yield Recipe(f"host-down-{number}", ["host_down:<server>"], 15)
        yield Recipe(f"host-reboot-{number}", ["reboot:<server>"], 40)
        yield Recipe(f"forty-hosts-reboot-{number}", _forty, 45)
    yield Recipe("forty-hosts-reboot-medium", _forty, 35, fabric="medium")
    for delay_ms in (300, 800):
        yield Recipe(f"host-slow-{delay_ms}", [f"host_slow:<server>:delay_ms={delay_ms}"], 15)
    for rate in (0.5, 0.9):
        yield Recipe(f"rst-limit-{rate:g}", [f"rst_limit:<server>:rate={rate:g}"], 15)


def _forty(draw: Draw, count: int = 40) -> list[str]:
    """Servers that reboot within five seconds, each for as long as servers take."""
    return [
        f"reboot:{server}:after={ONSET_S + draw.number(0, 50) / 10:g},for={draw.number(20, 30)}"
        for server in draw.servers(count)
    ]


def _mirrors() -> Iterator[Recipe]:
    for tier in TIERS:
        yield Recipe(f"mirror-outage-{tier}", [f"mirror_outage:<{tier}>"], 20)
    for tier in ("tor", "leaf", "spine"):
        for rate in (0.03, 0.3):
            yield Recipe(f"mirror-loss-{tier}-{rate:g}", [f"mirror_loss:<{tier}>:rate={rate:g}"], 20, QUICK)
    for tier in ("tor", "leaf"):
        for size in (80, 300):
            spec = f"mirror_truncate:<{tier}>:bytes={size}"
            yield Recipe(f"mirror-truncate-{tier}-{size}", [spec], 15, QUICK)
        for rate in (0.01, 0.3, 1):
            spec = f"mirror_corrupt:<{tier}>:rate={rate:g}"
            yield Recipe(f"mirror-corrupt-{tier}-{rate:g}", [spec], 15, QUICK)


def _sources() -> Iterator[Recipe]:
    for number in (1, 2):
        yield Recipe(f"collector-outage-{number}", ["mirror_outage:<collector>"], 30)
        yield Recipe(f"prober-outage-{number}", ["prober_outage:<prober>"], 30)
    for element in ("collector", "prober", "leaf"):
        for ms in (-900, 900):
            yield Recipe(f"clock-{element}-{ms}", [f"clock_skew:<{element}>:ms={ms}"], 20)


def _healthy() -> Iterator[Recipe]:
    for fabric, active_s, interval_us in (
        ("tiny", 120, FAST),
        ("small", 120, FASTER),
        ("demo", 60, FAST),
        ("dci", 60, FAST),
        ("fat-tree-8", 40, QUICK),
        ("medium", 30, NORMAL),
    ):
        yield Recipe(f"healthy-{fabric}", (), active_s, interval_us, fabric)


def _at_once() -> Iterator[Recipe]:
    for count in (2, 3, 4, 5):
        for number in range(1, 11):
            yield Recipe(f"{count}-at-once-{number}", partial(_several, count=count), 15, QUICK)
    for number, tier in enumerate(("tor", "leaf", "spine"), 1):
        yield Recipe(f"loss-beside-mirror-outage-{number}", partial(_beside_mirror_outage, tier=tier), 20)
        yield Recipe(f"loss-beside-host-reboots-{number}", _beside_reboots, 38)


def _several(draw: Draw, count: int) -> list[str]:
    """Faults of many kinds, none at the same switch as another."""
    return [draw.fill(draw.choice(_STRIKES)) for _ in range(count)]


def _beside_mirror_outage(draw: Draw, tier: str) -> list[str]:
    return [draw.fill(f"mirror_outage:<{tier}>"), *_several(draw, 1)]


def _beside_reboots(draw: Draw) -> list[str]:
    return [*_forty(draw, 10), *_several(draw, 1)]
