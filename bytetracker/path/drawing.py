"""Paths as plain text that fits 80 columns. Pure."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Mapping, Sequence

from bytetracker.faults.lines import printable
from bytetracker.moments import told, told_us
from bytetracker.path.probe import Probe, Way
from bytetracker.path.steps import LegSteps, Step

WIDTH = 80
FLOWS_SHOWN = 12
_KINDS = {"north_south": "North-South", "east_west": "East-West", "inter_prober": "between Probers"}
_SIGNS = {"end": " ", "seen": "|", "unseen": "?", "beyond": ":", "break": "X"}
_LEG_TITLES = {
    "encapsulated": "the way in, encapsulated",
    "probe": "the probe",
    "reply": "its reply",
}


def probe_text(probe: Probe, legs: Iterable[LegSteps], ports: Mapping[tuple[str, int], str]) -> str:
    """A probe hop by hop. `ports`: (switch, number) -> name, as far as they are known."""
    lines = [*_head(probe)]
    node_width = max([len(step.node) for leg in legs for step in leg.steps], default=0)
    for leg in legs:
        lines += ["", f"{_LEG_TITLES[leg.leg]}:", *_leg_lines(probe, leg, ports, min(node_width, 34))]
    lines += [*_alterations(probe)]
    lines += ["", *_legend(legs)]
    return "\n".join(lines) + "\n"


def probes_table(probes: Sequence[Probe]) -> list[str]:
    """The probes to a server, one line each."""
    if not probes:
        return ["  none that is stored: of those that are plain ok only a sample is"]
    return [
        f"  {told(probe.sent_at_us).removesuffix(' UTC')}  {probe.probe_id:>15}  {probe.verdict:<15}  "
        f"{_outcome(probe)}".rstrip()
        for probe in probes
    ]


def ways_text(ways: Sequence[Way]) -> list[str]:
    """The known ways of flows, leg by leg."""
    if not ways:
        return ["  none known: the localiser says them after some seconds of probing"]
    lines = []
    flows: list[tuple[str, str, int]] = []
    for way in ways:
        if (flow := (way.prober, way.via, way.source_port)) not in flows[-1:]:
            flows.append(flow)
            if len(flows) > FLOWS_SHOWN:
                continue
            via = f" via {way.via}" if way.via else ""
            lines.append(_clean(f"  {way.prober}{via}, source port {way.source_port}:"))
        if len(flows) <= FLOWS_SHOWN:
            lines += _wrapped(" > ".join(way.switches), f"    {way.leg + ':':<14}", " " * 18)
    if len(flows) > FLOWS_SHOWN:
        lines.append(f"  and {len(flows) - FLOWS_SHOWN} more flows, in the table flow_paths")
    return lines


def _head(probe: Probe) -> list[str]:
    answered = "no reply" if probe.rtt_ns is None else f"{probe.reply_kind} after {duration(probe.rtt_ns)}"
    via = f" via {probe.via}" if probe.via else ""
    text = [
        f"Probe {probe.probe_id}, {_KINDS.get(probe.kind, probe.kind)}",
        f"  sent      {told_us(probe.sent_at_us)}",
        f"  from      {probe.prober}{via}, port {probe.source_port}",
        f"  to        {probe.target} ({probe.target_address}), port {probe.destination_port}",
        f"  answer    {answered}",
    ]
    return [
        *map(_clean, text),
        *_wrapped(f"{probe.verdict}: {probe.reason}", "  verdict   ", " " * 12),
    ]


def _leg_lines(
    probe: Probe, leg: LegSteps, ports: Mapping[tuple[str, int], str], width: int
) -> Iterable[str]:
    previous: Step | None = None
    for step in leg.steps:
        if step.mark == "break":
            yield from _wrapped(f"--- {step.note} ---", "  X ", "    ")
            continue
        if step.hop is None:
            yield _clean(f"  {_SIGNS[step.mark]} {step.node:<{width}}  {step.note}").rstrip()
            continue
        hop = step.hop
        port = ports.get((hop.switch, hop.port), f"port {hop.port}" if hop.port >= 0 else "")
        sign = "!" if hop.altered else _SIGNS[step.mark]
        after = _signed(hop.seen_at_us - probe.sent_at_us)
        line = f"  {sign} {step.node:<{width}}  TTL {hop.ttl:>3}  {after:>11}  {port}"
        yield _clean(line + _changed(previous, step)).rstrip()
        previous = step
    if leg.moved is not None:
        route = f"The flow goes another way by now: {' > '.join(leg.moved.switches)}"
        yield from _wrapped(f"{route} (said {told(leg.moved.said_at_us)}).", "    ", "    ")


def _changed(previous: Step | None, step: Step) -> str:
    """What is not as it was at the copy before."""
    assert step.hop is not None
    if previous is None or previous.hop is None:
        return "  altered" if step.hop.altered else ""
    said = ""
    fell = previous.hop.ttl - step.hop.ttl
    if fell != 1:
        said += f"  TTL fell by {fell}"
    if step.hop.altered != previous.hop.altered:
        said += "  altered" if step.hop.altered else "  as sent again: the copy before was bad"
    return said


def _alterations(probe: Probe) -> Iterable[str]:
    if not probe.alterations:
        return
    yield ""
    yield "altered bytes of the IP packet:"
    for each in probe.alterations:
        mask = each.sent ^ each.seen
        yield (
            f"  byte {each.byte_offset:>4}  sent {each.sent:08b}  seen {each.seen:08b}  "
            f"bits {', '.join(str(bit) for bit in range(8) if mask >> bit & 1)}"
        )


def _legend(legs: Iterable[LegSteps]) -> list[str]:
    marks = {step.mark for leg in legs for step in leg.steps}
    altered = any(step.hop is not None and step.hop.altered for leg in legs for step in leg.steps)
    said = ["| seen; the time is that since sending, by the collector's clock"]
    if altered:
        said.append("! seen, with altered content")
    if "unseen" in marks:
        said.append("? passed without a copy: a mirror lost it")
    if "beyond" in marks:
        said.append(": where this flow goes from there")
    return said


def _outcome(probe: Probe) -> str:
    if probe.last_seen and probe.fault_leg:
        return printable(f"{probe.fault_leg} after {probe.last_seen}")
    return duration(probe.rtt_ns) if probe.rtt_ns is not None else ""


def duration(ns: int) -> str:
    """In the unit that suits it."""
    for unit, size in (("s", 1e9), ("ms", 1e6)):
        if abs(ns) >= size:
            return f"{ns / size:.3f} {unit}"
    return f"{ns / 1e3:.0f} us"


def _signed(us: int) -> str:
    return f"{'+' if us >= 0 else '-'}{duration(abs(us) * 1_000)}"


def _clean(text: str) -> str:
    """Without what a terminal would obey; names longer than usual make a line longer, and are not cut."""
    return "".join(each if each.isprintable() else "�" for each in text)


def _wrapped(text: str, first: str = "", rest: str = "") -> list[str]:
    return textwrap.wrap(printable(text), WIDTH, initial_indent=first, subsequent_indent=rest)
