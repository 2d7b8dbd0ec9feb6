"""How paths are printed."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bytetracker.path.drawing import FLOWS_SHOWN, WIDTH, duration, probe_text, probes_table, ways_text
from bytetracker.path.probe import Alteration, Probe
from bytetracker.path.steps import legs_of
from tests.path.examples import BACK, OUT, WAYS, copies, lost, probe

PORTS = {("border-1", 1): "Ethernet9", ("spine-1", 2): "Ethernet5"}
LOST_REPLY = lost("reply", "leaf-1-1", "spine-2", copies("probe", OUT) + copies("reply", BACK[:2], 200))


def _drawn(of: Probe) -> str:
    return probe_text(of, legs_of(of, WAYS), PORTS)


def test_a_lost_reply() -> None:
    assert (
        _drawn(LOST_REPLY)
        == """\
Probe 4294971394, North-South
  sent      2026-03-08 20:00:00.000000 UTC
  from      prober-1, port 40001
  to        server-1-2-1 (10.1.2.10), port 65111
  answer    no reply
  verdict   network_loss: no reply; last seen at leaf-1-1

the probe:
    prober-1
  | border-1      TTL  64       +40 us  Ethernet9
  | spine-1       TTL  63       +80 us  Ethernet5
  | leaf-1-2      TTL  62      +120 us  port 3
  | tor-1-2       TTL  61      +160 us  port 4
    server-1-2-1

its reply:
    server-1-2-1
  | tor-1-2       TTL  64      +240 us  port 1
  | leaf-1-1      TTL  63      +280 us  port 2
  X --- lost after leaf-1-1, on the way to spine-2 ---
  : spine-2       not reached
  : border-1      not reached
  : prober-1      not reached

| seen; the time is that since sending, by the collector's clock
: where this flow goes from there
"""
    )


def test_usual_names_fit_eighty_columns() -> None:
    for each in (probe(), LOST_REPLY):
        assert max(map(len, _drawn(each).splitlines())) <= WIDTH


def test_altered_content() -> None:
    altered = probe(
        verdict="altered", last_seen="spine-1", next_node="leaf-1-2", fault_leg="probe",
        hops=copies("probe", OUT, altered=OUT[2:]) + copies("reply", BACK, 200),
        alterations=(Alteration(57, 0b0100_0001, 0b0101_0001), Alteration(313, 0b11, 0b0)),
    )  # fmt: skip
    text = _drawn(altered)
    assert "  ! leaf-1-2      TTL  62      +120 us  port 3  altered\n" in text
    assert "  ! tor-1-2       TTL  61      +160 us  port 4\n" in text
    assert "  byte   57  sent 01000001  seen 01010001  bits 4\n" in text
    assert "  byte  313  sent 00000011  seen 00000000  bits 0, 1\n" in text
    assert "answer    rst after 412 us" in text
    assert "! seen, with altered content" in text


def test_a_ttl_that_falls_by_two_and_a_copy_without_a_port() -> None:
    first, _, third, fourth = copies("probe", OUT)
    text = _drawn(probe(hops=(first, replace(third, port=-1), fourth, *copies("reply", BACK, 200))))
    assert "  ? spine-1       no copy\n  | leaf-1-2      TTL  62      +120 us    TTL fell by 2\n" in text
    assert "? passed without a copy" in text


def test_a_clock_that_is_behind() -> None:
    early = tuple(replace(hop, seen_at_us=hop.seen_at_us - 1_500) for hop in copies("probe", OUT))
    assert "  | border-1      TTL  64    -1.460 ms  Ethernet9\n" in _drawn(probe(hops=early))


@pytest.mark.parametrize("nasty", ["\x1b[31m" + "x" * 90, "a\nb", "ü" * 200])
def test_no_name_breaks_the_page(nasty: str) -> None:
    changed = replace(
        LOST_REPLY, target=nasty, reason=nasty, prober=nasty, target_address=nasty, last_seen=nasty,
        via=nasty, hops=tuple(replace(hop, switch=nasty + hop.switch) for hop in LOST_REPLY.hops),
    )  # fmt: skip
    text = probe_text(changed, legs_of(changed, WAYS), {})
    rows = [*text.splitlines(), *probes_table([changed]), *ways_text([replace(WAYS[0], prober=nasty)])]
    assert all(row.isprintable() for row in rows)
    assert sum("TTL" in row for row in rows) == len(LOST_REPLY.hops)


def test_durations() -> None:
    assert [duration(ns) for ns in (1_499, 412_345, 1_240_000, 2_100_000_000)] == [
        "1 us",
        "412 us",
        "1.240 ms",
        "2.100 s",
    ]


def test_probes_one_a_line() -> None:
    ok, bad = probes_table([probe(), LOST_REPLY])
    assert ok == "  2026-03-08 20:00:00       4294971394  ok               412 us"
    assert bad == "  2026-03-08 20:00:00       4294971394  network_loss     reply after leaf-1-1"
    assert "none that is stored" in probes_table([])[0]


def test_ways_by_flow() -> None:
    assert ways_text(WAYS[:2]) == [
        "  prober-1, source port 40001:",
        "    probe:        border-1 > spine-1 > leaf-1-2 > tor-1-2",
        "    reply:        tor-1-2 > leaf-1-1 > spine-2 > border-1",
    ]
    long = replace(WAYS[0], via="tor-9-9", switches=tuple(f"a-long-name-of-a-switch-{n}" for n in range(5)))
    rows = ways_text([long])
    assert rows[0] == "  prober-1 via tor-9-9, source port 40001:"
    assert max(map(len, rows)) <= WIDTH and all(f"switch-{n}" in " ".join(rows) for n in range(5))
    many = [replace(WAYS[0], source_port=port) for port in range(FLOWS_SHOWN + 3)]
    assert ways_text(many)[-1] == "  and 3 more flows, in the table flow_paths"
    assert len(ways_text(many)) == 2 * FLOWS_SHOWN + 1
    assert "none known" in ways_text([])[0]
