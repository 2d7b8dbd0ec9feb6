"""The keyed payload: what it says, and that any altered bit shows."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from schemas.payload import MAGIC, PAYLOAD_LENGTH, build_payload, payload_is_intact, read_payload_header
from schemas.splitmix import splitmix64

U64_MAX = 2**64 - 1


def plain_splitmix64(value: int) -> int:
    z = (value + 0x9E3779B97F4A7C15) & U64_MAX
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & U64_MAX
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & U64_MAX
    return z ^ (z >> 31)


def plain_payload(probe_id: int, sent_at_us: int) -> bytes:
    words = [MAGIC, probe_id, sent_at_us]
    words += [(plain_splitmix64(i) + plain_splitmix64(probe_id)) & U64_MAX for i in range(3, 64)]
    return b"".join(word.to_bytes(8, "big") for word in words)


def test_splitmix64_gives_the_published_sequence() -> None:
    # First outputs of SplitMix64 seeded with 0: state advances by the golden gamma before each output.
    seeds = np.array([0, 0x9E3779B97F4A7C15], dtype=np.uint64)
    assert splitmix64(seeds).tolist() == [0xE220A8397B1DCDAF, 0x6E789E6AA1B965F4]


@given(
    st.lists(
        st.tuples(st.integers(0, U64_MAX), st.integers(0, 2**62)),
        min_size=1,
        max_size=5,
    )
)
def test_payload_equals_the_plain_construction(probes: list[tuple[int, int]]) -> None:
    probe_id = np.array([p for p, _ in probes], dtype=np.uint64)
    sent_at_us = np.array([t for _, t in probes], dtype=np.int64)
    built = build_payload(probe_id, sent_at_us)
    assert built.shape == (len(probes), PAYLOAD_LENGTH)
    assert [row.tobytes() for row in built] == [plain_payload(p, t) for p, t in probes]
    has_magic, read_id, read_sent = read_payload_header(built)
    assert has_magic.all()
    assert read_id.tolist() == probe_id.tolist()
    assert read_sent.tolist() == sent_at_us.tolist()


@given(st.integers(0, U64_MAX), st.integers(0, 2**62), st.integers(0, PAYLOAD_LENGTH * 8 - 1))
def test_any_flipped_bit_shows(probe_id: int, sent_at_us: int, bit: int) -> None:
    ids = np.array([probe_id], dtype=np.uint64)
    payload = build_payload(ids, np.array([sent_at_us]))
    assert payload_is_intact(payload, ids).all()
    payload[0, bit // 8] ^= 1 << (bit % 8)
    send_time_bits = range(
        128, 192
    )  # only the sender knows them; the TCP checksum and the content hash guard them
    assert payload_is_intact(payload, ids)[0] == (bit in send_time_bits)


def test_no_probes_is_no_payload() -> None:
    assert build_payload(np.zeros(0, np.uint64), np.zeros(0, np.int64)).shape == (0, PAYLOAD_LENGTH)
