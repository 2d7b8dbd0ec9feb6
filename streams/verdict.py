"""The verdict of every probe: what happened to it, and where. Evidence beats counting.

Rules, in the order in which they are tried (H: hops of the probe, R: hops of its reply):

1.  a reply that is no RST: `unexpected_reply`
2.  a reply in time: `ok`, unless the path or the content says otherwise
3.  no reply, R not empty: the server answered. The reply was lost after the last hop of R, or came
    too late, or was altered on the way and therefore not accepted
4.  no reply, R empty, the target's ToR saw the SYN: `corrupted` if the copies show it altered (the
    kernel drops a bad checksum), else `host_silent`
5.  no reply, R empty, H not empty: `network_loss` after the last hop, whatever the rest of the
    group says: a ToR that drops everything is a network fault, not forty host faults
6.  nothing seen at all: `unobserved`
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from schemas.rows import Leg, ReplyKind
from streams.alteration import Alterations
from streams.clocks import ahead_us
from streams.groups import all_members
from streams.hops import Hops
from streams.paths import Legs
from streams.places import Places
from streams.probes import Probes
from streams.settings import JoinSettings

I1 = NDArray[np.int8]
I4 = NDArray[np.int32]
I8 = NDArray[np.int64]
Bools = NDArray[np.bool_]

NO_PLACE = -1


class Verdict(IntEnum):
    """Numbers inside the process; topics and tables carry the names in lower case."""

    OK = 0
    NETWORK_LOSS = 1
    HOST_SILENT = 2
    CORRUPTED = 3
    ALTERED = 4
    LOOP = 5
    UNEXPECTED_PATH = 6
    UNEXPECTED_REPLY = 7
    LATE_REPLY = 8
    DUPLICATE_REPLY = 9
    UNOBSERVED = 10

    @property
    def label(self) -> str:
        return self.name.lower()


LOST = (Verdict.NETWORK_LOSS, Verdict.HOST_SILENT, Verdict.UNOBSERVED)


@dataclass(frozen=True, slots=True)
class Judgement:
    """Per probe, shape (p,): the verdict, and for what went wrong the place and leg (-1: nowhere)."""

    verdict: I1
    place: I4
    leg: I1


def judge(
    probes: Probes,
    hops: Hops,
    legs: Legs,
    altered: Alterations,
    observed_at_us: I8,
    places: Places,
    settings: JoinSettings,
) -> Judgement:
    """Apply the rules. `observed_at_us`: shape (m,), when each hop's copy was received."""
    count = len(probes)
    tor, attached, via = (
        places.switch_row(n) for n in (probes.tor_node, probes.attached_node, probes.via_node)
    )
    replied = probes.rtt_ns >= 0
    last_enc, last_probe, last_reply = (legs.last_switch(leg) for leg in Leg)
    reached_tor = (last_probe >= 0) & (last_probe == tor)
    # A copy counts as seen even if its switch is not in the inventory.
    has_reply_hops = legs.seen(Leg.REPLY)
    reply_complete = (last_reply >= 0) & (last_reply == attached)

    verdict = np.full(count, Verdict.OK, np.int8)
    place = np.full(count, NO_PLACE, np.int32)
    leg = np.full(count, -1, np.int8)

    def decide(where: Bools, what: Verdict, at: I4 | None = None, on: int = -1) -> None:
        verdict[where] = what
        if at is not None:
            place[where] = at[where]
            leg[where] = on

    # Later lines override earlier ones, so they stand in rising order of weight.
    path_bad = legs.off_path
    decide(replied & (hops.doubled_replies >= 2), Verdict.DUPLICATE_REPLY)
    decide(replied & path_bad, Verdict.UNEXPECTED_PATH)
    silent = ~replied
    decide(silent, Verdict.UNOBSERVED, probes.uplink, int(Leg.PROBE))
    leg[silent & (probes.via_node >= 0)] = Leg.ENCAPSULATED
    encapsulated = silent & legs.seen(Leg.ENCAPSULATED)
    at_via = encapsulated & (last_enc >= 0) & (last_enc == via)
    decide(encapsulated, Verdict.NETWORK_LOSS, places.after(last_enc, via), int(Leg.ENCAPSULATED))
    decide(at_via, Verdict.NETWORK_LOSS, places.after(via, tor), int(Leg.PROBE))
    decide(silent & legs.seen(Leg.PROBE), Verdict.NETWORK_LOSS, places.after(last_probe, tor), int(Leg.PROBE))
    decide(silent & reached_tor, Verdict.HOST_SILENT, probes.to_target, int(Leg.PROBE))
    decide(silent & has_reply_hops, Verdict.NETWORK_LOSS, places.after(last_reply, attached), int(Leg.REPLY))
    decide(silent & reply_complete, Verdict.NETWORK_LOSS, probes.to_prober, int(Leg.REPLY))
    unanswered = silent & reply_complete
    if unanswered.any():
        too_late = unanswered & _came_late(probes, legs, replied & reply_complete, observed_at_us, settings)
        decide(too_late, Verdict.LATE_REPLY, np.full(count, NO_PLACE, np.int32))

    # A switch drops what comes in with a TTL of 1: it went round somewhere until then.
    for on, last, arrived in (
        (Leg.ENCAPSULATED, last_enc, at_via | legs.seen(Leg.PROBE) | has_reply_hops),
        (Leg.PROBE, last_probe, reached_tor | has_reply_hops),
        (Leg.REPLY, last_reply, reply_complete),
    ):
        ran_out = silent & ~arrived & (legs.at_last(on, hops.ttl, 255) <= 1)
        decide(ran_out, Verdict.LOOP, places.beyond(last), int(on))

    is_altered = altered.found
    decide(replied & is_altered, Verdict.ALTERED)
    decide(silent & is_altered & (altered.leg < Leg.REPLY) & reached_tor & ~has_reply_hops, Verdict.CORRUPTED)
    decide(silent & is_altered & (altered.leg == Leg.REPLY) & reply_complete, Verdict.CORRUPTED)
    content = (verdict == Verdict.ALTERED) | (verdict == Verdict.CORRUPTED)
    place[content] = altered.place[content]
    leg[content] = altered.leg[content]

    looped = legs.looped & silent
    decide(looped, Verdict.LOOP, places.beyond(legs.loop_row))
    leg[looped] = legs.loop_leg[looped]
    decide(replied & (probes.reply_kind != ReplyKind.RST), Verdict.UNEXPECTED_REPLY)
    if not settings.mirrors:
        _judge_by_group(probes, verdict, place, leg)
    return Judgement(verdict, place, leg)


def _came_late(
    probes: Probes, legs: Legs, answered: Bools, observed_at_us: I8, settings: JoinSettings
) -> Bools:
    """Whether the last copy of a reply was taken after the timeout, by the clock of the Prober: bool[p]."""
    received_us = legs.at_last(Leg.REPLY, observed_at_us, -1)
    had_us = probes.sent_at_us + probes.rtt_ns // 1_000
    ahead = ahead_us(probes.prober_node, answered, had_us, received_us)
    late: Bools = received_us - ahead > probes.sent_at_us + settings.timeout_us
    return late


def counts_as_lost(judgement: Judgement, probes: Probes) -> Bools:
    """Probes that are evidence against the place where they were lost: bool[p]. A host known never to
    answer is no fault, so its silence is no evidence."""
    lost = np.isin(judgement.verdict, LOST) & (judgement.place >= 0) & (judgement.leg >= 0)
    counts: Bools = lost & ((judgement.verdict != Verdict.HOST_SILENT) | probes.answers)
    return counts


def _judge_by_group(probes: Probes, verdict: I1, place: I4, leg: I1) -> None:
    """Without mirrors: a group of which all members timed out blames the host, of which some did
    blames the network; where in the network is for tomography to say."""
    lost = verdict == Verdict.UNOBSERVED
    if not lost.any():
        return
    all_lost = all_members(probes, lost)
    verdict[lost & all_lost] = Verdict.HOST_SILENT
    verdict[lost & ~all_lost] = Verdict.NETWORK_LOSS
    place[lost] = NO_PLACE
    leg[lost] = -1
