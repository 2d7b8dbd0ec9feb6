"""The batch in which every source of packets delivers them: one packet per row of a byte table."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Self

import numpy as np
from numpy.typing import NDArray

U8 = NDArray[np.uint8]
I32 = NDArray[np.int32]
I64 = NDArray[np.int64]


class LinkType(IntEnum):
    """What a row starts with. Numbers of the tcpdump group's LINKTYPE registry."""

    ETHERNET = 1
    RAW_IP = 101
    LINUX_SLL = 113
    LINUX_SLL2 = 276


@dataclass(frozen=True, slots=True)
class PacketBatch:
    """n packets as received, all with the same link layer.

    data: u8[n, w], C-contiguous; a packet starts at column 0, what follows it in its row is undefined.
    lengths: i4[n], captured bytes (w at most). wire_lengths: i4[n], bytes there were on the wire.
    received_us: i8[n], receive time, us since 1970.
    """

    data: U8
    lengths: I32
    wire_lengths: I32
    received_us: I64
    link_type: LinkType = LinkType.ETHERNET

    def __len__(self) -> int:
        return len(self.lengths)

    @classmethod
    def of(
        cls,
        packets: Sequence[bytes],
        *,
        received_us: Sequence[int] | None = None,
        wire_lengths: Sequence[int] | None = None,
        link_type: LinkType = LinkType.ETHERNET,
    ) -> Self:
        """A batch of the given packets; for tests, tools and slow paths. Times default to 0, 1, 2 ..."""
        lengths = np.array([len(packet) for packet in packets], dtype=np.int32)
        data = np.zeros((len(packets), int(lengths.max(initial=0))), dtype=np.uint8)
        for row, packet in zip(data, packets, strict=True):
            row[: len(packet)] = np.frombuffer(packet, dtype=np.uint8)
        return cls(
            data=data,
            lengths=lengths,
            wire_lengths=lengths if wire_lengths is None else np.array(wire_lengths, dtype=np.int32),
            received_us=np.array(range(len(packets)) if received_us is None else received_us, dtype=np.int64),
            link_type=link_type,
        )

    def rows(self, selection: slice | NDArray[np.bool_] | NDArray[np.integer]) -> Self:
        """The selected packets: a view for a slice, a copy otherwise."""
        return type(self)(
            self.data[selection],
            self.lengths[selection],
            self.wire_lengths[selection],
            self.received_us[selection],
            self.link_type,
        )

    def blocks(self, rows_max: int) -> Iterator[Self]:
        """The batch in consecutive pieces of at most rows_max packets."""
        for start in range(0, len(self), rows_max):
            yield self.rows(slice(start, start + rows_max))

    def packet(self, row: int) -> bytes:
        """The captured bytes of one packet."""
        return self.data[row, : self.lengths[row]].tobytes()
