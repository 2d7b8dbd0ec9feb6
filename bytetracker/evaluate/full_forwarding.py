"""Of suite `full`: single faults of cables, ports, chips and switches that lose packets."""

from __future__ import annotations

from collections.abc import Iterator

from bytetracker.evaluate.draw import Draw
from bytetracker.evaluate.recipe import FAST, FASTER, FASTEST, NORMAL, QUICK, Recipe, lasting

#: Faults of such rates show at the usual pace of probing.
HEAVY = 0.1

HOST_LINKS = ("server~tor", "tor~server")
LINKS = ("tor~leaf", "leaf~tor", "leaf~spine", "spine~leaf")
EDGE_LINKS = ("spine~border", "border~spine")
PROBER_LINKS = ("border~prober", "prober~border")
DCI_LINKS = ("border~dci", "dci~border")
TIERS = ("tor", "leaf", "spine", "border")


def recipes() -> Iterator[Recipe]:
    yield from _lossy_links()
    yield from _cut_links_and_ports()
    yield from _chips()
    yield from _switches()
    yield from _black_holes()
    yield from _by_size()


def pace(rate: float) -> int:
    """Interval between probes that a rate needs, us."""
    return NORMAL if rate >= HEAVY else FAST


def slug(link: str) -> str:
    """A link of tiers as part of a name."""
    return link.replace("~", "-")


def _loss(link: str, rate: float, fabric: str, interval_us: int, harmed: float = 25) -> Recipe:
    active_s = lasting(fabric, slug(link), rate, interval_us, harmed)
    name = f"loss-{slug(link)}-{rate:g}" + ("" if fabric == "demo" else f"-{fabric}")
    return Recipe(name, [f"loss:<{link}>:rate={rate:g}"], active_s, interval_us, fabric)


def _lossy_links() -> Iterator[Recipe]:
    for rate in (1, 0.3, 0.1, 0.03, 0.01, 3e-3, 1e-3):
        for link in (*LINKS, *EDGE_LINKS, *PROBER_LINKS):
            # Rare losses need many probes; a small fabric gives each link more of them.
            if rate >= 0.01 or link in PROBER_LINKS:
                yield _loss(link, rate, "demo", pace(rate))
            else:
                yield _loss(link, rate, "small", FASTER)
    for link in (*LINKS, *EDGE_LINKS, *PROBER_LINKS):
        yield _loss(link, 1e-4, "small", FASTEST, 15)
    for rate in (1, 0.3, 0.1, 0.03):
        for link in HOST_LINKS:
            yield _loss(link, rate, "demo", NORMAL if rate == 1 else FAST)
    for rate in (1, 0.1, 0.01, 3e-3):
        for link in DCI_LINKS:
            yield _loss(link, rate, "dci", pace(rate))
    for fabric, rates, interval_us in (
        ("fat-tree-8", (0.3, 0.03), QUICK),
        ("medium", (1, 0.1, 0.01), NORMAL),
    ):
        for rate in rates:
            for link in (*LINKS, *EDGE_LINKS):
                yield _loss(link, rate, fabric, interval_us)


def _cut_links_and_ports() -> Iterator[Recipe]:
    for link in (*HOST_LINKS, *LINKS, *EDGE_LINKS, "border~prober"):
        yield Recipe(f"link-down-{slug(link)}", [f"link_down:<{link}>"])
    yield Recipe("link-down-border-dci", ["link_down:<border~dci>"], fabric="dci")
    for port in ("tor:leaf", "leaf:spine", "spine:leaf", "border:spine"):
        name = port.replace(":", "-")
        yield Recipe(f"port-loss-{name}-0.3", [f"loss:<{port}>:rate=0.3"])
        yield Recipe(f"port-loss-{name}-0.03", [f"loss:<{port}>:rate=0.03"], 15, FAST)
        yield Recipe(f"port-down-{name}", [f"link_down:<{port}>"])


def _chips() -> Iterator[Recipe]:
    for chip in ("line-card", "fabric-chip", "chip-pair"):
        for rate in (1, 0.3, 0.1, 0.03, 0.01, 1e-3):
            # A pair of chips carries about a quarter of what comes into its switch.
            active_s = lasting("demo", "spine", rate / 4, pace(rate))
            yield Recipe(f"loss-{chip}-{rate:g}", [f"loss:<{chip}>:rate={rate:g}"], active_s, pace(rate))
        yield Recipe(f"loss-{chip}-0.1-medium", [f"loss:<{chip}>:rate=0.1"], 10, fabric="medium")
        yield Recipe(f"loss-{chip}-0.1-dci", [f"loss:<{chip}>:rate=0.1"], 20, FAST, "dci")
    yield Recipe("loss-leaf-chip-0.1", ["loss:<leaf/chip>:rate=0.1"])


def _switches() -> Iterator[Recipe]:
    for tier in TIERS:
        for rate in (1, 0.3, 0.1, 0.03, 0.01, 1e-3):
            active_s = max(12.0, lasting("demo", tier, rate, pace(rate)))
            yield Recipe(f"loss-{tier}-{rate:g}", [f"loss:<{tier}>:rate={rate:g}"], active_s, pace(rate))
    for tier in ("leaf", "spine"):
        active_s = lasting("small", tier, 1e-4, FASTEST, 20)
        yield Recipe(f"loss-{tier}-0.0001-small", [f"loss:<{tier}>:rate=1e-4"], active_s, FASTEST, "small")
    yield Recipe("loss-dci-0.1", ["loss:<dci>:rate=0.1"], 15, FAST, "dci")
    for tier in TIERS:
        yield Recipe(f"switch-down-{tier}", [f"switch_down:<{tier}>"], 15)
        yield Recipe(f"switch-reboot-{tier}", [f"reboot:<{tier}>"], 30)
    yield Recipe("switch-down-dci", ["switch_down:<dci>"], 15, fabric="dci")
    yield Recipe("switch-down-tor-medium", ["switch_down:<tor>"], 10, fabric="medium")
    yield Recipe("pod-down", _pod, 15)
    yield Recipe("pod-down-medium", _pod, 10, fabric="medium")


def _pod(draw: Draw) -> list[str]:
    return [f"switch_down:{leaf}" for leaf in draw.leaves_of_a_pod()]


def _black_holes() -> Iterator[Recipe]:
    for link in (*LINKS, *EDGE_LINKS):
        for share in (0.3, 0.1):
            name = f"black-hole-{slug(link)}-{share:g}"
            yield Recipe(name, [f"black_hole:<{link}>:share={share:g}"], 20, QUICK)
    for element, share in (("leaf", 0.1), ("spine", 0.1), ("line-card", 0.2), ("chip-pair", 0.3)):
        name = f"black-hole-{element}-{share:g}"
        yield Recipe(name, [f"black_hole:<{element}>:share={share:g}"], 20, QUICK)


def _by_size() -> Iterator[Recipe]:
    for link in (*LINKS, *EDGE_LINKS):
        for rate in (0.3, 0.03):
            name = f"large-packets-{slug(link)}-{rate:g}"
            yield Recipe(name, [f"loss:<{link}>:rate={rate:g},min_bytes=300"], 15, FAST)
    for link in ("tor~leaf", "leaf~spine", "spine~border"):
        # Replies are small and go up.
        yield Recipe(f"small-packets-{slug(link)}-0.1", [f"loss:<{link}>:rate=0.1,max_bytes=100"], 15, QUICK)
