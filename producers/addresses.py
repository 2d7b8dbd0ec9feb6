"""IP addresses in columns, as packets give them: two 64-bit words each, IPv4 as IPv4-mapped IPv6."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from fabric.address import address_words, pack_addresses, unpack_address
from fabric.lookup import AddressLookup
from schemas.splitmix import U64

Addresses = NDArray[np.uint64]
"""u64[n, 2]: the high and the low half of each address, numbers in native byte order."""

V4_MAPPED = np.uint64(0xFFFF << 32)


def address_text(high: int, low: int) -> str:
    """The usual notation of one address; IPv4-mapped ones as IPv4."""
    return unpack_address(int(high).to_bytes(8, "big") + int(low).to_bytes(8, "big"))


class AddressTable:
    """Numbers known for some addresses, e.g. the switch of each exporter; immutable."""

    def __init__(self, numbers: Mapping[str, int]) -> None:
        """numbers: address -> number (0 or more). Raises ValueError for what is no address or negative."""
        if any(number < 0 for number in numbers.values()):
            raise ValueError("numbers of addresses are 0 or more")
        high, low = address_words(pack_addresses(numbers))
        if len(set(zip(high.tolist(), low.tolist(), strict=True))) != len(numbers):
            raise ValueError("an address is listed twice")
        self._lookup = AddressLookup(high, low, np.array(list(numbers.values()), dtype=np.int32))
        self._count = len(numbers)

    def __len__(self) -> int:
        return self._count

    def lookup(self, addresses: Addresses) -> NDArray[np.int64]:
        """The number of each address, -1 where unknown. addresses: u64[n, 2]. Returns i8[n]."""
        high: U64 = addresses[:, 0]
        return self._lookup(high, addresses[:, 1]).astype(np.int64)
