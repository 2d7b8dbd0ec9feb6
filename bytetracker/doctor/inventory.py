"""Whether configuration and inventory fit together. Pure, but for reading the two files."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from bytetracker.doctor.finding import Finding, fail, ok, warn
from bytetracker.moments import told
from bytetracker.planning import plan_document
from bytetracker.settings import Settings, SettingsError
from fabric.inventory import InventoryError, load_fabric
from fabric.model import Fabric
from producers.plan import PlanRefused

#: Sections that have settings of their own, and how they are read.
_SECTIONS = ("kafka", "store", "retention", "worker", "sink", "prober", "collector", "alerts", "console")
#: Needed only where the part runs: without the section there is nothing to check.
_PARTS = ("prober", "collector", "alerts", "console")
_UNREACHABLE_SHOWN = 5


def check_sections(settings: Settings) -> Iterator[Finding]:
    """Every section of the file says what its part understands."""
    bad = False
    for name in _SECTIONS:
        read = getattr(settings, f"{name}_settings", None)
        if read is None or (name in _PARTS and not getattr(settings, name, None)):
            continue
        try:
            read()
        except (SettingsError, ValueError) as error:
            bad = True
            yield fail("configuration", str(error), f"mend the section {name}; see docs/configuration.md")
    if not bad:
        yield ok("configuration", "every section is understood")


def load(settings: Settings) -> tuple[Fabric | None, Finding]:
    """The inventory, or why there is none."""
    try:
        fabric = load_fabric(settings.inventory)
    except (InventoryError, OSError, ValueError) as error:
        return None, fail("inventory", str(error), "mend it, and try `bytetracker fabric show --fabric FILE`")
    size = (
        f"{len(fabric.switches):,} switches, {len(fabric.servers):,} servers, {len(fabric.probers)} Probers, "
        f"{len(fabric.collectors)} collectors"
    )
    built_in = not Path(settings.inventory).exists()
    return fabric, ok("inventory", f"{fabric.name}{' (built in)' if built_in else ''}: {size}")


def check_names(settings: Settings, fabric: Fabric) -> Iterator[Finding]:
    """The Prober and the collector that the file names are in the inventory."""
    named = (
        ("prober", settings.prober.get("prober"), [prober.name for prober in fabric.probers]),
        (
            "collector",
            settings.collector.get("name", "collector-1") if settings.collector else None,
            [collector.name for collector in fabric.collectors],
        ),
    )
    for part, name, known in named:
        if name is None:
            continue
        if name in known:
            yield ok(f"inventory.{part}", f"{name} is in the inventory")
        else:
            yield fail(
                f"inventory.{part}",
                f"{name} is not in the inventory, which has {', '.join(known) or 'none'}",
                f"add it there, or change the section {part}",
            )


def check_plan(settings: Settings, fabric: Fabric) -> Iterator[Finding]:
    """What the plan leaves out, and what is known to be silent."""
    try:
        document = plan_document(fabric, settings.plan_settings())
    except (PlanRefused, SettingsError) as error:
        yield fail("inventory.plan", str(error), "see `bytetracker plan`, and change prober.plan")
        return
    left_out = {
        reason: count
        for prober in document["probers"]
        for reason, count in prober["uncovered"].items()
        if count
    }
    rate = sum(prober["probes_per_s"] for prober in document["probers"])
    if left_out:
        said = ", ".join(f"{count:,} x {reason}" for reason, count in left_out.items())
        yield warn(
            "inventory.plan", f"probes cannot reach everything: {said}", "see `bytetracker plan` for which"
        )
    else:
        yield ok("inventory.plan", f"all Probers together send {rate:,.0f} probes/s, and reach every server")
    silent = [server.name for server in fabric.servers if not server.answers]
    if silent:
        shown = ", ".join(silent[:_UNREACHABLE_SHOWN])
        more = f" and {len(silent) - _UNREACHABLE_SHOWN} more" if len(silent) > _UNREACHABLE_SHOWN else ""
        yield ok("inventory.silent", f"known never to answer, so not watched: {shown}{more}")


def check_memory(settings: Settings) -> Iterator[Finding]:
    """Workers remember a flow for as long as it takes to come back."""
    plan, join = settings.plan_settings(), settings.worker_settings().join
    # Each round of a target takes the next few of its flows.
    back_us = -(-plan.flows_per_target // plan.group_size) * plan.interval_us
    said = (
        f"a flow comes back after {back_us / 1e6:g} s, and workers remember it for {join.memory_us / 1e6:g} s"
    )
    if back_us <= join.memory_us:
        yield ok("inventory.flows", said)
    else:
        yield warn(
            "inventory.flows",
            f"{said}: no black hole is told, and the way of every probe is said again and again",
            f"set worker.join.memory_us to {back_us + plan.interval_us} for all workers, or probe more often",
        )


def check_maintenance(fabric: Fabric, now_us: int) -> Iterator[Finding]:
    """Planned work that silences faults now, and switches that are out of service."""
    for each in fabric.maintenance:
        if each.from_us <= now_us < each.until_us:
            yield warn(
                "inventory.maintenance",
                f"{each.element} is under maintenance until {told(each.until_us)}: {each.why}",
                "its faults alert nobody; take the entry out of the inventory if the work is done",
            )
    drained = [switch.name for switch in fabric.switches if switch.drained]
    if drained:
        yield ok("inventory.drained", f"out of service: {', '.join(drained[:_UNREACHABLE_SHOWN])}")
