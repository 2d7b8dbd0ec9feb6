"""A slot closes: its probes meet their copies, and everything that can be known of them is worked out.

What is counted of a Closed goes to `streams.evidence`, what is told of single probes to `streams.records`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from streams import alteration, paths, verdict
from streams.alteration import Alterations
from streams.bridges import Bridges, bridge
from streams.hops import Hops, ProbeLookup, order_hops, ttl_on_arrival
from streams.open_rows import gather
from streams.paths import Crossings, Legs
from streams.places import Places
from streams.probes import Probes
from streams.settings import JoinSettings
from streams.sightings import Sightings, sightings
from streams.verdict import Judgement

I2 = NDArray[np.int16]
I4 = NDArray[np.int32]
I8 = NDArray[np.int64]
U8 = NDArray[np.uint64]


@dataclass(frozen=True, slots=True)
class Copies:
    """What the copies say besides where they were taken; columns of shape (m,), in the order of hops."""

    port: I4
    observed_at_us: I8
    content_hash: U8
    flags: I2


@dataclass(frozen=True, slots=True)
class Closed:
    """The probes of one slot, shape (p,), their hops, shape (m,), and what follows from them."""

    probes: Probes
    hops: Hops
    copies: Copies
    legs: Legs
    crossings: Crossings
    bridges: Bridges
    altered: Alterations
    judgement: Judgement
    seen: Sightings


def match(probes: Probes, rows: np.ndarray, found_us: I8, settings: JoinSettings) -> I4:
    """The probe that each digest belongs to: DIGEST rows (n,) and the watermark that each found when it
    came, i8[n] -> rows of probes, i4[n], -1: none (yet, or no more)."""
    joined = ProbeLookup(probes.probe_id)(rows["probe_id"].astype(np.int64))
    hit = np.flatnonzero(joined >= 0)
    sent = probes.sent_at_us[joined[hit]]
    after = rows["observed_at_us"][hit].astype(np.int64) - sent
    belongs = (after >= -settings.skew_max_us) & (after <= settings.closing_us + settings.skew_max_us)
    belongs &= sent + settings.closing_us > found_us[hit]  # else it came too late
    joined[hit[~belongs]] = -1
    return joined


def close(
    probes: Probes, joined: I4, digest_rows: np.ndarray, places: Places, settings: JoinSettings
) -> Closed:
    """Judge probes. `joined`: as `match` gives it for `digest_rows`; rows that joined none are left out."""
    used = np.flatnonzero(joined >= 0)
    rows = gather(digest_rows, used)
    hops = order_hops(
        joined[used],
        rows["leg"].astype(np.int8),
        ttl_on_arrival(rows),
        rows["switch"].astype(np.int32),
        used,
        len(probes),
    )
    legs, crossings = paths.trace(probes, hops, places)
    # One gather of whole rows: each is a cache line, from which all columns are then read in order.
    rows = gather(digest_rows, hops.digest)
    copies = Copies(
        port=rows["port"].astype(np.int32),
        observed_at_us=rows["observed_at_us"].astype(np.int64),
        content_hash=rows["content_hash"].astype(np.uint64),
        flags=rows["flags"].astype(np.int16),
    )
    altered = alteration.find(probes, hops, legs, copies.content_hash, copies.flags, places)
    judgement = verdict.judge(probes, hops, legs, altered, copies.observed_at_us, places, settings)
    bridges = bridge(legs, crossings, places)
    seen = sightings(probes, hops, legs, crossings, bridges, places)
    return Closed(probes, hops, copies, legs, crossings, bridges, altered, judgement, seen)
