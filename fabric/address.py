"""IP addresses as rows carry them: 16 bytes, IPv6 or IPv4-mapped IPv6 (RFC 4291, section 2.5.5.2)."""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import IPv4Address, IPv6Address, ip_address
from socket import AF_INET, inet_pton

import numpy as np
from numpy.typing import NDArray

ADDRESS_DTYPE = np.dtype("V16")

_MAPPED_PREFIX = b"\0" * 10 + b"\xff\xff"


def pack_address(address: str | IPv4Address | IPv6Address) -> bytes:
    """The 16 bytes of an address. Raises ValueError if it is no IP address."""
    if isinstance(address, str):
        try:
            # Seven times faster than `ip_address`, and as strict: a hundred thousand servers have addresses.
            return _MAPPED_PREFIX + inet_pton(AF_INET, address)
        except OSError:
            address = ip_address(address)
    return _MAPPED_PREFIX + address.packed if address.version == 4 else address.packed


def unpack_address(packed: bytes) -> str:
    """The text of 16 packed bytes; IPv4-mapped addresses read as IPv4. Raises ValueError on other lengths."""
    if len(packed) != 16:
        raise ValueError(f"a packed address has 16 bytes, not {len(packed)}")
    if packed[:12] == _MAPPED_PREFIX:
        return str(IPv4Address(packed[12:]))
    return str(IPv6Address(packed))


def pack_addresses(addresses: Iterable[str]) -> NDArray[np.void]:
    """Packed column of addresses: V16[n]. Raises ValueError at the first that is no IP address."""
    return np.frombuffer(b"".join(map(pack_address, addresses)), dtype=ADDRESS_DTYPE)


def address_words(packed: NDArray[np.void]) -> tuple[NDArray[np.uint64], NDArray[np.uint64]]:
    """High and low 64 bits of packed addresses: V16[n] -> u8[n], u8[n]."""
    words = np.ascontiguousarray(packed, dtype=ADDRESS_DTYPE).view(">u8").reshape(-1, 2)
    return words[:, 0].astype(np.uint64), words[:, 1].astype(np.uint64)
