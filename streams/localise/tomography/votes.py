"""007: every flow that lost a packet blames the links it crossed, all alike.

A bad flow over h links gives each of them 1/h of a vote. The link with the most votes is blamed, the flows
that crossed it are taken as explained, and the rest vote again, until the top link has less than a small
share of all votes. How many packets a flow lost does not matter, and good flows do not speak.

Source: Arzani et al., 007: Democratically Finding the Cause of Packet Drops, NSDI 2018.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from streams.localise.tomography.paths import PathCounts, Suspect


@dataclass(frozen=True, slots=True)
class VoteSettings:
    #: the top link is blamed while it has at least this share of all votes
    share_min: float = 0.01
    #: and at least so many votes; 0 as published. One lost packet anywhere makes a first link otherwise
    votes_min: float = 0.0
    suspects_max: int = 50


def locate(counts: PathCounts, settings: VoteSettings | None = None) -> list[Suspect]:
    """Links by falling votes. `counts`: one path per flow; score: votes at the time of the blame."""
    settings = settings or VoteSettings()
    sent = counts.by_cell(counts.sent.astype(np.float64))
    lost = counts.by_cell(counts.lost.astype(np.float64))
    bad = counts.take(counts.lost > 0)
    suspects: list[Suspect] = []
    while len(bad) and len(suspects) < settings.suspects_max:
        votes = bad.by_cell(1 / bad.length)
        top = int(votes.argmax())
        if votes[top] < max(settings.share_min * votes.sum(), settings.votes_min):
            break
        suspects.append(Suspect((top,), top, float(votes[top]), float(lost[top] / sent[top])))
        explained = np.zeros(len(bad), np.bool_)
        explained[bad.path[bad.link == top]] = True
        bad = bad.take(~explained)
    return suspects
