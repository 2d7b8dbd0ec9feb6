"""Batches that a source numbered and that never reached the join are noticed."""

from __future__ import annotations

import numpy as np

from fabric.builtin import builtin_fabric
from schemas import topics
from schemas.batch import Batch, Envelope, encode_batch
from schemas.rows import DIGEST, OUTCOME
from streams.intake import DIGEST_SIDE, OUTCOME_SIDE, TOPICS
from streams.join import Network, PartitionJoin
from streams.settings import JoinSettings

T0_US = 1_763_840_000_000_000
NETWORK = Network(builtin_fabric("small"))


def beat(side: int, sequence: int) -> bytes:
    dtype = OUTCOME.dtype if TOPICS[side] == topics.OUTCOMES else DIGEST.dtype
    envelope = Envelope(f"source-{side}", T0_US, 0, sequence, T0_US + sequence * 1_000_000)
    return encode_batch(TOPICS[side], Batch(envelope, np.empty(0, dtype)))


def test_a_gap_in_the_sequence_of_a_source_is_counted_once():
    join = PartitionJoin(0, NETWORK, JoinSettings())
    missing = 0
    for offset, sequence in enumerate((0, 1, 4, 5)):
        for side in (OUTCOME_SIDE, DIGEST_SIDE):
            number = sequence if side == DIGEST_SIDE else offset
            join.offer(side, offset, (T0_US // 1_000) + sequence * 1_000, beat(side, number))
        missing += join.step().batches_missing
    assert missing == 2
