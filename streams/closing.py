"""A slot closes: its probes meet their copies, and everything that can be known of them is worked out.

What is counted of a Closed goes to `streams.evidence`, what is told of single probes to `streams.records`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from schemas.rows import gather
from streams import alteration, paths, verdict
from streams.alteration import Alterations
from streams.bridges import Bridges, bridge
from streams.hops import Hops, order_hops, ttl_on_arrival
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


def close(probes: Probes, rows: np.ndarray, probe: I4, places: Places, settings: JoinSettings) -> Closed:
    """Judge probes, of which `rows` are the digests, DIGEST rows (n,); `probe`: i4[n], whose they are."""
    hops = order_hops(
        probe,
        rows["leg"].astype(np.int8),
        ttl_on_arrival(rows),
        rows["switch"].astype(np.int32),
        len(probes),
    )
    legs, crossings = paths.trace(probes, hops, places)
    # One gather of whole rows: each is a cache line, from which all columns are then read in order.
    rows = gather(rows, hops.digest)
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
