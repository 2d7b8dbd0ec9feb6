"""IP addresses in columns: two 64-bit words each (IPv4 as IPv4-mapped IPv6), and a look-up table."""

from collections.abc import Mapping
from ipaddress import IPv4Address, IPv6Address, ip_address

import numpy as np
from numpy.typing import NDArray

from schemas.splitmix import U64

Addresses = NDArray[np.uint64]
"""u64[n, 2]: the high and the low half of each address, numbers in native byte order."""

V4_MAPPED = np.uint64(0xFFFF << 32)
_HALF_BITS = 64
_HALF_MASK = 2**_HALF_BITS - 1


def address_words(address: str | IPv4Address | IPv6Address) -> tuple[int, int]:
    """High and low half of one address. Raises ValueError if it is none."""
    parsed = ip_address(address)
    if isinstance(parsed, IPv4Address):
        return 0, int(V4_MAPPED) | int(parsed)
    return int(parsed) >> _HALF_BITS, int(parsed) & _HALF_MASK


def address_text(high: int, low: int) -> str:
    """The usual notation of one address; IPv4-mapped ones as IPv4."""
    if high == 0 and low >> 32 == 0xFFFF:
        return str(IPv4Address(low & 0xFFFFFFFF))
    return str(IPv6Address(high << _HALF_BITS | low))


class AddressTable:
    """Numbers known for some addresses, e.g. the switch of each exporter; immutable."""

    def __init__(self, numbers: Mapping[str, int]) -> None:
        """numbers: address -> number (0 or more). Raises ValueError for what is no address or negative."""
        if any(number < 0 for number in numbers.values()):
            raise ValueError("numbers of addresses are 0 or more")
        words = np.array([address_words(a) for a in numbers], dtype=np.uint64).reshape(len(numbers), 2)
        keys = _fold(words)
        order = np.argsort(keys, kind="stable")
        self._keys, self._words = keys[order], words[order]
        self._numbers = np.array(list(numbers.values()), dtype=np.int64)[order]
        if len(np.unique(self._keys)) != len(numbers):
            # Distinct addresses fold to one key with a chance of 2**-64 per pair.
            raise ValueError("an address is listed twice")

    def __len__(self) -> int:
        return len(self._numbers)

    def lookup(self, addresses: Addresses) -> NDArray[np.int64]:
        """The number of each address, -1 where unknown. addresses: u64[n, 2]. Returns i8[n]."""
        if not len(self) or not len(addresses):
            return np.full(len(addresses), -1, dtype=np.int64)
        place = np.searchsorted(self._keys, _fold(addresses))
        place[place == len(self)] = 0
        known = self._words[place, 0] == addresses[:, 0]
        known &= self._words[place, 1] == addresses[:, 1]
        return np.where(known, self._numbers[place], -1)


def _fold(words: Addresses) -> U64:
    # An odd multiplier, so that no part of either half is lost; the constant is SplitMix64's.
    return words[:, 0] * np.uint64(0x9E3779B97F4A7C15) + words[:, 1]
