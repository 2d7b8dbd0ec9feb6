"""One sentence about a finding, for a person who does not know how it was found."""

from __future__ import annotations

from collections.abc import Callable

from fabric.model import CHIP_SEPARATOR, LINK_SEPARATOR, PAIR_SEPARATOR, PORT_SEPARATOR
from streams.localise.finding import Finding

#: What is lost or altered, one and many, by the legs on which it shows.
_PACKETS = {
    frozenset({"reply"}): ("reply", "replies"),
    frozenset({"probe"}): ("probe", "probes"),
    frozenset({"encapsulated"}): ("tunnelled probe", "tunnelled probes"),
    frozenset({"encapsulated", "probe"}): ("probe", "probes"),
    frozenset(): ("probe", "probes"),
}


def story(finding: Finding) -> str:
    """What is wrong, where, and how much of it was seen."""
    told = _SENTENCES[finding.kind](finding, place(finding.suspects[0][0]) + _direction(finding))
    note = finding.note.strip().rstrip(".")
    return f"{told}; {note}." if note else f"{told}."


def place(element: str) -> str:
    """Where that is: `at spine-1`, `from leaf-1-1 to tor-1-1`, `inside spine-1 from lc-1 to lc-2`."""
    if LINK_SEPARATOR in element:
        near, _, far = element.partition(LINK_SEPARATOR)
        return f"from {near} to {far}"
    if PORT_SEPARATOR in element:
        switch, _, port = element.partition(PORT_SEPARATOR)
        return f"at port {port} of {switch}"
    if CHIP_SEPARATOR in element:
        switch, _, chip = element.partition(CHIP_SEPARATOR)
        if PAIR_SEPARATOR in chip:
            near, _, far = chip.partition(PAIR_SEPARATOR)
            return f"inside {switch} from {near} to {far}"
        return f"at chip {chip} of {switch}"
    return f"at {element}"


def share(rate: float) -> str:
    """A share in words: `all`, `12 %`, `0.02 %`."""
    if rate >= 0.995:
        return "all"
    return f"{100 * rate:.0f} %" if rate >= 0.1 else f"{100 * rate:.2g} %"


def over(told: str, quiet_s: float) -> str:
    """The story of a fault of which there is no sign any more."""
    return f"Over, with no sign of it for {quiet_s:.0f} s: {told}"


def part_of(suspect: str, fault_id: str) -> str:
    """The story of a fault that turned out to be part of another."""
    return f"Turned out to be part of the fault {place(suspect)} ({fault_id})."


def _direction(finding: Finding) -> str:
    """Where it shows, if that is not the suspect itself."""
    link = finding.direction
    if LINK_SEPARATOR not in link or link == finding.suspects[0][0]:
        return ""
    return f" on the way {place(link)}"


def _noun(finding: Finding, number: int) -> str:
    one, many = _PACKETS.get(frozenset(finding.legs), ("packet", "packets"))
    return one if number == 1 else many


def _count(finding: Finding) -> str:
    return f"{finding.bad:,} {_noun(finding, finding.bad)}"


def _were(number: int) -> str:
    return "was" if number == 1 else "were"


def _lost(finding: Finding, where: str) -> str:
    bad, total = finding.bad, finding.total
    if not total:
        return f"{_count(finding)} {_were(bad)} lost {where}"
    rate, noun = share(bad / total), _noun(finding, total)
    many = f"All {noun}" if rate == "all" else f"About {rate} of the {noun}"
    return f"{many} {where} were lost ({bad:,} of {total:,})"


def _black_hole(finding: Finding, where: str) -> str:
    noun = _noun(finding, 2)
    told = f"Some flows lose all their {noun} {where} while others pass"
    if not finding.flows or not finding.total:
        return f"{told} ({finding.bad:,} lost so far)"
    flows = f"about {finding.flows:,} {'flow' if finding.flows == 1 else 'flows'}"
    return (
        f"{told} ({flows}, {share(finding.bad / finding.total)} of the {noun}; {finding.bad:,} lost so far)"
    )


def _altered(finding: Finding, where: str) -> str:
    told = f"{_count(finding)} {_were(finding.bad)} altered {where}"
    if not finding.bits:
        return told
    best = max(finding.bits, key=lambda bit: bit.to_one + bit.to_zero)
    often = best.to_one + best.to_zero
    if 2 * often < sum(bit.to_one + bit.to_zero for bit in finding.bits):
        return f"{told}, in {len(finding.bits)} different bits"
    became = "" if best.to_one and best.to_zero else f" became {1 if best.to_one else 0}"
    mostly = "" if len(finding.bits) == 1 else "mostly "
    return f"{told}, {mostly}bit {best.bit} of byte {best.byte_offset}{became}"


def _loop(finding: Finding, where: str) -> str:
    return f"{_noun(finding, 2).capitalize()} go round in circles {where} ({finding.bad:,} so far)"


def _wrong_route(finding: Finding, where: str) -> str:
    noun = _noun(finding, 2).capitalize()
    return f"{noun} take a way that they should not {where} ({finding.bad:,} so far)"


def _host_silent(finding: Finding, where: str) -> str:
    saw = f"{finding.bad:,} {'probe' if finding.bad == 1 else 'probes'}"
    return f"{_name(finding)} does not answer: its switch saw {saw} go to it and no reply"


def _mirror_outage(finding: Finding, where: str) -> str:
    return f"Copies that should have been mirrored {where} do not arrive, so what happens there is not seen"


def _prober_outage(finding: Finding, where: str) -> str:
    return f"{_name(finding)} has stopped probing, so what only it probes is not watched"


def _source_silent(finding: Finding, where: str) -> str:
    return f"Nothing has come from {_name(finding)} for 10 s, so its probes or copies are missing"


def _coverage_gap(finding: Finding, where: str) -> str:
    return f"No probe has passed {where} lately, so a fault there would not be seen"


def _name(finding: Finding) -> str:
    return finding.suspects[0][0]


_SENTENCES: dict[str, Callable[[Finding, str], str]] = {
    "network_loss": _lost,
    "black_hole": _black_hole,
    "alteration": _altered,
    "loop": _loop,
    "wrong_route": _wrong_route,
    "host_silent": _host_silent,
    "mirror_outage": _mirror_outage,
    "prober_outage": _prober_outage,
    "source_silent": _source_silent,
    "coverage_gap": _coverage_gap,
}
