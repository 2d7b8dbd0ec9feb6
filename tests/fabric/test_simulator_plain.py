"""The simulator against a plain one, packet by packet: the same outcomes and digests, byte for byte."""

import pytest

from benchmarks.simulator import assert_equal


@pytest.mark.parametrize("fabric", ["tiny", "small", "dci", "demo"])
def test_both_simulations_say_the_same(fabric):
    assert_equal(fabric, seconds=0.5)
